"""Ten mistakes that people make, each with the message that they read: the whole first lines, and that nothing ran."""
import sqlite3

import pytest

HEAD = 'local p = playbook "bad" { summary = "x", needs = { files = { "./" } }HEADER }\n'
WORK = 'step "a" { undo = keep "x", run = function() fs.write("made.txt", "x") end }\n'

REFUSED = {
    "two steps with one name": ("", WORK + WORK, 'playbook.lua:3: step "a": declared twice, first at line 2'),
    "a gate nobody may approve": (
        "", WORK + 'gate "go" { role = "dba", ask = "Go?" }', 'playbook.lua:3: gate "go": nobody can approve it: the roster lists nobody for role \'dba\''),
    "a verdict that does not exist": (
        "", WORK + 'checkpoint "c" { run = function() return 1 end, pass = function(n) return n == 1 end, fail = { otherwise = "rolback" } }',
        "playbook.lua:3: checkpoint \"c\": fail.otherwise: no verdict 'rolback' (did you mean 'rollback'?)"),
    "a retry of \"0\"": (
        "", WORK + 'step "b" { retry = "0", run = function() end }', "playbook.lua:3: step \"b\": option 'retry': table expected, got '0'"),
    "attempts of \"0\"": (
        "", WORK + 'step "b" { retry = { attempts = "0" }, run = function() end }',
        "playbook.lua:3: step \"b\": retry: option 'attempts': number expected, got '0'"),
    "no attempts at all": (
        "", WORK + 'step "b" { retry = { attempts = 0 }, run = function() end }',
        "playbook.lua:3: step \"b\": retry: option 'attempts': a whole number from 1 expected, got 0"),
    "a duration \"10 minuts\"": (
        "", WORK + 'step "b" { timeout = "10 minuts", run = function() end }',
        "playbook.lua:3: step \"b\": option 'timeout': a duration such as 30s or 10m expected, got '10 minuts'"),
    "a monitor of an unknown step": (
        "", WORK.replace('"a"', '"fill"') + 'monitor "watch" { from = "fil", lasts = "1h", every = "1m", { function() return 1 end, above = 2, verdict = "hold" } }',
        "playbook.lua:3: monitor \"watch\": option 'from': no step 'fil' (did you mean 'fill'?)"),
    "a window that does not add up": (
        ', window = { from = "b", to = "c", target = "30m", max = "1h" }, rollback = { within = "5m" }',
        WORK + 'step "b" { takes = "25m", undo = keep "x", run = function() end }\nstep "c" { takes = "20m", undo = keep "x", run = function() end }',
        'playbook.lua:1: window: the steps take 45m together, the target is 30m'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_while_it_loads(runbook, playbook, case):
    header, text, message = REFUSED[case]
    path = playbook(HEAD.replace("HEADER", header) + text + "\n")
    (path.parent / "runbook.toml").write_text('[roster]\ndba = []\n', encoding="utf-8")
    result = runbook("exec", path.name, cwd=path.parent)
    check = runbook("check", path.name, cwd=path.parent)
    assert (result.exit, result.out, check.exit) == (2, "", 2), (result, check)
    assert result.err.splitlines()[0] == f"error: {message}"
    assert message in check.out + check.err
    assert not (path.parent / "made.txt").exists() and not runbook.journal.exists()


def test_an_undo_that_fails(runbook, playbook):
    path = playbook(HEAD.replace("HEADER", "") + 'step "first" { undo = function() fs.write("undone.txt", "x") end, run = function() end }\n'
                    'step "a" { undo = function() error "the volume is full" end, run = function() error "no" end }\n')
    result = runbook("exec", path.name, "--run-id", "r1", cwd=path.parent)
    assert result.exit == 4
    assert 'undo of step "a" failed: the volume is full' in result.out
    held = [e for e in runbook("show", "r1", "--output", "json").events() if e["event"] == "run.held"]
    assert (held[0]["outcome"], held[0]["why"]) == ("person_needed", 'undo of step "a" failed: the volume is full')
    assert not (path.parent / "undone.txt").exists()  # nothing goes on behind it


def test_an_approval_for_a_run_that_ended(runbook, playbook):
    path = playbook(HEAD.replace("HEADER", "") + 'gate "go" { ask = "Go?" }\n')
    assert runbook("exec", path.name, "--run-id", "r1", "--approve", "go", cwd=path.parent).exit == 0
    result = runbook("approve", "r1", "go")
    assert (result.exit, result.out, result.err) == (2, "", "error: run r1 has ended already: succeeded\n")


def test_a_journal_of_a_newer_version(runbook, playbook):
    path = playbook(HEAD.replace("HEADER", "") + WORK)
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    (path.parent / "made.txt").unlink()
    with sqlite3.connect(runbook.journal) as journal:
        known = journal.execute("select max(version) from schema_version").fetchone()[0]
        journal.execute("insert into schema_version values (?, 0)", (known + 1,))
    journal.close()
    for words in (["exec", path.name], ["resume", "r1"], ["runs"], ["show", "r1"]):
        result = runbook(*words, cwd=path.parent)
        assert (result.exit, result.out) == (2, "")
        assert result.err == (f"error: journal {runbook.journal}: written by a newer runbook (schema {known + 1}, this one knows {known})\n"
                              "hint: use the newer runbook\n")
    assert not (path.parent / "made.txt").exists()


def test_a_list_is_the_same_on_a_resume(runbook, playbook):
    path = playbook('local p = playbook "l" { summary = "x", params = { names = { "list", of = "string", default = { "x" }, doc = "x" } } }\n'
                    'step "a" { run = function() return p.names end }\ngate "go" { role = "dba", ask = "Go?" }\n')
    assert runbook("exec", path.name, "--names", "a,b", "--run-id", "r", "--detach", cwd=path.parent).exit == 3
    changed = runbook("resume", "r", "--names", "a", cwd=path.parent)
    assert changed.exit == 2 and "names" in changed.err
    assert runbook("approve", "r", "go").exit == 0
    done = runbook("resume", "r", cwd=path.parent)
    assert done.exit == 0, done.out + done.err
    assert "default x)" in runbook("exec", path.name, "--help", cwd=path.parent).out
