"""copy.* as a playbook's author meets it: options, results, refusals, the state of a target."""
import sqlite3

import pytest


@pytest.fixture
def shop(tmp_path):
    """Two SQLite files: one with a table, one empty."""
    source, target = tmp_path / "shop.db", tmp_path / "copy.db"
    with sqlite3.connect(source) as connection:
        connection.executescript("create table item (id integer primary key, name text); insert into item values (1, 'one'), (2, 'two')")
    connection.close()
    return source, target


def run(runbook, playbook, shop, body):
    source, target = shop
    path = playbook(f"""
        local p = playbook "copying" {{ params = {{
          source = {{ "database", access = "read", required = true }}, target = {{ "database", access = "write", required = true }} }} }}
        step "copy" {{ run = function() {body} end, undo = keep "a test" }}
    """)
    return runbook("exec", path, "--source", f"sqlite:{source}", "--target", f"sqlite:{target}", "--output", "json")


def error_of(result):
    return next(event["error"] for event in result.events() if event["event"] == "step.failed")


def test_a_copy_says_what_it_did(runbook, playbook, shop):
    result = run(runbook, playbook, shop, """
        local c = copy.database(p.source, p.target, { tables = "all", rejects = 0 })
        local state, last = copy.state(p.target)
        return { rows = c.rows, tables = c.tables, table = c.per_table[1].table, outcome = c.report[1].outcome,
                 state = state, same = last.run == c.run, asked_with_both = copy.state(p.source, p.target) }""")
    assert result.exit == 0, result.err
    finished = next(event for event in result.events() if event["event"] == "step.finished")
    assert finished["result"] == {"rows": 2, "tables": 1, "table": "item", "outcome": "converted", "state": "done", "same": True,
                                  "asked_with_both": "done"}


@pytest.mark.parametrize("body, message", [
    ("copy.database(p.source, p.target, { stream = 2 })",
     "copy.database: argument 3 'options': unknown option 'stream' (did you mean 'streams'?)"),
    ("copy.database(p.source, p.target, { streams = 0 })", "option 'streams': 1 to 64 expected, got 0"),
    ("copy.database(p.source, p.target, { rejects = 5 })",
     "options 'rejects' and 'reject_file': they need reject = \"collect\": a copy loses no row otherwise"),
    ("copy.database(p.source, p.target, { reject = 'collect' })", "option 'rejects': with reject = \"collect\", say how many rows may be rejected"),
    ("copy.database(p.source, p.target, { reject = 'drop' })", "option 'reject': \"fail\" or \"collect\" expected, got \"drop\""),
    ("copy.database(p.source, p.target, { reject = 'collect', rejects = 1 })", "SQLite takes every row or none"),
    ("copy.database(p.source, p.target, { fence = p.source })", "argument 3 'options': option 'fence': what db.write_fence returned expected"),
    ("copy.database(p.source, p.target, { lag_limit = '0s' })", "nothing below zero, and a 'lag_limit' above it, expected"),
    ("copy.database(p.source, p.target, { chunk_bytes = 1 })", "option 'chunk_bytes': at least 1000000 expected"),
])
def test_options_are_checked(runbook, playbook, shop, body, message):
    result = run(runbook, playbook, shop, body)
    assert result.exit == 1
    assert message in error_of(result)["message"]


def test_a_target_that_may_only_be_read_is_refused(runbook, playbook, shop):
    source, target = shop
    result = run(runbook, playbook, shop, "copy.database(p.target, p.source)")
    assert error_of(result)["kind"] == "db.read_only"
    assert error_of(result)["message"] == f"sqlite:{source}: the connection is declared access = \"read\""


def test_a_second_copy_is_refused_until_the_first_is_discarded(runbook, playbook, shop):
    source, target = shop
    assert run(runbook, playbook, shop, "copy.database(p.source, p.target)").exit == 0
    again = error_of(run(runbook, playbook, shop, "copy.database(p.source, p.target)"))
    assert again["kind"] == "db.not_empty"
    assert again["message"] == f"sqlite:{target} is not empty: it holds item"
    discarded = run(runbook, playbook, shop, "local names = copy.discard(p.target); assert(names[1] == 'item' and #names == 1)")
    assert discarded.exit == 0, discarded.out
    assert run(runbook, playbook, shop, "copy.table(p.source, p.target, 'item')").exit == 0


def test_preflight_touches_nothing(runbook, playbook, shop):
    source, target = shop
    result = run(runbook, playbook, shop, """
        local found = copy.preflight(p.source, p.target)
        return { blocking = found.blocking, rows = found.rows, state = copy.state(p.target) }""")
    finished = next(event for event in result.events() if event["event"] == "step.finished")
    assert finished["result"] == {"blocking": 0, "rows": 2, "state": "absent"}
    connection = sqlite3.connect(target)
    assert connection.execute("select count(*) from sqlite_schema").fetchone() == (0,)
    connection.close()


def test_behind_a_fence_a_copy_goes_on_and_without_one_it_says_why_not(runbook, playbook, shop):
    source, target = shop
    book = """
        local p = playbook "copying" { params = {
          source = { "database", access = "admin", required = true }, target = { "database", access = "write", required = true } } }
        local fence = db.write_fence(p.source)
        step "fence" { fence.on, owner = "dba" }
        step "copy" { undo = keep "a test", run = function()
          local c = copy.database(p.source, p.target, { fence = fence, resume = true })
          return { rows = c.rows, resumed = c.resumed, before = c.resumed_rows, run = c.run }
        end }"""
    path = playbook(book)
    words = ("exec", path, "--source", f"sqlite:{source}", "--target", f"sqlite:{target}", "--output", "json")

    def result():
        done = runbook(*words)
        assert done.exit == 0, done.out + done.err
        return next(event["result"] for event in done.events() if event["event"] == "step.finished" and event["step"] == "copy")

    first = result()
    assert (first["rows"], first["resumed"]) == (2, False)
    # as a kill before the last chunk's commit leaves it
    with sqlite3.connect(target) as connection:
        connection.executescript("update _runbook_copy set state = 'begun' where kind in ('run', 'part'); delete from item where id = 2; "
                                 "update _runbook_copy set loaded = 1, detail = '1' where kind = 'chunk'")
    connection.close()
    assert result() == {"rows": 2, "resumed": True, "before": 1, "run": first["run"]}
    connection = sqlite3.connect(target)
    assert connection.execute("select id, name from item order by id").fetchall() == [(1, "one"), (2, "two")]
    connection.executescript("update _runbook_copy set state = 'begun' where kind in ('run', 'part')")
    connection.close()
    refused = runbook("copy", f"sqlite:{source}", f"sqlite:{target}", "--resume")
    assert refused.exit == 2
    assert f"sqlite:{target}: the unfinished copy {first['run']} cannot be gone on with: no write fence is given that proves that the source has not changed" \
        in refused.err
    assert "with resume = false (--anew) its tables are dropped and the copy begins anew" in refused.err
    anew = runbook("copy", f"sqlite:{source}", f"sqlite:{target}")
    assert anew.exit == 0 and f"begun anew: the unfinished copy {first['run']} was dropped: no write fence is given" in anew.out
