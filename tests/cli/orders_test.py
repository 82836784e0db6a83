"""Who may order a run from another terminal: the initiator, who decides where nothing else says it, and the roster's operators."""
import os
import pwd
import sqlite3
import subprocess
import time

import pytest

from control_test import begin, events, wait_for_event

ME = pwd.getpwuid(os.getuid()).pw_name
HELD = """
    local p = playbook "held" { summary = "x", needs = { files = { "./" } }, ask = { role = "dba" } }
    step "a" { undo = function() fs.remove "a.txt" end, run = function() fs.write("a.txt", "a") end }
    checkpoint "look" { run = function() return fs.exists "go" end, pass = function(there) return there end, fail = { otherwise = hold "not yet" } }
"""


def order_as(runbook, user, verb, run="r1"):
    """What another user's `runbook VERB` leaves in the journal."""
    with sqlite3.connect(runbook.journal, timeout=20) as journal:
        journal.execute("insert into requests (run, micros, verb, subject, by, data) values (?, ?, ?, '', ?, '{}')",
                        (run, int(time.time() * 1e6), verb, user))
    journal.close()


@pytest.mark.parametrize("roster, header, may", [
    ('operator = ["olga"]\n', "", "operator (olga)"),
    ('dba = ["anna", "bob"]\noperator = ["olga"]\n', ', ask = { role = "dba" }', "dba (anna, bob), operator (olga)"),
    ('dba = ["anna"]\n', ', ask = { role = { "dba", "lead" } }', "dba (anna)"),
])
def test_who_may_order_a_live_run(runbook, playbook, roster, header, may):
    text = """
        local p = playbook "long" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } }""" + header + """ }
        step "a" { undo = keep "x", run = function()
          fs.write("a.began", "1")
          while not fs.exists("a.go") do sh.run { "sleep", "0.05", reads = true } end
        end }
    """
    path = playbook(text)
    (path.parent / "runbook.toml").write_text("[roster]\n" + roster)
    folder, run = begin(runbook, playbook, text)
    for verb in ("pause", "resume", "cancel", "rollback"):
        order_as(runbook, "mallory", verb)
    deadline = time.monotonic() + 20
    while len(refused := [e for e in events(runbook) if e["event"] == "control.refused"]) < 4:
        assert time.monotonic() < deadline, refused
        time.sleep(0.05)
    assert [(e["verb"], e["refused"], e["by"], e["checked"]) for e in refused] == [
        (verb, f"{verb} is for {ME}, who started the run, and {may}: mallory may not order it", "mallory", False)
        for verb in ("pause", "resume", "cancel", "rollback")]
    person = may.split("(")[1].split(",")[0].split(")")[0]
    order_as(runbook, person, "pause")
    taken = wait_for_event(runbook, "control.taken")
    assert (taken["by"], taken["checked"], taken["roles"]) == (person, True, [may.split(" ")[0]])
    assert runbook("resume", "r1").out == "run r1 goes on\n"
    taken = wait_for_event(runbook, "control.taken")
    assert (taken["verb"], taken["by"], taken["checked"]) == ("resume", ME, True)
    (folder / "a.go").touch()
    assert run.finish().exit == 0


def test_without_a_roster_anybody_may_and_it_is_recorded_as_not_checked(runbook, playbook):
    text = """
        local p = playbook "long" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } }, ask = { role = "dba" } }
        step "a" { undo = keep "x", run = function()
          fs.write("a.began", "1")
          while not fs.exists("a.go") do sh.run { "sleep", "0.05", reads = true } end
        end }
    """
    _, run = begin(runbook, playbook, text)
    order_as(runbook, "mallory", "cancel")
    assert run.finish().exit == 3
    taken = next(e for e in events(runbook) if e["event"] == "control.taken")
    assert (taken["by"], taken["checked"], taken["why"]) == ("mallory", False, "cancel by mallory")


def test_a_held_run_is_continued_by_who_may(runbook, playbook, tmp_path):
    """As another user of the operating system, also where he edits the roster or the header and accepts the change."""
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    path = playbook(HELD)
    (path.parent / "runbook.toml").write_text('[roster]\ndba = ["anna"]\n')
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 3
    (path.parent / "runbook.toml").write_text('[roster]\ndba = ["nobody"]\n')
    for folder in [*tmp_path.parents][:2] + [tmp_path, runbook.home, runbook.state, path.parent]:
        os.chmod(folder, 0o755)
    os.chmod(runbook.journal.parent, 0o777)
    for file in runbook.journal.parent.iterdir():
        os.chmod(file, 0o666)

    def as_nobody(*words):
        return subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", str(runbook.binary), *words, "--journal", str(runbook.journal)],
                              env=runbook.environment(), cwd="/", capture_output=True, text=True, check=False, timeout=60)
    for words in (["resume", "r1"], ["resume", "r1", "--accept-changed"], ["rollback", "r1"], ["retry", "r1", "look"]):
        result = as_nobody(*words)
        if "Permission denied" in result.stderr:
            pytest.skip("another user cannot run this binary")
        assert (result.returncode, result.stderr) == (
            2, f"error: run r1: {words[0]} is for {ME}, who started the run, and dba (anna): nobody may not order it\n"), words
    assert (path.parent / "a.txt").exists()
    for file in runbook.journal.parent.iterdir():
        os.chmod(file, 0o666)
    (path.parent / "go").touch()
    assert runbook("resume", "r1", cwd=path.parent).exit == 0
    resumed = [e for e in events(runbook) if e["event"] == "run.resumed"]
    assert [(e["by"], e["order"], e["checked"]) for e in resumed] == [(ME, "resume", True)]
