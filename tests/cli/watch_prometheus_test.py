"""The module watch against a real Prometheus: the figures that it should give, and none where there are none."""
import json

import pytest
from evaluate import evaluate
from private_prometheus import Exporter, Prometheus, Traffic

RULES = """
groups:
  - name: shop
    rules:
      - { alert: TooManyErrors, expr: 'vector(1) > 0', labels: { severity: critical } }
      - { alert: Slow, expr: 'vector(0) > 0', labels: { severity: warning } }
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A service with 100 requests a second, 2 % of them errors, 80 ms each; a database server and its host; one alert that fires."""
    exporter, other = Exporter(), Exporter()
    exporter.set({"database_pool_size": 20, "database_pool_available": 5})
    other.set({"mysql_up": 1, "mysql_global_status_threads_connected": 30, "mysql_global_variables_max_connections": 150, "mysql_global_status_slow_queries": 7,
               "mysql_global_variables_long_query_time": 1, "mysql_global_status_queries": 5,
               'node_filesystem_avail_bytes{mountpoint="/",fstype="ext4"}': 60e9, 'node_filesystem_size_bytes{mountpoint="/",fstype="ext4"}': 100e9,
               'node_filesystem_avail_bytes{mountpoint="/var",fstype="xfs"}': 5e9, 'node_filesystem_size_bytes{mountpoint="/var",fstype="xfs"}': 50e9,
               'node_filesystem_avail_bytes{mountpoint="/run",fstype="tmpfs"}': 0, 'node_filesystem_size_bytes{mountpoint="/run",fstype="tmpfs"}': 1e9,
               "node_memory_MemAvailable_bytes": 25e9, "node_memory_MemTotal_bytes": 100e9, "node_load5": 3,
               'node_cpu_seconds_total{cpu="0",mode="idle"}': 10, 'node_cpu_seconds_total{cpu="1",mode="idle"}': 10})
    traffic = Traffic(exporter)
    traffic.error_share = 0.1
    here = lambda one: f"127.0.0.1:{one.server.server_port}"  # noqa: E731
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus") / "server", {
        "api": (here(exporter), {}), "db": (here(other), {"instance": "db1.example.com:9104"}), "gone": ("127.0.0.1:1", {})}, RULES)
    prometheus.wait(lambda: any(v > 0 for v in prometheus.query('sum(rate(http_requests_total{job="api",status="503"}[5s]))'))
                    and prometheus.query("ALERTS{alertstate='firing'}"))
    prometheus.wait(lambda: prometheus.query('count_over_time(up{job="api"}[20s])') > [8])
    yield prometheus
    traffic.close()
    prometheus.close()
    exporter.close()
    other.close()


HEAD = 'local watch = require "watch"\nlocal web = watch.http_service(p.prom, { job = "api", window = "5s" })\nlocal mysql = watch.mysql(p.prom, { instance = "db1.example.com" })\n'


def ask(runbook, playbook, world, code):
    return evaluate(runbook, playbook, HEAD + code, params='prom = { "url", required = true, doc = "x" }', arguments=["--prom", world.url])


def test_the_figures_of_a_service(runbook, playbook, world):
    got = ask(runbook, playbook, world, "local s = web.sample() s.alive = web.alive() s.requests_given = select(2, web.error_ratio()) return s")
    assert got["error_ratio"] == pytest.approx(0.1, abs=0.02), got  # a share, not a rate
    assert 60 < got["requests_per_s"] < 140
    assert got["errors_per_s"] == pytest.approx(got["requests_per_s"] * 0.1, rel=0.3)
    assert 0.05 < got["p50"] < got["p95"] <= got["p99"] <= 0.1 and got["p95"] == pytest.approx(0.0975, abs=0.002)  # interpolated in the bucket 0.05 to 0.1
    assert got["avg"] == pytest.approx(0.08, rel=0.05)
    assert (got["pool_size"], got["pool_used"]) == (20, 0.75)
    assert got["alive"] is True and got["requests_given"] == pytest.approx(got["requests"], rel=0.3)


def test_the_figures_of_a_database_and_its_host(runbook, playbook, world):
    got = ask(runbook, playbook, world, "local s = mysql.sample() s.reachable = mysql.reachable() s.alive = mysql.alive() s.slow = mysql.slow(1)() return s")
    assert (got["pool_size"], got["pool_used"], got["disk_used"], got["memory_used"]) == (150, 0.2, 0.9, 0.75)
    assert got["reachable"] is True and got["alive"] is True and got["slow"] == 0 and "replica_lag" not in got
    assert ask(runbook, playbook, world, "return { watch.system(p.prom, { instance = 'db1.example.com' }).load_per_cpu() }") == [1.5]


