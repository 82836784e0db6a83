"""The module watch against real databases: what a server says of itself, and nothing where the role may not see it."""
import os
import threading
import time

import pytest
from conftest import connect_postgres, lab_url
from evaluate import evaluate
from private_postgres import free_port

KINDS = {"PG": "postgres", "MYSQL": "mysql", "MARIADB": "mysql"}


def ask(runbook, playbook, url, which, code, **more):
    return evaluate(runbook, playbook, f'local watch = require "watch"\nlocal s = watch.{which}(p.db)\n' + code, params='db = { "database", access = "read", required = true, doc = "x" }',
                    arguments=["--db", url], **more)


@pytest.mark.parametrize("kind", KINDS)
def test_the_figures_of_a_server(runbook, playbook, scratch, kind):
    database = scratch(kind)
    database.sql("create table big (a int, b text)" if kind == "PG" else "create table big (a int, b longtext)")
    database.sql("insert into big select i, repeat('x', 2000) from generate_series(1, 500) i" if kind == "PG" else
                 "insert into big with recursive n (i) as (select 1 union all select i + 1 from n where i < 500) select i, repeat('x', 2000) from n")
    if kind != "PG":
        database.sql("analyze table big")
    got = ask(runbook, playbook, database.url, KINDS[kind], """
      local all = s.sample()
      all.reachable, all.alive, all.running, all.tables = s.reachable(), s.alive(), s.running("0s")(), s.tables()
      all.unit, all.name = s.pool_used.unit, s.running("5s").name
      return all""")
    limit = database.sql("show max_connections" if kind == "PG" else "select @@global.max_connections")[0][0]
    reserved = int(database.sql("show superuser_reserved_connections")[0][0]) if kind == "PG" else 0
    assert got["pool_size"] == int(limit) - reserved and got["connections"] >= 1
    assert got["pool_used"] == pytest.approx(got["connections"] / got["pool_size"]) and got["longest_lock_wait"] < 3600
    assert got["size"] > 500_000 and got["reachable"] is True and got["alive"] is True
    assert got["tables"][0]["name"].endswith("big") and got["tables"][0]["bytes"] > 500_000
    assert (got["unit"], got["name"]) == ("ratio", "running(5s)")


@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_that_waits_for_a_lock(runbook, playbook, scratch, kind):
    database = scratch(kind)
    database.sql("create table t (a int primary key, b int)" + ("" if kind == "PG" else " engine = innodb"))
    database.sql("insert into t values (1, 1)")
    holder = database.connect()
    if kind == "PG":
        holder.autocommit = False
    else:
        holder.begin()
    holder.cursor().execute("update t set b = 2 where a = 1")
    waiting = threading.Thread(target=database.sql, args=("update t set b = 3 where a = 1",))
    waiting.start()
    try:
        time.sleep(2.2)
        got = ask(runbook, playbook, database.url, KINDS[kind], "return { wait = s.longest_lock_wait(), blocked = s.blocked(), running = s.running('1s')() }")
        assert got["wait"] >= (2 if kind == "PG" else 1) and got["blocked"] >= 1 and got["running"] >= 1, got
    finally:
        holder.rollback()
        holder.close()
        waiting.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_replicas_has_no_lag(runbook, playbook, scratch, kind):
    got = ask(runbook, playbook, scratch(kind).url, KINDS[kind], "return try(s.replica_lag)")
    assert got["kind"] == "watch.empty", got
    assert got["message"] == ("0 of 1 replica is connected" if kind == "PG" else "the server is no replica: ask the one that is")


