#!/usr/bin/python3
"""A counter in ctx.transaction, killed anywhere: it ends exactly right, on each of the four engines.

usage: counter.py [--short|--long] [--prove] [--kills N] [--engine SQLITE|PG|MYSQL|MARIADB]...
Each run makes seven additions in transactions of steps and sub-steps; its first processes are killed by SIGKILL at a
random crossing (RUNBOOK_FAILPOINT=all:N), the statement just sent or the commit just done included, and at random moments
from outside. --short: 100 kills an engine, --long: 1,000. Needs the lab (RUNBOOK_LAB_…), except for SQLite. Prints
figures; exit 1 when a counter is wrong. --prove counts without ctx.transaction, in a step that claims to be idempotent, and
fails unless that is found out.
"""
import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kill import BINARY, place

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import Scratch  # noqa: E402

ENGINES = ("SQLITE", "PG", "MYSQL", "MARIADB")
ADDITIONS = 7
BOOK = """
local p = playbook "counter" { summary = "additions", params = { target = { "database", access = "admin", required = true } } }
local function add(c) db.execute(c, "update counter set n = n + 1") end
step "alone" { undo = keep "it counts", run = function(ctx) ctx.transaction(p.target, add) end }
step "often" { undo = keep "it counts", run = function(ctx)
  for _ = 1, 3 do ctx.transaction(p.target, add) end
end }
step "parts" { undo = keep "it counts", run = function(ctx)
  ctx.step("one", { run = function(sub) sub.transaction(p.target, add) end })
  ctx.step("two", { run = function(sub) sub.transaction(p.target, add) sub.transaction(p.target, add) end })
end }
"""
WRONG = """
local p = playbook "counter" { summary = "additions", params = { target = { "database", access = "admin", required = true } } }
step "often" { undo = keep "it counts", idempotent = true, run = function()
  for _ = 1, 7 do db.execute(p.target, "update counter set n = n + 1") end
end }
"""


class Sqlite:
    """The face of Scratch for a file."""

    def __init__(self, folder):
        self.path = f"{folder}/counter.db"
        self.url = f"sqlite:{self.path}"

    def create(self):
        pass

    def drop(self):
        pass

    def sql(self, text):
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            rows = connection.execute(text).fetchall()
            connection.commit()
            return rows
        finally:
            connection.close()


def count(engine, wanted, chance, book=BOOK):
    """Kills, runs, and what went wrong on one engine."""
    with tempfile.TemporaryDirectory(dir=place(), prefix="rb-count-") as folder:
        database = Sqlite(folder) if engine == "SQLITE" else Scratch(engine, f"c_{uuid.uuid4().hex[:12]}", os.environ[f"RUNBOOK_LAB_{engine}_ADMIN"])
        database.create()
        try:
            return Counter(database, Path(folder), chance, book).run(wanted)
        finally:
            database.drop()


class Counter:
    def __init__(self, database, folder, chance, book):
        self.database, self.folder, self.chance = database, folder, chance
        (folder / "counter.lua").write_text(book)
        database.sql("create table counter (n integer not null)")
        database.sql("insert into counter values (0)")

    def process(self, run, resume, failpoint=None, after=None):
        """One process of a run; killed at the failpoint, or from outside after so many seconds."""
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "RUNBOOK_LUA_ROOT", "TMPDIR")}
        environment.update(HOME=str(self.folder), XDG_STATE_HOME=str(self.folder), LC_ALL="C.UTF-8",
                           RUNBOOK_TARGET_PASSWORD=unquote(urlsplit(self.database.url).password or ""))
        if failpoint:
            environment["RUNBOOK_FAILPOINT"] = failpoint
        command = [str(BINARY), *(["resume", run] if resume else ["exec", "counter.lua", "--target", self.database.url, "--run-id", run]),
                   "--output", "plain"]
        process = subprocess.Popen(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        try:
            _, self.said = process.communicate(timeout=after or 60)
        except subprocess.TimeoutExpired:
            process.kill()
            _, self.said = process.communicate()
        return process.returncode

    def points(self):
        """How many crossings a run has from its first effect on, and where that is."""
        code = self.process("whole", False, f"count:{self.folder}/points")
        if code != 0:
            raise RuntimeError(f"the uncrashed run ended with {code}: {self.said}")
        names = (self.folder / "points").read_text().split()
        return names.index("effect.before") + 1, len(names)

    def run(self, wanted):
        start = time.monotonic()
        first, last = self.points()
        usual = (time.monotonic() - start) / 2
        kills, runs, problems = 0, 1, []
        while kills < wanted:
            run = f"r{runs}"
            runs += 1
            existed = False
            for turn in range(12):
                # Two deaths a run at points, one in four of them at a random moment instead; then it may end.
                failpoint, after = f"all:{self.chance.randint(first, last)}", None
                if self.chance.random() < 0.25:
                    failpoint, after = None, self.chance.uniform(0.2, 1) * usual
                if turn >= 2:
                    failpoint, after = None, None
                code = self.process(run, existed, failpoint, after)
                existed = existed or code != 2 and self.known(run)
                if code != -signal.SIGKILL:
                    break
                kills += 1
            value = self.database.sql("select n from counter")[0][0]
            if code not in (0, 2) or value != runs * ADDITIONS:
                problems.append(f"run {run} ended with {code} and the counter at {value} instead of {runs * ADDITIONS}: {self.said[-300:]}")
                break
        return kills, runs, time.monotonic() - start, problems

    def known(self, run):
        db = sqlite3.connect(self.folder / "runbook" / "journal.db", timeout=30)
        try:
            return db.execute("select count(*) from runs where run = ?", (run,)).fetchone()[0] == 1
        except sqlite3.OperationalError:
            return False
        finally:
            db.close()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--short", action="store_true")
    options.add_argument("--long", action="store_true")
    options.add_argument("--prove", action="store_true")
    options.add_argument("--kills", type=int)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--engine", action="append", choices=ENGINES, default=[])
    given = options.parse_args()
    wanted = given.kills or (1000 if given.long else 100)
    if given.prove:
        kills, runs, _, problems = count("SQLITE", 60, random.Random(1), WRONG)
        print(f"additions without ctx.transaction: {'found wrong' if problems else 'NOT NOTICED'} after {kills} kills in {runs} runs")
        return 0 if problems else 1
    engines, missing = [], []
    for engine in given.engine or ENGINES:
        (engines if engine == "SQLITE" or os.environ.get(f"RUNBOOK_LAB_{engine}_ADMIN") else missing).append(engine)
    failed = bool(missing) and os.environ.get("RUNBOOK_REQUIRE_LAB") == "1"
    for engine in missing:
        print(f"  {engine}: {'missing' if failed else 'left out'}: RUNBOOK_LAB_{engine}_ADMIN is not set (./dev lab up)")
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda engine: count(engine, wanted, random.Random(f"{engine} {given.seed}")), engines)
        for engine, (kills, runs, seconds, problems) in zip(engines, results):
            failed = failed or bool(problems)
            for problem in problems:
                print(f"  {engine}: {problem}")
            print(f"counter on {engine}: {kills} kills in {runs} runs, {runs * ADDITIONS} additions, {seconds:.1f} s, "
                  f"{'WRONG' if problems else 'exactly right'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
