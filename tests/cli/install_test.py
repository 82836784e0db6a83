"""What `cmake --install` puts where, from the build that the tests run on."""
import subprocess

import pytest


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    from conftest import binary

    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(["cmake", "--install", binary().parent, "--prefix", prefix], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def test_everything_is_there(installed):
    for path in ("bin/runbook", "share/man/man1/runbook.1", "share/doc/runbook/README.md", "share/doc/runbook/LICENSE",
                 "share/doc/runbook/installing.md", "share/doc/runbook/examples/quickstart.lua",
                 "share/bash-completion/completions/runbook", "share/zsh/site-functions/_runbook",
                 "share/fish/vendor_completions.d/runbook.fish"):
        assert (installed / path).stat().st_size > 0, path


def test_the_installed_program_needs_no_source_tree(installed, tmp_path):
    shown = subprocess.run([installed / "bin/runbook", "version"], capture_output=True, text=True, check=False, cwd=tmp_path,
                           env={"HOME": str(tmp_path)})
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("runbook 0.1.0")


def test_bash_accepts_the_completion(installed):
    script = installed / "share/bash-completion/completions/runbook"
    shown = subprocess.run(["bash", "-c", f"set -u; source {script}; complete -p runbook"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "_runbook" in shown.stdout
