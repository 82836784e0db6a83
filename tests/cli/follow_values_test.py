"""Every edge of every type through the change stream: a followed value is octet for octet what a copied one is, its row is found again by
it, and what the preflight would have refused is never let in."""
from edge_corpus_test import REFUSED, REFUSED_BY_MYSQL, VALUES
from follow_test import BOTH, caught_up, pair  # noqa: F401 (a fixture)

TYPES = ("create extension citext", "create type mood as enum ('sad', 'Sad', 'it''s \\ fine', 'é')",
         "create domain percent as int check (value between 0 and 100)", "create type pair as (a int, b text)")


def refused_by(kind):
    return REFUSED | (REFUSED_BY_MYSQL if kind == "MYSQL" else set())


@BOTH
def test_followed_is_copied(runbook, pair, kind):  # noqa: F811
    held = [entry for entry in VALUES if entry not in refused_by(kind) and entry[0] != "tsvector"]
    source, target, urls, env = pair(kind, *TYPES)
    connection = source.connect()
    with connection.cursor() as cursor:
        for number, (type_, value) in enumerate(held):
            cursor.execute(f"create table k{number} (id int primary key, v {type_}); insert into k{number} values (1, {value}), (2, null)")
            cursor.execute(f"create table f{number} (v {type_}); alter table f{number} replica identity full; insert into f{number} values ({value}), (null)")
    caught_up(runbook, urls, env)
    with connection.cursor() as cursor:
        for number, (type_, value) in enumerate(held):
            cursor.execute(f"insert into k{number} values (3, {value}), (4, null), (5, null)")
            cursor.execute(f"update k{number} set v = {value} where id = 5")
            cursor.execute(f"update k{number} set v = null where id = 3; update k{number} set v = {value} where id = 3")
            cursor.execute(f"insert into f{number} values ({value})")
            cursor.execute(f"delete from f{number} where v is not null")
            cursor.execute(f"update f{number} set v = {value}")
    connection.close()
    caught_up(runbook, urls, env)
    there, wrong = target.connect(), []
    with there.cursor() as cursor:
        for number, entry in enumerate(held):
            cursor.execute(f"select id, cast(v as binary) from k{number} order by id")
            rows = dict(cursor.fetchall())
            cursor.execute(f"select cast(v as binary) from f{number}")
            full = [octets for (octets,) in cursor.fetchall()]
            copied = rows[1]
            if copied is None or (rows[2], rows[3], rows[4], rows[5]) != (None, copied, None, copied) or full != [copied]:
                wrong.append((entry, rows, full))
    there.close()
    assert wrong == []


@BOTH
def test_what_the_preflight_refuses_is_not_let_in(runbook, pair, kind):  # noqa: F811
    refused = sorted(refused_by(kind))
    source, target, urls, env = pair(kind, *TYPES, *[f"create table r{number} (id int primary key, v {type_})" for number, (type_, _) in enumerate(refused)])
    caught_up(runbook, urls, env)
    let_in = []
    for number, (type_, value) in enumerate(refused):
        source.sql(f"insert into r{number} values (1, {value})")
        stopped = runbook("follow", *urls, "--until-caught-up", env=env)
        if stopped.exit != 1 or target.sql(f"select count(*) from r{number}") != [(0,)]:
            let_in.append((type_, value, stopped.err, target.sql(f"select * from r{number}")))
        # The test goes around the row; nobody else should.
        high, low = source.sql("select pg_current_wal_lsn()")[0][0].split("/")
        target.sql(f"update _runbook_follow set lsn = {(int(high, 16) << 32) + int(low, 16)} where object = ''")
    assert let_in == []
