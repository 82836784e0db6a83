"""Monitors beside a run: what passes and what does not, what each verdict does, what survives a crash; exact refusals."""
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

HEAD = 'local p = playbook "watched" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } }, ask = { within = "1s", otherwise = "hold" } }\n'
WORK = """
step "work" { undo = function() fs.write("undone", "1") end, run = function()
  fs.write("began", "1")
  while not fs.exists("go") do sh.run { "sleep", "0.02", reads = true } end
end }
step "after" { undo = keep "x", run = function() fs.write("after", "1") end }
"""


def write(playbook, text, head=HEAD):
    path = playbook("x")
    path.write_text(head + text)
    return path


def wait_for(path, seconds=20):
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def monitor(rules, more='from = "work", to = "work", every = "50ms"'):
    return 'monitor "watch" { %s,\n%s\n}\n' % (more, rules)


def exec_events(runbook, path, *args, expect):
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", *args, cwd=path.parent, timeout=40)
    assert result.exit == expect, result
    return result.events()


def one(events, name):
    found = [event for event in events if event["event"] == name]
    assert found, f"no {name} in {[e['event'] for e in events]}"
    return found[0]


# --- refusals while the file loads ----------------------------------------------------------------------------------

GOOD = '{ function() return 0 end, above = 1, verdict = hold "x" }'
REFUSED = [
    (monitor(GOOD, 'from = "wrk", to = "work", every = "1s"'), 7, "monitor \"watch\": option 'from': no step 'wrk' (did you mean 'work'?)"),
    (monitor(GOOD, 'from = "work", to = "aftr", every = "1s"'), 7, "monitor \"watch\": option 'to': no step 'aftr' (did you mean 'after'?)"),
    (monitor(GOOD, 'from = "after", to = "work", every = "1s"'), 7, "monitor \"watch\": option 'to': 'work' comes before 'after'"),
    (monitor(GOOD, 'from = "work", to = "work"'), 7, "monitor \"watch\": option 'every' is required: how often it looks"),
    (monitor(GOOD, 'to = "work", every = "1s"'), 7, "monitor \"watch\": option 'from' is required: the step that it begins with"),
    (monitor(GOOD, 'from = "work", every = "1s"'), 7, "monitor \"watch\": 'to' or 'lasts' is required: when it ends"),
    (monitor(GOOD, 'from = "work", to = "after", lasts = "1h", every = "1s"'), 7, "monitor \"watch\": both 'to' and 'lasts': it ends with a step or after a time"),
    (monitor(GOOD, 'from = "work", to = "work", every = "10 minuts"'), 7, "monitor \"watch\": option 'every': a duration such as 30s or 10m expected, got '10 minuts'"),
    (monitor(GOOD, 'from = "work", to = "work", every = "0s"'), 7, "monitor \"watch\": option 'every': more than 0 expected"),
    (monitor("", 'from = "work", to = "work", every = "1s"'), 7, 'monitor "watch": has no rules'),
    (monitor('{ nil, above = 1, verdict = hold "x" }'), 7, 'monitor "watch": rule 1: a function that samples expected first, got nil'),
    (monitor('{ function() end, verdict = hold "x" }'), 7, 'monitor "watch": rule 1: a level is missing: above, below, outside or is'),
    (monitor('{ function() end, above = 1, below = 0, verdict = hold "x" }'), 7, "monitor \"watch\": rule 1: both 'above' and 'below': one level a rule"),
    (monitor('{ function() end, above = "many", verdict = hold "x" }'), 7,
     "monitor \"watch\": rule 1: option 'above': a number, a percentage, a duration, relative(…) or points(…) expected, got 'many'"),
    (monitor("{ function() end, above = 1 }"), 7, "monitor \"watch\": rule 1: option 'verdict' is required: what follows"),
    (monitor('{ function() end, above = 1, verdict = "hlod" }'), 7, "monitor \"watch\": rule 1: no verdict 'hlod' (did you mean 'hold'?)"),
    (monitor('{ function() end, above = 1, verdict = "ask" }'), 7, "monitor \"watch\": rule 1: verdict 'ask' needs to know more: write it as ask(…)"),
    (monitor("{ function() end, above = 1, verdict = hold }"), 7, 'monitor "watch": rule 1: verdict hold: call it, as in hold "…"'),
    (monitor("{ function() end, above = 1, verdict = repair(function() end) }"), 7, 'monitor "watch": rule 1: repair is for checkpoints: a monitor has nothing to judge again'),
    (monitor('{ function() end, abve = 1, verdict = hold "x" }'), 7, "monitor \"watch\": rule 1: unknown option 'abve' (did you mean 'above'?)"),
    (monitor('{ function() end, above = 1, times = 1.5, verdict = hold "x" }'), 7, "monitor \"watch\": rule 1: option 'times': a whole number above 0 expected, got 1.5"),
    (monitor('{ function() end, outside = { 2, 1 }, verdict = hold "x" }'), 7, "monitor \"watch\": rule 1: option 'outside': { lowest, highest } expected"),
    (monitor(GOOD + ', no_data = "hlod"'), 7, "monitor \"watch\": no_data: no verdict 'hlod' (did you mean 'hold'?)"),
    (monitor(GOOD + ', no_data = { hold "x", after = 0 }'), 7, "monitor \"watch\": no_data: 'after': a whole number above 0 expected, got 0"),
    (monitor('{ function() end, above = 1, verdict = redo "wrk" }'), 7, "monitor \"watch\": redo: no step 'wrk' (did you mean 'work'?)"),
    (monitor('{ function() end, above = 1, verdict = redo "after" }'), 7, "monitor \"watch\": redo: 'after' comes after it"),
    (monitor('{ function() end, above = relative(-1), verdict = hold "x" }'), 8, "relative: argument 1: a number above 0 expected, got -1"),
    ('local s = step "s" { run = function() end }\nlocal l = relative(0.5, s)\n', 8,
     "relative: argument 3: where the baseline stands in the result expected, such as \"web.p95\", got nil"),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { otherwise = "rolback" } }\n', 7,
     "checkpoint \"c\": fail.otherwise: no verdict 'rolback' (did you mean 'rollback'?)"),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { { when = function() end, "hlod" } } }\n', 7,
     "checkpoint \"c\": fail row 1: no verdict 'hlod' (did you mean 'hold'?)"),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { otherwise = redo "wrk" } }\n', 7,
     "checkpoint \"c\": redo: no step 'wrk' (did you mean 'work'?)"),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { otherwise = redo "work" } }\nstep "z" { run = function() end }\n', None, None),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { otherwise = cancel_statement "x" } }\n', 7,
     'checkpoint "c": fail.otherwise: cancel_statement is for monitors: nothing runs while a checkpoint is judged'),
    ('checkpoint "c" { run = function() end, pass = function() end, fail = { otherwise = tell(7) } }\n', 7, "tell: argument 1 'channel': string expected, got number"),
]


