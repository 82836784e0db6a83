"""runbook follow at its edges: keys of every type, collations, lost connections, a source or target that is not what it was."""
import signal
import threading
import time

import pytest
from follow_test import BOTH, SHOP, Writers, caught_up, drained, equal, pair  # noqa: F401 (a fixture)

from conftest import connect_postgres

KEYS = {
    "uuid": "('{n:08d}-9c0b-4ef8-bb6d-6bb9bd380a11')::uuid", "char(5)": "'k{n}'", "numeric(12,3)": "{n}.5", "timestamptz": "'2024-01-0{n} 00:00:00.5+05'::timestamptz",
    "date": "'2024-01-0{n}'::date", "text": "'ke''y\\ {n}'", "inet": "'10.0.0.{n}'::inet", "bit(12)": "{n}::bit(12)", "time": "'0{n}:00:00.25'::time",
    "macaddr": "'08:00:2b:01:02:0{n}'::macaddr", "double precision": "{n} / 3.0", "real": "{n} / 3.0", "bigint": "-9223372036854775807 + {n}", "money": "{n}.25::money",
    "boolean": "{n} = 1", "interval": "'{n} days 00:00:01'::interval", "varchar(20)": "'Ü {n}'", "smallint": "-{n}", "timetz": "'0{n}:00+02'::timetz",
}


@BOTH
def test_rows_are_found_by_keys_of_every_type(runbook, pair, kind):  # noqa: F811
    tables, changes = [], []
    for i, (kind_of_key, value) in enumerate(KEYS.items()):
        tables.append(f"create table k{i} (k {kind_of_key} primary key, v text)")
        tables.append(f"insert into k{i} values ({value.format(n=1)}, 'one'), ({value.format(n=2)}, 'two')")
        changes += [f"update k{i} set v = 'changed' where v = 'one'", f"delete from k{i} where v = 'two'",
                    f"update k{i} set k = {value.format(n=2)}, v = 'moved' where v = 'changed'", f"insert into k{i} values ({value.format(n=1)}, 'new')"]
    source, _, urls, env = pair(kind, *tables)
    caught_up(runbook, urls, env)
    for change in changes:
        source.sql(change)
    caught_up(runbook, urls, env)
    assert f"of {len(KEYS)} tables, every column" in equal(runbook, urls, env).out


@BOTH
def test_rows_are_told_apart_that_the_collation_calls_equal(runbook, pair, kind):  # noqa: F811
    source, target, urls, env = pair(kind, "create table bag (a text, c char(4), b bytea)", "alter table bag replica identity full",
                                     "insert into bag values ('x', 'q', '\\x61'), ('X', 'q', '\\x61'), ('x ', 'q', '\\x61'), ('x', 'Q', '\\x61'), ('x', 'q', '\\x41')")
    caught_up(runbook, urls, env, "--collation", "utf8mb4_unicode_ci")
    for where, left in (("a = 'X'", 4), ("a = 'x '", 3), ("c = 'Q'", 2), ("b = '\\x41'", 1)):
        source.sql(f"delete from bag where {where}")
        caught_up(runbook, urls, env)
        equal(runbook, urls, env)
        assert target.sql("select count(*) from bag") == [(left,)]


def test_an_index_as_identity(runbook, pair):  # noqa: F811
    source, target, urls, env = pair("MYSQL", "create table t (a int not null, b text not null, v int)", "create unique index t_ab on t (a, b)",
                                     "alter table t replica identity using index t_ab", "insert into t values (1, 'x', 0), (1, 'y', 0)")
    caught_up(runbook, urls, env)
    source.sql("update t set v = 1, b = 'z' where b = 'x'")
    source.sql("delete from t where b = 'y'")
    caught_up(runbook, urls, env)
    assert target.sql("select a, b, v from t") == [(1, "z", 1)]


@BOTH
def test_lost_connections_are_made_anew(runbook, pair, kind):  # noqa: F811
    source, target, urls, env = pair(kind, *SHOP)
    caught_up(runbook, urls, env)
    writers = Writers(source.url, 500)
    following = runbook.start("follow", *urls, env=env)
    try:
        for _ in range(3):
            time.sleep(1)
            source.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database() and active")
            time.sleep(1)
            for (session,) in target.sql("select id from information_schema.processlist where db = database() and id <> connection_id()"):
                target.sql(f"kill {session}")
        time.sleep(1)
        assert following.process.poll() is None, following.finish().err
    finally:
        writers.stop()
        following.process.send_signal(signal.SIGINT)
        ended = following.finish()
    assert ended.exit == 3, ended.err
    assert "; trying again" in ended.err
    drained(runbook, source, urls, env)
    equal(runbook, urls, env)


