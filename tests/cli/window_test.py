"""The window: the sum that check makes, its figures, what happens when it is overdue, and `not_before`."""
import json
import time

import pytest
from hooks import wait_for


def findings(runbook, path):
    result = runbook("check", path.name, cwd=path.parent)
    return result.exit, result.out + result.err


WINDOW = 'window = { from = "close", to = "open", target = "30m", max = "60m" }'


@pytest.mark.parametrize("header, body, message, exit", [
    (WINDOW, 'step "copy" { takes = "31m", run = f }', "window: the steps take 33m together, the target is 30m", 2),
    (WINDOW + ', rollback = { within = "15m" }', 'gate "go" { ask = "Go?", within = "44m" }',
     "window: with every answer late the steps take 46m, and a rollback 15m more: the maximum is 60m", 2),
    (WINDOW + ', rollback = { within = "15m" }, ask = { within = "44m" }', 'gate "go" { ask = "Go?" }',
     "window: with every answer late the steps take 46m, and a rollback 15m more: the maximum is 60m", 2),
    (WINDOW + ', rollback = { within = "61m" }', "", "window: a rollback takes 61m, longer than the whole window may: 60m", 2),
    ('window = { from = "close", to = "open", target = "90m", max = "60m" }', "", "window: the target 90m is longer than the maximum 60m", 2),
    ('window = { from = "open", to = "close", target = "30m", max = "60m" }', "",
     'window: it ends with "close", which comes before "open", its beginning', 2),
    ('rollback = { within = "5m" }', 'checkpoint "back" { on = "rollback", takes = "6m", run = f, pass = f }',
     "rollback: the checkpoints on the way back take 6m together, the limit is 5m", 2),
    (WINDOW, 'gate "go" { ask = "Go?" }', 'gate "go": stands in the window, and may wait for an answer without end: give it within', 0),
    # work beside counts at the step that waits for it: 20 of the 25 minutes lie beside the copy
    (WINDOW, 'step "test" { takes = "25m", beside = "check", run = f }\nstep "copy" { takes = "20m", run = f }\nstep "check" { takes = "4m", run = f }',
     "window: the steps take 31m together, the target is 30m", 2),
    (WINDOW.replace("target", 'overdue = hold "x", target'), "", "window: option 'overdue': ask \"role\" expected, got table", 2),
    ('window = { from = "close", to = "open", overdue = ask "dba" }', "", "window: option 'overdue' needs 'target': longer than what", 2),
])
def test_a_window_that_does_not_add_up_is_told_with_figures(runbook, playbook, header, body, message, exit):
    path = playbook(f'local p = playbook "w" {{ summary = "x", {header} }}\nlocal function f() return true end\n'
                    f'step "close" {{ takes = "1m", run = f }}\n{body}\nstep "open" {{ takes = "1m", run = f }}\n')
    status, text = findings(runbook, path)
    assert message in text and status == exit, text


def test_a_window_that_adds_up_is_silent_and_its_figures_are_in_the_plan(runbook, playbook):
    path = playbook(f"""
        local p = playbook "w" {{ summary = "x", {WINDOW}, rollback = {{ within = "10m" }} }}
        step "close" {{ takes = "1m", run = function() end }}
        step "test" {{ takes = "6m", beside = "open", run = function() end }}
        step "copy" {{ takes = "20m", run = function() end }}
        gate "go" {{ ask = "Go?", within = "10m" }}
        step "open" {{ takes = "1m", run = function() end }}
    """)
    assert findings(runbook, path) == (0, "1 file checked: no mistakes\n")
    window = json.loads(runbook("plan", path.name, "--format", "json", cwd=path.parent).out)["window"]
    assert (window["planned_s"], window["worst_s"], window["latest_rollback_s"]) == (22 * 60, 32 * 60, 50 * 60)


