"""The five runbooks as the language should say them: they load as they stand, and the words that they use of the libraries are there.

Stand-ins: `flags` and `retention` are required by the examples and never used.

The examples lie beside the project, not in it; where they are missing there is nothing to load.
"""
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT.parent / "shared" / "design" / "examples"
STANDINS = Path(__file__).with_name("standins")
FILES = ["s0_mysql8_unification", "s1_sql_migration", "s2_checklist", "s3_render_prisma", "s4_firestore", "s4_recovery"]
# What the examples call and nothing could answer: migrate.written_since is told no connection (db.written_since is).
MISTAKES = {"migrate.written_since"}

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples lie beside the project, and are not there")


@pytest.fixture
def example(tmp_path):
    for file in STANDINS.glob("*.lua"):
        shutil.copy(file, tmp_path)

    def copy(name):
        return Path(shutil.copy(EXAMPLES / f"{name}.lua", tmp_path))

    return copy


@pytest.mark.parametrize("name", FILES)
def test_the_example_loads(runbook, example, name):
    result = runbook("check", str(example(name)))
    assert result.exit == 0, result.out + result.err


@pytest.mark.parametrize("name", FILES)
def test_its_plan_names_every_item(runbook, example, name):
    file = example(name)
    plan = runbook("plan", str(file)).out
    for item in re.findall(r'^(?:local \w+ = |\w+ = )?(?:step|checkpoint|gate|checklist) "([^"]+)"', file.read_text(), re.M):
        assert item in plan, item


def test_what_they_call_is_there(runbook, tmp_path):
    """Every `library.word` and `db:word` of the examples is declared; so a word that is renamed or lost shows here and not in a run."""
    assert runbook("types", str(tmp_path)).exit == 0
    declared = set()
    for stubs in [tmp_path / "runbook.lua", *(tmp_path / "libraries").glob("*.lua")]:
        declared |= set(re.findall(r"^function ([\w.]+)\(", stubs.read_text(), re.M))
    libraries = {name.split(".")[0] for name in declared if "." in name}
    called = set()
    for name in FILES:
        text = re.sub(r"\[\[.*?\]\]", "", re.sub(r"--.*", "", (EXAMPLES / f"{name}.lua").read_text()), flags=re.S)
        for library, word in re.findall(r"(?<![\w.\"/])(\w+)[.:](\w+)(?=\s*[({\"]|, )", text):
            if library == "db" and name.startswith("s4"):
                library = "firestore"
            if library in libraries and not re.search(rf"local {library} = toggle", text):
                called.add(f"{library}.{word}")
    unknown = called - declared - MISTAKES
    assert len(called) > 60 and not unknown, unknown
