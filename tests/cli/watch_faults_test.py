"""The fault matrix of metrics: an answer that is empty, NaN, late, refused, 429, 500, no JSON, old or half passes nowhere."""
import http.server
import json
import threading
import time
import urllib.parse

import pytest
from evaluate import evaluate
from private_postgres import free_port

# --- a server that answers in each wrong way ---------------------------------------------------------------------------------


def vector(value, at=None, labels=None):
    """An answer of Prometheus to whatever was asked: every expression has this value."""
    def answer(query, now):
        names = [part.split('"')[0] for part in query.split('"runbook", "')[1:]] or [None]
        # what proves freshness is right, so that the fault itself is what is met
        result = [{"metric": {**(labels or {}), **({"runbook": name} if name else {})}, "value": [now if at is None else now + at, "1" if name == "age" and value != "NaN" else value]}
                  for name in names]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})
    return answer


def aged(query, now):
    status, body = vector("0")(query, now)
    found = json.loads(body)
    for one in found["data"]["result"]:
        if one["metric"].get("runbook") == "age":
            one["value"][1] = "3600"
    return status, json.dumps(found)


def text(status, body):
    return lambda query, now: (status, body)


SUCCESS = {"status": "success", "data": {"resultType": "vector", "result": []}}
FAULTS = {
    "empty vector": text(200, json.dumps(SUCCESS)),
    "empty answer": text(200, ""),
    "empty object": text(200, "{}"),
    "null": text(200, "null"),
    "no data": text(200, '{"status":"success","data":null}'),
    "NaN": vector("NaN"),
    "infinite": vector("+Inf"),
    "no number": vector("many"),
    "time-out": "hang",
    "slow body": "drip",
    "half a body": "cut",
    "429": text(429, "slow down"),
    "500": text(500, "oops"),
    "503": text(503, '{"status":"error","errorType":"unavailable","error":"starting"}'),
    "404": text(404, "<html>not here</html>"),
    "401": text(401, ""),
    "204": text(204, ""),
    "bad JSON": text(200, '{"status":"success","data":{"resultType":"vector","res'),
    "a page": text(200, "<html>log in</html>"),
    "an error in JSON": text(200, '{"status":"error","errorType":"timeout","error":"query timed out"}'),
    "partial": lambda q, n: (200, json.dumps({**json.loads(vector("0")(q, n)[1]), "warnings": ["store db2 did not answer"]})),
    "another type": text(200, '{"status":"success","data":{"resultType":"string","result":[1,"fine"]}}'),
    "old answer": vector("0", at=-3600),
    "answer of the future": vector("0", at=3600),
    "old scrape": aged,
    "another question": lambda q, n: (200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"runbook": "other"}, "value": [n, "0"]}]}})),
    "refused": "refuse",
    "closed at once": "close",
}


class Server:
    """Answers everything in the way that `fault` says; `good` is what a sound Prometheus would say."""

    def __init__(self, fault):
        self.fault = fault
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                form = urllib.parse.parse_qs(self.rfile.read(length).decode())
                query, now = (form.get("query") or [""])[0], time.time()
                if server.fault == "hang":
                    return server.stop.wait(20)
                if server.fault == "close":
                    return self.connection.close()
                if server.fault in ("drip", "cut"):
                    body = vector("0")(query, now)[1].encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    if server.fault == "drip":
                        server.stop.wait(20)
                    self.close_connection = True
                    return self.connection.close()
                status, body = server.fault(query, now)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())
                return None

            do_POST = do_GET

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except (OSError, ValueError):
                    pass

        self.stop = threading.Event()
        if fault == "refuse":
            self.port = free_port()
            return
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def close(self):
        self.stop.set()
        if self.fault != "refuse":
            self.server.shutdown()
            self.server.server_close()


@pytest.fixture
def served():
    made = []

    def serve(fault):
        made.append(Server(fault))
        return made[-1].url

    yield serve
    for one in made:
        one.close()