@pytest.mark.parametrize("text, line, message", REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refusals(runbook, playbook, text, line, message):
    path = write(playbook, WORK + text)
    result = runbook("check", path.name, cwd=path.parent)
    if message is None:
        assert result.exit == 0, result
        return
    assert result.exit == 2, result
    assert f"{path.name}:{line + 1}: error: {message}" in (result.out + result.err).replace("playbook.lua:%d: %s" % (line + 1, message), f"{path.name}:{line + 1}: error: {message}"), result
    ran = runbook("exec", path.name, cwd=path.parent)
    assert ran.exit == 2 and message in ran.err and not (path.parent / "began").exists()


# --- a sample that is no data never passes --------------------------------------------------------------------------

FAULTS = {
    "error": 'error("broken")', "nil": "return nil", "nan": "return 0/0", "infinite": "return 1/0", "empty table": "return {}",
    "string": 'return "fine"', "boolean": "return true", "function": "return print", "stale": "return { value = 0, at = 1000000000 }",
    "bad time": 'return { value = 0, at = "soon" }', "no requests": "return 0", "timeout": 'sh.run { "sleep", "30", reads = true }',
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_data_never_passes(runbook, playbook, fault):
    rule = '{ function() %s end, above = 1, verdict = rollback "over the limit", name = "ratio"%s }' % (FAULTS[fault], ", requests = 10" if fault == "no requests" else "")
    path = write(playbook, WORK + monitor(rule, 'from = "work", to = "work", every = "50ms", timeout = "100ms"'))
    events = exec_events(runbook, path, expect=1)
    breach = one(events, "monitor.breached")
    assert breach["no_data"] is True and breach["verdict"] == "rollback"
    assert breach["why"].startswith('monitor "watch": no data from ratio') and breach["why"].endswith(": over the limit"), breach
    assert len([e for e in events if e["event"] == "monitor.sampled" and e["seq"] < breach["seq"]]) == 3
    assert (path.parent / "undone").exists() and not (path.parent / "after").exists()


def test_one_missing_sample_is_not_yet_no_data(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() if fs.exists("blind") then return nil end return 0 end, above = 1, verdict = hold "x" }, no_data = { hold "y", after = 400 }'))
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    (path.parent / "blind").touch()
    time.sleep(0.4)
    (path.parent / "blind").unlink()
    time.sleep(0.2)
    (path.parent / "go").touch()
    result = run.finish(20)
    assert result.exit == 0, result
    ended = one(result.events(), "monitor.ended")["result"]
    assert ended["sample_1"]["missing"] >= 2 and ended["sample_1"]["samples"] >= 3 and ended["breaches"] == 0


# --- what each verdict does -----------------------------------------------------------------------------------------


def test_a_rollback_cancels_the_step_and_goes_back(runbook, playbook):
    path = write(playbook, 'local web = { error_ratio = function() return 0.25 end }\n' + WORK +
                 monitor('{ web.error_ratio, above = "5 %", times = 3, verdict = rollback "too many errors" }'))
    events = exec_events(runbook, path, expect=1)
    breach = one(events, "monitor.breached")
    assert breach["why"] == 'monitor "watch": error_ratio is 0.25, above 5 %, 3 times in a row: too many errors'
    assert (breach["metric"], breach["value"], breach["limit"], breach["times"]) == ("error_ratio", 0.25, 0.05, 3)
    assert one(events, "rollback.started")["why"] == breach["why"]
    names = [e["event"] for e in events]
    assert names.index("monitor.ended") < names.index("undo.started")
    assert one(events, "monitor.ended")["why"] == "muted: the run goes back"
    assert (path.parent / "undone").exists()


def test_a_hold_stops_the_run_where_it_is(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 7 end, below = 8, name = "n", verdict = hold "look" }'))
    events = exec_events(runbook, path, expect=3)
    assert one(events, "run.held")["why"] == 'monitor "watch": n is 7, below 8: look'
    assert not (path.parent / "undone").exists()


def test_an_ask_is_put_while_the_work_goes_on(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 7 end, above = 5, name = "n", verdict = ask "dba" }'),
                 HEAD.replace('within = "1s"', 'within = "5m"'))
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    deadline = time.monotonic() + 20
    while '"decision.asked"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (path.parent / "go").touch()  # the work ends while the question is open
    journal = runbook("show", "r1", "--output", "json").out
    assert "step.failed" not in journal
    assert runbook("answer", "r1", "go-on").exit == 0
    result = run.finish(20)
    assert result.exit == 0, result
    asked = [e for e in result.events() if e["event"] == "decision.asked"]
    assert len(asked) == 1 and asked[0]["why"] == 'monitor "watch": n is 7, above 5'
    assert (path.parent / "after").exists()


def test_an_ask_that_nobody_answers_does_what_the_header_says(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 7 end, above = 5, verdict = ask "dba" }'))
    events = exec_events(runbook, path, expect=3)
    assert one(events, "decision.answered")["answer"] == "hold"


def test_a_pause_takes_effect_between_steps_and_ends_by_itself(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return fs.exists("lag") and 400 or 1 end, above = "5m", name = "lag", verdict = pause "replicas catch up" }',
                                         'from = "work", to = "after", every = "50ms"'))
    (path.parent / "lag").touch()
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    (path.parent / "go").touch()
    deadline = time.monotonic() + 20
    while '"run.paused"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (path.parent / "after").exists()
    (path.parent / "lag").unlink()
    result = run.finish(20)
    assert result.exit == 0, result
    assert one(result.events(), "run.paused")["why"] == 'paused before step "after": monitor "watch": lag is 400, above 5m: replicas catch up'
    assert [e["event"] for e in result.events() if e["event"] in ("run.paused", "run.continued")] == ["run.paused", "run.continued"]


