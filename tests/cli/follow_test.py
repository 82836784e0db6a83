"""runbook follow as its user meets it: a copy that keeps up with its source, on real servers, until the cut-over."""
import json

import random
import signal
import threading
import time

import pytest

from conftest import connect_postgres
from private_postgres import Postgres
from verify_test import TYPES, ends

BOTH = pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])


@pytest.fixture
def pair(scratch):
    """pair(kind, *statements): source, target, URLs, environment; the source's slots are dropped at the end."""
    made = []

    def make(kind, *statements):
        source, target = scratch("PG"), scratch(kind)
        made.append(source)
        for statement in statements:
            source.sql(statement)
        return source, target, *ends(source, target)

    yield make
    for source in made:
        source.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database() and active")
        for _ in range(50):
            if not source.sql("select 1 from pg_replication_slots where database = current_database() and active"):
                break
            time.sleep(0.1)
        source.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()")


def caught_up(runbook, urls, env, *more):
    result = runbook("follow", *urls, "--until-caught-up", *more, env=env)
    assert result.exit == 0, result.out + result.err
    return result


def drained(runbook, source, urls, env):
    result = runbook("follow", *urls, "--drain", "--output", "json", env=env)
    assert result.exit == 0, result.out + result.err
    assert source.sql("select count(*) from pg_replication_slots where database = current_database()") == [(0,)]
    assert source.sql("select count(*) from pg_publication") == [(0,)]
    return json.loads(result.out.splitlines()[-1])


def equal(runbook, urls, env):
    result = runbook("verify", *urls, env=env)
    assert result.exit == 0, result.out + result.err
    return result


# --- rows -----------------------------------------------------------------------------------------------------------


@BOTH
def test_changes_of_every_type(runbook, pair, kind):
    source, target, urls, env = pair(kind, *TYPES, "alter table bag replica identity full",
                                     "create table twin (like things)", "alter table twin replica identity full")
    assert "copied 16 rows of 4 tables, following from " in caught_up(runbook, urls, env).out
    source.sql("update things set id = 30 where id = 3")                                     # a key that changes
    source.sql("insert into things select 100 + id, flag, small, price, anything, f, d, cash, name, body, code, data, day, at, wall, t, "
               "tz, span, u, raw, doc, tags, numbers, mood, born, host, net, mac, b, vb, page, during from things where id in (1, 2, 30)")
    source.sql("insert into twin select * from things")
    source.sql("update twin set small = 7, f = 0.3, d = -0.1, cash = 99.99, code = 'x', tags = '{q}', b = B'00001', at = at where flag")
    source.sql("delete from twin where id in (2, 130)")                                      # all of a row's columns tell it
    source.sql("insert into bag values (NULL, 'n'), (NULL, NULL), (3, E'quo''te \\\\ \\t'), (3, 'QUO')")
    source.sql("update bag set b = 'was null' where a is null and b is null and ctid = (select min(ctid) from bag where a is null and b is null)")
    source.sql("delete from bag where a = 3 and b = 'QUO'")
    source.sql("delete from bag where ctid = (select min(ctid) from bag where b = 'x')")      # one of two equal rows
    source.sql("update \"Words\" set w = 'b' where w = 'A' and n = 1")
    source.sql("delete from \"Words\" where w = 'a '")
    caught_up(runbook, urls, env)
    assert "every column" in equal(runbook, urls, env).out
    source.sql("truncate bag, twin")
    source.sql("insert into bag values (1, 'after')")
    assert drained(runbook, source, urls, env)["state"] == "drained"
    equal(runbook, urls, env)
    assert target.sql("select count(*) from twin") == [(0,)]


