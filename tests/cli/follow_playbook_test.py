"""copy.follow in a playbook: copy, follow while the application goes on, fence, drain, verify."""
import signal
import sqlite3
import time

import pytest
from follow_test import SHOP, Writers, equal, pair  # noqa: F401 (a fixture)

PLAYBOOK = """
    local p = playbook "move" { params = {
      source = { "database", access = "admin", required = true }, target = { "database", access = "write", required = true } } }
    local fence = db.write_fence(p.source, { role = "reline_app" })
    local follow = copy.follow(p.source, p.target, { streams = 2 })
    step "copy and follow" { follow.on }
    step "catch up" { undo = keep "looks only", run = function()
      for _ = 1, 200 do
        local lag = follow.lag()
        if lag.state == "following" and lag.active and lag.seconds < 2 then return { changes = lag.changes, kept = lag.wal_kept, limit = lag.wal_limit } end
        sleep "100ms"
      end
      error "never caught up"
    end }
    %s
    step "fence" { fence.on, retry = { attempts = 9, on = { "db.deadlock" }, initial = "50ms" } }
    %s
    step "verify" { undo = keep "looks only", run = function()
      local v = verify.database(p.source, p.target, { fence = fence })
      assert(v.passed and v.fence_held, v.fence_why)
      return { rows = v.rows, state = follow.state() }
    end }
"""


@pytest.fixture
def shop(pair):  # noqa: F811
    def make(kind):
        source, target, urls, env = pair(kind, *SHOP)
        source.sql("grant select, insert, update, delete on all tables in schema public to reline_app")
        source.sql("grant usage on all sequences in schema public to reline_app")
        return source, target, urls, env

    return make


DRAIN = """step "drain" { run = function() return copy.follow_drain(p.source, p.target) end, undo = keep "the source is as it was" }"""
ACTION = 'step "drain" { follow.drain }'


def result_of(result, step):
    return next(event for event in result.events() if event["event"] == "step.finished" and event["step"] == step)["result"]


def options(urls):
    return ["--source", urls[0], "--target", urls[1], "--output", "json"]


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])
def test_a_cut_over(runbook, playbook, shop, kind):
    source, target, urls, env = shop(kind)
    writers = Writers(source.as_user("APP"), 500, fenced=True)
    try:
        result = runbook("exec", playbook(PLAYBOOK % ("", DRAIN)), *options(urls), env=env, timeout=120)
    finally:
        writers.stop()
    assert result.exit == 0, result.out + result.err
    assert writers.fenced_out
    verified = result_of(result, "verify")
    assert verified["state"] == "drained"
    assert verified["rows"] == source.sql("select (select count(*) from orders) + (select count(*) from hot) + (select count(*) from still)")[0][0]
    drained = result_of(result, "drain")
    assert drained["state"] == "drained" and drained["changes"] > 100 and drained["drain_s"] < 30
    assert source.sql("select count(*) from pg_replication_slots where database = current_database()") == [(0,)]
    equal(runbook, urls, env)


def test_a_run_that_was_killed_follows_on(runbook, playbook, shop):
    source, target, urls, env = shop("MYSQL")
    wait = 'step "wait" { undo = keep "x", idempotent = true, run = function() sleep(fs.exists "go" and "10ms" or "60s") end }'
    path = playbook(PLAYBOOK % (wait, DRAIN))
    path.write_text(path.read_text().replace("{ params = {", '{ needs = { files = { "go" } }, params = {', 1))
    started = runbook.start("exec", path, "--run-id", "moving", *options(urls), env=env, cwd=path.parent)
    until = time.monotonic() + 60
    while "wait" not in runbook("show", "moving").out:
        assert time.monotonic() < until and started.process.poll() is None
        time.sleep(0.3)
    started.process.send_signal(signal.SIGKILL)
    started.process.communicate()
    source.sql("insert into orders (customer) select 7 from generate_series(1, 500)")
    (path.parent / "go").write_text("")
    resumed = runbook("resume", "moving", "--output", "json", cwd=path.parent, timeout=120, env=env)
    assert resumed.exit == 0, resumed.out + resumed.err
    assert result_of(resumed, "drain")["drained_changes"] == 500
    equal(runbook, urls, env)


def test_the_drain_as_an_action(runbook, playbook, shop):
    source, target, urls, env = shop("MYSQL")
    result = runbook("exec", playbook(PLAYBOOK % ("", ACTION)), *options(urls), env=env, timeout=120)
    assert result.exit == 0, result.out + result.err
    assert result_of(result, "verify")["state"] == "drained"
    equal(runbook, urls, env)


def test_going_back_leaves_no_slot(runbook, playbook, shop):
    source, _, urls, env = shop("MARIADB")
    fails = 'step "fails" { undo = keep "x", run = function() error "no" end }'
    result = runbook("exec", playbook(PLAYBOOK % (fails, ACTION)), *options(urls), env=env, timeout=120)
    assert result.exit == 1, result.out + result.err
    assert source.sql("select (select count(*) from pg_replication_slots where database = current_database()), (select count(*) from pg_publication)") == [(0, 0)]


@pytest.mark.parametrize("options_text, message", [
    ("{ stream = 2 }", "copy.follow_on: argument 3 'options': unknown option 'stream' (did you mean 'streams'?)"),
    ("{ max_wal = 5 }", "option 'max_wal': at least 1000000 (bytes) expected"),
    ("{ streams = 0 }", "option 'streams': 1 to 64 expected, got 0"),
])
def test_options_are_checked(runbook, playbook, tmp_path, options_text, message):
    error = failure(runbook, playbook, tmp_path, "write", options_text)
    assert message in error["message"]


def test_both_ends_are_written(runbook, playbook, tmp_path):
    error = failure(runbook, playbook, tmp_path, "read", "{}")
    assert error["kind"] == "db.read_only"
    assert error["hint"] == "following makes a publication and a replication slot at the source and writes to the target: declare access = \"write\" for both"


def failure(runbook, playbook, tmp_path, access, options_text):
    sqlite3.connect(tmp_path / "x.db").close()
    result = runbook("exec", playbook(f"""
        local p = playbook "x" {{ params = {{ db = {{ "database", access = "{access}", required = true }} }} }}
        step "on" {{ undo = keep "x", run = function() copy.follow_on(p.db, p.db, {options_text}) end }}"""),
                     "--db", f"sqlite:{tmp_path}/x.db", "--output", "json")
    return next(event["error"] for event in result.events() if event["event"] == "step.failed")
