"""Levels of a monitor's rules: units, warning and critical, what does not say against what; rules that were never judged."""
import re
import time

import pytest

from monitor_test import exec_events, monitor, one, wait_for, write

HEAD = ('local function counted(name, unit, fn) return setmetatable({ name = name, unit = unit }, { __call = fn or function() return 0 end }) end\n'
        'local p = playbook "watched" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } }, ask = { within = "1s", otherwise = "hold" } }\n'
        'local web = { p95 = counted("p95", "seconds"), error_ratio = counted("error_ratio", "ratio"), size = counted("size", "bytes"),\n'
        '  errors_per_s = counted("errors_per_s", "per_second"), waiting = counted("waiting", "count"), up = counted("up", "boolean") }\n')
WORK = 'step "work" { undo = keep "x", run = function() end }\n'

LEVELS = [
    ("web.p95, above = 200", "option 'above': 200 has no unit, and p95 is a time: write \"200ms\" or \"200s\""),
    ("web.p95, above = \"50 %\"", "option 'above': '50 %' of what? p95 is a time: write relative(0.5), a part of the baseline, or a level such as \"200ms\""),
    ("web.p95, above = \"10 GB\"", "option 'above': '10 GB' is an amount of bytes, and p95 is a time, such as \"200ms\""),
    ("web.p95, above = \"200 millis\"", "option 'above': a number, a percentage, a duration, relative(…) or points(…) expected, got '200 millis'"),
    ("web.p95, outside = { \"1ms\", 2 }", "option 'outside': 2 has no unit, and p95 is a time: write \"2ms\" or \"2s\""),
    ("web.error_ratio, above = 5", "option 'above': 5 is no share, and error_ratio is one, from 0 to 1: write \"5 %\" or 0.05"),
    ("web.error_ratio, above = \"500 %\"", "option 'above': '500 %' is more than there is: error_ratio is a share of at most 100 %"),
    ("web.error_ratio, above = \"30s\"", "option 'above': '30s' is a time, and error_ratio is a share, such as 0.05 or \"5 %\""),
    ("web.error_ratio, above = \"+10 %\"", "option 'above': '+10 %' does not say against what: write relative(0.1), a part of the baseline, or points(0.1), the distance from it"),
    ("web.error_ratio, above = \"10 % more\"", "option 'above': '10 % more' does not say against what: write relative(0.1), a part of the baseline, or points(0.1), the distance from it"),
    ("web.p95, above = \"2x\"", "option 'above': '2x' does not say against what: write relative(1), a part of the baseline, or points(1), the distance from it"),
    ("web.size, above = 10", "option 'above': 10 has no unit, and size is an amount of bytes: write \"10 MB\" or \"10 GB\""),
    ("web.up, above = 0", "option 'above': up says true or false: write is = false"),
    ("web.p95, above = { warning = \"200ms\" }", "option 'above': critical is missing beside the other one"),
    ("web.p95, above = { warning = \"200ms\", critcal = \"1s\" }", "option 'above': unknown option 'critcal' (did you mean 'critical'?)"),
    ("web.p95, above = { warning = \"500ms\", critical = \"200ms\" }", "option 'above': warning at 500ms never comes before critical at 200ms"),
    ("web.p95, below = { warning = \"200ms\", critical = \"500ms\" }", "option 'below': warning at 200ms never comes before critical at 500ms"),
    ("web.p95, above = { warning = 1, critical = \"2s\" }", "option 'above': warning: 1 has no unit, and p95 is a time: write \"1ms\" or \"1s\""),
    ("web.up, is = { warning = true, critical = false }", "option 'is': warning and critical are for above and below"),
    ("web.p95, above = \"1s\", unit = \"ratio\"", "option 'unit': p95 counts in seconds, not in ratio"),
    ("function() return 1 end, above = 1, unit = \"second\"", "option 'unit': seconds, ratio, bytes, per_second or count expected, got 'second' (did you mean 'seconds'?)"),
    ("function() return 1 end, name = \"age\", above = 1, unit = \"seconds\"", "option 'above': 1 has no unit, and age is a time: write \"1ms\" or \"1s\""),
]


@pytest.mark.parametrize("rule, message", LEVELS, ids=[rule for rule, _ in LEVELS])
def test_a_level_that_says_too_little_is_refused(runbook, playbook, rule, message):
    path = write(playbook, WORK + monitor('{ %s, verdict = hold "x" }' % rule), HEAD)
    for verb in ("check", "exec"):
        result = runbook(verb, path.name, cwd=path.parent)
        assert result.exit == 2 and f'playbook.lua:6: monitor "watch": rule 1: {message}' in (result.out + result.err).replace("playbook.lua:6: error: ", "playbook.lua:6: "), result


VERDICTS = [
    ('above = { warning = "1s", critical = "2s" }, verdict = { warning = tell "console" }', "option 'verdict': critical is missing: what follows then"),
    ('above = "1s", verdict = { warning = tell "console", critical = hold "x" }', "option 'verdict': one verdict expected: the rule has one level"),
    ('above = { warning = "1s", critical = "2s" }, verdict = { warning = tell "console", critcal = hold "x" }', "option 'verdict': unknown option 'critcal' (did you mean 'critical'?)"),
]


