"""The module watch on this host: processors, memory, disks, logs that grow; HTTP JSON; tables of thresholds; refusals; fakes; the page of the documentation."""
import http.server
import json
import multiprocessing
import os
import re
import threading
import time
from pathlib import Path

import pytest
from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]
HEAD = 'local watch = require "watch"\n'


def test_this_host(runbook, playbook, tmp_path):
    got = evaluate(runbook, playbook, HEAD + """
      local here = watch.system(nil, { disk = "./" })
      return { all = here.sample(), cpu = here.cpu_used(), disk = here.disk_used(), free = here.disk_free(), units = { here.cpu_used.unit, here.disk_free.unit }, load = here.load() }""",
                   needs='files = { "./" }')
    assert "cpu" in got, got
    assert 0 <= got["cpu"] <= 1 and 0 < got["all"]["memory_used"] < 1 and 0 < got["disk"] < 1 and got["units"] == ["ratio", "bytes"]
    space = os.statvfs(tmp_path)
    assert got["free"] == pytest.approx(space.f_bavail * space.f_frsize, rel=0.05)
    total = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert 0 < got["all"]["memory_available"] < total and got["load"] == pytest.approx(os.getloadavg()[1], abs=1)


def test_a_busy_processor_shows(runbook, playbook):
    workers = [multiprocessing.Process(target=lambda: [None for _ in iter(int, 1)], daemon=True) for _ in range(os.cpu_count())]
    for worker in workers:
        worker.start()
    try:
        busy = evaluate(runbook, playbook, HEAD + "return { watch.system().cpu_used() }")
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    assert busy[0] > 0.8


def test_lines_of_a_log_between_two_looks(runbook, playbook):
    """Two monitors look at one sample, and each sees every line; a file that is rotated is read to its end."""
    path = playbook(HEAD + """
      local p = playbook "logs" { summary = "x", needs = { files = { "./" }, shell = { "mv" } }, ask = { within = "1s", otherwise = "hold" } }
      local bad = watch.log("app.log", { matching = { "ERROR", "FATAL" }, but = "health" })
      step "work" { undo = keep "x", run = function()
        sleep(0.4)
        fs.write("app.log", fs.read "app.log" .. "fine\\n")   -- written anew: the rest of the old one is gone
        sleep(0.4)
        sh.run { "sh", "-c", "echo ERROR 1 >> app.log; echo ERROR health >> app.log; mv app.log app.log.1; echo FATAL 2 > app.log; echo ERROR 3 >> app.log" }
        sleep(0.4)
      end }
      monitor "one" { from = "work", to = "work", every = "50ms", { bad, above = 2, over = "10s", verdict = tell "console" } }
      monitor "two" { from = "work", to = "work", every = "70ms", { bad, above = 2, over = "10s", verdict = tell "console" } }
    """.replace('shell = { "mv" }', 'shell = { "sh" }'), "logs.lua")
    (path.parent / "app.log").write_text("ERROR before\n")
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    for name in ("one", "two"):
        looks = [e for e in result.events() if e["event"] == "monitor.sampled" and e["step"] == name]
        assert sum(e.get("v", {}).get("bad", 0) for e in looks) == 3, '; '.join(str(e.get('v') or e.get('x')) for e in looks)
        assert any("was replaced, and the rest of the old one is gone" in e.get("x", {}).get("bad", "") for e in looks)
    assert {e["why"] for e in result.events() if e["event"] == "monitor.breached"} == {f'monitor "{n}": bad is 3, above 2 within 10s' for n in ("one", "two")}


def test_lines_of_a_unit_between_two_looks(runbook, playbook, standins):  # noqa: F811
    """By whole seconds: a line of the second in which a look was taken counts once, at the next look."""
    now = int(time.time())
    standins.set("journal", [[now - 100, "ERROR long ago"]] + [[now + i / 4, f"ERROR {i}"] for i in range(40)] + [[now + i / 4, "fine"] for i in range(40)])
    got = evaluate(runbook, playbook, HEAD + """
      local errors, out, sum = watch.unit_log("app", { matching = "ERROR" }), {}, 0
      local began = math.floor(time.since(time.parse "1970-01-01T00:00:00Z"))
      for i = 1, 9 do out[i] = errors() sum = sum + out[i] sleep(0.3) end
      local last = math.floor(time.since(time.parse "1970-01-01T00:00:00Z"))
      return { first = out[1], sum = sum + errors(), seconds = last - began }""", needs='shell = { "sudo -n journalctl" }', env=standins.env)
    assert got["first"] == 0 and got["seconds"] >= 2
    # four lines a second; the stand-in's --until has its last instant in it, as journalctl's has
    assert 4 * got["seconds"] <= got["sum"] <= 4 * got["seconds"] + 4 + got["seconds"] + 1, got