@BOTH
def test_long_values_that_did_not_change_stay(runbook, pair, kind):
    source, target, urls, env = pair(
        kind, "create table doc (id int primary key, n int, body text, data bytea, tags text[])",
        "alter table doc alter body set storage external, alter data set storage external, alter tags set storage external",
        "insert into doc select 1, 0, repeat('0123456789', 20000), decode(repeat('00ff', 50000), 'hex'), "
        "array_fill('x'::text, array[20000])")
    caught_up(runbook, urls, env)
    source.sql("update doc set n = 1")
    source.sql("insert into doc values (2, 0, repeat('ü', 3000000), '', '{}')")
    caught_up(runbook, urls, env)
    assert target.sql("select n, length(body), length(data), json_length(tags) from doc where id = 1") == [(1, 200000, 100000, 20000)]
    equal(runbook, urls, env)


def test_generated_and_omitted_columns(runbook, pair):
    source, target, urls, env = pair(
        "MYSQL", "create table g (id int primary key, a int, b text, twice int generated always as (a * 2) stored, "
        "words tsvector generated always as (to_tsvector('simple', coalesce(b, ''))) stored)", "insert into g values (1, 1, 'one')")
    caught_up(runbook, urls, env)
    source.sql("update g set a = 21")
    source.sql("insert into g values (2, NULL, 'two')")
    caught_up(runbook, urls, env)
    assert target.sql("select id, a, b, twice from g order by id") == [(1, 21, "one", 42), (2, None, "two", None)]


def test_partitions(runbook, pair):
    source, target, urls, env = pair(
        "MYSQL", "create table ev (id int, at date not null, v text, primary key (id, at)) partition by range (at)",
        "create table ev_1 partition of ev for values from ('2024-01-01') to ('2025-01-01')", "insert into ev values (1, '2024-05-05', 'a')")
    caught_up(runbook, urls, env)
    source.sql("create table ev_2 partition of ev for values from ('2025-01-01') to ('2026-01-01')")
    source.sql("insert into ev values (2, '2025-05-05', 'b')")
    source.sql("update ev set at = '2025-06-06' where id = 1")  # moves to the new partition
    caught_up(runbook, urls, env)
    equal(runbook, urls, env)
    assert target.sql("select count(*) from ev") == [(2,)]


@BOTH
def test_sequences_foreign_keys_and_cascades(runbook, pair, kind):
    source, target, urls, env = pair(
        kind, "create table parent (id bigserial primary key, name text not null unique)",
        "create table child (id serial primary key, parent bigint not null references parent on delete cascade on update cascade)",
        "insert into parent (name) select 'p' || i from generate_series(1, 50) i",
        "insert into child (parent) select i from generate_series(1, 50) i, generate_series(1, 3)")
    caught_up(runbook, urls, env)
    source.sql("delete from parent where id % 2 = 0")
    source.sql("update parent set id = 1000 where id = 1")
    source.sql("insert into parent (name) values ('new')")
    source.sql("delete from parent where name = 'new'")
    assert drained(runbook, source, urls, env)["numbered"] == 2
    equal(runbook, urls, env)
    target.sql("insert into parent (name) values ('first of the target')")
    assert target.sql("select id from parent where name = 'first of the target'") == [(52,)] or \
        target.sql("select id from parent where name = 'first of the target'") == [(1001,)]


# --- what stands in the way -----------------------------------------------------------------------------------------


def test_tables_without_identity_are_named_and_never_published(runbook, pair):
    source, _, urls, env = pair("MYSQL", "create table bare (a int)", "create table logbook (a int)", "insert into bare values (1)",
                                "create table fine (a int primary key)")
    refused = runbook("follow", *urls, env=env)
    assert refused.exit == 2
    assert ": 2 tables have no replica identity: public.bare, public.logbook\n" in refused.err
    assert "ALTER TABLE public.bare REPLICA IDENTITY FULL, or leave it out with exclude" in refused.err
    source.sql("update bare set a = 2")  # what a publication would break
    assert source.sql("select (select count(*) from pg_publication), (select count(*) from pg_replication_slots where database = current_database())") == [(0, 0)]
    caught_up(runbook, urls, env, "--exclude", "bare", "--exclude", "logbook")
    source.sql("update bare set a = 3")
    assert source.sql("select tablename from pg_publication_tables") == [("fine",)]
    stopped = runbook("follow", *urls, "--stop", env=env)
    assert (stopped.exit, stopped.out) == (0, "slot and publication dropped; the target stays as it is\n")
    assert runbook("follow", *urls, "--stop", env=env).out == "there was no slot to drop\n"


