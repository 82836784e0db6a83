"""The whole server is killed in the middle of every kind of call: each gets an error of the connection, soon, and nothing is left behind."""
import threading
import time

from evaluate import evaluate
from private_postgres import Postgres

CALLS = [
    "db.value(p.db1, 'select pg_sleep(60)')",
    "db.execute(p.db2, 'insert into t select 1, pg_sleep(60)::text')",
    "db.transaction(p.db3, function(c) db.execute(c, 'insert into t select 2, pg_sleep(60)::text') end)",
    "db.prepare(p.db4, 'select pg_sleep(?)'):value(60)",
    "for row in db.rows(p.db5, 'select g, case when g > 3000 then pg_sleep(60)::text end as s from generate_series(1, 5000) g') do seen = seen + 1 end",
    "db.insert(p.db6, 'slow', { { id = 1 }, { id = 3 } })",
    "db.script(p.db7, 'insert into t values (3); select pg_sleep(60)')",
    "db.listen(p.db8, 'jobs') db.notification(p.db8, '60s')",
]


def test_every_call_ends(runbook, playbook):
    server = Postgres("host all admin 127.0.0.1/32 trust\n")
    try:
        server.sql("create table t (id int, v text)", "create table slow (id int)",
                   "create function wait() returns trigger language plpgsql as $$ begin if new.id = 3 then perform pg_sleep(60); end if; return new; end $$",
                   "create trigger wait before insert on slow for each row execute function wait()")
        url = f"postgres://admin@127.0.0.1:{server.port}/postgres"
        names = [f"db{i + 1}" for i in range(len(CALLS))]
        got = {}

        def play():
            got["all"] = evaluate(
                runbook, playbook, "local seen = 0\nlocal function call(fn) local e = try(fn) return e.kind or e end\n"
                "local all = parallel {\n" + "".join(f"function() return call(function() {call} end) end,\n" for call in CALLS) + "}\n"
                "local after = try(db.value, p.db1, 'select 1')\nreturn { all = all, seen = seen, after = after }",
                params=", ".join(f'{name} = {{ "database", access = "write", required = true }}' for name in names),
                arguments=[word for name in names for word in (f"--{name}", url)], timeout=90)

        player = threading.Thread(target=play)
        player.start()
        until = time.monotonic() + 60
        # All but the last sleep; that one has said LISTEN in a transaction, and waits.
        while server.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") != str(len(CALLS) - 1) or server.sql(
                "select count(*) from pg_stat_activity where state = 'idle' and (query ilike 'listen%' or query ilike 'commit%')") == "0":
            assert time.monotonic() < until and player.is_alive(), (got, server.sql("select wait_event, state, left(query, 60) from pg_stat_activity where usename is not null"))
            time.sleep(0.05)
        server.kill()
        killed = time.monotonic()
        player.join(60)
        assert time.monotonic() - killed < 20
        assert got["all"]["all"] == ["db.connection"] * len(CALLS), got
        assert got["all"]["seen"] > 0
        assert got["all"]["after"]["kind"] == "db.connection" and "connection refused" in got["all"]["after"]["message"].lower()
    finally:
        server.close()