def test_alerts_that_fire(runbook, playbook, world):
    assert ask(runbook, playbook, world, "return { watch.firing(p.prom), watch.firing(p.prom, 'critical'), watch.firing(p.prom, 'warning') }") == [1, 1, 0]


def test_a_baseline_what_is_usual_and_what_a_time_was_like(runbook, playbook, world):
    world.wait(lambda: world.query('count_over_time((sum(rate(http_requests_total{job="api"}[5s])))[20s:1s])') > [14])
    got = ask(runbook, playbook, world, """
      local before = web.baseline "10s"
      return { before = before, compared = watch.compare(web, before), over = web.over "10s", usual = try(web.usual, "p50", { over = "5s" }), median = web.usual("p50", { over = "20s" }),
        error_median = web.usual("p50", { of = "error_ratio", over = "20s" }), unknown = try(web.usual, "p50", { of = "p59" }), wrong = try(web.usual, "median"),
        range = watch.range(p.prom, 'sum(http_requests_total{job="api"})', { unit = "count", over = "5s", step = "1s", pick = "last" })() }""")
    assert "before" in got, got
    assert got["before"]["over"] == "10s" and got["before"]["error_ratio"] == pytest.approx(0.1, abs=0.02)
    assert abs(got["compared"]["p95"]["change"]) < 0.1 and got["range"] > 0
    assert got["usual"]["kind"] == "watch.empty" and "too few to say what is usual" in got["usual"]["message"]
    assert 60 < got["median"] < 140 and got["error_median"] == pytest.approx(0.1, abs=0.03)
    assert got["unknown"]["message"].endswith("usual: no metric 'p59'") and got["wrong"]["message"].endswith('usual: a quantile such as "p50" expected, got median')
    assert got["over"]["p95"]["min"] <= got["over"]["p95"]["avg"] <= got["over"]["p95"]["max"]