def test_unlogged_tables_and_roles_without_the_right(runbook, pair):
    source, target, urls, env = pair("MYSQL", "create unlogged table u (a int primary key)")
    assert ": unlogged tables are in no change stream: public.u\n" in runbook("follow", *urls, env=env).err
    source.sql("alter table u set logged")
    source.sql("grant select on u to reline_app")
    import urllib.parse

    app = urllib.parse.urlsplit(source.as_user("APP"))
    urls[0] = app._replace(netloc=f"{app.username}@{app.hostname}:{app.port}").geturl()
    refused = runbook("follow", *urls, env={**env, "RUNBOOK_SOURCE_PASSWORD": app.password})
    assert refused.exit == 2
    assert ": the role does not own public.u, and only the owner may publish a table\n" in refused.err
    source.sql("alter table u owner to reline_app")
    refused = runbook("follow", *urls, env={**env, "RUNBOOK_SOURCE_PASSWORD": app.password})
    assert refused.exit == 2
    assert ": the role may not replicate\n" in refused.err and 'ALTER ROLE "reline_app" REPLICATION' in refused.err
    assert source.sql("select count(*) from pg_publication") == [(0,)]


@pytest.mark.parametrize("settings, message, hint", [
    (["wal_level = replica"], ": wal_level is replica, logical is needed\n", "ALTER SYSTEM SET wal_level = logical, then restart the server"),
    (["wal_level = logical", "max_replication_slots = 0"], ": all 0 replication slots are taken\n", "raise max_replication_slots"),
    (["wal_level = logical", "synchronous_standby_names = '*'", "synchronous_commit = local"],
     ": synchronous_standby_names is '*': commits of the source would wait for what follows it\n", "name the standbys there"),
    (["wal_level = logical", "max_wal_senders = 0"], ": all 0 walsenders are in use\n", "raise max_wal_senders"),
])
def test_a_server_that_is_not_set_up(runbook, scratch, settings, message, hint):
    target = scratch("MYSQL")
    server = Postgres("host all all 127.0.0.1/32 trust\n", settings)
    try:
        server.sql("create table t (a int primary key)")
        urls, env = ends(target, target)
        refused = runbook("follow", f"postgres://admin@127.0.0.1:{server.port}/postgres", urls[1], env=env)
        assert refused.exit == 2
        assert message in refused.err and hint in refused.err
    finally:
        server.close()


def test_what_the_copy_refuses_leaves_no_slot(runbook, pair):
    source, _, urls, env = pair("MYSQL", "create table t (id int primary key, n numeric)", "insert into t values (1, 'NaN')")
    refused = runbook("follow", *urls, env=env)
    assert refused.exit == 2
    assert "t.n: 1 row: not a number that DECIMAL holds (NaN or Infinity) (1)\n" in refused.err
    assert source.sql("select (select count(*) from pg_publication), (select count(*) from pg_replication_slots where database = current_database())") == [(0, 0)]
    source.sql("update t set n = 1")
    caught_up(runbook, urls, env)


def test_other_engines_are_refused(runbook, tmp_path):
    refused = runbook("follow", f"sqlite:{tmp_path}/a", f"sqlite:{tmp_path}/b")
    assert refused.exit == 2
    assert "is not built in: PostgreSQL is followed into MySQL and MariaDB\n" in refused.err
    assert "--max-wal: a size such as 500MB or 10GB expected, got '5 apples'" in runbook(
        "follow", f"sqlite:{tmp_path}/a", f"sqlite:{tmp_path}/b", "--max-wal", "5 apples").err


