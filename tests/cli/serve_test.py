"""runbook serve, asked over real HTTP: who may ask and how, what stands in each answer, what happens to it when the journal, a database or
the port is not as it should be, and that it ends without leaving anything."""
import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import time
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urlsplit

import pytest

from conftest import lab_url

SHOP = """
playbook "shop" {}
step "one" { run = function() return 1 end }
step "two" { run = function() return 2 end }
checkpoint "good" { run = function() return { n = 1 } end, pass = function(r) return r.n == 1 end }
"""
LEAKS = """
local p = playbook "leaks" { params = { token = { "secret", from = "env:SHOP_TOKEN" } }, needs = { shell = { "echo" } } }
step "one" { undo = keep "x", run = function() return { out = sh.run({ "echo", p.token }).out } end }
step "two" { run = function() error("it failed with " .. tostring(p.token)) end }
"""
FAILS = """
playbook "orders" {}
step "begin" { undo = function() end, run = function() return 1 end }
checkpoint "counts" { run = function() return { n = 1 } end, pass = function(r) return r.n == 2 end, fail = { { when = function() return true end, rollback "counts differ" } } }
"""
WAITS = """
playbook "waits" { roles = { lead = "Lead" } }
step "prepare" { run = function() return 1 end }
gate "go" { role = "lead", ask = "Open the shop?" }
step "open" { run = function() return 1 end }
"""


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.getheaders()
        self.body = response.read().decode("utf-8")

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        assert self.header("Content-Type") == ["application/json; charset=utf-8"]
        return json.loads(self.body)


class Served:
    """A server under test. `ask` brings its token unless told otherwise."""

    def __init__(self, runbook, started, token_file):
        self.runbook, self.started, self.token_file = runbook, started, token_file
        line = started.process.stdout.readline()
        self.said = [line, started.process.stdout.readline()] if line else []
        if not line:
            pytest.fail("runbook serve did not start: " + started.process.stderr.read())
        self.url = re.fullmatch(r"serving journal .* on (http://\S+/)\n", line)[1]
        self.host, self.port = urlsplit(self.url).hostname, urlsplit(self.url).port
        assert self.said[1] == f"token: in {token_file}\n"
        self.token = token_file.read_text().strip()

    def ask(self, path, method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers={"Authorization": f"Bearer {self.token}"} if headers is None else headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def stop(self, how=signal.SIGTERM):
        self.started.process.send_signal(how)
        return self.started.finish()


@pytest.fixture
def serve(runbook):
    """serve(*options, token_file=…): starts it on a free port of the loopback."""

    def start(*args, token_file=None, **kwargs):
        given = ("--token-file", token_file) if token_file else ()
        return Served(runbook, runbook.start("serve", "--listen", "127.0.0.1:0", *given, *args, **kwargs),
                      token_file or runbook.state / "runbook" / "serve.token")

    return start


@pytest.fixture
def shop(runbook, playbook):
    """A journal with one run that succeeded."""
    file = playbook(SHOP, "shop.lua")
    assert runbook("exec", file, "--run-id", "first").exit == 0
    return file


def refused(result, message, hint=None):
    assert result.exit == 2 and result.out == ""
    lines = result.err.splitlines()
    assert lines[0] == "error: " + message
    assert lines[1:] == (["hint: " + hint] if hint else [])


# --- who may ask, and how -------------------------------------------------------------------------------------------

PATHS = ["/", "/health", "/metrics", "/api/database/health", "/api/migration-status", "/api/backup-status", "/runs/first", "/nothing", "/api/database/metrics"]


def test_without_the_token_every_path_says_the_same(serve, shop):
    served = serve()
    token = served.token
    wrong = [{}, {"Authorization": token}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {token[:-1]}"},
             {"Authorization": f"Bearer {token}0"}, {"Authorization": f"Bearer {token} x"}, {"Authorization": f"Digest {token}"}, {"Cookie": f"token={token}"},
             {"Authorization": "Basic %%%"}, {"Authorization": "Basic " + base64.b64encode(b"runbook:no").decode()},
             {"Authorization": "Basic " + base64.b64encode(f"{token}:".encode()).decode()}]
    for path in PATHS:
        for headers in wrong if path == "/metrics" else wrong[:1]:
            answer = served.ask(path, headers=headers)
            assert (answer.status, answer.body) == (401, "unauthorized\n"), (path, headers)
            assert answer.header("WWW-Authenticate") == ['Bearer realm="runbook"', 'Basic realm="runbook", charset="UTF-8"']
    assert served.ask(f"/metrics?token={token}&access_token={token}", headers={}).status == 401
    assert served.ask("/metrics", method="POST", headers={}, body="x" * 100_000).status == 401
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    for headers in ({"Authorization": f"Bearer {token}"}, {"authorization": f"bearer {token}"}, {"Authorization": f"Basic {basic}"}):
        assert served.ask("/health", headers=headers).status == 200


def test_only_looking_is_possible(serve, shop):
    served = serve()
    for path in PATHS:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "RESUME"):
            answer = served.ask(path, method=method, body="{}" if method in ("POST", "PUT", "PATCH") else None)
            assert (answer.status, answer.body) == (405, "only GET and HEAD: nothing can be changed here\n"), (path, method)
            assert answer.header("Allow") == ["GET, HEAD"]
    for path in PATHS:
        got, head = served.ask(path), served.ask(path, method="HEAD")
        assert (head.status, head.body) == (got.status, "")
        assert head.header("Content-Type") == got.header("Content-Type")
        assert int(head.header("Content-Length")[0]) > 0
    for path in ("/nothing", "/runs/", "/runs", "/health/", "/api", "/../etc/passwd", "/runs/../../etc/passwd", "/%2e%2e/etc/passwd"):
        assert served.ask(path).status == 404, path


