"""Rules of the language that belong to no other test: what a failure may be passed over for, secrets and servers over a resume,
estimates, and why a restart is three steps. Which test holds which rule: docs/durability.md."""
import re
import sqlite3
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]


def events(runbook, run="r1"):
    return runbook("show", run, "--output", "json").events()


def test_the_table_of_rules_names_tests_that_exist():
    text = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 17))
    for number, tests in rows:
        named = re.findall(r"`([\w/]+\.(?:cpp|py)): ([^`]+)`", tests)
        assert named, number
        for file, test in named:
            source = re.sub(r'"\s*\n\s*"', "", (ROOT / "tests" / file).read_text(encoding="utf-8"))
            assert test in source, (number, file, test)


def test_7_failure_continue_is_an_explicit_choice(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { files = { "./" } } }
        step "before" { undo = function() fs.write("undone.txt", "x") end, run = function() end }
        step "may fail" { FAILURE undo = keep "x", run = function() error "no" end }
        step "after" { undo = keep "x", run = function() fs.write("after.txt", "x") end }
    """)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("FAILURE", 'failure = "continue",'), encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent).exit == 0
    assert (path.parent / "after.txt").exists() and not (path.parent / "undone.txt").exists()
    (path.parent / "after.txt").unlink()
    path.write_text(text.replace("FAILURE", ""), encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent).exit == 1
    assert (path.parent / "undone.txt").exists() and not (path.parent / "after.txt").exists()


def test_13_resume_fetches_secrets_again_and_the_journal_has_none(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", params = { token = { "secret", from = "env:RULE_TOKEN" } }, needs = { shell = { "sh" }, files = { "./" } } }
        local function tell(name) sh.run { "sh", "-c", 'printf "%s" "$T" > ' .. name, env = { T = p.token } } end
        step "a" { undo = keep "x", run = function() tell "a.txt" return p.token end }
        gate "go" { ask = "Go?" }
        step "b" { undo = keep "x", run = function() tell "b.txt" end }
    """)
    first, second = "first-of-two-4711", "second-of-two-4712"
    assert runbook("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent, env={"RULE_TOKEN": first}).exit == 3
    missing = runbook("resume", "r1", "--approve", "go")
    assert (missing.exit, missing.err.splitlines()[0]) == (2, "error: secret --token: environment variable RULE_TOKEN is not set")
    assert runbook("resume", "r1", "--approve", "go", env={"RULE_TOKEN": second}).exit == 0
    assert [(path.parent / name).read_text(encoding="utf-8") for name in ("a.txt", "b.txt")] == [first, second]
    stored = b"".join(file.read_bytes() for file in runbook.journal.parent.iterdir())
    assert first.encode() not in stored and second.encode() not in stored and b"RULE_TOKEN" in stored


SERVER = """
    local p = playbook "x" { summary = "x", params = { target = { "database", access = "write", required = true } } }
    step "a" { undo = function() db.execute(p.target, "delete from t") end, run = function() db.execute(p.target, "insert into t values (1)") end }
    gate "go" { ask = "Go?" }
    step "b" { undo = keep "x", run = function() db.execute(p.target, "insert into t values (2)") end }
"""


def table(path):
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select a from t order by a").fetchall()
    connection.close()
    return [row[0] for row in rows]


def test_13_resume_refuses_another_server(runbook, playbook, tmp_path):
    one, other, link = tmp_path / "one.db", tmp_path / "other.db", tmp_path / "shop.db"
    for file in (one, other):
        with sqlite3.connect(file) as connection:
            connection.execute("create table t (a int)")
        connection.close()
    link.symlink_to(one)
    path = playbook(SERVER)
    assert runbook("exec", path.name, "--run-id", "r1", "--target", f"sqlite:{link}", "--detach", cwd=path.parent).exit == 3
    link.unlink()
    link.symlink_to(other)
    message = (f"error: parameter --target: sqlite:{link} is another server than the one that the run began with: it was {one}, it is {other}\n"
               "hint: resume with --accept-changed where that is meant, as after a failover\n")
    for words in (["resume", "r1", "--approve", "go"], ["rollback", "r1"]):
        refused = runbook(*words)
        assert (refused.exit, refused.err) == (2, message)
    assert (table(one), table(other)) == ([1], [])
    assert runbook("resume", "r1", "--accept-changed", "--detach").exit == 3
    assert [list(e["servers"].values()) for e in events(runbook) if e["event"] == "databases.identified"] == [[str(one)], [str(other)]]
    assert runbook("resume", "r1", "--approve", "go").exit == 0  # from now on it is this one
    assert (table(one), table(other)) == ([1], [2])


@pytest.mark.parametrize("kind", ["PG", "MYSQL", "MARIADB"])
def test_13_each_server_has_an_identity_that_stays(runbook, playbook, scratch, kind):
    database = scratch(kind)
    database.sql("create table t (a int)")
    path = playbook(SERVER)
    assert runbook("exec", path.name, "--run-id", "r1", "--target", database.url, "--detach", cwd=path.parent).exit == 3
    (seen,) = [e["servers"]["target"] for e in events(runbook) if e["event"] == "databases.identified"]
    assert len(seen) >= 8 and seen not in database.url
    password = {"RUNBOOK_TARGET_PASSWORD": unquote(urlsplit(database.url).password)}
    assert runbook("resume", "r1", "--approve", "go", env=password).exit == 0
    assert database.sql("select a from t order by a") == [(1,), (2,)]


def test_15_an_estimate_is_no_wait(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", window = { from = "a", to = "b", target = "4h", max = "9h" }, rollback = { within = "1h" } }
        step "a" { takes = "2h", undo = keep "x", run = function() end }
        step "b" { takes = "2h", undo = keep "x", run = function() end }
    """)
    begun = time.monotonic()
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    assert time.monotonic() - begun < 60


def test_16_a_restart_of_three_steps_goes_back_in_the_right_order(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { files = { "./" }, shell = { "sh" } } }
        local app = toggle {
          on = function() sh.run { "sh", "-c", "echo start with $(cat config) >> log" } fs.write("up", "x") end,
          off = function() sh.run { "sh", "-c", "echo stop >> log" } fs.remove("up") end,
          state = function() return fs.exists("up") and "on" or "off" end }
        step "stop" { app.off }
        step "change" { undo = function() fs.write("config", "old") end, run = function() fs.write("config", "new") end }
        step "start" { app.on }
        checkpoint "serves" { run = function() return 1 end, pass = function() return false end }
    """)
    (path.parent / "config").write_text("old", encoding="utf-8")
    (path.parent / "up").write_text("x", encoding="utf-8")
    (path.parent / "log").write_text("", encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent).exit == 1
    assert (path.parent / "log").read_text(encoding="utf-8").splitlines() == ["stop", "start with new", "stop", "start with old"]
