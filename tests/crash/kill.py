#!/usr/bin/python3
"""kill -9 at every point of a run, then resume, perhaps dying again, until it ends.

usage: kill.py [--short|--long] [--prove] [--server] [--kills N] [--seed N] [--shape NAME]... [--verbose]

Every shape (shapes/*.lua) is run once with its crossings counted (RUNBOOK_FAILPOINT, docs/durability.md): before, inside
and after each effect and each write of the journal. Then it is run again for each crossing, killed there by SIGKILL, and
resumed by a new process; one of three dies a second time. What must hold afterwards stands in `judge`. Prints figures,
and the first cases that failed with what is needed to see them again; exit 1 when there is one. --prove runs the shape
that lies about its effects (shapes/wrong) and fails unless both lies are found out. --server keeps the journal in the lab's
PostgreSQL instead of a file.
"""
import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BINARY = Path(os.environ.get("RUNBOOK_BIN", ROOT / "build" / "release" / "runbook"))
SHORT, LONG = 510, 10_500              # kills
SERVER_SHORT, SERVER_LONG = 40, 1_000  # with the journal on a server, whose commits take their time
RESUMES = 8                # processes after which a run must have ended

# How a run may end besides the way it ends when nobody kills it: exit, and what then stands. None of it is silent: the
# step is in doubt by its own event, or the repair was begun and not finished.
MAY_STOP = {"blind"}        # exit 4: nobody can say whether the step is done
MAY_GO_BACK = {"repair"}    # exit 1: a repair that was interrupted is not begun again
# What their undos leave behind must come in the order of a run that nobody kills.
ORDERED = {"order"}
# Cases of theirs take their time: the short form takes one of so many.
SLOW = {"sleep": 3, "watched": 2}


