#!/usr/bin/python3
"""Measures the other directions of copy against the tools that people use for them, each pair of ways interleaved in one run:
PostgreSQL to PostgreSQL against pgcopydb and against psql | psql, MariaDB to PostgreSQL against pgloader, MySQL's own kind against
mydumper and myloader. A tool that is not installed, or fails, is named and left out.

  eval "$(tests/lab/lab env)"; tests/bench/directions.py [--rows N] [--repeat N] [--streams N] [--build FOLDER]
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from measure import Sample, interleaved, median, pipe, timed, together  # noqa: E402
from servers import Server, databases  # noqa: E402
import mixed  # noqa: E402


class Failed(Exception):
    pass


def tool(argv, env, **options):
    began = time.monotonic()
    done = subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(argv[0])} ended with exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return Sample(time.monotonic() - began)


class Directions:
    def __init__(self, options):
        self.options = options
        name = f"bench_{os.getpid()}"
        self.runbook = os.path.join(options.build, "runbook")
        self.folder = tempfile.mkdtemp(prefix="runbook-bench-")
        self.postgres, self.mysql, self.mariadb = (Server(kind, name) for kind in ("postgres", "mysql", "mariadb"))
        self.second = {kind: Server(kind, f"{name}_2") for kind in ("postgres", "mysql", "mariadb")}

    def close(self):
        for server in [self.postgres, self.mysql, self.mariadb, *self.second.values()]:
            server.drop()
        shutil.rmtree(self.folder)

    def copy(self, source, target, *words):
        target.fresh()
        env = dict(os.environ, RUNBOOK_SOURCE_PASSWORD=source.parts["password"], RUNBOOK_TARGET_PASSWORD=target.parts["password"])
        urls = [databases.without_password(server.url) for server in (source, target)]
        return timed([self.runbook, "copy", *urls, "--output", "json", "--streams", str(self.options.streams), *words], env=env,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def count(self, target):
        rows = target.sql("SELECT count(*) FROM mixed")[0][0]
        if rows != self.options.rows:
            raise Failed(f"{rows} rows arrived, not {self.options.rows}")

    # the others -------------------------------------------------------------------------------------------------

    def by_pgcopydb(self):
        target = self.second["postgres"]
        target.fresh()
        jobs = str(self.options.streams)
        env = dict(os.environ, PGCOPYDB_SOURCE_PGURI=self.postgres.url, PGCOPYDB_TARGET_PGURI=target.url,
                   XDG_DATA_HOME=self.folder, TMPDIR=self.folder)
        folder = os.path.join(self.folder, "pgcopydb")
        shutil.rmtree(folder, ignore_errors=True)
        sample = tool(["pgcopydb", "clone", "--dir", folder, "--table-jobs", jobs, "--index-jobs", jobs, "--no-owner", "--no-acl",
                       "--split-tables-larger-than", "64MB", "--not-consistent"], env)
        self.count(target)
        return sample

    def by_psql(self):
        target = self.second["postgres"]
        target.fresh()
        target.sql(mixed.CREATE)

        def stream(first, last):
            pipe(self.postgres.client("-c", f"COPY (SELECT * FROM mixed WHERE id BETWEEN {first} AND {last}) TO STDOUT"),
                 target.client("-c", "COPY mixed FROM STDIN"))

        return together([lambda r=r: stream(*r) for r in mixed.halves(self.options.rows, self.options.streams)])

    def by_pgloader(self):
        target = self.second["postgres"]
        target.fresh()
        script = os.path.join(self.folder, "load")
        source = self.mariadb.parts
        with open(script, "w") as out:
            os.chmod(script, 0o600)
            out.write(f"LOAD DATABASE FROM mysql://{source['user']}:{source['password']}@{source['host']}:{source['port']}/{self.mariadb.name}"
                      f"?useSSL=true INTO {target.url.split('?')[0]}?sslmode=require "
                      f"WITH include no drop, create tables, create indexes, workers = {self.options.streams}, concurrency = {self.options.streams};\n")
        sample = tool(["pgloader", script], dict(os.environ, SSL_CERT_FILE=os.environ["RUNBOOK_LAB_CA"]))
        rows = target.sql(f"SELECT count(*) FROM {self.mariadb.name}.mixed")[0][0]
        if rows != self.options.rows:
            raise Failed(f"pgloader: {rows} rows arrived, not {self.options.rows}")
        return sample

    def by_mydumper(self, source, target):
        target.fresh()
        folder = os.path.join(self.folder, "dump")
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        for program, server, words in [("mydumper", source, ["--outputdir", folder, "--rows", "100000", "--database", source.name]),
                                       ("myloader", target, ["--directory", folder, "--database", target.name])]:
            p = server.parts
            config = os.path.join(self.folder, f"{program}.cnf")
            with open(config, "w") as out:
                os.chmod(config, 0o600)
                out.write(f"[{program}]\nhost={p['host']}\nport={p['port']}\nuser={p['user']}\npassword={p['password']}\n"
                          f"[client]\nhost={p['host']}\nport={p['port']}\nuser={p['user']}\npassword={p['password']}\n")
            tool([program, "--defaults-file", config, "--ssl", "--ca", p["ca"], "--threads", str(self.options.streams), *words], dict(os.environ))
        self.count(target)
        return Sample(time.monotonic() - began)

    # ------------------------------------------------------------------------------------------------------------

    def compare(self, title, ways):
        """The first way is runbook's."""
        usable = []
        for name, way in ways:  # a first turn, which warms the caches
            try:
                way()
                usable.append((name, way))
            except (Failed, FileNotFoundError) as error:
                print(f"  left out: {name}: {error}", file=sys.stderr)
        results = interleaved(self.options.repeat, usable)
        ours = median(results[usable[0][0]])
        print(f"\n{title}: {self.options.rows:,} rows, {self.options.streams} streams")
        for name in results:
            seconds = median(results[name])
            print(f"  {name:<44} {seconds:7.2f} s" + ("" if name == usable[0][0] else f"   runbook is {seconds / ours:.2f} × as fast"))
        sys.stdout.flush()

    def run(self):
        self.postgres.fresh()
        print(f"filling PostgreSQL with {self.options.rows:,} rows", file=sys.stderr)
        mixed.fill(self.postgres, self.options.rows)
        self.copy(self.postgres, self.mysql)
        self.copy(self.postgres, self.mariadb, "--collation", "utf8mb4_bin")  # pgloader knows no collation above 254
        for server in (self.mysql, self.mariadb):
            server.sql("DROP TABLE _runbook_copy")
            server.sql("ANALYZE TABLE mixed")
        to_postgres = self.second["postgres"]
        self.compare("PostgreSQL to PostgreSQL", [
            ("runbook copy", lambda: self.copy(self.postgres, to_postgres)),
            ("psql COPY | psql COPY by hand", self.by_psql), ("pgcopydb clone", self.by_pgcopydb)])
        self.compare("MariaDB to PostgreSQL", [
            ("runbook copy", lambda: self.copy(self.mariadb, to_postgres)), ("pgloader", self.by_pgloader)])
        self.compare("MySQL to PostgreSQL", [("runbook copy", lambda: self.copy(self.mysql, to_postgres))])
        for source in (self.mysql, self.mariadb):
            target = self.second[source.kind]
            self.compare(f"{source.kind} to {source.kind}", [
                ("runbook copy", lambda: self.copy(source, target)), ("mydumper, then myloader", lambda: self.by_mydumper(source, target))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default 1,000,000: about 195 MB)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each way; the middle one counts (default 3)")
    parser.add_argument("--streams", type=int, default=2, help="parallel streams, jobs or threads of every way (default 2)")
    parser.add_argument("--build", default=os.path.join(here, "..", "..", "build", "release"), help="folder with the runbook binary")
    bench = Directions(parser.parse_args())
    try:
        bench.run()
    finally:
        bench.close()


main()
