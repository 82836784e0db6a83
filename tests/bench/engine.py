#!/usr/bin/python3
"""Measures the engine itself: durable steps against raw SQLite commits on the same disk, resume of a long journal, start-up.

The ways are interleaved in short rounds, and what counts is the median of the rounds' ratios: a busy minute hits both sides of
a ratio. Wall and CPU time (user and system, of the process and its threads) stand side by side, because on a busy machine only the second
says much. Needs no server.

  tests/bench/engine.py [--steps N] [--long N] [--repeat N] [--build FOLDER] [--only steps,resume,start]
"""
import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
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


@dataclass
class Time:
    wall: float
    cpu: float


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
        """Wall and CPU seconds of a program."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != expect:
            sys.exit(f"bench: {' '.join(argv)} ended with exit {done.returncode}: {done.stderr.decode()}")
        return Time(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def without(self, journal):
        for end in ("", "-wal", "-shm"):
            Path(f"{journal}{end}").unlink(missing_ok=True)

    def raw(self, sizes):
        """Wall and CPU seconds of as many commits as the journal made, of rows of the same size, with the same settings."""
        path = self.folder / "raw.db"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, data TEXT)")
        rows = ["x" * size for size in sizes]
        start, before = time.monotonic(), time.process_time()
        for row in rows:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows (data) VALUES (?)", (row,))
            database.execute("COMMIT")
        done = Time(time.monotonic() - start, time.process_time() - before)
        database.close()
        self.without(path)
        return done

    def steps(self):
        count = self.options.steps
        text = 'local p = playbook "bench" {{ summary = "x" }}\nfor i = 1, {} do step("s" .. i) {{ run = function() end }} end\n'
        many, none = self.playbook("many.lua", text.format(count)), self.playbook("none.lua", text.format(1))
        journal = self.folder / "steps.db"
        rates, raws, ratios, cpus, raw_cpus = [], [], [], [], []
        for _ in range(self.options.repeat):
            start = self.timed(self.runbook, "exec", none, "--journal", str(journal))
            few = self.sizes(journal)
            self.without(journal)
            whole = self.timed(self.runbook, "exec", many, "--journal", str(journal))
            sizes = self.sizes(journal)
            self.without(journal)
            commits = len(sizes) - len(few)
            rates.append(commits / (whole.wall - start.wall))
            raw = self.raw(sizes[-commits:])
            raws.append(commits / raw.wall)
            raw_cpus.append(raw.cpu / commits)
            ratios.append(rates[-1] / raws[-1])
            cpus.append((whole.cpu - start.cpu) / commits)
        rate, raw, ratio = (statistics.median(values) for values in (rates, raws, ratios))
        print(f"durable steps      {rate * count / commits:8,.0f} steps/s, {commits / count:.1f} commits a step, "
              f"{statistics.median(cpus) * 1e6:.0f} µs of CPU a commit (raw: {statistics.median(raw_cpus) * 1e6:.0f})")
        print(f"commits            {rate:8,.0f} /s against {raw:,.0f} /s raw at synchronous=FULL: {ratio:.2f} (goal 0.90; rounds {min(ratios):.2f} to {max(ratios):.2f})")
        return ratio >= 0.9

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
        times = [self.timed(self.runbook, "resume", "r1", "--journal", journal, "--detach", expect=3) for _ in range(max(20, self.options.repeat))]
        walls = sorted(one.wall for one in times)
        p95 = walls[int(len(walls) * 0.95) - 1]
        print(f"resume of {count:,} steps   p50 {statistics.median(walls) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms (goal 200 ms), "
              f"{statistics.median(one.cpu for one in times) * 1000:.0f} ms of CPU")
        return p95 < 0.2

    def start(self):
        path = self.playbook("empty.lua", 'local p = playbook "empty" { summary = "x" }\n')
        warm = str(self.folder / "warm.db")
        self.timed(self.runbook, "exec", path, "--journal", warm)
        fresh = self.folder / "fresh.db"
        ways = {"luajit": ["luajit", "-e", ""], "version": [self.runbook, "version"],
                "warm": [self.runbook, "exec", path, "--journal", warm], "fresh": [self.runbook, "exec", path, "--journal", str(fresh)]}
        rounds = []
        for _ in range(max(30, self.options.repeat)):
            rounds.append({name: self.timed(*argv) for name, argv in ways.items()})
            self.without(fresh)

        def middle(name, what):
            return statistics.median(getattr(one[name], what) for one in rounds) * 1000

        def against(name, what):
            return statistics.median(getattr(one[name], what) / getattr(one["luajit"], what) for one in rounds)

        print(f"start-up           luajit {middle('luajit', 'wall'):.1f} ms ({middle('luajit', 'cpu'):.1f} CPU), "
              f"`runbook version` {middle('version', 'wall'):.1f} ms ({middle('version', 'cpu'):.1f} CPU)")
        for name, goal in (("warm", 5), ("fresh", 10)):
            print(f"  {name + ' journal':<16} {middle(name, 'wall'):.1f} ms ({middle(name, 'cpu'):.1f} CPU), "
                  f"{against(name, 'wall'):.1f} x luajit ({against(name, 'cpu'):.1f} x its CPU; goal {goal})")
        return all(against(name, what) <= goal for name, goal in (("warm", 5), ("fresh", 10)) for what in ("wall", "cpu"))


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        bench = Bench(options, Path(folder))
        met = [getattr(bench, part)() for part in options.only.split(",")]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
