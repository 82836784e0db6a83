"""runbook verify as its user meets it: after a real copy of every type, then after one change by hand."""
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import ROOT

PAGILA = Path(os.environ.get("RUNBOOK_PAGILA", ROOT.parent / "shared" / "data" / "pagila.sql"))

TYPES = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'Ok')",
    "CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155)",
    """CREATE TABLE things (
      id bigint PRIMARY KEY, flag boolean, small smallint, price numeric(20,6), anything numeric, f real, d double precision,
      cash money, name varchar(40), body text, code char(8), data bytea, day date, at timestamptz, wall timestamp(3), t time,
      tz timetz, span interval, u uuid, raw json, doc jsonb, tags text[], numbers int[], mood mood, born year, host inet,
      net cidr, mac macaddr, b bit(5), vb bit varying(12), page xml, during int4range)""",
    r"""INSERT INTO things VALUES
      (1, true, -32768, 12345678901234.567890, 0.000000001, 0.1, 0.1, 12.34, 'Zoë', E'tab\t nl\n cr\r bs\\ \\N 😀', 'ab',
       '\x00ff5c090a27', '2024-02-29', '2024-03-01 00:30:00.123456+02', '1999-12-31 23:59:59.5', '23:59:59.000001',
       '12:00:00+02', '1 year 2 days 03:04:05.6', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b" : 1, "a":[1.0]}',
       '{"b": 1.5, "a": ["é\"\\", null, true, {"z": -0.25}]}', '{x,"y z",NULL,"\""}', '{1,2,-3}', 'Ok', 1999, '10.0.0.1',
       '10.1.0.0/16', '08:00:2b:01:02:03', B'10101', B'110', '<a>ü</a>', '[1,5)')""",
    """INSERT INTO things VALUES
      (2, false, 0, -0.000001, -99999999999999999999.5, -1.5e-10, 1e300, -0.01, '', ' ', '', '', '0001-01-01',
       '9999-12-31 23:59:59.999999+00', '1000-01-01', '24:00', '00:00-11', '-1 mon -00:00:00.000001',
       '00000000-0000-0000-0000-000000000000', 'null', '[]', '{}', '{}', 'sad', 1901, '::1', '::/0', 'ff:ff:ff:ff:ff:ff',
       B'00000', B'', '', 'empty')""",
    "INSERT INTO things (id) VALUES (3), (-9223372036854775808), (9223372036854775807)",
    "CREATE TABLE bag (a int, b text)",
    "INSERT INTO bag VALUES (1, 'x'), (1, 'x'), (2, NULL), (2, ''), (NULL, NULL)",
    'CREATE TABLE "Words" (w text, n int, v text, PRIMARY KEY (w, n))',
    "INSERT INTO \"Words\" VALUES ('a', 1, 'x'), ('A', 1, 'x'), ('ä', 1, 'x'), ('a ', 1, 'x'), ('ß', 2, 'x'), ('ss', 2, 'x')",
]

# What is changed in the target, and how that must be told; each column once.
CHANGES = [
    ("body = concat(body, ' ') where id = 1", r"things 1: changed: body: source 'tab\x09 nl\x0a cr\x0d bs\ \N 😀', target 'tab\x09 nl\x0a cr\x0d bs\ \N 😀 '"),
    ("data = X'00ff5c090a26' where id = 1", r"things 1: changed: data: source \x00ff5c090a27, target \x00ff5c090a26"),
    ("name = NULL where id = 2", "things 2: changed: name: source '', target NULL"),
    ("flag = 0 where id = 1", "things 1: changed: flag: source 1, target 0"),
    ("price = price + 0.000001 where id = 1", "things 1: changed: price: source 12345678901234.56789, target 12345678901234.567891"),
    ("at = at + interval 1 microsecond where id = 1",
     "things 1: changed: at: source 2024-02-29 22:30:00.123456+00, target 2024-02-29 22:30:00.123457+00"),
    ("b = b'10100' where id = 1", "things 1: changed: b: source 10101, target 10100"),
    ("mood = 'ok' where id = 1", "things 1: changed: mood: source 'Ok', target 'ok'"),
    ("doc = replace(doc, '1.5', '1.50001') where id = 1", "things 1: changed: doc: source "),
    ("tags = '[]' where id = 1", "things 1: changed: tags: source "),
    ("day = '2024-02-28' where id = 1", "things 1: changed: day: source 2024-02-29, target 2024-02-28"),
]


def ends(source, target):
    """Positional URLs without passwords, and the environment that has them."""
    def bare(url):
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()

    return [bare(source.url), bare(target.url)], {"RUNBOOK_SOURCE_PASSWORD": urlsplit(source.url).password,
                                                  "RUNBOOK_TARGET_PASSWORD": urlsplit(target.url).password}