WORLD = """local watch = require "watch"
local o = { timeout = "300ms" }
local function with(more) for k, v in pairs(o) do more[k] = v end return more end
local web, mysql, pg = watch.http_service(p.prom, with { job = "api" }), watch.mysql(p.prom, with { instance = "db1" }), watch.postgres(p.prom, with {})
local far = watch.system(p.prom, with {})
"""
# Everything that gives a figure, each as a condition that a figure within its limits would meet.
CONDITIONS = {
    "error_ratio": "web.error_ratio() < 2", "p95": "web.p95() < 1e9", "avg": "web.avg() < 1e9", "query_p95": "web.query_p95() < 1e9", "requests_per_s": "web.requests_per_s() < 1e9",
    "errors_per_s": "web.errors_per_s() < 1e9", "pool_used": "web.pool_used() < 2", "up": "web.up() == true", "not down": "not (web.up() == false)", "alive": "web.alive()",
    "sample": "web.sample() ~= nil", "baseline": "web.baseline '5m' ~= nil", "usual": "web.usual 'p50' < 1e9", "over": "web.over '1h' ~= nil",
    "mysql.pool_used": "mysql.pool_used() < 2", "mysql.reachable": "mysql.reachable() == true", "mysql.not reachable": "not (mysql.reachable() == false)", "mysql.alive": "mysql.alive()",
    "mysql.disk_used": "mysql.disk_used() < 2", "mysql.slow": "mysql.slow(1)() < 1e9", "mysql.replica_lag": "mysql.replica_lag() < 1e9", "mysql.sample": "mysql.sample() ~= nil",
    "pg.pool_used": "pg.pool_used() < 2", "pg.replica_lag": "pg.replica_lag() < 1e9", "system.cpu_used": "far.cpu_used() < 2", "system.memory_used": "far.memory_used() < 2",
    "firing": "watch.firing(p.prom, nil, with {}) == 0", "firing critical": "watch.firing(p.prom, 'critical', with {}) == 0",
    "prometheus": "watch.prometheus(p.prom, 'up', with { unit = 'count' })() < 1e9", "range": "watch.range(p.prom, 'up', with { unit = 'count' })() < 1e9",
    "json": "watch.json(p.prom, 'pool.used', with { unit = 'ratio' })() < 2", "json of a truth": "watch.json(p.prom, 'ok', with { unit = 'boolean' })() == true",
    "json, not false": "not (watch.json(p.prom, 'ok', with { unit = 'boolean' })() == false)",
    "compare": "watch.compare(web, { p95 = 1, over = '5m' }).p95.now < 1e9", "table": "watch.table(web, { error_ratio = { critical = '100 %' } }).worst == 'ok'",
    "day": "watch.day(web).p95.max < 1e9", "night": "watch.night(web).p95.max < 1e9", "values": "watch.values(p.prom, { n = 'sum(up)' }, with {}).n < 1e9",
}
PARAMS = dict(params='prom = { "url", required = true, doc = "x" }')
# Where the answer is sound for what was asked: these do not look at a scrape, and any label may be on the one series of a query.
SOUND = {("old scrape", "prometheus"), ("old scrape", "values"), ("another question", "prometheus")}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_that_gives_a_figure_gives_one(runbook, playbook, served, fault):
    url = served(FAULTS[fault])
    code = WORLD + "local out = {}\nlocal function try_(name, fn) local ok, value = pcall(fn) out[name] = ok and (value == true and 'PASSED' or 'no: ' .. tostring(value)) or value.kind or 'error: ' .. tostring(value) end\n"
    code += "".join(f"try_({json.dumps(name)}, function() return {condition} end)\n" for name, condition in CONDITIONS.items())
    got = evaluate(runbook, playbook, code + "return out", arguments=["--prom", url], timeout=120, **PARAMS)
    assert set(got) == set(CONDITIONS), got
    passed = {name for name, outcome in got.items() if outcome == "PASSED" and (fault, name) not in SOUND}
    assert not passed, (fault, {name: got[name] for name in passed})