# --- what goes wrong on the way -------------------------------------------------------------------------------------


@BOTH
def test_a_target_that_differs_stops_it(runbook, pair, kind):
    source, target, urls, env = pair(kind, "create table t (id int primary key, v text)", "insert into t values (1, 'a'), (2, 'b')")
    caught_up(runbook, urls, env)
    target.sql("delete from t where id = 2")
    source.sql("begin; insert into t values (3, 'c'); update t set v = 'B' where id = 2; commit")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "public.t: the target has 0 rows with id = 2, the source had 1: UPDATE committed at " in stopped.err
    assert target.sql("select count(*) from t where id = 3") == [(0,)]  # nothing of the transaction
    target.sql("insert into t values (2, 'b')")
    caught_up(runbook, urls, env)
    equal(runbook, urls, env)
    target.sql("insert into t values (4, 'x')")
    source.sql("insert into t values (4, 'd')")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "public.t: Duplicate entry '4' for key" in stopped.err and "INSERT committed at " in stopped.err


@BOTH
def test_values_that_the_target_cannot_hold_stop_it(runbook, pair, kind):
    source, target, urls, env = pair(kind, "create table t (id int primary key, n numeric, d date, j jsonb)",
                                     "insert into t values (1, 1.5, '2024-01-01', '1')")
    caught_up(runbook, urls, env)
    for statement, message in [
        ("update t set n = 1.123456789012345678901234567890123", "public.t: UPDATE committed at "),
        ("update t set n = 'NaN'", "public.t: "),
        ("update t set d = 'infinity'", "public.t: "),
        ("update t set d = '0044-03-15 BC'", "public.t: "),
        *([("update t set j = '123456789012345678901234567890'",
            "123456789012345678901234567890 in j would be rounded by JSON there")] if kind == "MYSQL" else []),
    ]:
        before = target.sql("select * from t")
        source.sql(statement)
        stopped = runbook("follow", *urls, "--until-caught-up", env=env)
        assert stopped.exit == 1, (statement, stopped.out)
        assert message in stopped.err, (statement, stopped.err)
        assert target.sql("select * from t") == before
        # Only a new copy goes on from there.
        runbook("follow", *urls, "--stop", env=env)
        source.sql("update t set n = 1.5, d = '2024-01-01', j = '1'")
        target.sql("drop table t")
        target.sql("drop table _runbook_copy")
        caught_up(runbook, urls, env)


def test_a_schema_that_changes_stops_it(runbook, pair):
    source, _, urls, env = pair("MYSQL", "create table t (id int primary key, v text)")
    caught_up(runbook, urls, env)
    source.sql("alter table t add w int")
    source.sql("insert into t values (1, 'a', 1)")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "public.t is not what was copied any more: it has a new column w\n" in stopped.err
    source.sql("alter table t drop w, drop v")
    source.sql("insert into t values (2)")


def test_the_log_that_is_kept_is_bounded(runbook, pair):
    source, target, urls, env = pair("MYSQL", "create table t (id int primary key, v text)")
    caught_up(runbook, urls, env)
    status = runbook("follow", *urls, "--status", env=env)
    assert status.exit == 0 and "state         following\n" in status.out
    assert "warning: max_slot_wal_keep_size is -1: while nobody follows, nothing bounds the log" in status.out
    source.sql("insert into t select i, repeat(md5(i::text), 30) from generate_series(1, 20000) i")
    stopped = runbook("follow", *urls, "--until-caught-up", "--max-wal", "10MB", env=env)
    assert stopped.exit == 1
    assert " of its log, more than 10.0 MB\n" in stopped.err
    assert source.sql("select count(*) from pg_replication_slots where database = current_database()") == [(0,)]
    assert runbook("follow", *urls, "--status", "--output", "json", env=env).events()[-1]["state"] == "lost"


