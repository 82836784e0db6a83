#!/usr/bin/python3
"""Copies that are cut off at a random moment and gone on with: no row lost, none doubled, with and without keys.

usage: copies.py [--short|--long] [--prove] [--kills N] [--seed N] [--engine MYSQL|MARIADB]... [--verbose]

A PostgreSQL database behind a write fence is copied into MySQL and MariaDB by two streams. The client is killed by SIGKILL,
or the server ends a session of the source or of the target, at a random moment; `runbook copy --resume` goes on, and one of
three is killed again. What must hold: the last resume ends with exit 0, `runbook verify` finds nothing, each row is there as
often as in the source. --short: 10 kills, --long: 100. Needs the lab (RUNBOOK_LAB_…). --prove takes chunks out of the ledger
behind the copy's back and fails unless that is found out. Prints figures; exit 1 on a failure.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kill import BINARY, place

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import Scratch  # noqa: E402

ROWS = 12_000
TABLES = f"""
create table keyed (id bigint primary key, body text not null, at timestamptz default now());
insert into keyed select n * 7, repeat(md5(n::text), 20) from generate_series(1, {ROWS}) n;
create index keyed_at on keyed (at);
create table child (id int primary key, keyed_id bigint references keyed, note text);
insert into child select n, n * 7, md5(n::text) from generate_series(1, {ROWS}) n;
create table keyless (n int, body text, raw bytea);
insert into keyless select n % {ROWS // 2}, repeat(md5((n % {ROWS // 2})::text), 20), decode(md5((n % {ROWS // 2})::text), 'hex') from generate_series(1, {ROWS}) n;
create table named (name text primary key, body text);
insert into named select 'name ' || n, repeat(md5(n::text), 8) from generate_series(1, {ROWS}) n;
create table empty (id int primary key);
analyze
"""
FENCE = """
local p = playbook "fence" { params = { source = { "database", access = "admin", required = true } } }
step "closed" { undo = keep "a test", run = function() db.fence_on(p.source) end }
"""
VICTIMS = ("client", "source", "target")


def without_password(url):
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()


class Case:
    """One target, and what happened to the copies into it."""

    def __init__(self, source, engine, chance, folder):
        self.source, self.engine, self.chance, self.folder = source, engine, chance, folder
        self.target = Scratch(engine, f"c_{uuid.uuid4().hex[:12]}", os.environ[f"RUNBOOK_LAB_{engine}_ADMIN"])
        self.name = f"copy {uuid.uuid4().hex[:12]}"
        self.kills, self.said, self.results = [], "", []

    def start(self, *words):
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "TMPDIR")}
        environment.update(HOME=str(self.folder), XDG_STATE_HOME=str(self.folder), LC_ALL="C.UTF-8")
        for end, database in (("SOURCE", self.source), ("TARGET", self.target)):
            environment[f"RUNBOOK_{end}_PASSWORD"] = unquote(urlsplit(database.url).password or "")
        return subprocess.Popen([str(BINARY), words[0], without_password(self.source.url), without_password(self.target.url), *words[1:], "--output", "json"],
                                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        self.said += err
        return process.returncode, [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def sessions(self, victim):
        """Sessions of a copy at that end; the source is everybody's, so by the ports of this client."""
        if victim == "source":
            return [pid for pid, in self.source.sql("select pid from pg_stat_activity where datname = current_database() and application_name = 'runbook copy'")]
        return [number for number, in self.target.sql("select id from information_schema.processlist where db = database() and id <> connection_id()")]

    def kill(self, process, victim):
        """True where it was in time."""
        if victim == "client":
            process.kill()
            return process.wait() == -signal.SIGKILL
        hit = False
        for number in self.sessions(victim)[:self.chance.randint(1, 4)]:
            try:
                if victim == "source":
                    self.source.sql("select pg_terminate_backend(%s)", (number,))
                else:
                    self.target.sql(f"kill {number}")
                hit = True
            except Exception:  # noqa: BLE001 - it has gone by itself
                continue
        return hit and process.wait() != 0

    def copy(self, resume, victim, after):
        """One process: its exit code, and whether it was cut off."""
        words = ["copy", "--streams", "2", "--chunk-bytes", "1000000", "--fenced"]
        process = self.start(*words, *(["--resume"] if resume else []), *(["--rate", "8000000"] if victim else []))
        if victim:
            time.sleep(after)
            if process.poll() is None and self.kill(process, victim):
                self.kills.append(victim)
                self.finish(process)
                return None
        code, events = self.finish(process)
        self.results += [event for event in events if event["event"] == "copy.finished"]
        return code

    def run(self, forced=None):
        """What went wrong, or None."""
        self.target.create()
        try:
            code = self.copy(False, forced or self.chance.choice(VICTIMS), self.chance.uniform(0.05, 3.5))
            if code is None and self.chance.random() < 1 / 3:
                code = self.copy(True, self.chance.choice(VICTIMS), self.chance.uniform(0.05, 2.5))
            if code is None:
                code = self.copy(True, None, 0)
            if code != 0:
                return f"exit {code} after {self.kills}: {self.said[-600:]}"
            return self.judge()
        finally:
            self.target.drop()

    def judge(self):
        code, events = self.finish(self.start("verify"))
        found = next((event for event in events if event["event"] == "verify.finished"), {})
        if code != 0 or found.get("coverage") != 1 or found.get("mismatches") != 0:
            return f"after {self.kills} verify says {found.get('samples')} {self.said[-600:]}"
        for table in ("keyed", "child", "keyless", "named"):
            if self.target.sql(f"select count(*) from {table}") != [(ROWS,)]:
                return f"after {self.kills} {table} has another number of rows"
        twice = self.target.sql("select count(*) from (select n from keyless group by n, body, raw having count(*) <> 2) x")
        if twice != [(0,)]:
            return f"after {self.kills} rows of the table without a key are there more or less than twice: {twice}"
        keys = self.target.sql("select count(*) from information_schema.referential_constraints where constraint_schema = database()")
        return None if keys == [(1,)] else f"after {self.kills} the foreign key is missing"


def close_fence(source, folder):
    path = Path(folder) / "fence.lua"
    path.write_text(FENCE)
    environment = {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder), "RUNBOOK_SOURCE_PASSWORD": unquote(urlsplit(source.url).password or "")}
    subprocess.run([str(BINARY), "exec", str(path), "--source", without_password(source.url), "--output", "plain"], env=environment, check=True,
                   capture_output=True, stdin=subprocess.DEVNULL)


