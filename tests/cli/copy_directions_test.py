"""runbook copy between every pair of engines, with real databases: around in chains, each link verified, and at the end the first
database again, compared by queries of this test."""
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

DATA = Path(os.environ.get("RUNBOOK_DATA", ROOT.parent / "shared" / "data"))
PAGILA, CHINOOK = DATA / "pagila.sql", DATA / "chinook.sqlite"


class File:
    """A SQLite database, used as a Scratch is."""

    def __init__(self, path):
        self.path, self.url = path, f"sqlite:{path}"

    def sql(self, text):
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()


@pytest.fixture
def link(runbook, scratch, tmp_path):
    """link(source, kind): a copy of the source in a new database of that kind, verified."""
    count = 0

    def make(source, kind, *options):
        nonlocal count
        count += 1
        target = File(tmp_path / f"{count}.db") if kind == "SQLITE" else scratch(kind)
        copied = runbook("copy", source.url, target.url, *options)
        assert copied.exit == 0, f"to {kind}: {copied.err}"
        verified = runbook("verify", source.url, target.url, *[word for word in options if word != "--streams"])
        assert verified.exit == 0, f"to {kind}: {verified.out}{verified.err}"
        return target

    return make


def contents(database, table, columns, order):
    """Rows as text, the same from every engine."""
    rows = database.sql(f"select {', '.join(columns)} from {table} order by {order}")
    return [tuple(None if value is None else str(value) for value in row) for row in rows]


@pytest.mark.parametrize("chain", [
    ["PG", "MYSQL", "MARIADB", "PG", "SQLITE"],
    ["MARIADB", "MYSQL", "PG", "PG", "SQLITE"],
    ["MYSQL", "SQLITE"],
    ["MARIADB", "MARIADB", "SQLITE"],
], ids="-".join)
def test_chinook_comes_home_unchanged(link, chain):
    if not CHINOOK.exists():
        pytest.skip("Chinook is not beside the project")
    database = home = File(CHINOOK)
    for kind in chain:
        database = link(database, kind)
    for table, columns, order in [
        ("Track", ["TrackId", "Name", "AlbumId", "Composer", "Milliseconds", "Bytes"], "TrackId"),
        ("Customer", ["CustomerId", "FirstName", "LastName", "Company", "Phone", "Email"], "CustomerId"),
        ("PlaylistTrack", ["PlaylistId", "TrackId"], "PlaylistId, TrackId"),
        ("InvoiceLine", ["InvoiceLineId", "round(UnitPrice * 100)", "Quantity"], "InvoiceLineId"),
    ]:
        found, wanted = contents(database, table, columns, order), contents(home, table, columns, order)
        assert found == wanted, table
        assert len(wanted) > 50, table


@pytest.fixture
def pagila(scratch):
    if not PAGILA.exists():
        pytest.skip("Pagila is not beside the project")
    database = scratch("PG")
    subprocess.run(["psql", "-q", "-X", "-f", str(PAGILA), database.url], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return database


def test_pagila_into_postgresql_is_the_same_database(link, pagila):
    # The primary key of film and its indexes among them; functions and triggers are named in the report and not copied.
    copy = link(pagila, "PG")
    for question in [
        "select table_name, column_name, data_type, is_nullable from information_schema.columns where table_schema = 'public' and "
        "table_name not in (select table_name from information_schema.views where table_schema = 'public') and "
        "table_name not like '\\_runbook%' order by 1, 2",
        "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public' and tablename not like '\\_runbook%' and "
        "tablename not in (select matviewname from pg_matviews) order by 1, 2",
        "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace "
        "and conrelid::regclass::text not like '\\_runbook%' order by 1, 2",
        "select sequencename, last_value from pg_sequences where schemaname = 'public' order by 1",
        "select film_id, md5(film::text) from film order by 1",
        "select tableoid::regclass::text, count(*), sum(amount) from payment group by 1 order by 1",
    ]:
        wanted = pagila.sql(question)
        assert copy.sql(question) == wanted
        assert len(wanted) > 5


@pytest.mark.parametrize("chain", [["MYSQL", "PG"], ["MARIADB", "MYSQL", "SQLITE"], ["SQLITE"]], ids="-".join)
def test_pagila_through_other_engines(link, pagila, chain):
    database = pagila
    for kind in chain:
        database = link(database, kind)
    for table, columns, order in [("customer", ["customer_id", "first_name", "email"], "customer_id"),
                                  ("rental", ["rental_id", "inventory_id", "customer_id"], "rental_id")]:
        found, wanted = contents(database, table, columns, order), contents(pagila, table, columns, order)
        assert found == wanted, table
        assert len(wanted) > 500
