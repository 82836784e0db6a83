"""The generated tables: 250,000 rows, the same ones every time, with the values that they promise."""
import contextlib
import hashlib
import io
import os
import uuid
from pathlib import Path

import pytest

import databases
import reline

MISSING = "the lab does not run: RUNBOOK_LAB_PG_MIGRATE is not set"


@pytest.fixture
def database():
    """Makes databases of the migration role's own, dropped afterwards."""
    home = os.environ.get("RUNBOOK_LAB_PG_MIGRATE")
    if not home:
        assert os.environ.get("RUNBOOK_REQUIRE_LAB") != "1", MISSING
        pytest.skip(MISSING)
    made = []

    def make():
        made.append(f"rb_{uuid.uuid4().hex[:12]}")
        databases.query(home, f"create database {made[-1]} template template0")
        return databases.with_name(home, made[-1])

    yield make
    for name in made:
        databases.query(home, f"drop database {name} with (force)")


def digest(url):
    """Of every table's rows as text, in order of the key, and of every sequence."""
    hashed = hashlib.sha256()
    with contextlib.closing(databases.connect(url)) as connection, connection.cursor() as cursor:
        for table in (*reline.TABLES, "schema_migrations"):
            out = io.BytesIO()
            cursor.copy_expert(f"copy (select * from {table} order by 1) to stdout", out)
            hashed.update(out.getvalue())
        cursor.execute("select sequencename, last_value from pg_sequences order by 1")
        hashed.update(repr(cursor.fetchall()).encode())
    return hashed.hexdigest()


def test_quarter_of_a_million_rows(database):
    url = database()
    reline.load(url)
    counts = {table: databases.query(url, f"select count(*) from {table}")[0][0] for table in reline.TABLES}
    assert counts == {"alarm_contents": 60000, "contents": 60000, "feedbacks": 99000, "line_groups": 30000, "operators": 1000}
    assert sum(counts.values()) == 250_000

    def value(expression, table):
        return databases.query(url, f"select {expression} from {table}")[0][0]

    assert bytes(value("(array_agg(image) filter (where length(image) = 256))[1]", "contents")) == bytes(range(256))
    assert value("min(id)", "contents") == 0
    assert (value("min(post_count)", "line_groups"), value("max(post_count)", "line_groups")) == (-2**63, 2**63 - 1)
    for condition in ("note is null", "note = ''", r"body = '\N'", r"body like E'%\r\n%'", r"body ~ E'\x0b' and body ~ E'\f'",
                      "body = '  blanks around  '", "body ~ '👩‍👩‍👧‍👦'", r"body like '%\\'", "metadata = 'null'", "metadata is null",
                      "length(image) = 0", "score = 1.7976931348623157e308", "published is null"):
        assert value(f"count(*) filter (where {condition})", "contents") > 0, condition
    assert value("count(*) filter (where lock_expires_at > '2038-01-19 03:14:07+00')", "operators") > 0


def test_the_same_rows_every_time(database):
    first, second = database(), database()
    reline.load(first, rows=5000)
    reline.load(second, rows=5000)
    assert digest(first) == digest(second)


def test_casefold_adds_keys_that_only_postgresql_tells_apart(database):
    url = database()
    reline.load(url, "casefold", rows=5000)
    assert databases.query(url, "select count(*) from (select lower(email) from operators group by 1 having count(*) > 1) e") == [(2,)]
    assert databases.query(url, "select count(*) from (select upper(line_group_id) from line_groups group by 1 having count(*) > 1) l"
                           )[0][0] > 30


def test_pagila_loads_where_it_is_there(database):
    file = Path(os.environ.get("RUNBOOK_PAGILA") or Path(__file__).resolve().parents[3] / "shared/data/pagila.sql")
    if not file.is_file():
        pytest.skip(f"no {file.name} in {file.parent}")
    url = database()
    reline.load_dump(url, file)
    assert databases.query(url, "select count(*) from rental") == [(16044,)]


def test_empty_leaves_nothing_and_keeps_the_applications_rights(database):
    url = database()
    reline.load(url, rows=1000)
    databases.empty(url)
    assert databases.query(url, "select count(*) from pg_class where relnamespace = 'public'::regnamespace") == [(0,)]
    reline.load(url, rows=1000)


@pytest.mark.parametrize("variant, collisions", [("plain", (0, 0)), ("casefold", (4, 42))])
def test_which_keys_are_equal_under_unicode_ci(database, variant, collisions):
    """Judged by MySQL itself: the migration's demo stands on it."""
    url, mysql = database(), os.environ["RUNBOOK_LAB_MYSQL_SCRATCH"]
    reline.load(url, variant, rows=5000)
    found = []
    for table, column in (("operators", "email"), ("line_groups", "line_group_id")):
        keys = databases.query(url, f"select {column} from {table}")
        with contextlib.closing(databases.connect(mysql)) as connection, connection.cursor() as cursor:
            cursor.execute("create temporary table k (k varchar(64) character set utf8mb4 collate utf8mb4_unicode_ci)")
            cursor.executemany("insert into k values (%s)", keys)
            cursor.execute("select count(*) - count(distinct k) from k")
            found.append(cursor.fetchone()[0])
    assert tuple(found) == collisions