def test_tell_says_it_and_goes_on(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 7 end, above = 5, name = "n", verdict = tell "console" }'))
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    time.sleep(0.3)
    (path.parent / "go").touch()
    result = run.finish(20)
    assert result.exit == 0, result
    told = [e for e in result.events() if e["event"] == "verdict.told"]
    assert [(e["channels"], e["why"]) for e in told] == [(["console"], 'monitor "watch": n is 7, above 5')]  # once a breach


@pytest.mark.parametrize("kind, statement", [("PG", "select pg_sleep(60)"), ("MYSQL", "select sleep(60)")])
def test_cancel_statement_cancels_in_the_server_and_the_retry_decides(runbook, playbook, scratch, kind, statement):
    database = scratch(kind)
    head = HEAD.replace('summary = "x",', 'summary = "x", params = { db = { "database", access = "write", required = true } },')
    path = write(playbook, """
step "work" { undo = keep "x", idempotent = true, retry = { attempts = 2, initial = "10ms", on = "cancelled.statement" }, run = function(ctx)
  fs.write("began", "1")
  if ctx.attempt == 1 then db.query(p.db, "%s") end
end }
monitor "watch" { from = "work", to = "work", every = "50ms",
  { function() return fs.exists("waits") end, is = true, name = "waits", verdict = cancel_statement "others wait" } }
""" % statement, head)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", "--db", database.url, cwd=path.parent)
    wait_for(path.parent / "began")
    look = ("select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'" if kind == "PG"
            else "select 1 from information_schema.processlist where db = database() and info = 'select sleep(60)'")
    deadline = time.monotonic() + 20
    while not database.sql(look):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (path.parent / "waits").touch()
    result = run.finish(20)
    assert result.exit == 0, result
    failed = one(result.events(), "attempt.failed")
    assert failed["error"]["kind"] == "cancelled.statement"
    assert failed["error"]["message"].startswith('monitor "watch": waits is true: others wait: ')
    assert any(e["count"] == 1 for e in result.events() if e["event"] == "statement.cancelled")
    assert database.sql(look) == []


