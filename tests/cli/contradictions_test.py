"""runbook check: what contradicts itself, with its line; and no false alarm on the playbooks that we ship."""
from pathlib import Path

import pytest

PLAYBOOKS = sorted(file for file in (Path(__file__).resolve().parents[2] / "playbooks").glob("*.lua") if not file.stem.endswith("_test"))


def body(text, header=""):
    return 'local p = playbook "c" { params = { db = { "database", access = "write" } }, roles = { dba = "DBA", lead = "Lead" }, ' + header + " }\n" + text


@pytest.mark.parametrize("header, text, line, message", [
    ("", 'step "a" {\n  run = function()\n    fs.write("x", "y")\n  end }', 4,
     'warning: step "a": calls fs.write and has no way back: give it undo, keep "why" or loses'),
    ("", 'step "a" { run = function() if p.db then db.execute(p.db, "delete from t") end end }', 2,
     'warning: step "a": calls db.execute and has no way back: give it undo, keep "why" or loses'),
    ("", 'step "a" { takes = "10m", timeout = "5m", run = function() end }', 2,
     'warning: step "a": its estimate of 10m is longer than its timeout of 5m'),
    ('rollback = { ways = { "down", "restore" } }', 'step "a" { run = function() end, undo = { dwn = function() end } }', 2,
     'step "a": undo names the way \'dwn\', and rollback.ways does not (did you mean \'down\'?)'),
    ('rollback = { ways = { "down", "restore" } }',
     'checkpoint "a" { run = function() end, pass = function() return true end, fail = { otherwise = rollback("no", { way = "up" }) } }', 2,
     'checkpoint "a": fail names the way \'up\', and rollback.ways does not'),
    ("", 'checkpoint "a" { run = function() end, pass = function() return true end, fail = { otherwise = ask "dbb" } }', 2,
     'checkpoint "a": asks \'dbb\', and there is no such role (did you mean \'dba\'?)'),
])
def test_contradictions_are_told_with_their_line(runbook, playbook, header, text, line, message):
    path = playbook(body(text, header))
    result = runbook("check", path)
    assert f"{path}:{line}: {message}" in result.out
    assert result.exit == (0 if message.startswith("warning") else 2)


@pytest.mark.parametrize("header, text", [
    ('needs = { files = { "x" } }', 'step "a" { run = function() fs.write("x", "y") end, undo = function() end }'),
    ('needs = { files = { "x" } }', 'step "a" { run = function() fs.write("x", "y") end, undo = keep "why" }'),
    ('needs = { files = { "x" } }', 'step "a" { run = function() fs.write("x", "y") end, loses = function() return 0 end }'),
    ('needs = { files = { "x" } }', 'step "a" { run = function(ctx) ctx.step("s", { run = function() fs.write("x", "y") end, undo = function() end }) end }'),
    ('needs = { files = { "x" } }', 'step "a" { run = function() return fs.read "x" end }'),
    ("", 'step "a" { takes = "5m", timeout = "5m", run = function() end }'),
    ('ask = { within = "5m", otherwise = "hold" }, window = { from = "a", to = "b", target = "5m", max = "10m" }',
     'step "a" { run = function() end }\ngate "g" { role = "lead", ask = "?" }\nstep "b" { run = function() end }'),
    ('window = { from = "a", to = "b", target = "5m", max = "10m" }',
     'step "a" { run = function() end }\nstep "b" { run = function() end }\ngate "g" { role = "lead", ask = "?" }'),
    ('rollback = { ways = "restore" }', 'step "a" { run = function() end, undo = { restore = function() end } }'),
])
def test_no_false_alarm(runbook, playbook, header, text):
    result = runbook("check", playbook(body(text, header)))
    assert result.exit == 0 and "1 file checked: no mistakes\n" in result.out, result.out


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_playbooks_that_we_ship_are_quiet(runbook, path):
    result = runbook("check", path)
    assert result.exit == 0 and result.out.endswith("1 file checked: no mistakes\n"), result.out
