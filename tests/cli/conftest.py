"""What the tests of the whole program share: running the binary, playbook files, the lab's servers.

A run gets a home and a journal of its own. It may leave no process behind: each carries a mark in its environment, and
whoever still has it afterwards fails the test.
"""
import os
import shutil
import signal
import subprocess
import textwrap
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "RUNBOOK_TEST_MARK"
TIMEOUT = 60


def binary():
    found = os.environ.get("RUNBOOK_BIN")
    if found:
        return Path(found)
    for preset in ("release", "dev"):
        if (ROOT / "build" / preset / "runbook").exists():
            return ROOT / "build" / preset / "runbook"
    pytest.fail("no runbook binary: set RUNBOOK_BIN or run ./dev build")


def marked(mark):
    """Processes that carry the mark, as (pid, command line); zombies have no environment and do not count."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()))
        except OSError:
            continue
    return found


@dataclass
class Result:
    """How a run ended: exit status (negative: the signal), both streams as text."""

    exit: int
    out: str
    err: str

    def events(self):
        """The events of a run with --output json, in order."""
        import json

        return [json.loads(line) for line in self.out.splitlines()]


class Started:
    """A run in the background, for tests that signal it or answer it."""

    def __init__(self, process):
        self.process = process

    def finish(self, timeout=TIMEOUT):
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"runbook did not end within {timeout} s\n--- stdout\n{out}\n--- stderr\n{err}")
        return Result(self.process.returncode, out, err)


class Runbook:
    """Runs the binary. `env` adds to the environment, a value of None removes."""

    def __init__(self, home):
        self.binary = binary()
        self.home = home
        self.state = home / "state"
        self.journal = self.state / "runbook" / "journal.db"
        self.mark = uuid.uuid4().hex
        self.started = []

    def environment(self, env=None):
        base = {key: value for key, value in os.environ.items() if key == "RUNBOOK_LUA_ROOT" or not key.startswith(("RUNBOOK_", "PG", "MYSQL_"))}
        base.update(HOME=str(self.home), XDG_STATE_HOME=str(self.state), XDG_CACHE_HOME=str(self.home / "cache"),
                    XDG_CONFIG_HOME=str(self.home / "config"), LC_ALL="C.UTF-8", TZ="UTC", TERM="dumb")
        base[MARK] = self.mark
        for key, value in (env or {}).items():
            if value is None:
                base.pop(key, None)
            else:
                base[key] = str(value)
        return base

    def start(self, *args, env=None, cwd=None, stdin=subprocess.DEVNULL):
        process = subprocess.Popen([str(self.binary), *map(str, args)], env=self.environment(env), cwd=cwd or self.home,
                                   stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                                   errors="replace")
        self.started.append(process)
        return Started(process)

    def __call__(self, *args, env=None, cwd=None, input=None, timeout=TIMEOUT):
        run = self.start(*args, env=env, cwd=cwd, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        if input is not None:
            run.process.stdin.write(input)
        return run.finish(timeout)

    def terminal(self, *args, env=None, cwd=None, size=(40, 120), timeout=TIMEOUT):
        """The program on a terminal, driven with pexpect."""
        import pexpect

        return pexpect.spawn(str(self.binary), [str(a) for a in args], env=self.environment({"TERM": "xterm-256color", **(env or {})}),
                             cwd=str(cwd or self.home), dimensions=size, timeout=timeout, encoding="utf-8")

    def leftovers(self):
        """Processes of the runs that are still alive once every run has ended; a dying one gets a moment."""
        deadline = time.monotonic() + 5
        while True:
            own = {process.pid for process in self.started if process.poll() is None}
            left = [entry for entry in marked(self.mark) if entry[0] not in own]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.05)


@pytest.fixture
def runbook(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    run = Runbook(home)
    yield run
    for process in run.started:
        if process.poll() is None:
            process.kill()
            process.communicate()
    left = run.leftovers()
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def playbook(tmp_path):
    """Writes a playbook (indentation removed) and returns its path."""

    def write(text, name="playbook.lua"):
        path = tmp_path / "playbooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def example(tmp_path):
    """A copy of playbooks/, so that what a playbook writes beside itself lands in the test's folder."""
    target = tmp_path / "examples"
    shutil.copytree(ROOT / "playbooks", target)
    return target


