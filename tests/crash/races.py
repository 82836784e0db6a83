#!/usr/bin/python3
"""An approval against a deadline: whoever is first, there is exactly one outcome, and everybody is told the same.

usage: races.py [--short|--long]
A gate waits for a moment and then goes back; `runbook approve` is sent so that it arrives around the deadline. Afterwards
the gate has one answer or has expired, never both; the run went on or went back accordingly; an approval that was posted
before the deadline counts. --short: 40 races, --long: 1,000. Prints figures; exit 1 on a failure.
"""
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from kill import BINARY, place

BOOK = """
playbook "race" { summary = "a gate with a deadline", needs = { files = { "./" } } }
step "before" { run = function() fs.write("before", "1") end, undo = function() fs.remove "before" end }
gate "go" { ask = "on?", within = "250ms", otherwise = "rollback" }
step "after" { run = function() fs.write("after", "1") end, undo = keep "x" }
"""


def rows(journal, sql):
    db = sqlite3.connect(journal, timeout=30)
    try:
        return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        db.close()


def one(entry):
    aim, lead = entry
    with tempfile.TemporaryDirectory(dir=place(), prefix="rb-race-") as name:
        folder = Path(name)
        (folder / "race.lua").write_text(BOOK)
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "RUNBOOK_LUA_ROOT", "TMPDIR")}
        environment.update(HOME=name, XDG_STATE_HOME=name, LC_ALL="C.UTF-8")
        journal = folder / "runbook" / "journal.db"
        run = subprocess.Popen([BINARY, "exec", "race.lua", "--run-id", "r1", "--output", "plain"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        opened, until = [], time.monotonic() + 30
        while not opened and time.monotonic() < until and run.poll() is None:
            time.sleep(0.005)
            opened = rows(journal, "select data from events where event = 'gate.opened'") if journal.exists() else []
        if not opened:
            return "", f"the gate did not open: {run.communicate()[0][-300:]}"
        deadline = datetime.fromisoformat(json.loads(opened[0][0])["deadline"].replace("Z", "+00:00")).timestamp()
        time.sleep(max(0, deadline + aim - lead - time.time()))
        told = subprocess.run([BINARY, "approve", "r1", "go"], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
        said = run.communicate(timeout=60)[0]
        events = [event for event, in rows(journal, "select event from events order by seq")]
        posted = rows(journal, "select micros from requests where verb = 'approve'")
        answered, expired = events.count("gate.answered"), events.count("gate.expired")
        there = ((folder / "before").exists(), (folder / "after").exists())
        outcome = "approved" if answered else "expired"
        if answered + expired != 1:
            return outcome, f"{answered} answers and {expired} expiries: {events}"
        if (run.returncode, *there) != ((0, True, True) if answered else (1, False, False)):
            return outcome, f"{outcome}, but exit {run.returncode} and before, after are {there}: {said[-300:]}"
        if posted and posted[0][0] / 1e6 < deadline - 0.001 and not answered:
            return outcome, f"an approval {deadline - posted[0][0] / 1e6:.4f} s before the deadline did not count"
        if told.returncode != 0 and answered:
            return outcome, f"it was approved, and `approve` ended with {told.returncode}: {told.stderr.strip()[-200:]}"
        return outcome, None


def main():
    wanted = 1000 if "--long" in sys.argv else 40
    chance = random.Random(1)
    begin = time.monotonic()
    for _ in range(5):
        subprocess.run([BINARY, "version"], capture_output=True, check=False)
    lead = (time.monotonic() - begin) / 5
    start = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(one, [(chance.uniform(-0.1, 0.25), lead) for _ in range(wanted)]))
    problems = [problem for _, problem in results if problem]
    for problem in problems[:10]:
        print(f"  {problem}")
    counted = Counter(outcome for outcome, _ in results)
    print(f"races: {len(results)}, {counted['approved']} approved, {counted['expired']} expired, {time.monotonic() - start:.1f} s, failures {len(problems)}")
    if not problems and (counted["approved"] < wanted // 20 or counted["expired"] < wanted // 20):
        print("  one side hardly ever won: nothing was raced")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