def test_no_answer_is_kept_framed_or_guessed_at(serve, shop):
    served = serve()
    for path in PATHS:
        answer = served.ask(path)
        assert answer.header("Cache-Control") == ["no-store"]
        assert answer.header("X-Content-Type-Options") == ["nosniff"]
        assert answer.header("Referrer-Policy") == ["no-referrer"]
        policy = answer.header("Content-Security-Policy")[0]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';") and "frame-ancestors 'none'" in policy and "script" not in policy


def test_a_token_is_made_once_for_this_user_alone(serve, shop, runbook):
    served = serve()
    file = runbook.state / "runbook" / "serve.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", file.read_text())
    served.stop()
    assert serve().token == served.token
    assert [path.name for path in file.parent.iterdir() if "partial" in path.name] == []


def test_a_token_file_must_be_one(runbook, shop, tmp_path):
    file = tmp_path / "token"
    refused(runbook("serve", "--token-file", file), f"token file {file}: No such file or directory",
            "without --token-file one is made, which only this user may read")
    file.write_text("a-token-of-some-length\n")
    file.chmod(0o640)
    refused(runbook("serve", "--token-file", file), f"token file {file}: others may read or write it (mode 640)",
            f"chmod 600 {file}, and change the token if somebody has")
    file.chmod(0o600)
    file.write_text("short\n")
    refused(runbook("serve", "--token-file", file), f"token file {file}: its token has fewer than 16 characters",
            "openssl rand -hex 32 makes one that cannot be guessed")
    file.write_text("two words of some length")
    refused(runbook("serve", "--token-file", file), f"token file {file}: a token is one word without blanks and colons", "openssl rand -hex 32 makes one")
    file.write_text("x" * 5000)
    refused(runbook("serve", "--token-file", file), f"token file {file}: longer than 4096 bytes: that is no token")
    refused(runbook("serve", "--token-file", tmp_path), f"token file {tmp_path}: is no file")


def test_a_token_of_ones_own(serve, shop, tmp_path):
    file = tmp_path / "token"
    file.write_text("  my-own-token-0123456789\n")
    file.chmod(0o600)
    served = serve(token_file=file)
    assert served.token == "my-own-token-0123456789" and served.ask("/health").status == 200


# --- where it listens -----------------------------------------------------------------------------------------------