EMPTY = "watch.empty"
NOTHING = {
    "another job": ("watch.http_service(p.prom, { job = 'nobody' }).error_ratio", "watch.empty", 'Prometheus has no http_requests_total{job="nobody"}'),
    "another label": ("watch.http_service(p.prom, { job = 'api', status = 'code', window = '5s' }).error_ratio", EMPTY, "the label of the status is another one"),
    "another metric": ("watch.http_service(p.prom, { job = 'api', requests = 'requests_total' }).error_ratio", "watch.empty", "Prometheus has no requests_total"),
    "no histogram": ("watch.http_service(p.prom, { job = 'api', duration = 'seconds', window = '5s' }).p95", EMPTY, "p95 has no value"),
    "a window of one scrape": ("watch.http_service(p.prom, { job = 'api', window = '1ms' }).error_ratio", EMPTY, "error_ratio has no value"),
    "a query of many series": ("watch.prometheus(p.prom, 'up', { unit = 'count' })", "watch.query", "3 series for up"),
    "a query of none": ("watch.prometheus(p.prom, 'nothing', { unit = 'count' })", "watch.empty", "no series for nothing"),
    "NaN": ("watch.prometheus(p.prom, 'vector(0) / 0', { unit = 'ratio' })", "watch.empty", "vector(0) / 0 is NaN"),
    "infinite": ("watch.prometheus(p.prom, 'vector(1) / 0', { unit = 'ratio' })", "watch.empty", "vector(1) / 0 is +Inf"),
    "no PromQL": ("watch.prometheus(p.prom, 'sum(', { unit = 'count' })", "watch.query", "bad_data: "),
    "a target that is down": ("watch.prometheus(p.prom, 'up{job=\"gone\"} * 0 / 0', { unit = 'ratio', fresh = 'http_requests_total{job=\"gone\"}' })", "watch.empty", "no series for "),
    "no alerting rule": ("function() return watch.firing(p.prom, 'page') end", "watch.empty", "no alerting rule with severity page: nothing could fire"),
    "slow at another limit": ("mysql.slow '500ms'", "watch.unsupported", "the server counts as slow what takes more than 1s, not 0.5s"),
    "no replica": ("mysql.replica_lag", EMPTY, "no replica, or its replication has stopped"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_is_not_there_is_no_figure(runbook, playbook, world, case):
    code, kind, text = NOTHING[case]
    got = ask(runbook, playbook, world, "local ok, value = pcall(%s) return { ok = ok, value = value }" % code)
    assert got["ok"] is False and got["value"]["kind"] == kind and text in got["value"]["message"], got


def test_no_error_yet_is_a_share_of_none(runbook, playbook, tmp_path):
    """A counter that has no failed request yet has no series for them. A histogram's quantile beyond its highest bucket is no figure."""
    exporter = Exporter()
    traffic = Traffic(exporter)
    traffic.seconds = 3
    prometheus = Prometheus(tmp_path / "server", {"api": (f"127.0.0.1:{exporter.server.server_port}", {})})
    try:
        prometheus.wait(lambda: any(v > 0 for v in prometheus.query('sum(rate(http_requests_total{job="api"}[4s]))')))
        code = 'local watch = require "watch"\nlocal web = watch.http_service(p.prom, { job = "api", window = "4s" })\n'
        params = dict(params='prom = { "url", required = true, doc = "x" }', arguments=["--prom", prometheus.url])
        got = evaluate(runbook, playbook, code + "local ratio, n = web.error_ratio() return { ratio = ratio, n = n, p95 = try(web.p95), none = json.encode(web.sample()) }", **params)
        assert got["ratio"] == 0 and got["n"] > 20
        # histogram_quantile would say 1, the end of the highest bucket: a limit of 2 s could never be reached
        assert prometheus.query('histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{job="api"}[4s])))') == [1]
        assert got["p95"]["kind"] == EMPTY and "beyond the highest bucket" in got["p95"]["message"]
        assert "p95" not in json.loads(got["none"])
        # nobody comes any more: 0 of 0 is no share, and the requests are known to be none
        traffic.rate = 0
        prometheus.wait(lambda: prometheus.query('sum(rate(http_requests_total{job="api"}[4s]))') == [0])
        got = evaluate(runbook, playbook, code + "return { try(web.error_ratio), web.error_ratio.look() }", **params)
        assert got[0]["kind"] == EMPTY and got[1]["requests"] == 0 and "value" not in got[1], got
        # the exporter dies: its metrics are gone at once, or old
        exporter.up = False
        prometheus.wait(lambda: prometheus.query('up{job="api"}') == [0])
        got = evaluate(runbook, playbook, code + "local up = web.up return { ratio = try(web.error_ratio), alive = try(web.alive) }", **params)
        assert got["ratio"]["kind"] in ("watch.empty", "watch.stale") and got["alive"]["kind"] == got["ratio"]["kind"], got
    finally:
        traffic.close()
        prometheus.close()
        exporter.close()
    got = evaluate(runbook, playbook, code + "return { try(web.error_ratio), try(web.alive), try(watch.firing, p.prom) }", **params)
    assert [e["kind"] for e in got] == ["http.connection"] * 3


def test_a_monitor_of_a_service_and_its_report(runbook, playbook, world):
    """2 s beside a real Prometheus: each look is in the journal, the errors bring the run back, the report draws both limits."""
    path = playbook("""
      local watch = require "watch"
      local p = playbook "shop" { summary = "x", params = { prom = { "url", required = true, doc = "x" } }, ask = { within = "1s", otherwise = "hold" } }
      local web, mysql = watch.http_service(p.prom, { job = "api", window = "5s" }), watch.mysql(p.prom, { instance = "db1.example.com" })
      step "open traffic" { undo = function() end, run = function() end }
      monitor "first hour" { from = "open traffic", lasts = "1h", every = "200ms",
        { web.p95, above = { warning = "200ms", critical = "500ms" }, verdict = { warning = tell "console", critical = hold "slow" } },
        { mysql.disk_used, above = { warning = "80 %", critical = "95 %" }, verdict = { warning = tell "console", critical = hold "full" } },
        { web.error_ratio, above = "5 %", requests = 20, sustained = "2s", verdict = rollback "too many errors" },
      }
    """, "shop.lua")
    result = runbook("exec", path.name, "--prom", world.url, "--run-id", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    looks = [e for e in result.events() if e["event"] == "monitor.sampled"]
    assert len(looks) >= 8 and all(set(e["v"]) == {"p95", "disk_used", "error_ratio"} and e["n"]["error_ratio"] > 20 for e in looks), looks
    breaches = [e for e in result.events() if e["event"] == "monitor.breached"]
    assert [(b["metric"], b["verdict"]) for b in breaches] == [("disk_used", "tell"), ("error_ratio", "rollback")]
    assert breaches[0]["why"] == 'monitor "first hour": disk_used is 90 %, above 80 % (warning)'
    markdown = runbook("report", "r1", "--format", "md").out
    assert f"| first hour | disk\\_used | {len(looks)} | 90 % | 90 % | 90 % | 80 % (warning), 95 % (critical) |" in markdown, markdown
    page = runbook("report", "r1", "--format", "html").out
    assert page.count('<svg class="spark"') == 3 and page.count('class="limit worst"') == 2 and "200ms (warning), 500ms (critical)" in page