def test_redo_goes_back_to_the_step_and_forward_again_once(runbook, playbook):
    path = write(playbook, """
step "one" { undo = function() fs.write("one.undone", "1") end, run = function() return 1 end }
local two = step "two" { undo = function() fs.remove("two"); fs.write("two.undone", "1") end, run = function(ctx) fs.write("two", "1"); return fs.exists("two.undone") end }
step "three" { undo = keep "x", run = function() return 3 end }
checkpoint "right" { run = function() return two.result end, pass = function(second) return second end, fail = { otherwise = redo "two" } }
step "four" { undo = keep "x", run = function() fs.write("four", "1") end }
""")
    events = exec_events(runbook, path, expect=0)
    story = [(e["event"], e.get("step")) for e in events if e["event"] in ("step.started", "undo.finished", "redo.started", "redo.finished")]
    assert story == [("step.started", "one"), ("step.started", "two"), ("step.started", "three"), ("step.started", "right"), ("redo.started", "right"),
                     ("undo.finished", "two"), ("redo.finished", "right"), ("step.started", "two"), ("step.started", "three"), ("step.started", "right"),
                     ("step.started", "four")]
    assert not (path.parent / "one.undone").exists() and (path.parent / "two").exists()


def test_a_second_redo_is_a_rollback(runbook, playbook):
    path = write(playbook, """
step "one" { undo = function() fs.write("one.undone", "1") end, run = function() return 1 end }
checkpoint "right" { run = function() return 0 end, pass = function() return false end, fail = { otherwise = redo "one" } }
""")
    events = exec_events(runbook, path, expect=1)
    assert len([e for e in events if e["event"] == "redo.started"]) == 1
    assert one(events, "rollback.started")["why"] == 'checkpoint "right" did not pass: again from "one". It was done again from step "one" already'