def copied(runbook, scratch, kind, statements):
    source, target = scratch("PG"), scratch(kind)
    for statement in statements:
        source.sql(statement)
    urls, env = ends(source, target)
    done = runbook("copy", *urls, env=env)
    assert done.exit == 0, done.out + done.err
    return source, target, urls, env


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])
def test_every_type_arrives_and_one_change_is_named(runbook, scratch, kind):
    _, target, urls, env = copied(runbook, scratch, kind, TYPES)
    clean = runbook("verify", *urls, env=env)
    assert clean.exit == 0, clean.out + clean.err
    assert "equal: 16 rows of 3 tables, every column" in clean.out
    for change, _ in CHANGES[:1]:  # one byte
        target.sql(f"update things set {change}")
    one = runbook("verify", *urls, "--table", "things", env=env)
    assert one.exit == 1
    assert CHANGES[0][1] + "\n" in one.out
    for change, _ in CHANGES[1:]:
        target.sql(f"update things set {change}")
    found = runbook("verify", *urls, "--table", "things", "--output", "json", env=env)
    assert found.exit == 1
    result = json.loads(found.out.splitlines()[-1])
    assert (result["changed"], result["mismatches"], result["coverage"]) == (2, 2, 1)
    told = {sample["key"]: sample for sample in result["samples"]}
    assert {key: len(sample["columns"]) for key, sample in told.items()} == {"1": len(CHANGES) - 1, "2": 1}
    for _, line in CHANGES:
        row, _, column = line.partition(": changed: ")
        assert column in told[row.removeprefix("things ")]["text"]


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])
def test_rows_of_tables_with_and_without_key(runbook, scratch, kind):
    _, target, urls, env = copied(runbook, scratch, kind, TYPES)
    target.sql("delete from things where id = 3")
    target.sql("insert into `Words` values ('B', 1, 'x')")
    target.sql("delete from bag where b = 'x'")
    found = runbook("verify", *urls, env=env)
    assert found.exit == 1
    assert "things 3: missing in the target\n" in found.out
    assert "Words 'B', 1: extra (only in the target)\n" in found.out
    assert "bag: missing row in the target: a: source 1, target (none); b: source 'x', target (none); number of such rows: " \
           "source 2, target 0\n" in found.out
    assert "different: 3 missing, 1 extra, 0 changed, 0 unsettled of 16 rows\n" in found.out
    target.sql("drop table bag")
    assert "not compared: bag: there is no table bag in the target\n" in runbook("verify", *urls, env=env).out


def test_hidden_values_counts_and_samples(runbook, tmp_path):
    for name, value in (("a", "secret text"), ("b", "other text")):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute("create table t (id integer primary key, v text)")
        connection.execute("insert into t values (1, ?)", (value,))
        connection.commit()
        connection.close()
    urls = [f"sqlite:{tmp_path}/a", f"sqlite:{tmp_path}/b"]
    hidden = runbook("verify", *urls, "--hide-values")
    assert hidden.exit == 1
    assert "t 1: changed: v: source (hidden), target (hidden)\n" in hidden.out
    assert "text" not in hidden.out
    counts = runbook("verify", *urls, "--mode", "counts")
    assert counts.exit == 1
    assert "not proven: nothing differs in what was compared, which is 0.0 % of the rows\n" in counts.out
    assert runbook("verify", *urls, "--mode", "sample").exit == 1


def test_no_such_file_and_no_such_mode(runbook, tmp_path):
    missing = runbook("verify", f"sqlite:{tmp_path}/none.db", f"sqlite:{tmp_path}/none.db")
    assert missing.exit == 2
    assert "none.db" in missing.err
    wrong = runbook("verify", "sqlite:a", "sqlite:b", "--mode", "some")
    assert wrong.exit == 2


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB"])
def test_pagila(runbook, scratch, kind):
    if not PAGILA.exists():
        pytest.skip("Pagila is not beside the project")
    source, target = scratch("PG"), scratch(kind)
    subprocess.run(["psql", "-q", "-X", "-f", str(PAGILA), source.url], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    urls, env = ends(source, target)
    assert runbook("copy", *urls, env=env).exit == 0
    clean = runbook("verify", *urls, env=env)
    assert clean.exit == 0, clean.out + clean.err
    assert "of 15 tables, every column" in clean.out
    assert "column left out: film.fulltext (tsvector has no counterpart)\n" in clean.out
    target.sql("update film set title = 'ACADEMY DINOSAUS' where film_id = 1")
    found = runbook("verify", *urls, env=env)
    assert found.exit == 1
    assert "film 1: changed: title: source 'ACADEMY DINOSAUR', target 'ACADEMY DINOSAUS'\n" in found.out
