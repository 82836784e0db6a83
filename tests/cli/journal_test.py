"""The journal as a team and an operator meet it: on a PostgreSQL server of its own (which is stopped in the middle), from another host,
on a full disk, behind a lock, for a user who may only read."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest


PASSWORD = "pw/of journal"
ROOT_USER = os.geteuid() == 0


def wait_until(holds, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def as_user(name):
    return ["setpriv", f"--reuid={name}", f"--regid={subprocess.check_output(['id', '-gn', name], text=True).strip()}", "--clear-groups", "--"]


class Server:
    """A throw-away cluster that syncs as a real one does; the lab's must not be stopped."""

    def __init__(self):
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not bins:
            if os.environ.get("RUNBOOK_REQUIRE_LAB") == "1":
                pytest.fail("no PostgreSQL server below /usr/lib/postgresql")
            pytest.skip("no PostgreSQL server below /usr/lib/postgresql")
        self.bin = bins[-1].parent
        self.folder = Path(tempfile.mkdtemp(prefix="rb-journal-pg-", dir="/tmp"))
        self.user = as_user("postgres") if ROOT_USER else []
        if ROOT_USER:
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.call(self.bin / "initdb", "-D", self.folder / "data", "-U", "journal", f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8",
                  "--auth=scram-sha-256", "--no-sync", "--no-instructions")
        self.url = f"postgres://journal@127.0.0.1:{self.port}/postgres"

    def call(self, *args):
        subprocess.run([*self.user, *map(str, args)], check=True, cwd="/", stdout=subprocess.DEVNULL)

    def start(self):
        self.process = subprocess.Popen([*self.user, str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
                                         "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"],
                                        cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(self.answers, "the server answers")

    def connect(self):
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="journal", password=PASSWORD, dbname="postgres")
        connection.autocommit = True
        return connection

    def answers(self):
        import psycopg2

        try:
            self.connect().close()
            return True
        except psycopg2.OperationalError:
            return False

    def sql(self, text):
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def stop(self):
        """Without a checkpoint, as a crash does: what was committed comes back from its log."""
        self.call(self.bin / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        self.process.wait()
        self.process = None

    def close(self):
        if self.process:
            self.stop()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def server():
    made = Server()
    made.start()
    yield made
    made.close()


@pytest.fixture
def team(server, runbook):
    """The binary with the journal on the server, emptied."""
    if not server.process:
        server.start()
    server.sql("DROP SCHEMA IF EXISTS runbook CASCADE")
    usual = runbook.environment
    runbook.environment = lambda env=None: usual({"RUNBOOK_JOURNAL": server.url, "RUNBOOK_JOURNAL_PASSWORD": PASSWORD, **(env or {})})
    return runbook


# Each step of `steps` appends its name to a file, waits for NAME.go in its first attempt, and appends once more.
def waiting(*steps):
    text = 'local p = playbook "steps" { summary = "x", needs = { files = { "./" }, shell = { "sh" } } }\n'
    for name in steps:
        text += f'''step "{name}" {{ undo = keep "x", idempotent = true, run = function()
          sh.run {{ "sh", "-c", "echo {name} >> log; touch {name}.started; while [ ! -e {name}.go ]; do sleep 0.05; done" }}
        end }}\n'''
    return text


def elsewhere(runbook, *args, cwd=None, env=None):
    """The same program on another host: one with another name, at least."""
    return subprocess.run(["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", str(runbook.binary), *map(str, args)],
                          env=runbook.environment(env), cwd=cwd, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def can_unshare():
    return subprocess.run(["unshare", "--uts", "hostname", "elsewhere"], capture_output=True).returncode == 0


def test_killed_here_resumed_elsewhere(team, server, playbook):
    path = playbook(waiting("a", "b") + 'gate "go" { ask = "Go on?", within = "5m" }\n')
    folder = path.parent
    (folder / "a.go").touch()
    run = team.start("exec", path.name, "--run-id", "r1", cwd=folder)
    wait_until((folder / "b.started").exists, "step b runs")
    shown = f"postgres://journal:***@127.0.0.1:{server.port}/postgres"
    for command in (["runs"], ["show", "r1"], ["report", "r1"], ["runs", "--output", "json"]):
        seen = team(*command, cwd=folder)
        assert seen.exit == 0 and ("r1" in seen.out), seen
        assert PASSWORD not in seen.out + seen.err
    run.process.kill()
    killed = run.finish()
    assert shown in killed.out and PASSWORD not in killed.out + killed.err, killed
    (folder / "b.go").touch()
    if can_unshare():
        # Another host cannot see that the process is gone: it believes the lease until it ends.
        refused = elsewhere(team, "resume", "r1", cwd=folder)
        assert refused.returncode != 0
        assert f"run r1 is running already (process {run.process.pid} on {socket.gethostname()})" in refused.stderr
        server.sql("UPDATE runbook.runs SET lease_until = 1")
        second = subprocess.Popen(["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", str(team.binary), "resume", "r1"],
                                  env=team.environment(), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        team.started.append(second)
    else:
        second = team.start("resume", "r1", cwd=folder).process
    wait_until(lambda: server.sql("SELECT 1 FROM runbook.events WHERE event = 'gate.opened'"), "the gate opens")
    tail = team.start("tail", "r1", "--output", "json", cwd=folder)
    answered = team("approve", "r1", "go", cwd=folder)  # a third connection
    assert answered.exit == 0, answered
    second.communicate(timeout=60)
    assert second.returncode == 0
    followed = tail.finish()
    assert followed.exit == 0 and json.loads(followed.out.splitlines()[-1])["event"] == "run.finished"
    assert (folder / "log").read_text().split() == ["a", "b", "b"]  # what had finished was not run again
    audit = team("show", "r1", "--audit", cwd=folder)
    assert audit.exit == 0, audit


def test_a_holder_that_lost_its_lease_stops_before_the_next_effect(team, server, playbook):
    path = playbook(waiting("a", "b", "c"))
    folder = path.parent
    for name in ("a", "c"):
        (folder / f"{name}.go").touch()
    first = team.start("exec", path.name, "--run-id", "r1", cwd=folder)
    wait_until((folder / "b.started").exists, "step b runs")
    # As if it had been out of reach for longer than its lease, and another host took over.
    server.sql("UPDATE runbook.runs SET lease_until = 1, owner_host = 'gone'")
    (folder / "b.started").unlink()
    second = team.start("resume", "r1", cwd=folder)
    wait_until((folder / "b.started").exists, "the second process runs step b")
    (folder / "b.go").touch()
    lost, won = first.finish(), second.finish()
    assert lost.exit == 4 and won.exit == 0, (lost, won)
    who = f"process {second.process.pid} on {socket.gethostname()}", "another process, which has ended since"
    assert any(f"run r1 was taken over by {one} (token 2, ours is 1)" in lost.err for one in who), lost.err
    assert (folder / "log").read_text().split() == ["a", "b", "b", "c"]  # step b overlapped, c ran once
    assert team("show", "r1", "--audit", cwd=folder).exit == 0


def test_a_quick_restart_of_the_server_is_ridden_out(team, server, playbook):
    path = playbook(waiting("a", "b"))
    folder = path.parent
    (folder / "b.go").touch()
    run = team.start("exec", path.name, "--run-id", "r1", cwd=folder)
    wait_until((folder / "a.started").exists, "step a runs")
    server.stop()
    server.start()
    (folder / "a.go").touch()
    result = run.finish()
    assert result.exit == 0, result
    assert (folder / "log").read_text().split() == ["a", "b"]
    assert team("show", "r1", "--audit", cwd=folder).exit == 0


def test_a_server_that_stays_away_stops_the_run_and_resume_finishes_it(team, server, playbook):
    path = playbook(waiting("a", "b"))
    folder = path.parent
    (folder / "b.go").touch()
    run = team.start("exec", path.name, "--run-id", "r1", cwd=folder)
    wait_until((folder / "a.started").exists, "step a runs")
    before = server.sql("SELECT seq, hash FROM runbook.events ORDER BY seq")
    server.stop()
    (folder / "a.go").touch()
    result = run.finish()
    assert result.exit == 4, result
    assert f"run r1 stopped: journal postgres://journal:***@127.0.0.1:{server.port}/postgres: connection refused" in result.err.lower(), result
    assert not (folder / "b.started").exists()  # no effect without its entry
    unreachable = team("runs", cwd=folder)
    assert unreachable.exit == 2 and "connection refused" in unreachable.err.lower() and "is the server up" in unreachable.err, unreachable
    server.start()
    assert server.sql("SELECT seq, hash FROM runbook.events ORDER BY seq")[:len(before)] == before  # nothing is lost
    second = team("resume", "r1", cwd=folder)
    assert second.exit == 0, second
    assert (folder / "log").read_text().split() == ["a", "a", "b"]  # step a was in doubt, and is idempotent
    assert team("show", "r1", "--audit", cwd=folder).exit == 0


def test_an_answer_makes_no_journal(team, server):
    result = team("approve", "r1", "go")
    assert result.exit == 2 and f"there is no journal in postgres://journal:***@127.0.0.1:{server.port}/postgres" in result.err, result
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'runbook'") == [(0,)]


def test_fsync_off_is_said_once(runbook, playbook, scratch):
    database = scratch("PG")
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    result = runbook("exec", path.name, "--journal", database.url, "--output", "plain", cwd=path.parent)
    assert result.exit == 0, result
    off = database.sql("SHOW fsync") == [("off",)]
    assert (result.out + result.err).count("this server runs with fsync = off") == off


# --- a file's own troubles ------------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_before_the_next_effect(runbook, playbook, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode != 0:
        pytest.skip("no mount here")
    try:
        path = playbook(waiting("a", "b"))
        folder = path.parent
        (folder / "b.go").touch()
        journal = disk / "journal.db"
        run = runbook.start("exec", path.name, "--run-id", "r1", "--journal", journal, cwd=folder)
        wait_until((folder / "a.started").exists, "step a runs")
        filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while os.write(filler, b"x" * 4096):
                pass
        os.close(filler)
        (folder / "a.go").touch()
        result = run.finish()
        assert result.exit == 4, result
        assert f"run r1 stopped: journal {journal}: the disk is full" in result.err, result
        assert "then resume the run" in result.err
        assert not (folder / "b.started").exists()
        (disk / "filler").unlink()
        second = runbook("resume", "r1", "--journal", journal, cwd=folder)
        assert second.exit == 0, second
        assert (folder / "log").read_text().split() == ["a", "a", "b"]
        assert runbook("show", "r1", "--audit", "--journal", journal, cwd=folder).exit == 0
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(not ROOT_USER, reason="needs root to act as another user")
@pytest.mark.parametrize("live", [False, True])
def test_another_user_reads_a_folder_that_he_cannot_write(runbook, playbook, live):
    path = playbook(waiting("a"))
    folder = path.parent
    place = Path(tempfile.mkdtemp(prefix="rb-journal-", dir="/tmp"))
    try:
        journal = place / "journal.db"
        run = runbook.start("exec", path.name, "--run-id", "r1", "--journal", journal, cwd=folder)
        wait_until((folder / "a.started").exists, "step a runs")
        if not live:
            (folder / "a.go").touch()
            assert run.finish().exit == 0
        place.chmod(0o755)
        for file in place.iterdir():
            file.chmod(0o644)
        before = sorted(file.name for file in place.iterdir())
        for command in (["runs"], ["show", "r1"], ["report", "r1"], ["show", "r1", "--audit"], *([] if live else [["tail", "r1"]])):
            seen = subprocess.run([*as_user("nobody"), str(runbook.binary), *command, "--journal", str(journal)], cwd="/",
                                  env=runbook.environment({"HOME": "/nonexistent", "RUNBOOK_LUA_ROOT": None}), capture_output=True,
                                  text=True, timeout=60)
            assert seen.returncode == 0 and "r1" in seen.stdout, (command, seen)
        refused = subprocess.run([*as_user("nobody"), str(runbook.binary), "approve", "r1", "x", "--journal", str(journal)], cwd="/",
                                 env=runbook.environment({"HOME": "/nonexistent", "RUNBOOK_LUA_ROOT": None}), capture_output=True, text=True)
        assert refused.returncode == 2
        assert f"journal {journal}: this file is read-only" in refused.stderr and "make it writable for this user" in refused.stderr, refused
        assert sorted(file.name for file in place.iterdir()) == before  # reading leaves nothing behind
        (folder / "a.go").touch()
        if live:
            assert run.finish().exit == 0
    finally:
        shutil.rmtree(place)


def test_a_damaged_journal_is_refused_before_anything_runs(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x", needs = { files = { "./" } } }\n'
                    'step "a" { undo = keep "x", run = function() fs.write("ran", "x") end }\n')
    folder = path.parent
    assert runbook("exec", path.name, cwd=folder).exit == 0
    (folder / "ran").unlink()
    with open(runbook.journal, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    result = runbook("exec", path.name, cwd=folder)
    assert result.exit == 2, result
    assert f"journal {runbook.journal}: the file is damaged" in result.err
    assert "keep the file for the inquiry, and name another journal" in result.err
    assert not (folder / "ran").exists()


def test_a_password_on_the_command_line_is_warned_of_and_shown_nowhere(team, server, playbook):
    path = playbook('local p = playbook "tiny" { summary = "x" }\nstep "a" { run = function() end }\n')
    url = server.url.replace("journal@", f"journal:{quote(PASSWORD, safe=str())}@")
    alone = {"RUNBOOK_JOURNAL": None, "RUNBOOK_JOURNAL_PASSWORD": None}
    warning = "warning: the password in --journal is visible to other users of this machine; give it as RUNBOOK_JOURNAL_PASSWORD\n"
    result = team("exec", path.name, "--run-id", "r1", "--journal", url, cwd=path.parent, env=alone)
    assert (result.exit, result.err) == (0, warning), result
    seen = [result]
    for words in (["runs"], ["show", "r1"], ["report", "r1"], ["show", "r1", "--output", "json"], ["show", "no such run"]):
        seen.append(team(*words, "--journal", url, env=alone))
        assert seen[-1].err.startswith(warning)
    assert team("runs", env=alone | {"RUNBOOK_JOURNAL": url}).err == ""  # an environment is the user's own
    for bad in (url.replace("@127", "x@127"), url.replace("/postgres", "/no such"), url.replace("postgres://", "postgres:/"),
                url.replace("postgres://", ""), url + "?sslmode=no", url.replace("postgres://", "oracle://"), url.replace("127.0.0.1:", "127.0.0.1:x")):
        for words in (["runs"], ["exec", path.name]):
            seen.append(team(*words, "--journal", bad, cwd=path.parent, env=alone))
            assert seen[-1].exit == 2, seen[-1]
    assert all(PASSWORD not in one.out + one.err and quote(PASSWORD, safe="") not in one.out + one.err for one in seen)
    assert sorted(p.name for p in path.parent.iterdir()) == ["playbook.lua"]


@pytest.mark.parametrize("location", ["postgres:/u:word@host/db", "u:word@host/db", "postgresql:host/db", "mysql:u:word@host"])
def test_half_a_url_is_no_file(runbook, location):
    for result in (runbook("runs", "--journal", location), runbook("runs", env={"RUNBOOK_JOURNAL": location})):
        assert (result.exit, result.err) == (2, "error: the journal's location is half a URL: its postgres:// is missing\n"
                                                "hint: name a path, sqlite:PATH, or postgres://user@host/database\n")