def test_a_redo_that_crashed_resumes_backwards_and_then_forwards(runbook, playbook):
    path = write(playbook, """
local function note(file, name) fs.write(file, (fs.exists(file) and fs.read(file) or "") .. name .. " ") end
step "one" { undo = function() note("undone", "one") end, run = function() note("done", "one") end }
step "two" { undo = function() note("undone", "two") end, run = function() note("done", "two") end }
step "three" { undo = function()
  fs.write("undoing", "1")
  while not fs.exists("go") do sh.run { "sleep", "0.02", reads = true } end
  note("undone", "three")
end, run = function() note("done", "three") end }
step "four" { undo = function() note("undone", "four") end, run = function() note("done", "four") end }
checkpoint "right" { run = function() return fs.exists("undoing") end, pass = function(yes) return yes end, fail = { otherwise = redo "two" } }
""")
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "undoing")
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(20)
    (path.parent / "go").touch()
    result = runbook("resume", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    assert (path.parent / "done").read_text().split() == ["one", "two", "three", "four", "two", "three", "four"]
    assert (path.parent / "undone").read_text().split() == ["four", "three", "two"]


# --- levels, time, results ------------------------------------------------------------------------------------------


def test_levels_against_a_baseline_and_the_result(runbook, playbook):
    path = write(playbook, """
local web = { p95 = function() return fs.exists("go") and 0.2 or 0.1 end, ratio = function() return { value = fs.exists("go") and 0.3 or 0.1, requests = 50 } end }
local before = step "before" { run = function() return { ratio = 0.1 } end }
""" + WORK + """
local watch = monitor "watch" { from = "work", lasts = "1s", every = "100ms",
  { web.p95, above = relative(0.5), verdict = tell "console" },
  { web.p95, above = "150ms", sustained = "200ms", verdict = tell "console" },
  { web.ratio, above = points(0.1, before, "ratio"), requests = 10, verdict = tell "console" },
}
""")
    (path.parent / "x").touch()
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    (path.parent / "go").touch()
    result = run.finish(20)
    assert result.exit == 0, result
    events = result.events()
    whys = sorted(e["why"] for e in events if e["event"] == "monitor.breached")
    assert whys[0] == 'monitor "watch": p95 is 0.2, above 150ms for ' + whys[0].split(" for ")[1]
    assert whys[1] == 'monitor "watch": p95 is 0.2, above the baseline by 50 % (0.15)'
    assert whys[2] == 'monitor "watch": ratio is 0.3, above the baseline by 0.1 (0.2)'
    assert len(whys) == 3
    ended = one(events, "monitor.ended")["result"]
    assert (ended["p95"]["max"], ended["p95"]["baseline"], round(ended["p95"]["change"], 6)) == (0.2, 0.1, 1.0)
    assert (ended["ratio"]["last"], round(ended["ratio"]["change"], 6)) == (0.3, 0.2)
    finished = [e["event"] for e in events]
    assert finished.index("monitor.ended") > max(i for i, e in enumerate(events) if e.get("step") == "after")  # the run stayed until it was over
    assert finished[-1] == "run.finished"


def test_every_sample_is_in_the_journal_and_a_crash_is_a_gap(runbook, playbook):
    path = write(playbook, WORK.replace("undo = function()", "idempotent = true, undo = function()", 1) + monitor('{ function() return 1 end, above = 5, name = "n", verdict = tell "console" }, no_data = { hold "blind", after = 4 }',
                                         'from = "work", to = "work", every = "100ms"'))
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "began")
    time.sleep(0.35)
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(20)
    time.sleep(1)
    result = runbook("resume", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 3, result
    resumed = one(result.events(), "monitor.resumed")
    assert resumed["missing"] >= 9
    assert one(result.events(), "monitor.breached")["why"].startswith('monitor "watch": no data from n (nobody watched for ')
    (path.parent / "go").touch()
    result = runbook("resume", "r1", "--output", "json", cwd=path.parent)  # held: nobody watched, and everybody knew
    assert result.exit == 0, result
    sampled = [e for e in (json.loads(l) for l in runbook("show", "r1", "--output", "json").out.splitlines()) if e["event"] == "monitor.sampled"]
    ended = one(result.events(), "monitor.ended")["result"]
    assert ended["looks"] == len(sampled) and all(e["v"] == {"n": 1} for e in sampled)


def test_a_breach_that_was_not_yet_followed_is_followed_after_a_crash(runbook, playbook):
    path = write(playbook, WORK.replace("undo = function()", "idempotent = true, undo = function()", 1) + monitor('{ function() return 7 end, above = 5, name = "n", verdict = ask "dba" }',
                                         'from = "work", to = "work", every = "10s"'), HEAD.replace('within = "1s"', 'within = "2s"'))
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "began")
    deadline = time.monotonic() + 20
    while '"decision.asked"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(20)
    result = runbook("resume", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 3, result
    assert one(result.events(), "decision.asked")["why"] == 'monitor "watch": n is 7, above 5'


def test_a_checkpoint_that_only_tells_cannot_fail_open(runbook, playbook):
    path = write(playbook, """
step "one" { undo = function() fs.write("undone", "1") end, run = function() return 1 end }
checkpoint "soft" { run = function() return false end, pass = function(x) return x end, fail = { otherwise = tell "console" } }
checkpoint "broken" { run = function() error("broken") end, pass = function(x) return x end, fail = { otherwise = tell "console" } }
""")
    events = exec_events(runbook, path, expect=1)
    assert [e["step"] for e in events if e["event"] == "verdict.told"] == ["soft"]
    assert [e["verdict"] for e in events if e["event"] == "checkpoint.judged"] == ["tell", "rollback"]
    assert (path.parent / "undone").exists()


def test_a_checkpoint_that_pauses_is_judged_again(runbook, playbook):
    path = write(playbook, """
checkpoint "ready" { run = function() return fs.exists("ready") end, pass = function(x) return x end, fail = { otherwise = pause "not yet" } }
""")
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    deadline = time.monotonic() + 20
    while '"run.paused"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (path.parent / "ready").touch()
    assert runbook("resume", "r1").exit == 0
    result = run.finish(20)
    assert result.exit == 0, result
    assert [e["passed"] for e in result.events() if e["event"] == "checkpoint.judged"] == [False, True]


def test_tell_wants_a_channel_that_is_declared(runbook, playbook):
    path = write(playbook, WORK + monitor('{ function() return 0 end, above = 1, verdict = tell "nowhere" }'))
    result = runbook("exec", path.name, cwd=path.parent)
    assert result.exit == 2
    assert result.err == ("error: playbook.lua:8: monitor \"watch\": option 'tell': no channel 'nowhere': there is no runbook.toml beside the playbook "
                          "that declares [channels.nowhere]\n")


def test_the_strictest_of_what_comes_at_once_wins(runbook, playbook):
    path = write(playbook, WORK + monitor("""{ function() return 7 end, above = 5, name = "a", verdict = hold "mild" },
      { function() return 7 end, above = 5, name = "b", verdict = rollback "strict" }"""))
    events = exec_events(runbook, path, expect=1)
    assert [e["verdict"] for e in events if e["event"] == "monitor.breached"] == ["hold", "rollback"]
    assert one(events, "rollback.started")["why"].endswith(": strict")


def test_nothing_is_sampled_on_the_way_back(runbook, playbook):
    path = write(playbook, WORK.replace('fs.write("undone", "1")', 'fs.write("undone", "1"); sh.run { "sleep", "0.4" }') +
                 monitor('{ function() return 7 end, above = 5, verdict = rollback "x" }'), HEAD)
    events = exec_events(runbook, path, expect=1)
    names = [e["event"] for e in events]
    assert "monitor.sampled" not in names[names.index("rollback.started"):]
    undo = next(e for e in events if e["event"] == "undo.finished")
    assert undo["elapsed_s"] >= 0.4


def test_sums_ranges_and_shares(runbook, playbook):
    path = write(playbook, """
local db = { slow = function() return 2 end, used = function() return 0.9 end, free = function() return 0.04 end }
""" + WORK + """
monitor "watch" { from = "work", to = "work", every = "50ms",
  { db.slow, above = 5, over = "10s", verdict = tell "console" },
  { db.used, outside = { "10 %", "80 %" }, verdict = tell "console" },
  { db.free, below = "5 %", verdict = tell "console" },
  { db.free, is = 0.5, verdict = rollback "never" },
}
""")
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began")
    time.sleep(0.4)
    (path.parent / "go").touch()
    result = run.finish(20)
    assert result.exit == 0, result
    whys = [e["why"] for e in result.events() if e["event"] == "monitor.breached"]
    assert sorted(whys) == ['monitor "watch": free is 0.04, below 5 %', 'monitor "watch": slow is 6, above 5 within 10s', 'monitor "watch": used is 0.9, outside 10 % to 80 %']


def test_a_monitor_may_send_the_run_back_to_a_step(runbook, playbook):
    path = write(playbook, """
step "one" { undo = function() fs.write("one.undone", "1") end, run = function() return 1 end }
step "two" { undo = function() fs.write("two.undone", "1") end, run = function()
  while not fs.exists("one.undone") do sh.run { "sleep", "0.02", reads = true } end
end }
monitor "watch" { from = "two", to = "two", every = "50ms", { function() return fs.exists("one.undone") end, is = false, verdict = redo "one" } }
""")
    events = exec_events(runbook, path, expect=0)
    story = [(e["event"], e.get("step")) for e in events if e["event"] in ("step.started", "undo.finished", "redo.started", "redo.finished", "monitor.started")]
    assert story == [("step.started", "one"), ("monitor.started", "watch"), ("step.started", "two"), ("redo.started", "watch"), ("undo.finished", "two"),
                     ("undo.finished", "one"), ("redo.finished", "watch"), ("step.started", "one"), ("monitor.started", "watch"), ("step.started", "two")]


def test_a_goal_reads_what_a_monitor_saw(runbook, playbook):
    head = HEAD.replace('summary = "x",', 'summary = "x", goals = { { "p95", below = 0.2, of = function(run) return run["watch"].p95.max end } },')
    path = write(playbook, 'local web = { p95 = function() return 0.15 end }\nstep "work" { run = function() return 1 end }\n' +
                 'monitor "watch" { from = "work", lasts = "300ms", every = "50ms", { web.p95, above = 1, verdict = hold "x" } }\n', head)
    events = exec_events(runbook, path, expect=0)
    assert [(e["met"], e["actual"]) for e in events if e["event"] == "goal.judged"] == [(True, "0.15")] or \
        [e["met"] for e in events if e["event"] == "goal.judged"] == [True]
    report = runbook("report", "r1").out
    assert "watch" in report and "p95" in report


def test_a_breach_report_shows_samples_and_limit(runbook, playbook):
    path = write(playbook, 'local web = { ratio = function() return 0.25 end }\n' + WORK + monitor('{ web.ratio, above = 0.05, times = 2, verdict = rollback "errors" }'))
    exec_events(runbook, path, expect=1)
    data = json.loads(runbook("report", "r1", "--format", "json").out)
    watched = [one for one in data["monitors"] if one["name"] == "watch"][0]
    assert watched["series"][0]["metric"] == "ratio" and len(watched["breaches"]) == 1


def test_a_rollback_after_half_a_redo_undoes_nothing_twice(runbook, playbook):
    path = write(playbook, """
local function note(file, name) fs.write(file, (fs.exists(file) and fs.read(file) or "") .. name .. " ") end
step "one" { undo = function() note("undone", "one") end, run = function() return 1 end }
step "two" { undo = function()
  fs.write("undoing", "1")
  while not fs.exists("go") do sh.run { "sleep", "0.02", reads = true } end
  note("undone", "two")
end, run = function() return 2 end }
step "three" { undo = function() note("undone", "three") end, run = function() return 3 end }
checkpoint "right" { run = function() return 1 end, pass = function() return false end, fail = { otherwise = redo "two" } }
""")
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "undoing")
    assert (path.parent / "undone").read_text().split() == ["three"]
    ordered = runbook.start("rollback", "r1", cwd=path.parent)
    deadline = time.monotonic() + 20
    while '"rollback.started"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (path.parent / "go").touch()
    assert ordered.finish(20).exit == 1
    assert run.finish(20).exit == 1
    assert (path.parent / "undone").read_text().split() == ["three", "two", "one"]


