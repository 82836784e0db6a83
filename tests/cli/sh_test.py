"""Commands in playbooks: output, failure, refusal, and a tree that ends with its run however the run ends."""
import os
import signal
import time

from live_test import wait_for


def events(result, name):
    return [event for event in result.events() if event["event"] == name]


def test_output_is_streamed_and_the_result_is_kept(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "printf" } } }
        step "say" { undo = keep "nothing", run = function() return sh.run { "printf", "one\\ntwo\\n" } end }
    """)
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 0, result
    assert [e["text"] for e in events(result, "output")] == ["one", "two"]
    finished = events(result, "step.finished")[0]["result"]
    assert (finished["exit"], finished["out"], finished["left"]) == (0, "one\ntwo\n", [])


def test_a_failing_command_fails_its_step(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "sh" } } }
        step "break" { undo = keep "nothing", run = function()
          sh.run { "sh", "-c", "echo 'disk is full' >&2; exit 7" }
        end }
    """)
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 1, result
    error = events(result, "step.failed")[0]["error"]
    assert error["kind"] == "shell.exit"
    assert error["message"] == "`echo 'disk is full' >&2; exit 7` exited with status 7: disk is full"
    assert error["where"]["line"] == 3


def test_what_is_not_declared_is_refused_by_name(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x",
          needs = { shell = { "systemctl", "touch" } } }
        step "clean" { undo = keep "nothing", run = function() sh.run { "r" .. "m", "x" } end }
    """)
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 1, result
    error = events(result, "step.failed")[0]["error"]
    assert error["kind"] == "permission"
    assert 'step "clean" may not run `rm`: needs.shell allows systemctl, touch' in error["message"]


def test_a_secret_reaches_the_command_and_nobody_else(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { shell = { "sh", "echo" } },
          params = { token = { "secret", from = "env:MY_TOKEN", doc = "x" } } }
        step "use" { undo = keep "nothing", run = function()
          return sh.run { "sh", "-c", "printf %s $TOKEN | wc -c; echo $TOKEN", env = { TOKEN = p.token } }.out
        end }
        step "leak" { undo = keep "nothing", failure = "continue", run = function() sh.run { "echo", tostring(p.token) } end }
    """)
    result = runbook("exec", path, "--output", "json", env={"MY_TOKEN": "s3cret-token-9"})
    assert result.exit == 0, result
    assert events(result, "step.finished")[0]["result"] == "14\n***\n"
    assert "s3cret-token-9" not in result.out + result.err
    assert b"s3cret-token-9" not in runbook.journal.read_bytes()
    report = runbook("show", events(result, "run.started")[0]["run"])
    assert "s3cret-token-9" not in report.out


TREE = """
    playbook "x" { summary = "x", needs = { shell = { "sh" } } }
    step "tree" { undo = keep "nothing", run = function()
      sh.run { "sh", "-c", "trap '' TERM; (setsid sh -c 'trap \\"\\" TERM; touch two; sleep 300; sleep 300' &); touch one; sleep 300; sleep 300",
               grace = "200ms", TIMEOUT }
    end }
"""


def test_a_timeout_ends_the_whole_tree(runbook, playbook):
    path = playbook(TREE.replace("TIMEOUT", 'timeout = "1s"'))
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 4, result  # it was killed half way, and nothing says what it had done
    assert (path.parent / "two").exists()
    doubt = events(result, "step.in_doubt")[0]
    assert doubt["state"] == "unknown"
    assert doubt["why"].endswith("did not finish within 1s; everything it started has ended")
    assert not runbook.leftovers()


def test_a_timeout_of_what_only_reads_is_a_failure(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "sleep" } } }
        step "wait" { run = function() sh.run { "sleep", "300", timeout = "200ms", reads = true } end }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    error = events(result, "step.failed")[0]["error"]
    assert error["kind"] == "shell.timeout"
    assert error["message"] == "`sleep 300` did not finish within 200ms; everything it started has ended"
    assert not runbook.leftovers()


def test_kill_9_leaves_nothing_of_the_tree(runbook, playbook):
    path = playbook(TREE.replace("TIMEOUT", ""))
    run = runbook.start("exec", path.name, cwd=path.parent)
    wait_for(path.parent / "one")
    wait_for(path.parent / "two")
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish()
    assert not runbook.leftovers()


def test_sigterm_ends_the_tree_before_the_program_ends(runbook, playbook):
    path = playbook(TREE.replace("TIMEOUT", ""))
    run = runbook.start("exec", path.name, cwd=path.parent)
    wait_for(path.parent / "two")
    run.process.send_signal(signal.SIGINT)
    result = run.finish()
    assert result.exit == 3, result
    assert not runbook.leftovers()
