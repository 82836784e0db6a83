"""Bad input: one clear message with the playbook's line or the URL, exit 2, and nothing has been touched."""
import socket
import sqlite3

import pytest

from conftest import lab_url

HEADER = 'local p = playbook "bad" { summary = "x", needs = { files = { "./" } } }\n'


def refused(runbook, path, *args, env=None):
    result = runbook("exec", path.name, *args, cwd=path.parent, env=env)
    assert result.exit == 2, result
    assert result.out == ""
    assert not runbook.journal.exists() or "No runs" in runbook("runs").out or runbook("runs").out.count("\n") <= 1
    return result.err


@pytest.mark.parametrize("text, message", [
    ("step \"a\" { run = function() end", "playbook.lua:3: '}' expected (to close '{' at line 2) near '<eof>'"),
    ("step \"a\" { retires = {}, run = function() end }",
     "playbook.lua:2: step \"a\": unknown option 'retires' (did you mean 'retry'?)"),
    ("step(\"a\", { run = function() end })", "playbook.lua:2: step \"a\": a name only, got 2 arguments"),
    ("step \"a\" { run = function() retrun_it() end }", "playbook.lua:2: undefined name 'retrun_it'"),
    ("fs.touch 'made.txt'", "playbook.lua:2: fs.touch has an effect, and a playbook only declares while it loads"),
    ("step \"a\"", "playbook.lua:2: step \"a\": declares nothing: the table behind its name is missing"),
    ("local half = step \"a\"\nphase \"b\"\ngate \"c\"",
     "playbook.lua:2: step \"a\": declares nothing: the table behind its name is missing"),
    ("made = 1", "playbook.lua:2: assignment to the undeclared name 'made': write `local made`"),
    ("local x = 12LL", "playbook.lua:2: number literal '12LL' is not allowed"),
])
def test_a_playbook_that_does_not_load(runbook, playbook, text, message):
    path = playbook(HEADER + text + "\n")
    assert refused(runbook, path).splitlines()[0] == f"error: {message}"
    assert sorted(p.name for p in path.parent.iterdir()) == ["playbook.lua"]


def test_bytecode(runbook, playbook):
    path = playbook("x")
    path.write_bytes(b"\x1bLJ\x02\x0a")
    assert refused(runbook, path).splitlines() == [
        "error: playbook.lua: is LuaJIT bytecode, not a playbook", "hint: give the source file; bytecode is never loaded"]


def test_a_file_that_is_not_there(runbook, playbook):
    path = playbook(HEADER)
    result = runbook("exec", "nowhere.lua", cwd=path.parent)
    assert (result.exit, result.err.splitlines()[0]) == (2, "error: nowhere.lua: no such file, or it cannot be read")


PARAMETERS = """
    local p = playbook "move" { params = {
      target = { "database", access = "write", required = true, empty = true, doc = "empty schema to fill" } } }
    step "fill" { undo = keep "x", run = function() db.execute(p.target, "create table made (a int)") end }
"""


def test_a_missing_parameter(runbook, playbook):
    assert refused(runbook, playbook(PARAMETERS)) == "error: parameter --target is required: empty schema to fill (database)\n"


def test_a_misspelt_parameter(runbook, playbook):
    err = refused(runbook, playbook(PARAMETERS), "--traget", "sqlite:x.db")
    assert "--traget" in err and "did you mean '--target'?" in err


def test_a_target_that_is_not_empty(runbook, playbook, tmp_path):
    database = tmp_path / "full.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table orders (a int)")
        connection.execute("create table lines (a int)")
    assert refused(runbook, playbook(PARAMETERS), "--target", f"sqlite:{database}").splitlines() == [
        f"error: parameter --target: sqlite:{database} is not empty: 2 tables (lines, orders)",
        "hint: give an empty database, or drop what is in it"]
    with sqlite3.connect(database) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (2,)


@pytest.mark.parametrize("scheme", ["postgres", "mysql"])
def test_a_host_that_does_not_answer(runbook, playbook, scheme):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    err = refused(runbook, playbook(PARAMETERS), "--target", f"{scheme}://app@127.0.0.1:{port}/shop",
                  env={"RUNBOOK_TARGET_PASSWORD": "not-in-the-log-9"})
    assert err.startswith(f"error: {scheme}://app") and f"127.0.0.1:{port}" in err
    assert "not-in-the-log-9" not in err


@pytest.mark.parametrize("server", ["PG_APP", "MYSQL_APP", "MARIADB_APP"])
def test_a_wrong_password(runbook, playbook, server):
    url = lab_url(server)
    scheme, rest = url.split("://", 1)
    user, host = rest.split("@", 1)
    wrong = f"{scheme}://{user.split(':')[0]}@{host}"
    err = refused(runbook, playbook(PARAMETERS), "--target", wrong, env={"RUNBOOK_TARGET_PASSWORD": "wrong-password-77"})
    assert err.startswith(f"error: {scheme}://{user.split(':')[0]}")
    assert "wrong-password-77" not in err
    assert "RUNBOOK_TARGET_PASSWORD" in err