def test_where_it_cannot_listen_is_said(runbook, shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(runbook("serve", "--listen", f"127.0.0.1:{port}"), f"--listen 127.0.0.1:{port}: Address already in use",
                f"another process has it: ss -ltnp 'sport = :{port}' names it; or give another port")
    remedy = "listen on 127.0.0.1 behind a proxy with TLS; or say --beyond-loopback"
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:7411"):
        refused(runbook("serve", "--listen", address), f"--listen {address}: other hosts could reach it, and what is served is not encrypted", remedy)
    refused(runbook("serve", "--listen", "192.0.2.1:7411", "--beyond-loopback"), "--listen 192.0.2.1:7411: Cannot assign requested address",
            "this host has no such address: `ip address` lists its own")
    like = "for example 127.0.0.1:7411 or [::1]:7411"
    refused(runbook("serve", "--listen", "db.example.com:80"), "--listen db.example.com:80: an IP address expected", like)
    refused(runbook("serve", "--listen", "7411"), "--listen: '7411' is no address: the port is missing", like)
    refused(runbook("serve", "--listen", "127.0.0.1:99999"), "--listen: '127.0.0.1:99999' is no address: the port is a number from 1 to 65535", like)


def test_beyond_the_loopback_is_warned_of(runbook, shop):
    run = runbook.start("serve", "--listen", "0.0.0.0:0", "--beyond-loopback")
    assert re.fullmatch(r"serving journal .* on http://0\.0\.0\.0:\d+/\n", run.process.stdout.readline())
    run.process.send_signal(signal.SIGTERM)
    result = run.finish()
    assert result.exit == 0
    assert result.err == ("warning: other hosts reach it, and neither the token nor the answers are encrypted: put a proxy with TLS before it\n")


def test_it_answers_over_ipv6(runbook, shop):
    run = runbook.start("serve", "--listen", "[::1]:0")
    served = Served(runbook, run, runbook.state / "runbook" / "serve.token")
    assert served.url.startswith("http://[::1]:") and served.ask("/health").status == 200


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_although_somebody_is_connected_and_a_database_is_silent(serve, shop, runbook, tmp_path, how):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (tmp_path / "runbook.toml").write_text(f'[connections]\nsilent = "postgres://anna@127.0.0.1:{silent.getsockname()[1]}/x"\n')
        served = serve("--config", tmp_path)
        idle = socket.create_connection((served.host, served.port))
        half = socket.create_connection((served.host, served.port))
        half.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        waiting = socket.create_connection((served.host, served.port))
        waiting.sendall(f"GET /api/database/health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n\r\n".encode())
        asked, _ = silent.accept()  # it asks the database by now
        began = time.monotonic()
        result = served.stop(how)
        took = time.monotonic() - began
        assert (result.exit, result.err) == (0, "")
        assert took < 4, took  # the database has five seconds
        for connection in (idle, half, waiting, asked):
            connection.close()
    with socket.socket() as again:  # the port is free
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((served.host, served.port))


def test_a_broken_request_does_not_end_it(serve, shop):
    served = serve()
    for garbage in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 100_000, b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
                    b"GET /runs/%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
        with socket.create_connection((served.host, served.port)) as raw:
            try:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
            except OSError:
                pass
    assert served.ask("/health").status == 200
    assert served.ask("/runs/" + quote("\x00\xff '\"<>")).status == 404
    result = served.stop()
    assert (result.exit, result.err) == (0, "")


# --- the journal ----------------------------------------------------------------------------------------------------


def test_without_a_journal_it_does_not_start(runbook, tmp_path):
    refused(runbook("serve"), f"there is no journal at {runbook.journal}", "a first `runbook exec` makes it; --journal names another")
    assert not runbook.state.exists()  # no token either
    other = tmp_path / "x.db"
    other.write_text("this is no database, and long enough to be looked at as one" * 100)
    result = runbook("serve", "--journal", other)
    assert result.exit == 2 and f"journal {other}" in result.err.splitlines()[0]


def test_a_journal_that_goes_and_comes_back(serve, shop, runbook):
    served = serve()
    assert served.ask("/health").json() == {"status": "ok", "version": runbook("version").out.split()[1], "journal": str(runbook.journal)}
    away = runbook.journal.with_name("away.db")
    runbook.journal.rename(away)
    for path in ("/health", "/api/migration-status"):
        answer = served.ask(path)
        assert answer.status == 503
        assert answer.json() == {"status": "failing", "error": {"kind": "usage", "message": f"there is no journal at {runbook.journal}",
                                                                "hint": "a first `runbook exec` makes it; --journal names another"}}
    for path in ("/", "/runs/first"):
        answer = served.ask(path)
        assert (answer.status, answer.body) == (503, f"there is no journal at {runbook.journal}\n")
    answer = served.ask("/metrics")  # says itself that nothing is known: no sample of a run is left that could look healthy
    samples = metrics(answer.body)
    assert answer.status == 200 and samples["runbook_journal_readable"] == {(): 0.0}
    assert not [name for name in samples if name.startswith(("runbook_runs", "runbook_last"))]
    away.rename(runbook.journal)
    assert served.ask("/health").status == 200
    assert metrics(served.ask("/metrics").body)["runbook_runs"] == {(("playbook", "shop"), ("state", "succeeded")): 1.0}


def test_a_locked_journal_is_said(serve, shop, runbook):
    served = serve()
    lock = sqlite3.connect(runbook.journal, isolation_level=None)
    lock.execute("pragma locking_mode = exclusive")
    lock.execute("begin immediate")
    lock.execute("update runs set updated = updated")
    answer = served.ask("/health")
    lock.execute("rollback")
    lock.close()
    assert answer.status == 503
    problem = answer.json()["error"]
    assert problem["kind"] == "journal" and str(runbook.journal) in problem["message"] and "locked" in problem["message"]
    assert served.ask("/health").status == 200


def test_it_writes_nothing(serve, shop, runbook):
    served = serve()

    def content():
        return hashlib.sha256(b"".join(repr(row).encode() for table in ("runs", "events", "requests", "locks")
                                       for row in sqlite3.connect(f"file:{runbook.journal}?mode=ro", uri=True).execute(f"select * from {table}"))).hexdigest()

    before = content()
    for path in PATHS:
        served.ask(path)
        served.ask(path, method="POST", body="{}")
    assert content() == before


# --- runs -----------------------------------------------------------------------------------------------------------


def wait_until(holds, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def runs_of(served, query=""):
    return {run["run"]: run for run in served.ask("/api/migration-status" + query).json()["runs"]}


def test_migration_status_follows_a_run(serve, runbook, playbook, shop):
    go = runbook.home / "go"
    file = playbook(f'''
        playbook "slow" {{ needs = {{ shell = {{ "sh" }} }} }}
        step "first" {{ run = function() return 1 end }}
        step "second" {{ undo = keep "x", run = function() sh.run {{ "sh", "-c", "touch began; while [ ! -e {go} ]; do sleep 0.05; done" }} end }}
        step "third" {{ run = function() return 1 end }}
        step "fourth" {{ run = function() return 1 end }}
    ''', "slow.lua")
    served = serve()
    run = runbook.start("exec", file, "--run-id", "slow-1")
    wait_until((runbook.home / "began").exists, "the second step runs")
    status = served.ask("/api/migration-status").json()
    assert (status["migration_in_progress"], status["running"], status["held"], status["journal"]) == (True, 1, 0, str(runbook.journal))
    one = status["runs"][0]
    assert [entry["run"] for entry in status["runs"]] == ["slow-1", "first"]  # newest first
    assert (one["state"], one["current"], one["done"], one["planned"], one["playbook"]) == ("running", ["second"], 1, 4, "slow")
    assert "exit" not in one and one["elapsed_s"] > 0
    assert metrics(served.ask("/metrics").body)["runbook_runs_running"] == {(("playbook", "shop"),): 0.0, (("playbook", "slow"),): 1.0}
    go.touch()
    assert run.finish().exit == 0
    status = served.ask("/api/migration-status").json()
    assert status["migration_in_progress"] is False
    one = status["runs"][0]
    assert (one["state"], one["current"], one["done"], one["exit"]) == ("succeeded", [], 4, 0)


def test_a_run_whose_process_was_killed_is_interrupted(serve, runbook, playbook, shop):
    file = playbook('''
        playbook "slow" { needs = { shell = { "sh" } } }
        step "long" { undo = keep "x", run = function() sh.run { "sh", "-c", "touch began; sleep 60" } end }
    ''', "slow.lua")
    served = serve()
    run = runbook.start("exec", file, "--run-id", "killed")
    wait_until((runbook.home / "began").exists, "the step runs")
    assert runs_of(served)["killed"]["state"] == "running"
    run.process.kill()
    run.finish()
    status = served.ask("/api/migration-status").json()
    assert (status["interrupted"], status["running"], status["migration_in_progress"]) == (1, 0, False)
    assert (("playbook", "slow"), ("state", "interrupted")) in metrics(served.ask("/metrics").body)["runbook_runs"]


def test_who_is_waited_for(serve, runbook, playbook, shop):
    file = playbook(WAITS, "waits.lua")
    assert runbook("exec", file, "--run-id", "held-1", "--detach").exit == 3
    served = serve()
    one = runs_of(served)["held-1"]
    assert (one["state"], one["waits_for"], one["role"], one["done"], one["planned"]) == ("held", "go", "Lead", 1, 3)
    assert "waits for Lead at go" in served.ask("/").body
    assert runbook("rollback", "held-1").exit == 1
    one = runs_of(served)["held-1"]
    assert (one["state"], one["exit"]) == ("failed", 1) and not {"waits_for", "role", "deadline"} & set(one)


def test_a_checkpoint_that_did_not_pass_is_counted(serve, runbook, playbook, shop):
    file = playbook(FAILS, "orders.lua")
    served = serve()
    name = "runbook_checkpoint_failures_total"
    assert metrics(served.ask("/metrics").body)[name] == {(("playbook", "shop"),): 0.0}
    for turn in (1, 2):
        assert runbook("exec", file, "--run-id", f"bad-{turn}").exit == 1
        assert metrics(served.ask("/metrics").body)[name][(("playbook", "orders"),)] == turn
    one = runs_of(served)["bad-1"]
    assert (one["state"], one["exit"], one["checkpoint_failures"]) == ("rolled_back", 1, 1) and "counts differ" in one["why"]


def test_how_many_runs_are_shown(serve, runbook, shop):
    for i in range(3):
        assert runbook("exec", shop, "--run-id", f"more-{i}").exit == 0
    served = serve()
    assert list(runs_of(served, "?limit=2")) == ["more-2", "more-1"]
    for limit in ("0", "-1", "1001", "x", "1x", "1e3", "99999999999999999999999"):
        answer = served.ask(f"/api/migration-status?limit={limit}")
        assert (answer.status, answer.json()) == (400, {"error": {"kind": "usage", "message": "limit: a number from 1 to 1000"}}), limit


def test_the_names_of_the_firestore_runbook_are_the_same(serve, shop):
    served = serve()
    for path in ("metrics", "migration-status", "backup-status"):
        one, other = served.ask("/metrics" if path == "metrics" else f"/api/{path}"), served.ask(f"/api/database/{path}")
        assert (one.status, one.header("Content-Type")) == (other.status, other.header("Content-Type"))
        assert re.sub(r"\d", "", one.body) == re.sub(r"\d", "", other.body)


def test_a_postgresql_journal(serve, runbook, scratch, playbook):
    database = scratch("PG")
    parts = urlsplit(database.url)
    place = database.url.replace(f":{parts.password}@", "@")
    env = {"RUNBOOK_JOURNAL_PASSWORD": unquote(parts.password)}
    assert runbook("exec", playbook(SHOP), "--journal", place, "--run-id", "remote", env=env).exit == 0
    served = serve("--journal", place, env=env)
    health = served.ask("/health").json()
    assert health["status"] == "ok" and parts.password not in served.ask("/health").body
    assert runs_of(served)["remote"]["state"] == "succeeded"
    assert metrics(served.ask("/metrics").body)["runbook_runs"] == {(("playbook", "shop"), ("state", "succeeded")): 1.0}
    assert "remote" in served.ask("/").body and served.ask("/runs/remote").status == 200
    assert parts.password not in "".join(served.said)
    refused_start = runbook("serve", "--journal", place, env={"RUNBOOK_JOURNAL_PASSWORD": "wrong-password-here"})
    assert refused_start.exit == 2 and "wrong-password-here" not in refused_start.err + refused_start.out


# --- metrics --------------------------------------------------------------------------------------------------------

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'


def metrics(text):
    """Prometheus' text format, read as strictly as promtool does: {name: {((label, value), …): number}}. Each family has its HELP and TYPE
    directly before its samples, once; names, types, labels and numbers are well formed; no sample comes twice."""
    assert text.endswith("\n") and "\r" not in text
    found, name, kind, pending = {}, None, None, []
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            assert name is None or found.get(name), f"{name} has no sample"
            name = line.split(" ")[2]
            assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name) and name not in found, line
            assert len(line.split(" ", 3)[3]) > 10 and re.fullmatch(r"(?:[^\\]|\\\\|\\n)*", line.split(" ", 3)[3])
            pending, kind = ["TYPE"], None
        elif line.startswith("# TYPE "):
            assert pending == ["TYPE"] and line.split(" ")[2] == name
            kind, pending = line.split(" ", 3)[3], []
            assert kind in ("gauge", "counter") and (kind == "counter") == name.endswith("_total"), line
            found[name] = {}
        else:
            match = re.fullmatch(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)", line)
            assert match and match[1] == name and kind, line
            labels = tuple((key, value.replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\"))
                           for key, value in re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"', match[2] or ""))
            assert len({key for key, _ in labels}) == len(labels) and labels not in found[name], line
            number = float(match[3])
            assert number == number and number >= 0 and (kind != "counter" or number == int(number))
            found[name][labels] = number
    assert found.get(name), f"{name} has no sample"
    return found


def test_the_metrics_are_those_of_the_journal(serve, runbook, playbook, shop):
    odd = 'odd "name" with \\ and <b>'
    file = playbook(SHOP.replace('"shop"', json.dumps(odd)), "odd.lua")
    assert runbook("exec", file, "--run-id", "odd-1").exit == 0
    assert runbook("exec", playbook(FAILS, "orders.lua"), "--run-id", "bad").exit == 1
    served = serve()
    answer = served.ask("/metrics")
    assert answer.header("Content-Type") == ["text/plain; version=0.0.4; charset=utf-8"]
    found = metrics(answer.body)
    by = {name: {dict(labels).get("playbook"): value for labels, value in samples.items()} for name, samples in found.items()}
    assert by["runbook_runs_running"] == {"shop": 0, odd: 0, "orders": 0}
    assert found["runbook_runs"] == {(("playbook", odd), ("state", "succeeded")): 1, (("playbook", "shop"), ("state", "succeeded")): 1,
                                     (("playbook", "orders"), ("state", "rolled_back")): 1}
    rows = {row[0]: row[1:] for row in sqlite3.connect(runbook.journal).execute("select playbook, started, updated from runs")}
    for name, (started, updated) in rows.items():
        assert by["runbook_last_start_timestamp_seconds"][name] == pytest.approx(started / 1e6, abs=1e-4)
        assert by["runbook_last_duration_seconds"][name] == pytest.approx((updated - started) / 1e6, abs=1e-4)
        if name != "orders":
            assert by["runbook_last_success_timestamp_seconds"][name] == pytest.approx(updated / 1e6, abs=1e-4)
    assert "orders" not in by["runbook_last_success_timestamp_seconds"]  # never: absent, not 1970
    assert by["runbook_checkpoint_failures_total"] == {"shop": 0, odd: 0, "orders": 1}
    assert found["runbook_journal_readable"] == {(): 1.0} and len(found["runbook_build_info"]) == 1
    assert not [name for name in found if name.startswith("runbook_backup")]


# --- backups --------------------------------------------------------------------------------------------------------


def test_backups_are_judged_by_runbook_toml(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "shop.db").executescript("create table t (a); insert into t values (1), (2)")
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
shop = "sqlite:{tmp_path}/shop.db"
[backups.shop]
source = "shop"
folders = ["dumps/", "{tmp_path}/more"]
every = "1h"
[backups.nightly]
source = "postgres://anna@db1/crm"
''')
    served = serve("--config", tmp_path)
    status = served.ask("/api/backup-status").json()
    assert status["status"] == "critical"
    assert [(one["name"], one["status"], one["why"]) for one in status["backups"]] == [
        ("nightly", "critical", ["there is no whole backup of postgres://db1:5432/crm"]), ("shop", "critical", [f"there is no whole backup of sqlite:{tmp_path}/shop.db"])]
    assert "anna" not in served.ask("/api/backup-status").body
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_met"] == {(("backup", "shop"),): 0, (("backup", "nightly"),): 0}
    assert "runbook_backup_age_seconds" not in found
    made = runbook("backup", "create", f"sqlite:{tmp_path}/shop.db", "--folder", tmp_path / "dumps", "--folder", tmp_path / "more")
    assert made.exit == 0, made.err
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["why"], one["missed"], one["whole"]) == ("ok", [], 0, 1)
    newest = one["newest"]
    assert (newest["rows"], newest["verified"], newest["copies"]) == (2, "read", 2)
    assert hashlib.sha256(open(newest["file"], "rb").read()).hexdigest() == newest["sha256"]
    assert 0 <= one["age_s"] < 600
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_met"][(("backup", "shop"),)] == 1
    assert 0 <= found["runbook_backup_age_seconds"][(("backup", "shop"),)] < 600
    assert found["runbook_backup_size_bytes"][(("backup", "shop"),)] == newest["bytes"]
    for manifest in [*tmp_path.glob("dumps/*.json"), *tmp_path.glob("more/*.json")]:  # 90 minutes old, then five hours
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "started": older(data["started"], 90)}))
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["missed"]) == ("warning", 1)
    for manifest in [*tmp_path.glob("dumps/*.json"), *tmp_path.glob("more/*.json")]:
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "started": older(data["started"], 210)}))
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["missed"]) == ("critical", 4)
    assert metrics(served.ask("/metrics").body)["runbook_backup_missed"] == {(("backup", "shop"),): 4}


def older(started, minutes):
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(started.replace("Z", "+00:00")) - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def test_where_nothing_is_asked_for_nothing_is_said_to_be_well(serve, shop):
    served = serve()
    status = served.ask("/api/backup-status").json()
    assert (status["status"], status["backups"], status["why"]) == ("unknown", [], "runbook.toml asks for no backups ([backups.NAME])")
    health = served.ask("/api/database/health")
    assert health.status == 200
    assert (health.json()["status"], health.json()["connections"]) == ("unknown", [])


def test_a_folder_that_cannot_be_read_is_unknown(serve, shop, tmp_path):
    (tmp_path / "dumps").write_text("a file")
    (tmp_path / "runbook.toml").write_text('[backups.shop]\nsource = "sqlite:x.db"\nfolders = "dumps"\n')
    served = serve("--config", tmp_path)
    status = served.ask("/api/backup-status").json()
    assert status["status"] == "unknown" and status["backups"][0]["status"] == "unknown" and "dumps" in status["backups"][0]["why"][0]
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_readable"] == {(("backup", "shop"),): 0} and "runbook_backup_met" not in found


def test_mistakes_of_runbook_toml_are_said_before_it_starts(runbook, shop, tmp_path):
    def wrong(text, message, hint=None):
        (tmp_path / "runbook.toml").write_text(text)
        refused(runbook("serve", "--config", tmp_path), f"{tmp_path}/runbook.toml:{message}", hint)

    wrong('[connections]\nprod = "sqlite:x"\n[backups.shop]\nsource = "prd"\n',
          "3: backups.shop.source: no connection 'prd' in [connections] (did you mean 'prod'?)")
    wrong("[backups.shop]\n", "1: backups.shop: source is missing", "a name of [connections], or a URL")
    wrong('[backups.shop]\nsource = "sqlite:x"\nevry = "1h"\n', "3: backups.shop: unknown key 'evry' (did you mean 'every'?)",
          "known here: source, folders, every, grace, restored, keep, shrink")
    wrong('[backups.shop]\nsource = "sqlite:x"\nevery = "daily"\n', "3: backups.shop.every: 'daily': a duration such as 24h or 30d expected")
    wrong('[backups.shop]\nsource = "sqlite:x"\nkeep = 0\n', "3: backups.shop.keep: a whole number from 1 to 1000000 expected")
    wrong('[backups.shop]\nsource = "sqlite:x"\nshrink = 2\n', "3: backups.shop.shrink: a number from 0 to 1 expected")
    (tmp_path / "runbook.toml").unlink()
    refused(runbook("serve", "--config", tmp_path), f"--config {tmp_path}: there is no runbook.toml")
    (tmp_path / "runbook.toml").write_text('[connections]\nprod = "oracle://x"\n')
    result = runbook("serve", "--config", tmp_path)
    assert result.exit == 2 and result.err.startswith(f"error: {tmp_path}/runbook.toml:2: connections.prod: ")


# --- databases ------------------------------------------------------------------------------------------------------


def without_password(url):
    password = urlsplit(url).password
    return url.replace(f":{password}@", "@"), unquote(password)


def test_database_health(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "small.db").execute("create table t (a)")
    postgres, pg_password = without_password(lab_url("PG_APP"))
    mariadb, maria_password = without_password(lab_url("MARIADB_APP"))
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
pg = {{ url = "{postgres}", password = "env:THE_PG_PASSWORD", access = "write" }}
maria = "{mariadb}"
small = "sqlite:{tmp_path}/small.db"
''')
    env = {"THE_PG_PASSWORD": pg_password, "RUNBOOK_MARIA_PASSWORD": maria_password}
    served = serve("--config", tmp_path, env=env)
    answer = served.ask("/api/database/health")
    health = answer.json()
    assert (answer.status, health["status"]) == (200, "ok"), health
    maria, pg, small = health["connections"]
    assert [one["name"] for one in health["connections"]] == ["maria", "pg", "small"]
    for one, engine, encrypted in ((pg, "PostgreSQL", True), (maria, "MariaDB", True), (small, "SQLite", False)):
        assert (one["reachable"], one["engine"], one["encrypted"]) == (True, engine, encrypted), one
        assert re.match(r"\d+\.\d+", one["version"]) and 0 <= one["latency_ms"] < 30_000 and 0 <= one["connect_ms"] < 30_000
    parts = urlsplit(postgres)
    assert pg["database"] == f"postgres://{parts.hostname}:{parts.port}{parts.path}"
    for secret in (pg_password, maria_password, parts.username + "@", urlsplit(mariadb).username + "@", "THE_PG_PASSWORD"):
        assert secret not in answer.body


def test_a_database_that_does_not_answer(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "small.db").execute("create table t (a)")
    postgres, _ = without_password(lab_url("PG_APP"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
small = "sqlite:{tmp_path}/small.db"
gone = "mysql://anna@127.0.0.1:{port}/shop"
wrong = {{ url = "{postgres}", password = "env:WRONG_PASSWORD" }}
unset = {{ url = "postgres://anna@127.0.0.1:{port}/shop", password = "env:NOT_SET_AT_ALL" }}
''')
    served = serve("--config", tmp_path, env={"WRONG_PASSWORD": "not-the-password-7"})
    answer = served.ask("/api/database/health")
    health = answer.json()
    assert (answer.status, health["status"]) == (503, "failing")
    gone, small, unset, wrong = health["connections"]
    assert small["reachable"] is True
    assert (gone["reachable"], gone["error"]["kind"], gone["database"]) == (False, "db.connection", f"mysql://127.0.0.1:{port}/shop")
    assert (wrong["reachable"], wrong["error"]["kind"]) == (False, "db.auth")
    assert (unset["reachable"], unset["error"]["kind"]) == (False, "usage") and "NOT_SET_AT_ALL" in unset["error"]["message"]
    assert "not-the-password-7" not in answer.body and "anna@" not in answer.body
    assert served.ask("/health").status == 200  # of the server itself


def test_many_who_ask_at_once_are_one_look(serve, shop, tmp_path):
    import threading

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (tmp_path / "runbook.toml").write_text(f'[connections]\nsilent = "postgres://anna@127.0.0.1:{silent.getsockname()[1]}/x"\n')
        served = serve("--config", tmp_path)
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(served.ask("/api/database/health").json()["checked"])) for _ in range(5)]
        for thread in asking:
            thread.start()
        first, _ = silent.accept()
        assert served.ask("/health").status == 200  # others are answered meanwhile
        first.close()
        for thread in asking:
            thread.join()
        silent.setblocking(False)
        assert len(set(answers)) == 1
        with pytest.raises(BlockingIOError):
            silent.accept()


# --- pages ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.rows, self.loads, self.open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.loads += [(tag, key) for key in given if key in ("src", "srcset", "data", "action") or key.startswith("on")]
        if tag == "a":
            self.links.append(given["href"])
        if tag == "tr":
            self.rows.append("")
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.rows and "tr" in self.open:
            self.rows[-1] += data + "|"


def test_the_page_of_runs(serve, runbook, playbook, shop):
    odd = '<script>alert("x")</script>&amp;'
    assert runbook("exec", playbook(SHOP.replace('"shop"', json.dumps(odd)), "odd.lua"), "--run-id", "a b'\"<i>&/ä").exit == 0
    served = serve()
    answer = served.ask("/")
    assert answer.header("Content-Type") == ["text/html; charset=utf-8"]
    page = Page(answer.body)
    assert {"script", "i", "form", "link", "img", "iframe"}.isdisjoint(page.tags) and page.loads == []
    assert len(page.rows) == 3 and odd in page.rows[1] and page.rows[2].startswith("first|shop|succeeded|3 of 3|")
    assert page.links[1] == "/runs/first" and served.ask(page.links[0]).status == 200
    for link in page.links:
        report = served.ask(link)
        assert report.status == 200 and "<script" not in report.body
    assert served.ask("/runs/first").body.strip() == runbook("report", "first", "--format", "html").out.strip()
    assert served.ask("/runs/fir").status == 404  # no guessing


def test_a_journal_without_runs(serve, runbook, shop):
    connection = sqlite3.connect(runbook.journal)
    for table in ("events", "runs"):
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger' and tbl_name = ?", (table,)).fetchall():
            connection.execute(f'drop trigger "{trigger}"')
        connection.execute(f"delete from {table}")
    connection.commit()
    connection.close()
    served = serve()
    assert "There is no run yet." in served.ask("/").body
    assert served.ask("/api/migration-status").json()["runs"] == []
    assert set(metrics(served.ask("/metrics").body)) == {"runbook_build_info", "runbook_journal_readable"}


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_served(serve, runbook, playbook, shop, tmp_path):
    secret, password = "Horse!battery/staple 42", "pass:word/with ü"
    env = {"SHOP_TOKEN": secret, "SMALL_PASSWORD": password}
    assert runbook("exec", playbook(LEAKS, "leaks.lua"), "--run-id", "leak", env=env).exit == 1
    (tmp_path / "runbook.toml").write_text(
        f'[connections]\nsmall = {{ url = "postgres://anna@127.0.0.1:1/x", password = "env:SMALL_PASSWORD" }}\ninside = "mysql://ben:{quote("in-the-url-9", safe="")}@127.0.0.1:1/y"\n'
        '[backups.inside]\nsource = "inside"\n')
    served = serve("--config", tmp_path, env=env)
    everything = "".join(served.said)
    for path in [*PATHS, "/runs/leak", "/runs/nothing"]:
        answer = served.ask(path)
        everything += answer.body + repr(answer.headers)
        everything += served.ask(path, headers={}).body
    for hidden in (secret, password, "in-the-url-9", served.token):
        for form in (hidden, quote(hidden, safe=""), base64.b64encode(hidden.encode()).decode(), json.dumps(hidden)[1:-1], hidden.replace("&", "&amp;")):
            assert form not in everything, form
    arguments = open(f"/proc/{served.started.process.pid}/cmdline", "rb").read()
    assert served.token.encode() not in arguments
    result = served.stop()
    assert served.token not in result.out + result.err