@pytest.fixture
def replicated():
    """A primary and its replica, both of this test."""
    import shutil
    import subprocess
    from private_postgres import Postgres
    primary = Postgres("host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n", ["wal_level=replica", "max_wal_senders=4"])
    replica = None
    try:
        owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
        port, data = free_port(), primary.folder / "replica"
        subprocess.run([*owner, primary.bin / "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "admin", "-D", data, "-R", "-X", "stream", "-c", "fast"],
                       check=True, capture_output=True, cwd="/")
        replica = subprocess.Popen([*owner, primary.bin / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"],
                                   cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while primary.sql("select count(*) from pg_stat_replication where state = 'streaming'") != "1":
            assert replica.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        yield primary, replica, *(f"postgres://admin@127.0.0.1:{p}/postgres?sslmode=disable" for p in (primary.port, port))
    finally:
        if replica:
            replica.kill()
            replica.wait()
        primary.close()
        shutil.rmtree(primary.folder, ignore_errors=True)


def test_the_lag_of_a_replica(runbook, playbook, replicated):
    """Measured at the primary and at the replica: none while it follows, seconds while it does not replay, and no value when it is gone."""
    primary, replica, primary_url, replica_url = replicated
    primary.sql("create table t (a int)", "insert into t values (1)")
    time.sleep(0.5)
    code = "return { lag = s.replica_lag() }"
    assert ask(runbook, playbook, primary_url, "postgres", code)["lag"] < 1
    assert ask(runbook, playbook, replica_url, "postgres", code)["lag"] < 1
    connection = connect_postgres(replica_url)
    connection.cursor().execute("select pg_wal_replay_pause()")
    primary.sql("insert into t select generate_series(1, 200000)")
    time.sleep(2.2)
    primary.sql("insert into t values (2)")
    behind = ask(runbook, playbook, replica_url, "postgres", code)
    assert behind["lag"] > 2, behind
    at_primary = ask(runbook, playbook, primary_url, "postgres", code)
    assert at_primary["lag"] > 1, at_primary
    connection.cursor().execute("select pg_wal_replay_resume()")
    connection.close()
    until = time.monotonic() + 20
    while (again := ask(runbook, playbook, replica_url, "postgres", code)["lag"]) > 0.5:
        assert time.monotonic() < until, again
    code = 'return try(watch.postgres(p.db, { replicas = 2 }).replica_lag)'
    assert ask(runbook, playbook, primary_url, "postgres", code)["message"] == "1 of 2 replicas are connected"
    replica.kill()
    replica.wait()
    while primary.sql("select count(*) from pg_stat_replication") != "0":
        time.sleep(0.1)
    assert ask(runbook, playbook, primary_url, "postgres", "return try(s.replica_lag)")["message"] == "0 of 1 replica is connected"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_role_may_not_see_is_no_figure(runbook, playbook, scratch, kind):
    """To an ordinary user the list of sessions is short, or full of blanks: counted, it would always be within its limits."""
    database = scratch(kind)
    got = ask(runbook, playbook, database.as_user("APP"), KINDS[kind], "return { running = try(s.running('0s')), pool = s.pool_used() }")
    assert got["running"]["kind"] == "watch.permission" and got["running"]["message"].endswith("does not see what other sessions do"), got
    assert 0 < got["pool"] < 1  # how many there are, everybody may know


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])
def test_slow_statements_are_counted_as_the_server_does(runbook, playbook, scratch, kind):
    database = scratch(kind)
    limit = float(database.sql("select @@global.long_query_time")[0][0])
    got = ask(runbook, playbook, database.url, "mysql", f"return {{ try(s.slow({limit / 2})), s.slow({limit})() }}")
    assert got[0]["kind"] == "watch.unsupported" and got[0]["message"] == f"the server counts as slow what takes more than {limit:g}s, not {limit / 2:g}s"
    assert got[1] == 0  # from its first look on


def test_slow_statements_between_two_looks(runbook, playbook, scratch):
    database = scratch("MYSQL")
    limit = float(database.sql("select @@global.long_query_time")[0][0])
    session = database.connect()
    session.cursor().execute("set session long_query_time = 0.05")
    stop = threading.Event()

    def work():
        while not stop.wait(0.05):
            session.cursor().execute("select sleep(0.1)")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        got = ask(runbook, playbook, database.url, "mysql", f"local slow = s.slow({limit}) return {{ slow(), sleep(1) or slow(), slow() }}")
        assert got[0] == 0 and got[1] >= 3 and got[2] < got[1], got
    finally:
        stop.set()
        worker.join()
        session.close()


def test_the_mean_time_of_a_statement(runbook, playbook, scratch):
    database = scratch("MYSQL")
    stop = threading.Event()

    def work():
        session = database.connect()
        while not stop.is_set():
            session.cursor().execute("select sleep(0.2)")
        session.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        got = ask(runbook, playbook, database.url, "mysql", "sleep(0.5) local mean, n = s.query_time() local ok, slowest = pcall(s.slowest, 3) return { mean = mean, n = n, slowest = slowest }")
        assert "mean" in got, got
        assert 0 < got["mean"] < 0.5 and got["n"] >= 2, got  # of the whole server, and others are there too
        if database.sql("show global status like 'Performance_schema_digest_lost'")[0][1] == "0":
            assert "sleep" in got["slowest"][0]["sql"].lower() and got["slowest"][0]["mean_s"] > 0.1
        else:  # the list is of a fixed size, and a busy lab fills it
            assert got["slowest"].get("kind", "watch.empty") == "watch.empty" if isinstance(got["slowest"], dict) else got["slowest"]
    finally:
        stop.set()
        worker.join()
    got = ask(runbook, playbook, lab_url("PG_ADMIN"), "postgres", "return try(s.query_time)")
    assert got["kind"] == "watch.unsupported" and got["message"].startswith("pg_stat_statements is not there: ") or got == "no error", got


def test_a_value_of_a_statement(runbook, playbook, scratch):
    database = scratch("PG")
    database.sql("create table jobs (id int, done_at timestamptz)")
    database.sql("insert into jobs values (1, null), (2, null), (3, now())")
    got = evaluate(runbook, playbook, """
      local watch = require "watch"
      local function sql(text, unit, params) return watch.sql(p.db, text, { unit = unit or "count", params = params }) end
      return { waiting = sql "select count(*) from jobs where done_at is null" (), share = sql("select 0.25::numeric(10, 4)", "ratio")(), with = sql("select ?::int8 + 1", "count", { 41 })(),
        truth = sql("select true", "boolean")(), none = try(sql "select count(*) from jobs having false"), null = try(sql "select null::int8"), text = try(sql "select 'many'"),
        maybe = try(sql("select 2", "boolean")), nan = try(sql "select 'NaN'::float8"), broken = try(sql "select nothing"),
        other = try(watch.mysql(p.db).connections) }""", params='db = { "database", access = "write", required = true, doc = "x" }', arguments=["--db", database.url])
    assert "waiting" in got, got
    assert (got["waiting"], got["share"], got["with"], got["truth"]) == (2, 0.25, 42, True), got
    assert "no error" not in [got[k] for k in ("none", "null", "text", "maybe", "nan", "broken")], got
    assert [got[k]["kind"] for k in ("none", "null", "text", "maybe", "nan", "broken")] == ["watch.empty", "watch.empty", "watch.answer", "watch.answer", "watch.answer", "db.syntax"], got
    assert got["other"]["message"] == "watch.mysql: the connection is to PostgreSQL"


def test_the_samples_have_a_session_of_their_own(runbook, playbook, scratch):
    """The session that migrates waits for a lock; the monitor beside it sees that, and cancels the statement."""
    database = scratch("PG")
    database.sql("create table t (a int)")
    holder = database.connect()
    holder.autocommit = False
    holder.cursor().execute("select * from t")
    path = playbook("""
      local watch = require "watch"
      local p = playbook "migrate" { summary = "x", params = { db = { "database", access = "write", required = true, doc = "x" } }, ask = { within = "1s", otherwise = "hold" } }
      local pg = watch.postgres(p.db)
      step "migrate" { undo = keep "x", idempotent = true, retry = { attempts = 2, initial = "10ms", on = "cancelled.statement" },
        run = function(ctx) if ctx.attempt == 1 then db.execute(p.db, "alter table t add column b int") end end }
      monitor "beside" { from = "migrate", to = "migrate", every = "200ms",
        { pg.longest_lock_wait, above = "1s", verdict = cancel_statement "it makes others wait" },
        { pg.pool_used, above = relative(100), verdict = ask "anyone" }, { pg.reachable, is = false, times = 3, verdict = ask "anyone" } }
    """)
    result = runbook("exec", path.name, "--db", database.url, "--run-id", "r1", "--output", "json", cwd=path.parent, timeout=40)
    holder.rollback()
    holder.close()
    assert result.exit == 0, result
    failed = [e for e in result.events() if e["event"] == "attempt.failed"]
    assert failed[0]["error"]["kind"] == "cancelled.statement", failed
    breach = [e for e in result.events() if e["event"] == "monitor.breached"][0]
    assert breach["metric"] == "longest_lock_wait" and breach["why"].startswith('monitor "beside": longest_lock_wait is 1.') and breach["limit"] == 1, breach


def test_a_sample_that_would_change_something_is_refused(runbook, playbook, scratch):
    database = scratch("PG")
    database.sql("create table jobs (id int)")
    database.sql("insert into jobs values (1)")
    path = playbook("""
      local watch = require "watch"
      local p = playbook "x" { summary = "x", params = { db = { "database", access = "write", required = true, doc = "x" } }, ask = { within = "1s", otherwise = "hold" } }
      step "work" { undo = keep "x", run = function() end }
      monitor "watch" { from = "work", lasts = "200ms", every = "50ms", { watch.sql(p.db, "delete from jobs returning id", { unit = "count" }), above = 5, verdict = hold "x" } }
    """)
    result = runbook("exec", path.name, "--db", database.url, "--output", "json", cwd=path.parent)
    assert result.exit == 3 and "no data from sql (db.read_only" in result.out, result
    assert database.sql("select count(*) from jobs") == [(1,)]


def test_a_server_that_is_gone_is_not_reachable(runbook, playbook, tmp_path):
    from private_postgres import Postgres
    server = Postgres("host all all 127.0.0.1/32 trust\n")
    try:
        path = playbook("""
          local watch = require "watch"
          local p = playbook "gone" { summary = "x", needs = { files = { "./" } }, params = { db = { "database", access = "read", required = true, doc = "x" } }, ask = { within = "1s", otherwise = "hold" } }
          local pg = watch.postgres(p.db)
          step "work" { undo = function() end, run = function() for i = 1, 200 do if i == 10 then fs.write("began", "1") end sleep(0.1) end end }
          monitor "watch" { from = "work", to = "work", every = "100ms",
            { pg.reachable, is = false, times = 3, verdict = rollback "the database is gone" }, { pg.connections, above = 1000, verdict = tell "console" } , no_data = { ask "anyone", after = 1000 } }
        """)
        run = runbook.start("exec", path.name, "--db", f"postgres://admin@127.0.0.1:{server.port}/postgres?sslmode=disable", "--run-id", "r1", "--output", "json", cwd=path.parent)
        until = time.monotonic() + 20
        while not (path.parent / "began").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        server.close()
    result = run.finish(40)
    assert result.exit == 1, result
    breach = [e for e in result.events() if e["event"] == "monitor.breached"]
    assert [b["why"] for b in breach] == ['monitor "watch": reachable is false, 3 times in a row: the database is gone'], breach
    looks = [e for e in result.events() if e["event"] == "monitor.sampled"]
    assert looks[0]["v"]["reachable"] is True and "connections" in looks[-1]["x"]
