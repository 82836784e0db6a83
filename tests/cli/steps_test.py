"""Sub-steps and composition as a run shows them, and Ctrl-C while they wait: nothing is left behind."""
import signal

import pytest
from live_test import wait_for

WAITING = {
    "stall": 'step "s" {{ undo = keep "x", stall = "10m", run = function() sh.run {work} end }}',
    "parallel": 'step "s" {{ undo = keep "x", run = function() parallel {{ function() sh.run {work} end, function() sleep "1h" end }} end }}',
    "race in a sub-step": 'step "s" {{ undo = keep "x", run = function(ctx) ctx.step("a", function() race {{ function() sh.run {work} end, '
                          'function() sleep "1h" end }} end) end }}',
}


@pytest.mark.parametrize("shape", WAITING)
def test_ctrl_c_ends_what_waits_in_it(runbook, playbook, shape):
    work = '{ "sh", "-c", "touch began; sleep 600" }'
    path = playbook('local p = playbook "x" { summary = "waits", needs = { shell = "sh" } }\n' + WAITING[shape].format(work=work))
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "began")
    run.process.send_signal(signal.SIGINT)
    result = run.finish(20)
    assert result.exit == 3, result  # and the fixture finds no process left
    assert "interrupted during step" in result.out


def test_sub_steps_are_told(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "parts" }
        step "s" { undo = keep "x", overdue = "20ms", run = function(ctx)
          ctx.step("first", function() sleep "100ms" end)
          ctx.step("second", { retry = { attempts = 2, initial = 0 }, run = function(sub) if sub.attempt == 1 then error { kind = "flaky", message = "not yet" } end end })
        end }
        step "t" { run = function(ctx) ctx.step("third", { undo = keep "x", run = function() error "broken" end }) end }
    """)
    result = runbook("exec", path.name, cwd=path.parent, env={"RUNBOOK_OUTPUT": None})
    assert result.exit == 1
    for words in ("overdue.reached s: still at work after 20ms", "substep.started s: first", "substep.finished s: first: done in 0:00",
                  "substep.retried s: second: tried again after not yet (flaky)", "substep.started s: second, attempt 2",
                  "substep.failed t: third: failed: broken (lua)"):
        assert words in result.out, result.out