def test_a_log_that_is_not_there_is_no_data(runbook, playbook):
    got = evaluate(runbook, playbook, HEAD + 'return try(watch.log("absent.log"))', needs='files = { "./" }')
    assert got["kind"] == "fs" and got["message"].endswith("absent.log: No such file or directory")
    got = evaluate(runbook, playbook, HEAD + 'return try(watch.log("/var/log/dpkg.log"))', needs='files = { "./" }')
    assert got["kind"] == "permission"


@pytest.fixture
def site():
    """Serves `answer`, a value, as JSON."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(self.server.answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()


def test_values_of_json(runbook, playbook, site):
    site.answer = {"database": {"pool": {"used": 0.4, "of": 10}, "ok": True}, "items": [{"n": 7}], "text": "0.4", "none": None, "at": time.time() - 10, "old": "2020-01-01T00:00:00Z", "n": 250}
    cases = {"used": '"database.pool.used", { unit = "ratio" }', "item": '"items.1.n", { unit = "count" }', "ok": '"database.ok", { unit = "boolean" }',
             "dated": '"n", { unit = "count", at = "at", requests = "n" }', "absent": '"database.pool.free", { unit = "ratio" }', "null": '"none", { unit = "ratio" }',
             "text": '"text", { unit = "ratio" }', "table": '"database", { unit = "ratio" }', "truth": '"database.ok", { unit = "ratio" }', "old": '"n", { unit = "count", at = "old" }',
             "no time": '"n", { unit = "count", at = "text" }', "no requests": '"n", { unit = "count", requests = "text" }'}
    code = HEAD + "local out = {}\n" + "".join(f'do local ok, value, n = pcall(watch.json(p.at, {args})) out["{name}"] = {{ ok = ok, value = value, n = n }} end\n' for name, args in cases.items())
    got = evaluate(runbook, playbook, code + "return out", params='at = { "url", required = true, doc = "x" }', arguments=["--at", site.url])
    assert (got["used"]["value"], got["item"]["value"], got["ok"]["value"], got["dated"]["value"], got["dated"]["n"]) == (0.4, 7, True, 250, 250)
    assert {name: got[name]["value"]["kind"] for name in got if not got[name]["ok"]} == {
        "absent": "watch.empty", "null": "watch.empty", "text": "watch.answer", "table": "watch.answer", "truth": "watch.answer", "old": "watch.stale", "no time": "watch.answer", "no requests": "watch.answer"}


# --- tables -----------------------------------------------------------------------------------------------------------------


def table(runbook, playbook, thresholds, needs='files = { "./" }'):
    return evaluate(runbook, playbook, HEAD + f"""
      local function service(values)
        local all = {{ baseline = function() return values end, sample = function() return values end }}
        for name, value in pairs(values) do all[name] = function() if value == "gone" then error {{ kind = "http.timeout", message = "too late" }} end return value end end
        return all
      end
      return try(function() return error(watch.table(service {{ p95 = 0.3, error_ratio = 0.004 }}, service {{ pool_used = 0.5, lag = "gone", p95 = 9 }}, {thresholds})) end)""", needs=needs)


def test_a_table_that_is_in_its_limits_or_warns(runbook, playbook):
    got = evaluate(runbook, playbook, HEAD + """
      local web = { baseline = print, sample = print, p95 = function() return 0.3 end, error_ratio = function() return 0.004 end, free = function() return 0.2 end }
      return watch.table(web, { p95 = { warning = "200ms", critical = "500ms", action = "look at slow queries" }, error_ratio = { warning = "0.5 %", critical = "1 %" }, free = { warning = "10 %", critical = "5 %", below = true } })""")
    assert got["worst"] == "warning" and got["sentence"] == "p95 0.3, warning"
    assert [(r["metric"], r["state"], r.get("action")) for r in got["rows"]] == [("error_ratio", "ok", None), ("free", "ok", None), ("p95", "warning", "look at slow queries")]


@pytest.mark.parametrize("thresholds, kind, message", [
    ('{ p95 = { warning = "100ms", critical = "200ms" }, error_ratio = { critical = "1 %" } }', "watch.threshold", "watch.table: p95 0.3, critical"),
    ('{ lag = { critical = "1m" } }', "watch.threshold", "watch.table: lag no data (too late)"),
    ('{ lagg = { critical = "1m" } }', "argument", "watch.table: no service has 'lagg'"),
    ('{ p95 = { critcal = "1m" } }', "argument", "watch.table: p95: { warning =, critical = } expected"),
    ('{ p95 = { critical = "soon" } }', "argument", "watch.table: p95: a level such as \"200ms\", \"5 %\" or 0.05 expected, got 'soon'"),
    ("{}", "argument", 'watch.table: thresholds: { p95 = { warning = "200ms", critical = "500ms" } } expected'),
    ('"absent.lua"', "fs", "absent.lua"),
], ids=["critical", "no data", "unknown metric", "unknown option", "no level", "empty", "no file"])
def test_a_table_that_does_not_pass(runbook, playbook, thresholds, kind, message):
    got = table(runbook, playbook, thresholds)
    assert got["kind"] == kind and message in got["message"], got


def test_thresholds_of_a_file(runbook, playbook):
    folder = playbook("", "x.lua").parent
    (folder / "day1.lua").write_text('return { p95 = { warning = "200ms", critical = "250ms" } }')
    (folder / "day1.json").write_text('{ "p95": { "warning": "200ms", "critical": "250ms" } }')
    for name in ("day1.lua", "day1.json"):
        assert table(runbook, playbook, f'"{name}"')["message"] == "watch.table: p95 0.3, critical"


# --- refusals while the file loads ------------------------------------------------------------------------------------------


REFUSED = [
    ('watch.prometheus(p.prom, "up")', "watch.prometheus: argument 3 'options': option 'unit' is required: seconds, ratio, bytes, per_second or count"),
    ('watch.prometheus(p.prom, "up", { unit = "ms" })', "watch.prometheus: argument 3 'options': option 'unit': seconds, ratio, bytes, per_second or count expected, got 'ms'"),
    ('watch.prometheus("prometheus:9090", "up", { unit = "count" })', "watch.prometheus: argument 1 'url': address of Prometheus such as http://prometheus:9090/ expected, got 'prometheus:9090'"),
    ('watch.range(p.prom, "up", { unit = "count", pick = "p95" })', "watch.range: argument 3 'options': option 'pick': max, min, avg or last expected, got 'p95'"),
    ('watch.http_service(p.prom, {})', "watch.http_service: argument 2 'options': option 'job' is required"),
    ('watch.http_service(p.prom, { job = "x", windw = "1m" })', "watch.http_service: argument 2 'options': unknown option 'windw' (did you mean 'window'?)"),
    ('watch.http_service(p.prom, { job = "x" }).p59', "watch.http_service (job \"x\") has no 'p59' (did you mean 'p50'?)"),
    ('watch.mysql(5)', "watch.mysql: argument 1 'source': a connection, or the address of Prometheus, expected, got number"),
    ('watch.json("http://x/", "a.b", {})', "watch.json: argument 3 'options': option 'unit' is required: seconds, ratio, bytes, per_second or count"),
    ('watch.sql("x", "select 1", { unit = "count" })', "watch.sql: argument 1 'connection': connection expected, got string"),
]


@pytest.mark.parametrize("code, message", REFUSED, ids=[code for code, _ in REFUSED])
def test_what_says_too_little_is_refused_with_its_line(runbook, playbook, code, message):
    path = playbook(f'local watch = require "watch"\nlocal p = playbook "x" {{ summary = "x", params = {{ prom = {{ "url", default = "http://localhost:1/", doc = "x" }} }} }}\nlocal s = {code}\n'
                    'step "work" { run = function() return s end }\n', "refused.lua")
    for verb in ("check", "exec"):
        result = runbook(verb, path.name, cwd=path.parent)
        assert result.exit == 2 and f"refused.lua:3: {message}" in (result.out + result.err).replace("refused.lua:3: error: ", "refused.lua:3: "), result


# --- fakes, and the page ----------------------------------------------------------------------------------------------------


def test_a_test_fakes_what_is_asked(runbook, playbook):
    """An hour of a monitor in virtual time: errors for long enough bring it back, a Prometheus that is down asks a person, few requests too."""
    path = playbook(HEAD + """