def prove(source, engine, folder):
    """A chunk whose row is taken out of the ledger is loaded again: the copy must not call that done."""
    case = Case(source, engine, random.Random(1), folder)
    case.target.create()
    try:
        while case.copy(False, "client", 1.8) is not None or not case.target.sql("select 1 from _runbook_copy where kind = 'chunk' and object = 'keyless'"):
            case.target.drop()
            case.target.create()
        case.target.sql("delete from _runbook_copy where kind = 'chunk' and object = 'keyless'")
        case.target.sql("update _runbook_copy set state = 'begun' where kind = 'part' and object = 'keyless'")
        code = case.copy(True, None, 0)
        return code not in (0, None) and "rows were copied, the target holds" in case.said
    finally:
        case.target.drop()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--short", action="store_true")
    options.add_argument("--long", action="store_true")
    options.add_argument("--prove", action="store_true")
    options.add_argument("--verbose", action="store_true")
    options.add_argument("--kills", type=int)
    options.add_argument("--seed", type=int)
    options.add_argument("--engine", action="append", choices=("MYSQL", "MARIADB"), default=[])
    given = options.parse_args()
    engines = given.engine or ["MYSQL", "MARIADB"]
    missing = [name for name in ("PG", *engines) if not os.environ.get(f"RUNBOOK_LAB_{name}_ADMIN")]
    if missing:
        print(f"  left out: RUNBOOK_LAB_{missing[0]}_ADMIN is not set (./dev lab up)")
        return 1 if os.environ.get("RUNBOOK_REQUIRE_LAB") == "1" else 0
    wanted = given.kills or (100 if given.long else 10)
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    start, problems, kills, results, cases, said = time.monotonic(), [], Counter(), [], 0, ""
    source = Scratch("PG", f"c_{uuid.uuid4().hex[:12]}", os.environ["RUNBOOK_LAB_PG_ADMIN"])
    with tempfile.TemporaryDirectory(dir=place(), prefix="rb-copies-") as folder:
        source.create()
        try:
            source.sql(TABLES)
            close_fence(source, folder)
            if given.prove:
                found = [prove(source, engine, folder) for engine in engines]
                print(f"a chunk that is loaded twice: {'found out' if all(found) else 'NOT NOTICED'}")
                return 0 if all(found) else 1
            while sum(kills.values()) < wanted and not problems and cases < 4 * wanted:
                engine = engines[cases % len(engines)]
                # In the short form each victim has its turn.
                forced = VICTIMS[cases // len(engines) % len(VICTIMS)] if not given.long else None
                case = Case(source, engine, random.Random(f"{seed} {cases}"), folder)
                cases += 1
                problem = case.run(forced)
                if problem:
                    problems.append(f"{engine}, --seed {seed}, case {cases}: {problem}")
                kills.update(case.kills)
                results += case.results
                said += case.said
                if given.verbose:
                    print(f"  {engine} {case.kills} {[(r['resumed_rows'], r['restarted']) for r in case.results]}", flush=True)
        finally:
            source.drop()
    for problem in problems:
        print(f"  {problem}")
    resumed = [r for r in results if r["resumed"]]
    print(f"copies: {sum(kills.values())} kills ({', '.join(f'{kills[v]} {v}' for v in VICTIMS)}) of {cases} copies, {len(resumed)} gone on with "
          f"({sum(r['resumed_rows'] for r in resumed):,} rows were there), {sum(bool(r['restarted']) for r in results)} begun anew, "
          f"{said.count('waiting for the rollback')} waits told, {time.monotonic() - start:.1f} s, failures {len(problems)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