def test_a_detached_run_stays_while_a_monitor_lasts_and_then_leaves(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x" }
        step "open" { run = function() end }
        monitor "first" { from = "open", lasts = "1500ms", every = "200ms", { function() return 1 end, above = 5, name = "n", verdict = tell "console" } }
        gate "done" { ask = "Done?" }
    """)
    result = runbook("exec", path.name, "--run-id", "r1", "--detach", "--output", "json", cwd=path.parent)
    assert result.exit == 3, result
    events = result.events()
    assert re.fullmatch(r'stays until \d\d:\d\d:\d\d UTC: monitor "first" watches', one(events, "detach.postponed")["why"])
    names = [e["event"] for e in events]
    assert names.index("gate.opened") < names.index("detach.postponed") < names.index("monitor.ended") < names.index("run.held")
    assert one(events, "monitor.ended")["elapsed_s"] >= 1.4
    assert runbook("resume", "r1", "--approve", "done", cwd=path.parent).exit == 0


def test_a_detached_run_that_is_answered_meanwhile_goes_on(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x" }
        step "open" { run = function() end }
        monitor "first" { from = "open", lasts = "4s", every = "200ms", { function() return 1 end, above = 5, name = "n", verdict = tell "console" } }
        gate "done" { ask = "Done?" }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--detach", "--output", "json", cwd=path.parent)
    deadline = time.monotonic() + 20
    while '"detach.postponed"' not in runbook("show", "r1", "--output", "json").out:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert runbook("approve", "r1", "done").exit == 0
    result = run.finish()
    assert result.exit == 0, result  # after the monitor's time


def test_detach_is_refused_where_people_are_asked_inside_of_a_monitor(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x" }
        step "open" { run = function() end }
        gate "go" { ask = "Go?" }
        step "close" { run = function() end }
        monitor "between" { from = "open", to = "close", every = "200ms", { function() return 1 end, above = 5, name = "n", verdict = tell "console" } }
    """)
    result = runbook("exec", path.name, "--detach", cwd=path.parent)
    assert result.exit == 2
    assert result.err == ('error: --detach: gate "go" waits for people while monitor "between" watches up to "close", and nobody would watch\n'
                          "hint: leave --detach away, or let the monitor end before it\n")