# --- the lab --------------------------------------------------------------------------------------------------------


def lab_url(name):
    """The URL that `./dev lab env` exported as RUNBOOK_LAB_<name>; without it the test is skipped, or fails in CI."""
    url = os.environ.get(f"RUNBOOK_LAB_{name}")
    if url:
        return url
    message = f"RUNBOOK_LAB_{name} is not set: ./dev lab up, then eval \"$(./dev lab env)\""
    if os.environ.get("RUNBOOK_REQUIRE_LAB") == "1":
        pytest.fail(message)
    pytest.skip(message)
    return None


def with_database(url, database):
    """The same URL with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def connect_postgres(url):
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def connect_mysql(url):
    import pymysql

    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    # MySQL's generated certificate names no host, so the chain is what is checked here.
    tls = {"ca": options.get("sslrootcert") or os.environ.get("RUNBOOK_LAB_CA")} if options.get("sslmode") != "disable" else None
    if tls:
        tls["check_hostname"] = False
    where = {"unix_socket": options["socket"]} if "socket" in options else {"host": parts.hostname, "port": parts.port or 3306}
    return pymysql.connect(user=unquote(parts.username or ""), password=unquote(parts.password or ""), ssl=tls, autocommit=True,
                           charset="utf8mb4", database=unquote(parts.path.lstrip("/")) or None, **where)


class Scratch:
    """A database of one test. `url` opens it with the admin's rights; `as_user` gives the URL of another lab user."""

    def __init__(self, kind, name, admin):
        self.kind, self.name, self.admin = kind, name, admin
        self.url = with_database(admin, name)

    def as_user(self, role):
        """role: APP or MIGRATE."""
        return with_database(lab_url(f"{self.kind}_{role}"), self.name)

    def connect(self):
        return connect_postgres(self.url) if self.kind == "PG" else connect_mysql(self.url)

    def sql(self, text, params=None):
        """Runs one statement; its rows as tuples, or []."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, params)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def create(self):
        users = {unquote(urlsplit(os.environ[key]).username) for role in ("APP", "MIGRATE")
                 if (key := f"RUNBOOK_LAB_{self.kind}_{role}") in os.environ}
        if self.kind == "PG":
            connection = connect_postgres(self.admin)
            with connection.cursor() as cursor:
                cursor.execute(f'create database "{self.name}"')
            connection.close()
            connection = self.connect()
            with connection.cursor() as cursor:
                for user in users:
                    cursor.execute(f'grant all on database "{self.name}" to "{user}"')
                    cursor.execute(f'grant all on schema public to "{user}"')
            connection.close()
            return
        connection = connect_mysql(self.admin)
        with connection.cursor() as cursor:
            cursor.execute(f"create database `{self.name}` character set utf8mb4")
            for user in users:
                cursor.execute(f"grant all on `{self.name}`.* to `{user}`@`%`")
        connection.close()

    def drop(self):
        if self.kind == "PG":
            connection = connect_postgres(self.admin)
            with connection.cursor() as cursor:
                cursor.execute(f'drop database if exists "{self.name}" with (force)')
        else:
            connection = connect_mysql(self.admin)
            with connection.cursor() as cursor:
                cursor.execute(f"drop database if exists `{self.name}`")
        connection.close()


@pytest.fixture
def scratch():
    """scratch("PG" | "MYSQL" | "MARIADB"): an empty database of this test, dropped afterwards."""
    made = []

    def make(kind):
        database = Scratch(kind, f"t_{uuid.uuid4().hex[:12]}", lab_url(f"{kind}_ADMIN"))
        made.append(database)
        database.create()
        return database

    yield make
    for database in made:
        database.drop()
