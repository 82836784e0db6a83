#!/usr/bin/python3
"""Measures `runbook backup create` against the plain tool that writes the same dump, on the lab's servers.

create also counts the rows of the snapshot, reads the whole dump back as a restore would, and writes digest and manifest; the plain
tool only dumps. Like tests/bench/run: ratios of medians from one run on one machine, worth keeping only by hand in docs/figures.md.

  eval "$(tests/lab/lab env)"; tests/bench/backup.py [--rows N] [--repeat N] [--only pg,pgdir,mysql,mariadb,mydumper,sqlite] [--build FOLDER]
"""
import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from measure import interleaved, median, timed  # noqa: E402
from servers import Server, databases  # noqa: E402
import mixed  # noqa: E402

GOAL = 1.05


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default 1,000,000: about 195 MB)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each way; the middle one counts (default 3)")
    parser.add_argument("--only", default="pg,pgdir,mysql,mariadb,mydumper,sqlite", help="parts, with commas")
    parser.add_argument("--build", default=HERE.parents[1] / "build" / "release", type=Path, help="folder with the runbook binary")
    return parser.parse_args()


class Bench:
    def __init__(self, options):
        self.options = options
        self.parts = options.only.split(",")
        self.folder = Path(tempfile.mkdtemp(prefix="runbook-bench-"))
        name = f"bench_{os.getpid()}"
        self.servers = {kind: Server(kind, name) for kind in ("postgres", "mysql", "mariadb")}
        self.env = dict(os.environ, RUNBOOK_MYSQLDUMP=os.environ["RUNBOOK_LAB_MYSQLDUMP"])

    def close(self):
        for server in self.servers.values():
            server.drop()
        shutil.rmtree(self.folder)

    def runbook(self, *words, server=None, target=None):
        env = dict(self.env)
        for name, one in (("SOURCE", server), ("TARGET", target)):
            if one:
                env[f"RUNBOOK_{name}_PASSWORD"] = one.parts["password"]
        return timed([str(self.options.build / "runbook"), *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prepare(self):
        source = self.servers["postgres"]
        source.fresh()
        print(f"filling PostgreSQL with {self.options.rows:,} rows", file=sys.stderr)
        mixed.fill(source, self.options.rows)
        for kind in ("mysql", "mariadb"):
            if kind in self.parts or "mydumper" in self.parts:
                self.servers[kind].fresh()
                self.runbook("copy", databases.without_password(source.url), databases.without_password(self.servers[kind].url), server=source,
                             target=self.servers[kind])
        if "sqlite" in self.parts:
            database = sqlite3.connect(self.folder / "shop.db")
            database.execute("create table t(id integer primary key, a text, b blob)")
            database.executemany("insert into t(a, b) values (?, ?)", ((f"row {i}", os.urandom(150)) for i in range(self.options.rows)))
            database.commit()
            database.close()

    def fresh(self, name):
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def create(self, url, server, *words):
        folder = self.fresh("ours")
        sample = self.runbook("backup", "create", url, "--folder", str(folder), "--name", "b", *words, server=server)
        self.bytes = json.loads(next(folder.glob("*.json")).read_text())["bytes"]
        return sample

    def pg_dump(self, *words):
        server = self.servers["postgres"]
        env = dict(self.env, PGPASSWORD=server.parts["password"])
        return timed(["pg_dump", *words, f"--file={self.fresh('plain') / 'd'}", databases.without_password(server.url)], env=env)

    def option_file(self, server):
        path = self.folder / "client.cnf"
        path.touch(mode=0o600)
        p = server.parts
        path.write_text(f"[client]\nhost={p['host']}\nport={p['port']}\nuser={p['user']}\npassword={p['password']}\nssl-ca={p['ca']}\n"
                        + ("ssl-mode=VERIFY_IDENTITY\n" if server.kind == "mysql" else "ssl\nssl-verify-server-cert\n"))
        return f"--defaults-file={path}"

    def mysqldump(self, server):
        tool = self.env["RUNBOOK_MYSQLDUMP"] if server.kind == "mysql" else "mariadb-dump"
        words = ["--set-gtid-purged=OFF", "--loose-skip-masking-policies"] if server.kind == "mysql" else []
        return timed([tool, self.option_file(server), "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob",
                      "--no-tablespaces", "--default-character-set=utf8mb4", *words, f"--result-file={self.fresh('plain') / 'd.sql'}", server.name],
                     env=self.env)

    def mydumper(self, server):
        return timed(["mydumper", self.option_file(server), "--ssl", f"--ca={server.parts['ca']}", f"--database={server.name}", "--threads=2",
                      "--trx-consistency-only", f"--outputdir={self.fresh('plain') / 'd'}"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sqlite_backup(self):
        # Python's own binding of the same call, in a process of its own.
        code = "import sqlite3, sys; a = sqlite3.connect(sys.argv[1]); b = sqlite3.connect(sys.argv[2]); a.backup(b); b.close()"
        return timed([sys.executable, "-c", code, str(self.folder / "shop.db"), str(self.fresh("plain") / "d.db")])

    def compare(self, title, plain, ours):
        plain(), ours()  # warms the caches
        results = interleaved(self.options.repeat, [("plain tool", plain), ("runbook backup create", ours)])
        tool, create = (median(results[name]) for name in results)
        cpu = median(results["runbook backup create"], "cpu")
        print(f"{title:<34} {self.bytes / 1e6:6.0f} MB   plain {tool:6.2f} s   create {create:6.2f} s   {create / tool:.2f} × (goal {GOAL})   CPU {cpu:.2f} s",
              flush=True)

    def run(self):
        postgres = self.servers["postgres"]
        url = databases.without_password
        if "pg" in self.parts:
            self.compare("PostgreSQL, pg_dump custom", lambda: self.pg_dump("--format=custom"), lambda: self.create(url(postgres.url), postgres))
        if "pgdir" in self.parts:
            self.compare("PostgreSQL, pg_dump directory, 2", lambda: self.pg_dump("--format=directory", "--jobs=2"),
                         lambda: self.create(url(postgres.url), postgres, "--jobs", "2"))
        for kind, name in (("mysql", "MySQL, mysqldump"), ("mariadb", "MariaDB, mariadb-dump")):
            if kind in self.parts:
                server = self.servers[kind]
                self.compare(name, lambda: self.mysqldump(server), lambda: self.create(url(server.url), server))
        if "mydumper" in self.parts:
            server = self.servers["mariadb"]
            self.compare("MariaDB, mydumper, 2 threads", lambda: self.mydumper(server), lambda: self.create(url(server.url), server, "--jobs", "2"))
        if "sqlite" in self.parts:
            self.compare("SQLite, online backup", self.sqlite_backup, lambda: self.create(f"sqlite:{self.folder}/shop.db", None))


def main():
    bench = Bench(parse())
    try:
        bench.prepare()
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