local p = playbook "hour" { summary = "x", params = { prom = { "url", default = "http://localhost:1/", doc = "x" } }, roles = { lead = "Lead" }, ask = { within = "10m", otherwise = "hold" } }
local web = watch.http_service(p.prom, { job = "api" })
step "open" { undo = function() end, run = function() end }
monitor "first hour" { from = "open", lasts = "1h", every = "30s", no_data = ask "lead",
  { web.error_ratio, above = "1 %", requests = 100, sustained = "5m", verdict = rollback "too many errors" },
  { web.p95, above = { warning = "200ms", critical = "500ms" }, sustained = "5m", verdict = { warning = tell "console", critical = ask "lead" } },
}
""", "hour.lua")
    (path.parent / "hour_test.lua").write_text("""
local ratio, requests, down, p95 = 0.001, 500, false, 0.1
fake("watch.values", function(url, wanted)
  if down then error { kind = "http.connection", message = "refused" } end
  return { error_ratio = ratio, requests = requests, p95 = p95, beyond_http_request_duration_seconds = 0, age = 3 }
end)
roster { lead = "anna" }
test("an hour within its limits", function() run {}:expect { outcome = "succeeded", elapsed = "1h" } end)
test("errors for five minutes bring it back", function()
  after("10m", function() ratio = 0.05 end)
  run {}:expect { outcome = "rolled_back", why = 'error_ratio is 5 %, above 1 % for 5m: too many errors' }
end)
test("a peak of two minutes does not", function()
  after("10m", function() ratio = 0.05 end)
  after("12m", function() ratio = 0 end)
  run {}:expect { outcome = "succeeded" }
end)
test("a warning is said", function()
  after("10m", function() p95 = 0.3 end)
  run {}:expect { outcome = "succeeded", messages = { "p95 is 300ms, above 200ms (warning) for 5m" } }
end)
test("a Prometheus that is down asks a person", function()
  after("10m", function() down = true end)
  answer("first hour", "hold")
  run {}:expect { outcome = "held", why = "no data from error_ratio (http.connection: refused)" }
end)
test("too few requests for an hour ask a person", function()
  requests = 12
  answer("first hour", "go_on")
  local r = run {}
  r:expect { outcome = "succeeded" }
  local why
  for _, e in ipairs(r.events) do if e.event == "decision.asked" then why = e.data.why end end
  expect.contains(why, "inconclusive: error_ratio had at most 12 of the 100 requests that it is judged on")
end)
""")
    result = runbook("test", "hour_test.lua", cwd=path.parent)
    assert result.exit == 0, result.out + result.err


def test_the_monitors_of_the_documentation_load(runbook, playbook):
    page = (ROOT / "docs" / "metrics.md").read_text()
    blocks = re.findall(r"```lua\n(.*?)```", page, re.S)
    samples, monitors = blocks[0], re.search(r"<!-- a test loads this -->\n```lua\n(.*?)```", page, re.S)[1]
    params = {"prom": '"url"', "app": '"url"', "prod": '"database", access = "read"', "runtime": '"database", access = "read"'}
    path = playbook('local watch = require "watch"\nlocal p = playbook "page" { summary = "x", roles = { lead = "x", dba = "x", devops = "x", app = "x" }, ask = { within = "5m", otherwise = "hold" },\n'
                    '  needs = { files = { "/var/log/app.log", "/" } }, params = { ' + ", ".join(f'{n} = {{ {t}, required = true, doc = "x" }}' for n, t in params.items()) + " } }\n" + samples
                    + 'local writes = watch.prometheus(p.prom, "sum(rate(writes_total[5m]))", { unit = "per_second" })\nlocal missed_backups = watch.prometheus(p.prom, "backups_missed", { unit = "count" })\n'
                    + "".join(f'{"local before = " if name == "before" else ""}step "{name}" {{ run = function() return 1 end }}\n' for name in ("before", "migrate", "open traffic", "start services"))
                    + monitors, "page.lua")
    result = runbook("check", path.name, cwd=path.parent)
    assert result.exit == 0, result.out + result.err
    plan = runbook("plan", path.name, "--format", "json", cwd=path.parent).out
    for text in ("p95 above 200ms (warning): tell", "slow(1) above 5: tell", "longest_lock_wait above 30s: cancel_statement", "error_ratio above the baseline by 10 points", "writes above 2000/s (critical)"):
        assert text in plan, text
