"""The program without a playbook: version, help, what it says to a word it does not know."""
import re


def test_version(runbook):
    result = runbook("version")
    assert result.exit == 0
    assert re.match(r"runbook 0\.1\.0\b", result.out)
    assert result.err == ""


def test_help_names_every_command(runbook):
    result = runbook("--help")
    assert result.exit == 0
    for command in ("exec", "plan", "check", "runs", "show", "resume", "repl"):
        assert re.search(rf"^\s+{command}\b", result.out, re.M), command


def test_unknown_command_names_the_nearest(runbook):
    result = runbook("exce", "x.lua")
    assert result.exit == 2
    assert result.out == ""
    assert "did you mean 'exec'?" in result.err


def test_missing_file_touches_nothing(runbook):
    result = runbook("exec", "nowhere.lua")
    assert result.exit == 2
    assert "nowhere.lua" in result.err
    assert not runbook.journal.exists()
