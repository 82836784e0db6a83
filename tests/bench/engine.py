#!/usr/bin/python3
"""Measures the engine itself: durable steps against raw SQLite commits on the same disk, resume of a long journal, start-up.

Like tests/bench/run: the ways are interleaved, figures are ratios of medians of one machine. Needs no server.

  tests/bench/engine.py [--steps N] [--long N] [--repeat N] [--build FOLDER] [--only steps,resume,start]
"""
import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of the run that is measured (default 1,000)")
    parser.add_argument("--long", type=int, default=10_000, help="steps of the run that is resumed (default 10,000)")
    parser.add_argument("--repeat", type=int, default=5, help="turns of each way (default 5)")
    parser.add_argument("--build", default=HERE.parents[1] / "build" / "release", type=Path, help="folder with the runbook binary")
    parser.add_argument("--only", default="steps,resume,start", help="parts, with commas")
    return parser.parse_args()


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.runbook = str(options.build / "runbook")
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder), "HOME": str(folder)}

    def playbook(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def timed(self, *argv, expect=0):
        start = time.monotonic()
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        wall = time.monotonic() - start
        if done.returncode != expect:
            sys.exit(f"bench: {' '.join(argv)} ended with exit {done.returncode}: {done.stderr.decode()}")
        return wall

    def raw(self, sizes):
        """Seconds of as many commits as the journal made, of rows of the same size, with the same settings."""
        path = self.folder / "raw.db"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, data TEXT)")
        rows = ["x" * size for size in sizes]
        start = time.monotonic()
        for row in rows:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows (data) VALUES (?)", (row,))
            database.execute("COMMIT")
        wall = time.monotonic() - start
        database.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        return wall

    def steps(self):
        count = self.options.steps
        text = 'local p = playbook "bench" {{ summary = "x" }}\nfor i = 1, {} do step("s" .. i) {{ run = function() end }} end\n'
        many, none = self.playbook("many.lua", text.format(count)), self.playbook("none.lua", text.format(1))
        rates, raws = [], []
        for _ in range(self.options.repeat):
            journal = self.folder / "steps.db"
            start = self.timed(self.runbook, "exec", none, "--journal", str(journal))
            few = self.sizes(journal)
            for end in ("", "-wal", "-shm"):
                Path(f"{journal}{end}").unlink(missing_ok=True)
            wall = self.timed(self.runbook, "exec", many, "--journal", str(journal)) - start
            sizes = self.sizes(journal)
            for end in ("", "-wal", "-shm"):
                Path(f"{journal}{end}").unlink(missing_ok=True)
            commits = len(sizes) - len(few)
            rates.append(commits / wall)
            raws.append(commits / self.raw(sizes[-commits:]))
        rate, raw = statistics.median(rates), statistics.median(raws)
        print(f"durable steps      {rate * count / commits:8,.0f} steps/s, {commits / count:.1f} commits a step")
        print(f"commits            {rate:8,.0f} /s against {raw:,.0f} /s raw at synchronous=FULL: {rate / raw:.2f} (goal 0.90)")
        return rate / raw >= 0.9

    @staticmethod
    def sizes(journal):
        database = sqlite3.connect(journal)
        try:
            return [size for (size,) in database.execute("SELECT length(data) + length(event) + length(step) + 120 FROM events ORDER BY seq")]
        finally:
            database.close()

    def resume(self):
        count = self.options.long
        path = self.playbook("long.lua", f'local p = playbook "long" {{ summary = "x" }}\n'
                                         f'for i = 1, {count} do step("s" .. i) {{ run = function() end }} end\n'
                                         'gate "go" { ask = "Go?", within = "7d" }\n')
        journal = str(self.folder / "long.db")
        self.timed(self.runbook, "exec", path, "--journal", journal, "--run-id", "r1", "--detach", expect=3)
        walls = sorted(self.timed(self.runbook, "resume", "r1", "--journal", journal, "--detach", expect=3)
                       for _ in range(max(20, self.options.repeat)))
        p95 = walls[int(len(walls) * 0.95) - 1]
        print(f"resume of {count:,} steps   p50 {statistics.median(walls) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms (goal 200 ms)")
        return p95 < 0.2

    def start(self):
        path = self.playbook("empty.lua", 'local p = playbook "empty" { summary = "x" }\n')
        warm = str(self.folder / "warm.db")
        self.timed(self.runbook, "exec", path, "--journal", warm)
        ways = {"luajit": [], "warm": [], "fresh": [], "version": []}
        for _ in range(max(20, self.options.repeat)):
            ways["luajit"].append(self.timed("luajit", "-e", ""))
            ways["version"].append(self.timed(self.runbook, "version"))
            ways["warm"].append(self.timed(self.runbook, "exec", path, "--journal", warm))
            ways["fresh"].append(self.timed(self.runbook, "exec", path, "--journal", str(self.folder / "fresh.db")))
            for end in ("", "-wal", "-shm"):
                (self.folder / f"fresh.db{end}").unlink(missing_ok=True)
        middle = {name: statistics.median(walls) * 1000 for name, walls in ways.items()}
        print(f"start-up           luajit {middle['luajit']:.1f} ms, `runbook version` {middle['version']:.1f} ms")
        print(f"  warm journal     {middle['warm']:.1f} ms, {middle['warm'] / middle['luajit']:.1f} x luajit (goal 5)")
        print(f"  fresh journal    {middle['fresh']:.1f} ms, {middle['fresh'] / middle['luajit']:.1f} x luajit (goal 10)")
        return middle["warm"] <= 5 * middle["luajit"] and middle["fresh"] <= 10 * middle["luajit"]


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        bench = Bench(options, Path(folder))
        met = [getattr(bench, part)() for part in options.only.split(",")]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