def test_a_window_that_fits_only_while_people_answer_early_says_the_worst_case(runbook, playbook):
    path = playbook(f"""
        local p = playbook "w" {{ summary = "x", roles = {{ dba = "DBA", cto = "CTO" }}, {WINDOW}, rollback = {{ within = "10m" }},
          ask = {{ within = "10m", escalate = {{ "dba", "cto" }}, otherwise = "rollback" }} }}
        step "close" {{ takes = "1m", run = function() end }}
        gate "go" {{ role = "dba", ask = "Go?" }}
        checkpoint "fits" {{ takes = "2m", run = function() end, pass = function() return true end, fail = {{ otherwise = ask "dba" }} }}
        step "open" {{ takes = "1m", run = function() end }}
    """)
    assert findings(runbook, path) == (0, (
        "playbook.lua:1: warning: window: it fits only while people answer early: where each question goes on to all whom `ask` escalates to, and each item that may "
        'ask does ("go" 30m, "fits" 30m), the steps take 1h4m, and a rollback 10m more: 1h14m, the maximum is 60m\n1 file checked: no mistakes, 1 warning\n'))
    window = json.loads(runbook("plan", path.name, "--format", "json", cwd=path.parent).out)["window"]
    assert (window["planned_s"], window["worst_s"], window["escalated_s"]) == (4 * 60, 14 * 60, 64 * 60)
    assert "with every question passed on to the last who is asked, and each item that may ask doing so: 1h4m" in " ".join(
        runbook("plan", path.name, cwd=path.parent).out.split())


def test_an_overdue_window_asks_while_the_work_goes_on(runbook, playbook):
    path = playbook("""
        local p = playbook "w" { summary = "x", needs = { shell = { "sleep" }, files = { "./" } }, rollback = { within = "1m" }, ask = { within = "1m" },
          window = { from = "close", to = "open", target = "300ms", max = "10m", overdue = ask "dba" } }
        step "close" { run = function() fs.write("closed.txt", "x") end, undo = function() fs.remove "closed.txt" end }
        step "copy" { undo = keep "x", run = function() sh.run { "sleep", "60" } end }
        step "open" { run = function() end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(lambda: (path.parent / "closed.txt").exists())
    wait_for(lambda: "decision.asked" in runbook("show", "r1", "--output", "json").out)
    began = time.monotonic()
    assert runbook("show", "r1", "--output", "json").out.count('"step.started"') == 2  # copying goes on
    assert runbook("rollback", "r1").exit in (0, 1)
    result = run.finish()
    assert result.exit == 1 and time.monotonic() - began < 30, result
    assert not (path.parent / "closed.txt").exists()
    late = [e["why"] for e in result.events() if e["event"] == "window.overdue"]
    assert len(late) == 1 and late[0].startswith("the window is open for longer than its target of 300ms; the work goes on meanwhile. The latest moment")


NOT_BEFORE = """
    local p = playbook "later" { summary = "x" }
    step "a" { run = function() end }
    step "b" { not_before = "T+%s", run = function() end }
"""


def started(text):
    return {e["step"]: e["ts"] for e in map(json.loads, text.splitlines()) if e["event"] == "step.started"}


def test_not_before_waits(runbook, playbook):
    path = playbook(NOT_BEFORE % "1500ms")
    began = time.time()
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 0 and time.time() - began >= 1.4, result
    assert [e["why"][:20] for e in result.events() if e["event"] == "wait.started"] == ['step "b" waits until']


def test_not_before_with_detach_is_held_and_due_goes_on(runbook, playbook):
    path = playbook(NOT_BEFORE % "2s")
    result = runbook("exec", path.name, "--run-id", "r1", "--detach", "--output", "plain", cwd=path.parent)
    assert result.exit == 3 and 'step "b" waits until ' in result.out, result
    until = time.monotonic() + 20
    while "succeeded" not in runbook("runs").out:
        assert time.monotonic() < until
        assert runbook("due").exit == 0
        time.sleep(0.2)
    assert set(started(runbook("show", "r1", "--output", "json").out)) == {"a", "b"}


def test_a_date_of_not_before_is_refused_where_it_is_none(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { not_before = "T+10 minuts", run = function() end }\n')
    result = runbook("exec", path.name, cwd=path.parent)
    assert result.exit == 2
    assert "playbook.lua:2: step \"a\": option 'not_before': 'T+10 minuts' is not a date: '10 minuts' is not a duration (30s, 10m, 1h30m, 7d)" in result.err
