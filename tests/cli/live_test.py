"""A run while it goes: interrupted, killed, answered from another terminal."""
import os
import signal
import time

SLOW = """
    local p = playbook "slow" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
    step "a" { undo = function() fs.remove "a.txt" end, run = function() fs.write("a.txt", "a") end }
    step "b" { undo = keep "x", idempotent = true,
      run = function(ctx)
        fs.write("b" .. ctx.attempt .. ".txt", "b")
        if ctx.attempt == 1 then sh.run { "sleep", "60" } end
      end }
    gate "go" { ask = "Go on?", within = "5m" }
    step "c" { undo = keep "x", run = function() fs.write("c.txt", "c") end }
"""


def wait_for(path, timeout=20):
    deadline = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def test_ctrl_c_holds_and_resume_goes_on(runbook, playbook):
    path = playbook(SLOW)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "plain", cwd=path.parent)
    wait_for(path.parent / "b1.txt")
    run.process.send_signal(signal.SIGINT)
    result = run.finish(20)
    assert result.exit == 3, result
    assert "runbook resume r1" in result.out
    assert not runbook.leftovers()  # the child process is gone too
    second = runbook("resume", "r1", "--approve", "go", cwd=path.parent)
    assert second.exit == 0, second
    assert (path.parent / "b2.txt").exists() and (path.parent / "c.txt").exists()


def test_kill_9_then_resume(runbook, playbook):
    path = playbook(SLOW)
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "b1.txt")
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(20)
    (path.parent / "a.txt").unlink()  # a finished step is not run again
    result = runbook("resume", "r1", "--approve", "go", cwd=path.parent)
    assert result.exit == 0, result
    assert not (path.parent / "a.txt").exists()
    assert (path.parent / "b2.txt").exists()
    audit = runbook("show", "r1", "--audit", cwd=path.parent)
    assert audit.exit == 0, audit


def test_a_gate_is_approved_from_another_terminal(runbook, playbook):
    path = playbook("""
        local p = playbook "gate" { summary = "x", needs = { files = { "./" } } }
        gate "go" { ask = "Go on?", within = "5m" }
        step "c" { undo = keep "x", run = function() fs.write("c.txt", "c") end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "gate.opened" not in runbook("show", "r1", "--output", "json").out:
        time.sleep(0.1)
    answer = runbook("approve", "r1", "go")
    assert answer.exit == 0, answer
    result = run.finish(20)
    assert result.exit == 0, result
    answered = [event for event in result.events() if event["event"] == "gate.answered"]
    assert [(e["answer"], e["via"]) for e in answered] == [("approve", "another terminal")]


def test_a_gate_at_the_terminal(runbook, playbook):
    path = playbook("""
        local p = playbook "gate" { summary = "x" }
        gate "go" { ask = "Go on?", within = "5m" }
        step "c" { run = function() return 1 end }
    """)
    terminal = runbook.terminal("exec", path.name, cwd=path.parent)
    terminal.expect("approve")
    terminal.sendline("y")
    terminal.expect("succeeded")
    terminal.wait()
    assert terminal.exitstatus == 0
    terminal = runbook.terminal("exec", path.name, cwd=path.parent)
    terminal.expect("approve")
    terminal.sendline("n")
    terminal.wait()
    assert terminal.exitstatus == 1


def test_two_processes_cannot_hold_one_run(runbook, playbook):
    path = playbook(SLOW)
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "b1.txt")
    second = runbook("resume", "r1", cwd=path.parent)
    assert second.exit == 2, second
    assert "r1" in second.err and str(run.process.pid) in second.err
    run.process.send_signal(signal.SIGINT)
    assert run.finish(20).exit == 3
