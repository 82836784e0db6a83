"""exec --dry-run: reads are made, writes are only said. What the servers saw is asked of the servers."""
import json
import os
import sqlite3
import uuid
from pathlib import Path

import pytest

from conftest import connect_mysql


def items(result):
    return {item.get("name") or item["kind"]: item for item in map(json.loads, result.out.splitlines())}


def calls(item):
    return [write["call"] for write in item.get("writes") or []]


HEAD = 'local p = playbook "dry" { params = { folder = { "path", required = true } }, needs = { files = { "folder" }, shell = { "touch", "false", "echo" } } }\n'


@pytest.fixture
def dry(runbook, playbook, tmp_path):
    """Runs a playbook's text dry in a folder that must stay as it was."""
    folder = tmp_path / "world"
    folder.mkdir()

    def go(text, *options, output="json"):
        before = sorted(os.listdir(folder))
        result = runbook("exec", playbook(HEAD + text), "--folder", f"{folder}/", "--dry-run", "--output", output, *options)
        assert sorted(os.listdir(folder)) == before
        assert not runbook.journal.exists(), "a dry run is no run"
        return result

    return go


def test_the_quickstart_changes_nothing(runbook, example, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    assert runbook("exec", example / "sample_shop.lua", "--shop", f"sqlite:{work}/shop.db", "--orders", 100).exit == 0
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    runs = runbook("runs").out
    result = runbook("exec", example / "quickstart.lua", "--source", f"sqlite:{work}/shop.db", "--target", f"sqlite:{work}/new.db",
                     "--folder", f"{work}/backup/", "--dry-run")
    assert result.exit == 0, result.out + result.err
    assert {path.name: path.read_bytes() for path in work.iterdir()} == before
    assert runbook("runs").out == runs
    assert f"make the file {work}/new.db" in result.out.replace("\n      ", " ")
    assert "? checkpoint backup restores  unknown\n      depends on step \"backup\", which a dry run skips" in result.out
    assert "◆ gate open" in result.out and "lead: Open the shop on the copy? – within 5m, otherwise rollback" in result.out
    assert "nothing was changed" in result.out
    assert max(map(len, (line for line in result.out.splitlines() if "/" not in line))) <= 80


def test_each_write_is_said_with_its_arguments(dry):
    result = dry("""
        step "write" { undo = function() end, run = function()
          fs.write(p.folder .. "a.txt", "text")
          sh.run { "touch", p.folder .. "b", timeout = "5s" }
          http.post("http://127.0.0.1:1/hook", { json = { n = 1 } })
          notify.send "done"
        end }
        step "fine" { run = function() return sh.run({ "echo", "seen", reads = true }).out end }
    """)
    assert result.exit == 1  # the host of http.post is not in needs
    assert items(result)["write"]["why"].startswith('step "write" may not reach `127.0.0.1:1`')
    result = dry("""
        step "write" { undo = function() end, run = function()
          fs.write(p.folder .. "a.txt", "text")
          sh.run { "touch", p.folder .. "b", timeout = "5s" }
          notify.send "done"
        end }
        step "fine" { run = function() return sh.run({ "echo", "seen", reads = true }).out end }
    """)
    assert result.exit == 0, result.out + result.err
    said = items(result)["write"]
    assert said["outcome"] == "would"
    assert [call.split("(")[0] for call in calls(said)] == ["fs.write", "sh.run", "notify.send"]
    assert calls(said)[0].endswith('a.txt", "text")') and "touch" in calls(said)[1] and 'timeout = "5s"' in calls(said)[1]
    assert [write["line"] for write in said["writes"]] == [4, 5, 6]
    assert items(result)["fine"]["result"] == "seen\n"


def test_secrets_are_masked(runbook, playbook):
    path = playbook("""
        local p = playbook "s" { params = { token = { "secret", from = "env:DRY_TOKEN" } }, needs = { shell = { "deploy" } } }
        step "deploy" { undo = keep "x", run = function() sh.run { "deploy", env = { TOKEN = p.token }, stdin = p.token } end }
    """)
    result = runbook("exec", path, "--dry-run", env={"DRY_TOKEN": "hunter2hunter2"})
    assert result.exit == 0, result.out + result.err
    assert "hunter2" not in result.out + result.err
    assert "TOKEN = ***" in result.out and "stdin = ***" in result.out


def test_waiting_for_an_address_that_is_not_known_yet_is_left_out(dry):
    result = dry("""
        local made = step "make" { undo = function() end, run = function() return sh.run { "touch", "x" } end }
        step "up" { run = function() return http.wait_until(made.result.out, function(r) return r.status == 200 end, { within = "5s" }).status end }
        step "soon" { run = function() return http.wait_until("http://127.0.0.1:1/", function() return true end, { within = made.result.out }).status end }
    """)
    assert result.exit == 0, result.out + result.err
    assert calls(items(result)["up"]) == ['http.get(‹step "make"›, { within = "5s" })']
    assert calls(items(result)["soon"]) == ['http.get("http://127.0.0.1:1/", { within = ‹unknown› })']


def test_what_depends_on_a_skipped_write_is_unknown(dry):
    result = dry("""
        local made = step "make" { undo = function() end, run = function()
          fs.write(p.folder .. "a", "x")
          return { count = 7 }
        end }
        step "uses" { undo = function() end, run = function() sh.run { "touch", "n" .. made.result.count } end }
        step "decides" { run = function() if made.result.count > 5 then error "never" end end }
        checkpoint "looks" { run = function() return { n = made.result.count } end, pass = function(r) return r.n == 7 end }
        step "maybe" { only_if = function() return made.result end, run = function() error "never" end }
        step "repeats" { undo = function() end, run = function()
          local left
          repeat left = sh.run({ "touch", "again" }).exit until left == 0
        end }
    """)
    assert result.exit == 0, result.out + result.err
    seen = items(result)
    assert seen["uses"]["outcome"] == "would" and "‹unknown›" in calls(seen["uses"])[0]
    for name in ("decides", "looks", "maybe"):
        assert seen[name]["outcome"] == "unknown", seen[name]
        assert 'depends on step "make", which a dry run skips' in seen[name]["why"]
    assert len(calls(seen["repeats"])) == 25
    assert "how often line 13 repeats depends on what a dry run skips" in seen["repeats"]["why"]
    assert seen["end"]["contradictions"] == 0


def test_a_decision_that_asks_nobody_is_said_to_be_uncertain(dry):
    result = dry("""
        local made = step "make" { undo = function() end, run = function()
          fs.write(p.folder .. "a", "x")
          return { count = 7 }
        end }
        step "guesses" { undo = function() end, run = function()
          if made.result == 7 then fs.write(p.folder .. "seven", "x") end
          fs.write(p.folder .. "b", "x")
        end }
        local function choose(n) return n and "some" or "none" end
        step "guesses elsewhere" { undo = function() end, run = function() fs.write(p.folder .. choose(made.result), "x") end }
        step "sure" { undo = function() end, run = function() fs.write(p.folder .. "c", "n" .. made.result.count) end }
        step "looks" { run = function() return made.result == 7 end }
        step "left out" { only_if = function() return made.result == 7 end, undo = keep "x", run = function() fs.write(p.folder .. "d", "x") end }
        checkpoint "equal" { run = function() return 1 end, pass = function() return made.result == 7 end }
        checkpoint "given" { run = function() return 1 end, pass = function() return made.result end }
        checkpoint "asserts" { run = function() expect.equal(made.result, 7, "count") return 1 end, pass = function() return true end }
        step "sums" { run = function() expect(made.result.count * 2 + 1) end }
        checklist "list" { probe("seven", function() return made.result ~= 8 end) }
    """)
    assert result.exit == 0, result.out + result.err
    seen = items(result)
    depends = 'depends on step "make", which a dry run skips'
    assert {name: item["outcome"] for name, item in seen.items() if "outcome" in item and name not in ("begin", "end", "dry")} == {
        "make": "would", "guesses": "would", "guesses elsewhere": "would", "sure": "would", "looks": "unknown", "left out": "unknown",
        "equal": "unknown", "given": "unknown", "asserts": "unknown", "sums": "unknown", "list": "unknown"}
    assert seen["guesses"]["uncertain"] == 'as far as known: line 8 decides by a value that may depend on step "make", which a dry run skips'
    assert seen["guesses elsewhere"]["uncertain"].startswith("as far as known: line 11 decides by a value")
    assert "uncertain" not in seen["sure"] and "uncertain" not in seen["make"]
    assert seen["looks"]["why"] == depends and seen["left out"]["why"] == "whether it runs " + depends
    assert seen["end"]["uncertain"] == 2 and seen["end"]["contradictions"] == 0


def test_monitors_look_once(dry):
    result = dry("""
        local made = step "make" { undo = function() end, run = function() fs.write(p.folder .. "a", "x") return { n = 1 } end }
        local web = { p95 = function() return 0.25 end, size = function() return #fs.list(p.folder) end, none = function() end }
        monitor "sees" { from = "make", lasts = "1h", every = "1m", { web.p95, above = "200ms", verdict = "hold" }, { web.size, above = 3, verdict = "hold" },
          { web.none, above = 1, verdict = "hold" } }
        monitor "by what is made" { from = "make", lasts = "1h", every = "1m", { function() return made.result.n end, above = 3, verdict = "hold" } }
        monitor "may not" { from = "make", lasts = "1h", every = "1m", { function() return #fs.list("/etc") end, above = 3, verdict = "hold" } }
    """)
    assert result.exit == 1, result.out + result.err
    seen = items(result)
    assert (seen["sees"]["outcome"], seen["sees"]["why"]) == ("looked", "looked once: p95 = 0.25, size = 0, none has no data now (nil)")
    assert (seen["by what is made"]["outcome"], seen["by what is made"]["why"]) == ("unknown", 'depends on step "make", which a dry run skips')
    assert seen["may not"]["outcome"] == "fails" and "may not touch `/etc`" in seen["may not"]["why"]


def test_a_write_to_what_is_declared_read_only_is_a_contradiction(runbook, playbook, tmp_path):
    path = playbook("""
        local p = playbook "dry" { params = { db = { "database", access = "read", required = true }, other = { "database", access = "write", required = true } } }
        step "writes" { undo = keep "x", run = function() db.execute(p.db, "delete from t") end }
        step "may" { undo = keep "x", run = function() db.execute(p.other, "delete from t") end }
    """)
    import sqlite3
    for name in ("a", "b"):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute("create table t (a int)")
        connection.close()
    result = runbook("exec", path, "--db", f"sqlite:{tmp_path}/a", "--other", f"sqlite:{tmp_path}/b", "--dry-run", "--output", "json")
    assert result.exit == 1
    assert (items(result)["writes"]["outcome"], items(result)["writes"]["why"]) == (
        "fails", 'db.execute is refused: parameter --db is declared access = "read"')
    assert items(result)["writes"]["hint"] == 'declare access = "write" where the playbook means to write'
    assert items(result)["may"]["outcome"] == "would"


def test_a_contradiction_is_told_before_anything_ran(dry):
    result = dry("""
        checkpoint "room" { run = function() return { free = 1 } end, pass = function(r) return r.free > 5 end,
          fail = { otherwise = rollback "no room" } }
        step "elsewhere" { undo = function() end, run = function() fs.write("/etc/elsewhere", "x") end }
        step "no way back" { run = function() fs.write(p.folder .. "a", "x") end }
        step "broken" { run = function() sh.run { "false", reads = true } end }
        step "by hand" { manual = "turn the key", owner = "ops" }
        checkpoint "later" { run = function() return fs.read(p.folder .. "a") end, pass = function(r) return r == "x" end }
    """, output="plain")
    assert result.exit == 1
    assert "✗ checkpoint room             would fail: does not pass: rollback: no room" in result.out
    assert "✗ no way back                 would fail\n      fs.write is refused: step \"no way back\" has no way back" in result.out
    assert "hint: give the step undo, keep \"why\" or loses" in result.out
    assert "✗ broken                      would fail" in result.out
    assert "◆ by hand                     would ask: ops does by hand: turn the key" in result.out
    assert "? checkpoint later            unknown" in result.out  # the hand may have made it
    assert 'step "elsewhere" may not touch `/etc/elsewhere`' in result.out
    assert "4 contradictions" in result.out.replace("\n", " ")


def test_a_dry_run_is_no_run(dry, runbook, playbook):
    for option in (("--report", "x.html"), ("--detach",), ("--run-id", "a")):
        result = dry('step "a" { run = function() end }', *option)
        assert result.exit == 2
        assert f"error: {option[0]} and --dry-run: a dry run is no run" in result.err


BOTH = """
    local p = playbook "dry" { params = { db = { "database", access = "write", required = true } } }
    local before = step "count" { run = function() return db.one(p.db, "select count(*) as n, 'seen' as mark from TABLE").n end }
    step "write" { undo = function() end, run = function()
      db.execute(p.db, "insert into TABLE values (?)", before.result + 1)
      db.script(p.db, "update TABLE set a = 5; drop table TABLE")
      db.transaction(p.db, function() db.execute(p.db, "delete from TABLE") end)
    end }
    checkpoint "still" { run = function() return db.value(p.db, "select count(*) from TABLE where a = 1") end, pass = function(n) return n == 1 end }
    step "slips through" { undo = function() end, run = function() db.query(p.db, "SLIP") end }
"""


class Statements:
    """What a server has been told about the test's table."""

    def __init__(self, scratch, table):
        self.scratch, self.table, self.kind = scratch, table, scratch.kind

    def __enter__(self):
        if self.kind == "PG":
            self.scratch.sql(f"alter database \"{self.scratch.name}\" set log_statement = 'all'")
            self.log = Path(os.environ["RUNBOOK_LAB_DIR"]) / "postgres.log"
            self.start = self.log.stat().st_size
        else:
            self.admin = connect_mysql(self.scratch.admin)
            self.cursor = self.admin.cursor()
            self.cursor.execute("select @@global.general_log, @@global.log_output")
            self.was = self.cursor.fetchone()
            self.cursor.execute("set global log_output = 'TABLE'")
            self.cursor.execute("set global general_log = 1")
        return self

    def __exit__(self, *_):
        if self.kind != "PG":
            self.cursor.execute("set global general_log = %s", (self.was[0],))
            self.cursor.execute("set global log_output = %s", (self.was[1],))
            self.admin.close()

    def seen(self):
        if self.kind == "PG":
            with self.log.open("rb") as log:
                log.seek(self.start)
                lines = log.read().decode("utf-8", "replace").splitlines()
            return [line for line in lines if self.table in line and ("statement:" in line or "execute" in line)]
        self.cursor.execute("select convert(argument using utf8mb4) from mysql.general_log where command_type in ('Query', 'Execute', 'Prepare') "
                            "and convert(argument using utf8mb4) like %s", (f"%{self.table}%",))
        return [text for (text,) in self.cursor.fetchall() if "general_log" not in text]


@pytest.mark.parametrize("kind", ["PG", "MYSQL", "MARIADB"])
def test_the_servers_own_log_holds_no_write(kind, scratch, runbook, playbook):
    database, table = scratch(kind), f"dry_{uuid.uuid4().hex[:8]}"
    database.sql(f"create table {table} (a int)")
    database.sql(f"insert into {table} values (1)")
    text = BOTH.replace("TABLE", table).replace("SLIP", "select 1")
    with Statements(database, table) as statements:
        result = runbook("exec", playbook(text), "--db", database.url, "--dry-run", "--output", "json")
        seen = statements.seen()
    assert result.exit == 0, result.out + result.err
    assert any("'seen' as mark" in line for line in seen), seen  # the log is on, and reads are made
    for line in seen:
        assert not any(f"{verb} {table}" in line for verb in ("insert into", "update", "delete from", "drop table")), line
    write = items(result)["write"]
    assert write["outcome"] == "would" and len(calls(write)) == 3
    assert f'"insert into {table} values (?)", 2)' in calls(write)[0]
    assert items(result)["still"]["outcome"] == "looked"
    assert database.sql(f"select a from {table}") == [(1,)]


@pytest.mark.parametrize("kind", ["PG", "MYSQL", "MARIADB"])
def test_a_write_disguised_as_a_read_is_refused_by_the_server(kind, scratch, runbook, playbook):
    database, table = scratch(kind), f"dry_{uuid.uuid4().hex[:8]}"
    database.sql(f"create table {table} (a int)")
    database.sql(f"insert into {table} values (1)")
    slip = f"insert into {table} values (2)" + (" returning a" if kind == "PG" else "")
    result = runbook("exec", playbook(BOTH.replace("TABLE", table).replace("SLIP", slip)), "--db", database.url, "--dry-run",
                     "--output", "json")
    assert result.exit == 0, result.out + result.err
    slipped = items(result)["slips through"]
    assert slipped["outcome"] == "would" and "refused that in a read-only session" in slipped["why"]
    assert database.sql(f"select a from {table}") == [(1,)]


def test_a_prepared_statement_reads_and_says_its_writes(runbook, playbook, tmp_path):
    shop = tmp_path / "shop.db"
    with sqlite3.connect(shop) as connection:
        connection.execute("create table orders (id integer)")
        connection.execute("insert into orders values (7)")
    file = playbook("""
        local p = playbook "dry" { params = { shop = { "database", access = "write" } } }
        step "read" { run = function()
          local s = db.prepare(p.shop, "select id from orders where id = ?")
          return { s:value(7), s:value(8) == nil }
        end }
        step "write" { undo = function() end, run = function()
          db.execute(p.shop, "create table later (id integer)")
          db.prepare(p.shop, "insert into orders values (?)"):execute(8)
          db.prepare(p.shop, "insert into later values (?)"):execute(9) -- the table is not there in a dry run
        end }
    """)
    result = runbook("exec", file, "--shop", f"sqlite:{shop}", "--dry-run", "--output", "json")
    assert result.exit == 0, result.out + result.err
    assert items(result)["read"]["outcome"] == "looked"
    assert [call.split("(")[0] for call in calls(items(result)["write"])] == ["db.execute", "statement.execute", "statement.execute"]
    with sqlite3.connect(shop) as connection:
        assert connection.execute("select id from orders").fetchall() == [(7,)]
    assert runbook("exec", file, "--shop", f"sqlite:{shop}").exit == 0
    with sqlite3.connect(shop) as connection:
        assert connection.execute("select id from orders union all select id from later").fetchall() == [(7,), (8,), (9,)]