class Case:
    """One run with its own folder and world, and its own journal or its own name in a server's; killed where `kills` say."""

    def __init__(self, shape, folder, server=None):
        self.shape, self.folder, self.server = shape, Path(folder), server
        self.name = f"k{uuid.uuid4().hex[:12]}"
        self.world, self.journal = self.folder / "world.db", self.folder / "journal.db"
        for source in (next(HERE.glob(f"shapes/**/{shape}.lua")), HERE / "shapes" / "effects.lua"):
            shutil.copy(source, self.folder)
        with sqlite3.connect(self.world) as db:
            # No waiting for the disk: what is tested here is the death of a process.
            db.execute("pragma journal_mode = wal")
            db.execute("create table effects (id integer primary key autoincrement, name text not null)")
        db.close()
        self.deaths, self.exits, self.said = [], [], []
        self.last = None  # exit code of the process before

    def command(self):
        """What the next process is: the run, its continuation, or its follow-up. A held run is approved first."""
        place = ["--journal", self.server.url if self.server else str(self.journal)]
        if self.shape == "followed" and (self.record() or [""])[0] == "finished":
            child = self.record(f"{self.name}.later")
            return ["due" if child is None else "resume", *([] if child is None else [f"{self.name}.later"]), *place]
        if self.shape == "detached" and self.last == 3:
            asked = [step for event, step, _ in self.events() if event == "gate.opened"][-1]
            subprocess.run([str(BINARY), "approve", self.name, asked, *place], capture_output=True, check=True)
        resume = bool(self.exits or self.deaths)
        return [*(["resume", self.name] if resume else
                  ["exec", f"{self.shape}.lua", "--world", f"sqlite:{self.world}", "--run-id", self.name]),
                *(["--approve", "go"] if self.shape == "gate" else []), "--detach", "--output", "json", *place]

    def goes_on(self, code):
        """Whether the case has another process, although this one ended by itself."""
        if self.shape == "detached":
            return code == 3
        return self.shape == "followed" and (self.record() or [""])[0] == "finished" and (self.record(f"{self.name}.later") or [""])[0] != "finished"

    def start(self, failpoint=None):
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "RUNBOOK_LUA_ROOT", "TMPDIR")}
        environment.update(HOME=str(self.folder), XDG_STATE_HOME=str(self.folder), LC_ALL="C.UTF-8")
        if failpoint:
            environment["RUNBOOK_FAILPOINT"] = failpoint
        done = subprocess.run([str(BINARY), *self.command()], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        self.last = done.returncode
        if done.returncode == -signal.SIGKILL:
            self.deaths.append(len(self.events()))
        else:
            self.exits.append(done.returncode)
            self.said.append(done.stderr.strip()[-300:])
        return done.returncode

    def run(self, kills):
        """Dies as `kills` say, one failpoint a process; returns the exit code of the process that ended."""
        for number in range(RESUMES):
            code = self.start(kills[number] if number < len(kills) else None)
            if code != -signal.SIGKILL and not self.goes_on(code):
                return code
        return None

    def events(self):
        """(event, step, data) of the run, in order."""
        rows = self.query("select event, step, data from {}events where run = '%s' order by seq")
        return [(event, step, json.loads(data)) for event, step, data in rows]

    def record(self, name=None):
        return next(iter(self.query("select state, outcome, exit from {}runs where run = '%s'", name)), None)

    def query(self, sql, name=None):
        """Rows of the journal, as tuples; none where it was killed before there were tables."""
        if self.server:
            return self.server.sql((sql % (name or self.name)).format("runbook."))
        if not self.journal.exists():
            return []
        db = sqlite3.connect(self.journal)
        try:
            return db.execute((sql % (name or self.name)).format("")).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()

    def effects(self):
        db = sqlite3.connect(self.world)
        names = [name for name, in db.execute("select name from effects order by id")]
        db.close()
        return names

    def files(self):
        """Files the playbook made, with their contents."""
        own = ("world.db", "journal.db", "points", "effects.lua", f"{self.shape}.lua")
        return {str(path.relative_to(self.folder)): path.read_text() if path.is_file() else "folder"
                for path in self.folder.rglob("*") if not path.name.startswith(own)}

    def standing(self):
        count = Counter()
        for name in self.effects():
            count[name.lstrip("-")] += -1 if name.startswith("-") else 1
        return {name: number for name, number in count.items() if number}, self.files()

    def audit(self):
        return subprocess.run([str(BINARY), "show", self.name, "--audit", "--journal", self.server.url if self.server else str(self.journal)], capture_output=True, text=True,
                              check=False).returncode


class Reference:
    """How the shape ends when nobody kills it."""

    def __init__(self, shape, server=None):
        with tempfile.TemporaryDirectory(dir=place()) as folder:
            case = Case(shape, folder, server)
            self.exit = case.run([f"count:{folder}/points"])
            if self.exit not in (0, 1):
                sys.exit(f"kill: {shape} does not run: exit {self.exit}: {case.said[-1]}")
            self.points = (Path(folder) / "points").read_text().split()
            gone = {"journal.before", "journal.inside", "journal.after", "effect.before", "effect.after"} - set(self.points)
            if gone:
                sys.exit(f"kill: {shape} crosses no {', '.join(sorted(gone))}: the host does not call failpoint::cross there any more")
            self.standing, self.files = case.standing()
            self.taken = [name for name in case.effects() if name.startswith("-")]


def place():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def ran_again(events):
    """A step that started although it had finished, without an undo in between; or a failed one without anybody's word."""
    state = {}
    for event, step, _ in events:
        if event == "step.started" and state.get(step) in ("finished", "failed"):
            return f"step {step} had {state[step]} and started again"
        if event in ("step.finished", "step.failed"):
            state[step] = event.split(".")[1]
        elif event in ("undo.started", "substep.undo_started"):
            state.pop(step, None)
        elif event in ("run.held", "redo.finished"):
            state.clear()
    return None


def unreported(events, deaths):
    """Each death after the run existed is followed by run.resumed, and each step that was open by then by step.in_doubt."""
    for at in deaths:
        # A process that died before it had said who started the run and what it does leaves that to the next.
        later = [entry for entry in events[at:] if entry[0] not in ("run.started", "plan")]
        if not later and [event for event, _, _ in events if event != "run.resumed"][-1:] == ["run.finished"]:
            continue  # it had ended: nothing was interrupted
        if at == 0 and not later:
            continue
        if not later or later[0][0] != "run.resumed":
            return f"the death after event {at} is not followed by run.resumed"
        state, back = {}, False
        for event, step, data in events[:at]:
            if event == "step.started" and data.get("kind") != "checklist" and data.get("kind") != "checkpoint":
                state[step] = True
            elif event in ("step.finished", "step.failed", "attempt.failed", "step.skipped", "undo.finished"):
                state.pop(step, None)
            elif event == "rollback.started":
                back = True
        told = {step for event, step, data in later if event == "step.in_doubt"}
        told |= {step for event, step, data in later if event == "undo.started" and data.get("state") == "in doubt"}
        end = next((i for i, (event, _, _) in enumerate(later) if event in ("run.held", "run.finished")), None)
        missing = set(state) - told
        if missing and not back and end is not None and not any(e == "run.resumed" for e, _, _ in later[1:]):
            return f"step {sorted(missing)[0]} was open at the death after event {at}, and nobody said so"
    return None


def unwatched(events):
    """A gap through a crash is no data: whoever goes on says how many looks are missing, and follows what the monitor says then."""
    on, told, problem = {}, False, None
    for event, step, data in events:
        if event == "monitor.started":
            on[step] = data["every_s"]
        elif event == "monitor.ended":
            on.pop(step, None)
        elif event == "monitor.breached" and data.get("no_data"):
            told = True
        elif event == "monitor.resumed":
            missing = int(data["gap_s"] / on[step])
            if abs(missing - data["missing"]) > 1:
                return f"monitor {step}: {data['missing']} looks missing in {data['gap_s']} s"
            problem = problem or (data["missing"] >= 1 and "a gap of looks, and nobody was told")
    return problem if problem and not told else None


def overslept(events):
    """A sleep has one end, however many processes sleep it."""
    ends = {}
    for event, step, data in events:
        if event == "sleep.started" and ends.setdefault((step, data["key"]), data["till"]) != data["till"]:
            return f"step {step} sleeps until {data['till']}, and before the crash until {ends[step, data['key']]}"
    return None


def judge(case, code, reference):
    """What is wrong with the run that went through `case.deaths`, or None."""
    events, effects = case.events(), case.effects()
    record = case.record()
    if code is None:
        return f"it had not ended after {RESUMES} processes"
    if record is None:  # it died before it existed
        return "effects without a run" if effects or case.files() else None if code == 2 else f"no run, exit {code}"
    if code == 2 and record[0] == "finished":  # it died after its end was recorded: resume refuses, and is right
        code = record[2]
    if (len(events) + len(effects)) % 8 == 0 and case.audit() != 0:
        return "the chain is broken"
    # A name that stands twice is an effect that happened twice.
    count = Counter()
    for name in effects:
        count[name.lstrip("-")] += -1 if name.startswith("-") else 1
        if count[name.lstrip("-")] not in (0, 1) and not name.startswith("attempt"):
            return f"{name} happened twice"
    for problem in (ran_again(events), unreported(events, case.deaths), unwatched(events), overslept(events)):
        if problem:
            return problem
    standing, files = case.standing()
    # How often an attempt was made again depends on where it died; that one worked does not.
    attempts = {name for name in standing if name.startswith("attempt")}
    steady = {name: number for name, number in standing.items() if name not in attempts}
    wanted = {name: number for name, number in reference.standing.items() if not name.startswith("attempt")}
    if code == reference.exit:
        if (steady, files) != (wanted, reference.files):
            return f"it ended with {code}, but {steady} {files} stands, and without a kill {wanted} {reference.files}"
        taken = [name for name in effects if name.startswith("-")]
        if case.shape in ORDERED and taken != reference.taken:
            return f"undone in the order {taken}, and without a kill {reference.taken}"
        if bool(attempts) != any(name.startswith("attempt") for name in reference.standing):
            return "no attempt is there"
        if record != ("finished", record[1], code):
            return f"exit {code}, and the journal says {record}"
        return None
    if code == 4 and case.shape in MAY_STOP:
        doubtful = [step for event, step, data in events if event == "step.in_doubt" and data.get("state") == "unknown"]
        if not doubtful:
            return "it stopped with exit 4 although no step is in doubt"
        order = list(reference.standing)
        reached = order.index(doubtful[0])
        if any(name in standing for name in order[reached + 1:]) or any(name not in standing for name in order[:reached]):
            return f"in doubt at {doubtful[0]}, but {standing} stands"
        return None
    if code == 1 and case.shape in MAY_GO_BACK:
        begun = [event for event, _, _ in events if event.startswith("repair.")]
        if begun.count("repair.started") != 1 or set(standing) - {"mended"}:
            return f"it went back with {begun}, and {standing} stands"
        return None
    return f"it ended with {code}, without a kill with {reference.exit}: {case.said[-1]}"


def plan(references, wanted, seed, full):
    """(shape, failpoints) of each case: every crossing in turn, in rounds, until there are enough kills."""
    chance = random.Random(seed)
    cases, kills = [], 0
    total = sum(len(reference.points) for reference in references.values())
    stride = max(1, (total * 4 // 3) // wanted)
    while kills < wanted:
        before = kills
        for shape, reference in references.items():
            offset = chance.randrange(stride)
            for number in range(1 + offset, len(reference.points) + 1, stride * (1 if full else SLOW.get(shape, 1))):
                failpoints = [f"all:{number}"]
                if chance.random() < 0.33:
                    failpoints.append(f"all:{chance.randint(1, 25)}")
                cases.append((shape, failpoints))
                kills += len(failpoints)
        if kills == before:
            sys.exit("kill: no shape crosses a point")
    return cases


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--short", action="store_true")
    options.add_argument("--long", action="store_true")
    options.add_argument("--prove", action="store_true")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--shape", action="append", default=[])
    options.add_argument("--server", action="store_true", help="the journal is in the lab's PostgreSQL")
    options.add_argument("--case", help="shape and failpoints, as a failure prints them")
    options.add_argument("--kills", type=int, help="how many, instead of the form's number")
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    if not given.server:
        return play(given, None)
    if not os.environ.get("RUNBOOK_LAB_PG_ADMIN"):
        print("  left out: RUNBOOK_LAB_PG_ADMIN is not set (./dev lab up)")
        return int(os.environ.get("RUNBOOK_REQUIRE_LAB") == "1")
    sys.path.insert(0, str(HERE.parent / "cli"))
    from conftest import Scratch

    server = Scratch("PG", f"k_{uuid.uuid4().hex[:12]}", os.environ["RUNBOOK_LAB_PG_ADMIN"])
    server.create()
    try:
        return play(given, server)
    finally:
        server.drop()


def play(given, server):
    shapes = given.shape or sorted(path.stem for path in (HERE / "shapes").glob("*.lua") if path.stem != "effects")
    if given.case:
        shapes = [given.case.split()[0]]
    if given.prove:
        shapes, given.kills = ["liar"], 60
    references = {shape: Reference(shape, server) for shape in shapes}
    short, lengthy = (SERVER_SHORT, SERVER_LONG) if server else (SHORT, LONG)
    cases = plan(references, given.kills or (lengthy if given.long else short), given.seed, given.long)
    if given.case:
        cases = [(shapes[0], given.case.split()[1:])]
    deaths, failures, stopped = Counter(), [], Counter()
    start = time.monotonic()

    def one(entry):
        shape, failpoints = entry
        with tempfile.TemporaryDirectory(dir=place(), prefix="rb-kill-") as folder:
            case = Case(shape, folder, server)
            code = case.run(failpoints)
            problem = judge(case, code, references[shape])
            if problem and given.verbose:
                problem += "\n" + "\n".join(f"    {event} {step} {json.dumps(data)[:150]}" for event, step, data in case.events())
                problem += f"\n    effects: {case.effects()} deaths after events {case.deaths}, exits {case.exits}"
            return shape, failpoints, len(case.deaths), code, problem

    with ThreadPoolExecutor(2) as pool:
        for shape, failpoints, died, code, problem in pool.map(one, cases):
            deaths[shape] += died
            stopped[code] += 1
            if problem:
                failures.append(f"--case '{shape} {' '.join(failpoints)}': {problem}")
    seconds = time.monotonic() - start
    if given.prove:
        twice, gone = (sum(text in failure for failure in failures) for text in ("twice happened twice", "but {'twice': 1} {} stands"))
        print(f"steps that lie about their effects: {twice} effects found that happened twice, {gone} that never did, in {len(cases)} runs"
              f"{'' if twice and gone else ' - NOT NOTICED'}")
        return 0 if twice and gone else 1
    for failure in failures if given.verbose else failures[:10]:
        print(f"  kill.py {failure}")
    for shape in shapes:
        print(f"  {shape}: {len(references[shape].points)} points, {deaths[shape]} kills")
    print(f"kills{' with the journal in PostgreSQL' if server else ''}: {sum(deaths.values())} in {len(cases)} runs of {len(shapes)} shapes, {seconds * 1000 / max(1, sum(deaths.values())):.0f} ms a kill, "
          f"exits {dict(sorted((str(k), v) for k, v in stopped.items()))}, failures {len(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
