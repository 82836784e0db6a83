"""A `runbook serve` under test, for the tests that ask it: its address and token, its answers, and Prometheus' text read strictly."""
import http.client
import json
import re
import signal
import time
from urllib.parse import urlsplit

import pytest

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


PATHS = ["/", "/health", "/metrics", "/api/database/health", "/api/migration-status", "/api/backup-status", "/runs/first", "/nothing", "/api/database/metrics"]



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


def wait_until(holds, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def runs_of(served, query=""):
    return {run["run"]: run for run in served.ask("/api/migration-status" + query).json()["runs"]}


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
