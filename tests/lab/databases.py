#!/usr/bin/python3
"""Connections for the lab's own programs, from the URLs that `lab env` prints. Nothing here is part of what is tested.

  databases.py VARIABLE SQL     runs one statement on the database whose URL is in the variable, prints its rows
"""
import contextlib
import os
import sys
import urllib.parse


def parse(url):
    """The parts of postgres:// or mysql:// as a dictionary: engine, host, port, user, password, name, ca."""
    u = urllib.parse.urlsplit(url)
    options = dict(urllib.parse.parse_qsl(u.query))
    return {"engine": "postgresql" if u.scheme in ("postgres", "postgresql") else "mysql", "host": u.hostname, "port": u.port,
            "user": urllib.parse.unquote(u.username), "password": urllib.parse.unquote(u.password or ""),
            "name": urllib.parse.unquote(u.path[1:]), "ca": options.get("sslrootcert")}


def with_name(url, name):
    """The same URL with another database."""
    return urllib.parse.urlsplit(url)._replace(path="/" + name).geturl()


def without_password(url):
    u = urllib.parse.urlsplit(url)
    return u._replace(netloc=f"{u.username}@{u.hostname}:{u.port}").geturl()


def connect(url):
    """Opens a connection with a verified certificate; autocommit is on."""
    u = parse(url)
    if u["engine"] == "postgresql":
        import psycopg2
        connection = psycopg2.connect(host=u["host"], port=u["port"], user=u["user"], password=u["password"], dbname=u["name"],
                                      sslmode="verify-full", sslrootcert=u["ca"])
        connection.autocommit = True
        return connection
    import pymysql
    return pymysql.connect(host=u["host"], port=u["port"], user=u["user"], password=u["password"], database=u["name"] or None,
                           charset="utf8mb4", autocommit=True, ssl={"ca": u["ca"], "check_hostname": True})


def query(url, statement, parameters=None):
    """All rows of one statement, on a connection of its own."""
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def empty(url):
    """Drops everything in the database that the URL names: it has to be one of the lab's."""
    u = parse(url)
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        if u["engine"] == "postgresql":
            cursor.execute("select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'")
            for (schema,) in cursor.fetchall():
                cursor.execute(f'drop schema "{schema}" cascade')
            cursor.execute("create schema public; grant usage on schema public to public")
            return
        cursor.execute("set foreign_key_checks = 0")
        cursor.execute("select table_name, table_type from information_schema.tables where table_schema = %s", u["name"])
        for name, kind in cursor.fetchall():
            cursor.execute(f"drop {'view' if kind == 'VIEW' else 'table'} `{name}`")


def from_environment(variable):
    url = os.environ.get(variable)
    if not url:
        sys.exit(f"error: {variable} is not set; eval \"$(tests/lab/lab env)\" sets it")
    return url


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for row in query(from_environment(sys.argv[1]), sys.argv[2]):
        print(*row, sep="\t")
