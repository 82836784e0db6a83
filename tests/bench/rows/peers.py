#!/usr/bin/python3
"""The same loop in the languages people use today, one a process: prints the CPU seconds of the loop (user and system) and the sum.

  peers.py psycopg2|pymysql|sqlite3     the database: BENCH_URL, which holds a password
"""
import os
import resource
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
import databases  # noqa: E402

SQL = "select id, account, amount, created, name, note, active, ratio from bench_rows"


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def connect(way, url):
    if way == "sqlite3":
        return sqlite3.connect(url.removeprefix("sqlite:")).cursor()
    if way == "psycopg2":
        connection = databases.connect(url)
        connection.autocommit = False  # a cursor of the server wants a transaction
        cursor = connection.cursor("bench")
        cursor.itersize = 2000
        return cursor
    import pymysql.cursors
    return databases.connect(url).cursor(pymysql.cursors.SSCursor)


def main():
    way, url = sys.argv[1], os.environ["BENCH_URL"]
    before = cpu()
    cursor, total = connect(way, url), 0
    cursor.execute(SQL)
    for number, *_rest in cursor:
        total += number
    print(f"{cpu() - before:.3f} {total}")


main()
