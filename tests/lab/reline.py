#!/usr/bin/python3
"""Fills a PostgreSQL database with data for demos and tests.

  reline.py load [--variant casefold] [--rows 250000]     the five tables of tests/lab/reline.sql
  reline.py pagila FILE                                   a plain SQL dump, through psql
  reline.py empty                                         drops everything in the database

The database is the one in RUNBOOK_LAB_PG_MIGRATE, or in the variable that --url-from names: a URL holds a password, which has
no place on a command line.
"""
import argparse
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import databases

HERE = Path(__file__).resolve().parent
TABLES = ("alarm_contents", "contents", "feedbacks", "line_groups", "operators")


def sizes(rows):
    """How many rows each table gets; they add up to `rows`."""
    parts = {"operators": rows // 250, "line_groups": rows * 12 // 100, "contents": rows * 24 // 100,
             "alarm_contents": rows * 24 // 100}
    return {**parts, "feedbacks": rows - sum(parts.values())}


def load(url, variant="plain", rows=250_000):
    script = (HERE / "reline.sql").read_text()
    for name, count in sizes(rows).items():
        script = re.sub(rf"(?<!:):{name}\b", str(count), script)
    if variant == "casefold":
        script += (HERE / "reline_casefold.sql").read_text()
    with contextlib.closing(databases.connect(url)) as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute(script)
        connection.commit()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("analyze")


def load_dump(url, file):
    """psql stops at the first error; the password goes through its environment."""
    u = databases.parse(url)
    env = {**os.environ, "PGHOST": u["host"], "PGPORT": str(u["port"]), "PGUSER": u["user"], "PGPASSWORD": u["password"],
           "PGDATABASE": u["name"], "PGSSLMODE": "verify-full", "PGSSLROOTCERT": u["ca"]}
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", str(file), "-o", os.devnull], env=env, check=True,
                   stdin=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url-from", default="RUNBOOK_LAB_PG_MIGRATE", metavar="VARIABLE", help="the variable that holds the URL")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("load")
    verb.add_argument("--variant", choices=("plain", "casefold"), default="plain")
    verb.add_argument("--rows", type=int, default=250_000)
    verbs.add_parser("pagila").add_argument("file", type=Path)
    verbs.add_parser("empty")
    options = parser.parse_args()
    url = databases.from_environment(options.url_from)
    if options.verb == "load":
        if options.rows < 1000:
            parser.error("--rows: at least 1000, so that every table has some")
        load(url, options.variant, options.rows)
    elif options.verb == "pagila":
        load_dump(url, options.file)
    else:
        databases.empty(url)


if __name__ == "__main__":
    sys.exit(main())