def test_a_writer_at_the_end_is_noticed(runbook, pair):
    source, target, urls, env = pair("MYSQL", "create table t (id int primary key)")
    caught_up(runbook, urls, env)
    connection = connect_postgres(source.url)
    connection.autocommit = False
    cursor = connection.cursor()
    cursor.execute("insert into t values (1)")
    refused = runbook("follow", *urls, "--drain", env=env)
    assert refused.exit == 1
    assert ": a transaction that writes is still open: session " in refused.err
    connection.commit()
    connection.close()
    drained(runbook, source, urls, env)
    assert target.sql("select id from t") == [(1,)]
    again = runbook("follow", *urls, "--drain", env=env)  # as after a kill behind the last word
    assert again.exit == 0


# --- under load, and killed -----------------------------------------------------------------------------------------


class Writers:
    """Transactions of an application at a rate: inserts, updates, deletes; `changes` counts what was committed. `fenced`: a fence may end it."""

    def __init__(self, url, rate, fenced=False):
        self.url, self.rate, self.changes, self.stopping, self.error = url, rate, 0, threading.Event(), None
        self.fenced, self.fenced_out = fenced, False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        try:
            connection = connect_postgres(self.url)
            connection.autocommit = False
            cursor, begun, chance = connection.cursor(), time.monotonic(), random.Random(7)
            while not self.stopping.is_set():
                n = chance.choice([1, 1, 2, 5, 10, 50])
                for _ in range(n // 2 + 1):
                    cursor.execute("insert into orders (customer, body, tags, total) values (%s, %s, %s, %s)",
                                   (chance.randrange(1000), "b" * chance.randrange(200), ["x", "y'z"], chance.random() * 1000))
                cursor.execute("update orders set total = total + 1, changed = now() where id in (select id from orders order by id desc limit %s)", (n,))
                self.changes += n // 2 + 1 + cursor.rowcount
                cursor.execute("update hot set n = n + 1 where id = %s", (chance.randrange(5),))
                cursor.execute("delete from orders where id = (select min(id) from orders where id > %s)", (chance.randrange(1, 2000),))
                self.changes += 1 + cursor.rowcount
                if chance.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()
                ahead = self.changes / self.rate - (time.monotonic() - begun)
                if ahead > 0:
                    time.sleep(ahead)
            connection.close()
        except Exception as error:  # noqa: BLE001 (reported by stop)
            self.fenced_out = getattr(error, "pgcode", None) == "42501"
            if not (self.fenced and self.fenced_out):
                self.error = error

    def stop(self):
        self.stopping.set()
        self.thread.join()
        assert self.error is None, self.error


SHOP = ["create table orders (id bigserial primary key, customer int, body text, tags text[], total numeric(12,4), changed timestamptz)",
        "create table hot (id int primary key, n int)", "insert into hot select i, 0 from generate_series(0, 4) i",
        "create table still (id int primary key, v text)", "insert into still select i, 'v' || i from generate_series(1, 1000) i",
        "insert into orders (customer, body, tags, total) select i, repeat('x', i % 100), array['a'], i from generate_series(1, 50000) i"]


@BOTH
def test_a_thousand_changes_a_second_until_the_cut_over(runbook, pair, kind):
    source, target, urls, env = pair(kind, *SHOP)
    writers = Writers(source.url, 1000)
    try:
        following = runbook.start("follow", *urls, env=env)
        until = time.monotonic() + 60
        while runbook("follow", *urls, "--status", "--output", "json", env=env).events()[-1]["state"] != "following":
            assert time.monotonic() < until and following.process.poll() is None
            time.sleep(0.2)
        time.sleep(5)
        target.sql("update still set v = 'wrong' where id = 77")
        found = runbook("verify", *urls, "--output", "json", env=env).events()[-1]
        lag = runbook("follow", *urls, "--status", "--output", "json", env=env).events()[-1]
    finally:
        writers.stop()
    # Rows that are written several times a second may be unsettled; what stands still is told apart.
    assert {each["table"]: each["missing"] + each["extra"] + each["changed"] for each in found["tables"]} == {"hot": 0, "orders": 0, "still": 1}
    assert "still 77: changed: v: source 'v77', target 'wrong'" in [sample["text"] for sample in found["samples"]]
    assert (found["mismatches"], found["coverage"]) == (1, 1)
    assert lag["seconds"] < 10, lag
    target.sql("update still set v = 'v77' where id = 77")
    following.process.send_signal(signal.SIGINT)
    ended = following.finish()
    assert ended.exit == 3 and "the same command goes on, --drain ends it" in ended.err
    begun = time.monotonic()
    drained(runbook, source, urls, env)
    assert time.monotonic() - begun < 15
    equal(runbook, urls, env)
    print(f"{kind}: {writers.changes} changes, lag {lag['seconds']:.1f} s, drained in {time.monotonic() - begun:.1f} s")


@BOTH
def test_killed_twenty_times(runbook, pair, kind):
    source, target, urls, env = pair(kind, *SHOP[:-1], "insert into orders (customer) select i from generate_series(1, 3000) i",
                                     "create table bag (a int, b text)", "alter table bag replica identity full")
    caught_up(runbook, urls, env)
    writers = Writers(source.url, 1000)
    try:
        chance = random.Random(11)
        for kill in range(20):
            following = runbook.start("follow", *urls, env=env)
            time.sleep(0.1 + chance.random())
            source.sql("insert into bag values (%s, 'twice'), (%s, 'twice')", (kill, kill))
            following.process.send_signal(signal.SIGKILL)
            following.process.communicate()
    finally:
        writers.stop()
    assert drained(runbook, source, urls, env)["changes"] > 1000
    equal(runbook, urls, env)
    assert target.sql("select count(*) from bag") == [(40,)]


@pytest.mark.parametrize("point", ["follow.before:1", "follow.after:1", "follow.before:3", "follow.after:3"])
def test_killed_at_the_commit(runbook, pair, point):
    source, target, urls, env = pair("MYSQL", "create table bag (a int)", "alter table bag replica identity full")
    caught_up(runbook, urls, env)
    for i in range(5):
        source.sql("insert into bag values (%s), (%s)", (i, i))
    killed = runbook("follow", *urls, "--until-caught-up", env={**env, "RUNBOOK_FAILPOINT": point})
    assert killed.exit in (-signal.SIGKILL, 0)
    source.sql("delete from bag where ctid = (select min(ctid) from bag where a = 1)")
    drained(runbook, source, urls, env)
    equal(runbook, urls, env)
    assert target.sql("select count(*) from bag") == [(9,)]


@BOTH
def test_killed_while_it_copies(runbook, pair, kind):
    source, target, urls, env = pair(kind, *SHOP)
    for wait in (0.3, 0.8, 1.2):
        following = runbook.start("follow", *urls, env=env)
        time.sleep(wait)
        following.process.send_signal(signal.SIGKILL)
        following.process.communicate()
        source.sql("insert into orders (customer) values (1)")
    caught_up(runbook, urls, env)
    drained(runbook, source, urls, env)
    equal(runbook, urls, env)


@BOTH
def test_a_large_transaction(runbook, pair, kind):
    source, target, urls, env = pair(kind, *SHOP[:-1])
    caught_up(runbook, urls, env)
    source.sql("begin; insert into orders (customer, body) select i, repeat('x', 100) from generate_series(1, 200000) i; "
               "update orders set customer = 0 where id % 10 = 0; delete from orders where id % 7 = 0; commit")
    begun = time.monotonic()
    caught_up(runbook, urls, env)
    print(f"{kind}: {200000 + 20000 + 28571} changes of one transaction in {time.monotonic() - begun:.1f} s")
    drained(runbook, source, urls, env)
    equal(runbook, urls, env)