def test_a_target_that_lost_commits_is_refused(runbook, pair):  # noqa: F811
    source, target, urls, env = pair("MYSQL", "create table t (id int primary key)")
    caught_up(runbook, urls, env)
    before = target.sql("select lsn from _runbook_follow where object = ''")[0][0]
    source.sql("insert into t values (1)")
    caught_up(runbook, urls, env)
    target.sql(f"update _runbook_follow set lsn = {before} where object = ''")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert ", but the source was told " in stopped.err and ": it has lost what it had committed\n" in stopped.err


def test_a_renamed_table_and_a_lost_slot(runbook, pair):  # noqa: F811
    source, _, urls, env = pair("MYSQL", "create table t (id int primary key)", "create table u (id int primary key)")
    caught_up(runbook, urls, env)
    source.sql("alter table t rename to was_t")
    source.sql("insert into was_t values (1)")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "public.was_t was not copied: it was made, or renamed, since\n" in stopped.err
    source.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert " is not there any more\n" in stopped.err and "copy anew" in stopped.err


def test_partitions_cannot_be_emptied_alone(runbook, pair):  # noqa: F811
    source, target, urls, env = pair("MYSQL", "create table ev (id int primary key) partition by range (id)", "create table ev_1 partition of ev for values from (0) to (10)",
                                     "create table ev_2 partition of ev for values from (10) to (20)", "insert into ev values (1), (11)")
    caught_up(runbook, urls, env)
    source.sql("truncate ev")
    source.sql("insert into ev values (2), (12)")
    caught_up(runbook, urls, env)
    equal(runbook, urls, env)
    source.sql("truncate ev_1")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "public.ev: TRUNCATE of its partition public.ev_1 alone, committed at " in stopped.err
    assert target.sql("select count(*) from ev") == [(2,)]


def test_an_open_transaction_is_waited_for_and_named(runbook, pair):  # noqa: F811
    source, target, urls, env = pair("MYSQL", "create table t (id int primary key)")
    connection = connect_postgres(source.url)
    connection.autocommit = False
    connection.cursor().execute("insert into t values (1)")
    following = runbook.start("follow", *urls, "--until-caught-up", "--output", "json", env=env)
    time.sleep(4)
    following.process.send_signal(signal.SIGINT)
    ended = following.finish()
    assert ended.exit == 1 and "waiting for open transactions of the source: session " in ended.out, ended.out + ended.err
    assert source.sql("select (select count(*) from pg_replication_slots where database = current_database()), (select count(*) from pg_publication)") == [(0, 0)]
    following = runbook.start("follow", *urls, "--until-caught-up", env=env)
    time.sleep(2)
    connection.commit()
    connection.close()
    assert following.finish().exit == 0
    assert target.sql("select id from t") == [(1,)]


def test_the_log_is_bounded_while_it_copies(runbook, pair):  # noqa: F811
    source, _, urls, env = pair("MYSQL", "create table t (id int primary key, v text)", "create table noise (id serial primary key, v text)",
                                "insert into t select i, md5(i::text) from generate_series(1, 400000) i")
    stopping = threading.Event()

    def write():
        while not stopping.is_set():
            source.sql("insert into noise (v) select repeat(md5(i::text), 100) from generate_series(1, 2000) i")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        stopped = runbook("follow", *urls, "--streams", "1", "--max-wal", "2MB", env=env)
    finally:
        stopping.set()
        writer.join()
    assert stopped.exit == 1
    assert ": during the copy the slot runbook_" in stopped.err and " of its log, more than 2.0 MB\n" in stopped.err
    assert source.sql("select (select count(*) from pg_replication_slots where database = current_database()), (select count(*) from pg_publication)") == [(0, 0)]


def test_a_row_longer_than_the_target_takes(runbook, pair):  # noqa: F811
    source, target, urls, env = pair("MARIADB", "create table t (id int primary key, v text)")
    caught_up(runbook, urls, env)
    limit = target.sql("select @@max_allowed_packet")[0][0]
    source.sql(f"insert into t values (1, repeat('x', {limit} - 1000)), (2, 'short')")
    caught_up(runbook, urls, env)
    equal(runbook, urls, env)
    source.sql(f"insert into t values (3, repeat('x', {limit}))")
    stopped = runbook("follow", *urls, "--until-caught-up", env=env)
    assert stopped.exit == 1
    assert "raise max_allowed_packet of the target, which is " in stopped.err


def test_one_at_a_time(runbook, pair):  # noqa: F811
    source, _, urls, env = pair("MYSQL", "create table t (id int primary key)")
    caught_up(runbook, urls, env)
    first = runbook.start("follow", *urls, env=env)
    time.sleep(1)
    second = runbook("follow", *urls, env=env)
    assert second.exit == 2
    assert ": another session follows into this database\n" in second.err
    first.process.send_signal(signal.SIGINT)
    assert first.finish().exit == 3