def story(runbook, playbook, url, text, expect, head=""):
    path = playbook('local p = playbook "faults" { summary = "x", params = { prom = { "url", required = true, doc = "x" } }, ask = { within = "1s", otherwise = "hold" } }\n'
                    + WORLD + head + 'step "work" { undo = keep "x", run = function() end }\n' + text, "faults.lua")
    result = runbook("exec", path.name, "--prom", url, "--run-id", "r1", "--output", "json", cwd=path.parent, timeout=60)
    events = result.events()
    assert result.exit == expect, (result.exit, events)
    return events


def kinds(events, kind):
    return [e for e in events if e["event"] == kind]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_does_not_pass(runbook, playbook, served, fault):
    events = story(runbook, playbook, served(FAULTS[fault]), """
checkpoint "monitoring" { run = function() return { web = web.sample(), firing = watch.firing(p.prom, nil, with {}), ratio = web.error_ratio() } end,
  pass = function(r) return r.firing == 0 and not (r.ratio > 0.05) end, fail = { otherwise = rollback "no" } }
""", 1)
    assert [e["passed"] for e in kinds(events, "checkpoint.judged")] == [False]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_probe_does_not_hold(runbook, playbook, served, fault):
    events = story(runbook, playbook, served(FAULTS[fault]), """
checklist "ready" { probe("metrics arrive and no alert fires", function() return web.alive() and mysql.alive() and watch.firing(p.prom, nil, with {}) == 0 end), fail = { otherwise = rollback "no" } }
""", 1)
    assert kinds(events, "rollback.started"), events


@pytest.mark.parametrize("fault", FAULTS)
def test_a_monitor_ends_with_a_person(runbook, playbook, served, fault):
    """Each rule is blind by itself: no rule's data make up for another's."""
    events = story(runbook, playbook, served(FAULTS[fault]), """
monitor "watch" { from = "work", lasts = "250ms", every = "50ms", timeout = "400ms", no_data = ask "anyone",
  { web.error_ratio, above = 0.05, requests = 100, sustained = "5m", verdict = rollback "errors" },
  { web.p95, above = { warning = "200ms", critical = "500ms" }, verdict = { warning = tell "console", critical = rollback "slow" } },
  { mysql.pool_used, above = "80 %", verdict = rollback "pool" },
  { mysql.reachable, is = false, times = 3, verdict = rollback "gone" },
}
""", 3)
    breach = kinds(events, "monitor.breached")
    assert [b.get("no_data", b.get("inconclusive")) for b in breach] == [True] * len(breach) and breach, breach
    assert kinds(events, "decision.asked")
    for look in kinds(events, "monitor.sampled"):
        assert "v" not in look, look


@pytest.mark.parametrize("fault", ["time-out", "slow body", "half a body", "429", "500", "503", "404", "401", "refused", "closed at once"])
def test_an_http_probe_does_not_hold(runbook, playbook, served, fault):
    got = evaluate(runbook, playbook, "return { up = http.probe(p.prom, { timeout = '300ms' })() }", arguments=["--prom", served(FAULTS[fault])], **PARAMS)
    assert got == {"up": False}


def test_no_message_has_the_password_of_the_address(runbook, playbook, served):
    for fault in ("empty vector", "bad JSON", "an error in JSON", "old answer", "partial", "429", "refused"):
        url = served(FAULTS[fault]).replace("//", "//reader:hunter2secret@")
        got = evaluate(runbook, playbook, WORLD + "return { try(web.error_ratio), try(watch.firing, p.prom), try(watch.range(p.prom, 'up', { unit = 'count' })), try(watch.prometheus(p.prom, 'up', { unit = 'count' })),"
                       " try(watch.json(p.prom .. '?token=tok3nsecret', 'x', { unit = 'count' })), try(mysql.slow(1)), try(web.usual, 'p50') }", arguments=["--prom", url], **PARAMS)
        text = json.dumps(got)
        assert "hunter2secret" not in text and "tok3nsecret" not in text and "no error" not in text, (fault, text)
