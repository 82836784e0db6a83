"""ctx.transaction on the four engines: markers, tokens, retries, undos, refusals. What ends it: transaction_crash_test.py."""
import sqlite3

import pytest

ENGINES = ["SQLITE", "PG", "MYSQL", "MARIADB"]

BOOK = """
    local p = playbook "count" {{ summary = "two additions", params = {{ target = {{ "database", access = "admin", required = true }} }} }}
    local one = step "one" {{ undo = keep "x", run = function(ctx)
      return ctx.transaction(p.target, function(c)
        db.execute(c, "update counter set n = n + 1")
        return {{ n = db.value(c, "select n from counter") }}
      end)
    end }}
    step "parts" {{ undo = keep "x", run = function(ctx)
      ctx.step("ten", {{ run = function() ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 10") end) end }})
      ctx.step("hundred", {{ run = function(sub)
        sub.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 100") end)
        sub.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 100") end)
      end }})
      return one.result.n
    end }}
    {more}
"""


class Sqlite:
    def __init__(self, path):
        self.path, self.url = path, f"sqlite:{path}"

    def sql(self, text):
        with sqlite3.connect(self.path) as connection:
            rows = connection.execute(text).fetchall()
        connection.close()
        return rows


@pytest.fixture(params=ENGINES)
def counter(request, scratch, tmp_path):
    database = Sqlite(tmp_path / "counter.db") if request.param == "SQLITE" else scratch(request.param)
    database.kind = request.param
    database.sql("create table counter (n integer not null)")
    database.sql("insert into counter values (0)")
    return database


def value(database):
    return database.sql("select n from counter")[0][0]


def test_an_older_holder_is_refused(runbook, playbook, counter):
    path = playbook(BOOK.format(more="""
    step "taken over" { undo = keep "x", idempotent = true, run = function() db.execute(p.target, "update _runbook_done set fence = 9 where marker = 'r1'") end }
    step "too late" { undo = keep "x", run = function(ctx) ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = -1") end) end }
    """))
    result = runbook("exec", path, "--target", counter.url, "--run-id", "r1", "--output", "json")
    assert result.exit == 1
    error = next(event["error"] for event in result.events() if event["event"] == "step.failed")
    assert error["kind"] == "journal.fenced"
    assert error["message"] == "ctx.transaction: run r1 was taken over by another process (token 9, ours is 1)"
    assert value(counter) == 211


def test_a_failure_inside_leaves_nothing_and_a_retry_does_it(runbook, playbook, counter):
    path = playbook("""
        local p = playbook "count" { summary = "fails once", params = { target = { "database", access = "admin", required = true } } }
        step "one" { undo = keep "x", retry = { attempts = 2, initial = 0, on = "flaky" }, run = function(ctx)
          local n = ctx.transaction(p.target, function(c)
            db.execute(c, "update counter set n = n + 1")
            if ctx.attempt == 1 then error { kind = "flaky", message = "no" } end
            return "kept"
          end)
          if ctx.attempt == 2 then expect.equal(n, "kept") end
        end }
        step "again" { undo = keep "x", retry = { attempts = 3, initial = 0, on = "flaky" }, run = function(ctx)
          local n = ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 10") return ctx.attempt end)
          if ctx.attempt < 3 then error { kind = "flaky", message = "after the commit" } end
          expect.equal(n, 1)
        end }
        step "undone" { undo = function(ctx) ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n - 100") end) end,
          retry = { attempts = 2, initial = 0, on = "flaky", undo_first = true }, run = function(ctx)
          ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 100") end)
          if ctx.attempt == 1 then error { kind = "flaky", message = "undo me" } end
        end }
    """)
    result = runbook("exec", path, "--target", counter.url)
    assert result.exit == 0, result.out + result.err
    assert value(counter) == 111


def test_what_is_refused(runbook, playbook, counter):
    def error(body, step='undo = keep "x", '):
        path = playbook('local p = playbook "x" { summary = "s", params = { target = { "database", access = "admin", required = true } } }\n'
                        f'step "s" {{ {step}run = function(ctx) {body} end }}')
        result = runbook("exec", path, "--target", counter.url, "--output", "json")
        return next(event["error"] for event in result.events() if event["event"] == "step.failed")

    change = 'db.execute(p.target, "update counter set n = -1")'
    assert error(f"{change} ctx.transaction(p.target, function() end)")["kind"] in ("db.read_only", "permission")
    assert error(f"ctx.transaction(p.target, function() {change} end)", "")["message"] == 'ctx.transaction is refused: step "s" has no way back'
    assert error("ctx.transaction(p.target)")["message"] == "ctx.transaction: argument 2 'fn': a function expected, got nil"
    assert error("ctx.transaction('x', function() end)")["message"] == "ctx.transaction: argument 1 'connection': a database expected, got string"
    nested = error("ctx.transaction(p.target, function() ctx.transaction(p.target, function() end) end)")
    assert nested["message"] == "ctx.transaction: inside another ctx.transaction"
    inside = error("ctx.transaction(p.target, function() ctx.step('a', function() end) end)")
    assert inside["message"] == 'ctx.step: sub-step "a" inside ctx.transaction: put the transaction into the sub-step'
    assert value(counter) == 0
    if counter.kind in ("MYSQL", "MARIADB"):
        ddl = error('ctx.transaction(p.target, function(c) db.execute(c, "create table made (a int)") end)')
        engine = "MySQL" if counter.kind == "MYSQL" else "MariaDB"
        assert ddl["message"].endswith(f": CREATE TABLE is refused in a transaction: {engine} would commit what stands before it, and it was not sent")
        assert ddl["hint"] == "do it outside of the transaction: in a step or sub-step of its own, with observe"
        assert (ddl["where"]["line"], ddl.get("in_doubt")) == (2, None)
        counter.sql("create procedure makes() create table made (a int)")
        hidden = error('ctx.transaction(p.target, function(c) db.execute(c, "call makes()") end)')
        assert hidden["message"].startswith("ctx.transaction: a statement in it has ended the transaction, so what it did is not tied to its marker: ")
        assert hidden["in_doubt"] is True