@pytest.mark.parametrize("rule, message", VERDICTS, ids=["missing", "too many", "unknown"])
def test_a_verdict_stands_for_each_level(runbook, playbook, rule, message):
    path = write(playbook, WORK + monitor("{ web.p95, %s }" % rule), HEAD)
    result = runbook("check", path.name, cwd=path.parent)
    assert result.exit == 2 and f'monitor "watch": rule 1: {message}' in result.out + result.err, result


def test_warning_and_critical_in_one_rule(runbook, playbook):
    """A warning is said and the run goes on; at the critical level it goes back. Both levels are in the plan and in the journal."""
    path = write(playbook, """
local slow = counted("slow", "seconds", function() return fs.exists("worse") and 0.6 or 0.3 end)
step "work" { undo = function() fs.write("undone", "1") end, run = function()
  fs.write("began", "1")
  while true do sh.run { "sleep", "0.02", reads = true } end
end }
""" + monitor('{ slow, above = { warning = "200ms", critical = "500ms" }, times = 2, verdict = { warning = tell "console", critical = rollback "too slow" } }'), HEAD)
    plan = runbook("plan", path.name, "--format", "json", cwd=path.parent).out
    assert "slow above 200ms (warning): tell" in plan and "slow above 500ms (critical): rollback" in plan
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    time.sleep(0.4)
    (path.parent / "worse").touch()
    result = run.finish(20)
    assert result.exit == 1, result
    breaches = [(e["severity"], e["verdict"], e["why"]) for e in result.events() if e["event"] == "monitor.breached"]
    assert [b[:2] for b in breaches] == [("warning", "tell"), ("critical", "rollback")]
    assert breaches[0][2] == 'monitor "watch": slow is 300ms, above 200ms (warning), 2 times in a row'
    assert breaches[1][2] == 'monitor "watch": slow is 600ms, above 500ms (critical), 2 times in a row: too slow'
    rules = one(result.events(), "monitor.started")["rules"]
    assert [(r["severity"], r["limit"], r["unit"]) for r in rules] == [("warning", 0.2, "seconds"), ("critical", 0.5, "seconds")]


# --- what was never judged has not passed -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["return 0, 12", "return { requests = 12, why = 'NaN' }"], ids=["with a value", "without one"])
def test_too_few_requests_all_the_time_are_inconclusive_and_a_person_is_asked(runbook, playbook, answer):
    path = write(playbook, WORK + monitor('{ function() %s end, name = "ratio", above = 0.05, requests = 100, verdict = rollback "errors" }' % answer,
                                          'from = "work", lasts = "300ms", every = "50ms"'), HEAD)
    events = exec_events(runbook, path, expect=3)  # nobody answers: it is held
    breach = one(events, "monitor.breached")
    assert breach["inconclusive"] is True and breach["verdict"] == "ask"
    assert breach["why"] == 'monitor "watch" is inconclusive: ratio had at most 12 of the 100 requests that it is judged on'
    assert one(events, "decision.asked")["why"] == breach["why"]


def test_a_person_may_let_an_inconclusive_monitor_pass(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 0, 12 end, name = "ratio", above = 0.05, requests = 100, verdict = rollback "errors" }, no_data = ask "anyone"',
                                          'from = "work", lasts = "300ms", every = "50ms"'), HEAD.replace('within = "1s"', 'within = "5m"'))
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    deadline = time.monotonic() + 20
    while '"decision.asked"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert runbook("answer", "r1", "go-on").exit == 0
    result = run.finish(20)
    assert result.exit == 0, result
    ended = one(result.events(), "monitor.ended")["result"]
    assert ended["rules"][0]["judged"] == 0


def test_enough_requests_once_are_judged(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 0, fs.exists("began") and 500 or 12 end, name = "ratio", above = 0.05, requests = 100, verdict = rollback "errors" }',
                                          'from = "work", lasts = "300ms", every = "50ms"'), HEAD)
    (path.parent / "began").touch()
    events = exec_events(runbook, path, expect=0)
    assert one(events, "monitor.ended")["result"]["rules"][0]["judged"] > 2


def test_a_short_monitor_without_any_data_does_not_pass(runbook, playbook):
    """Two looks are fewer than three missing samples in a row, and yet nothing is known."""
    path = write(playbook, 'step "work" { undo = function() fs.write("undone", "1") end, run = function() end }\n' +
                 monitor('{ function() error("refused") end, name = "n", above = 1, verdict = rollback "x" }', 'from = "work", to = "work", every = "10s"'), HEAD)
    events = exec_events(runbook, path, expect=1)
    breach = one(events, "monitor.breached")
    assert breach["no_data"] is True and re.fullmatch(r'monitor "watch": no data from n \([12] looks?\): x', breach["why"]), breach
    assert (path.parent / "undone").exists()
