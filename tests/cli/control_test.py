"""Control of a live run from another terminal: pause, resume, cancel, retry, rollback; what each says and what it leaves."""
import json
import os
import signal
import time
from pathlib import Path

import pytest

TWO = """
    local p = playbook "two" { summary = "x", needs = { files = { "./" }, shell = { "sleep", "/usr/bin/python3" } } }
    local page = toggle {
      on = function() fs.write("page", "on") end, off = function() fs.remove("page") end,
      state = function() return fs.exists("page") and "on" or "off" end }
    step "page on" { page.on }
    step "a" { undo = function() fs.write("a.undone", "1") end, run = function()
      fs.write("a.began", "1")
      while not fs.exists("a.go") do sh.run { "sleep", "0.05", reads = true } end
    end }
    step "b" { undo = keep "x", run = function() fs.write("b.done", "1") end }
    step "page off" { page.off }
"""


def wait_for(path, seconds=20):
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def events(runbook, run="r1"):
    return [json.loads(line) for line in runbook("show", run, "--output", "json").out.splitlines()]


def wait_for_event(runbook, name, run="r1", seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        found = [event for event in events(runbook, run) if event["event"] == name]
        if found:
            return found[-1]
        assert time.monotonic() < deadline, f"{name} did not come: {[e['event'] for e in events(runbook, run)]}"
        time.sleep(0.05)


def begin(runbook, playbook, text=TWO, began="a.began", **more):
    path = playbook(text)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent, **more)
    wait_for(path.parent / began)
    return path.parent, run


def test_pause_waits_before_the_next_step_and_resume_lets_it_go_on(runbook, playbook):
    folder, run = begin(runbook, playbook)
    paused = runbook("pause", "r1", "--why", "lunch")
    assert (paused.exit, paused.out) == (0, 'run r1 pauses before its next step (now: step "a"); runbook resume r1 goes on\n')
    again = runbook("pause", "r1")
    assert (again.exit, again.err) == (1, "error: run r1: the run is paused already\n")
    (folder / "a.go").touch()
    event = wait_for_event(runbook, "run.paused")
    user = event["by"]
    assert event["why"] == f'paused before step "b": by {user}: lunch. Left switched: step "page on" (on)'
    assert not (folder / "b.done").exists()
    resumed = runbook("resume", "r1")
    assert (resumed.exit, resumed.out) == (0, "run r1 goes on\n")
    result = run.finish(20)
    assert result.exit == 0, result
    assert [e["why"] for e in result.events() if e["event"] == "run.continued"] == ['goes on before step "b"']
    taken = [(e["verb"], e["by"], e.get("reason")) for e in result.events() if e["event"] == "control.taken"]
    assert taken == [("pause", user, "lunch"), ("resume", user, None)]


def test_cancel_holds_the_run_and_says_what_is_left_switched_on(runbook, playbook):
    folder, run = begin(runbook, playbook)
    cancelled = runbook("cancel", "r1", "--why", "wrong host")
    result = run.finish(20)
    user = next(e["initiator"] for e in result.events() if e["event"] == "run.started")
    why = f'cancelled by {user}: wrong host during step "a". Left switched: step "page on" (on)'
    assert (cancelled.exit, cancelled.out) == (0, f"run r1 is held: {why}\nnext: runbook resume r1, or runbook rollback r1\n")
    assert result.exit == 3, result
    held = result.events()[-1]
    assert (held["event"], held["why"], held["left_on"]) == ("run.held", why, ['step "page on" (on)'])
    assert (folder / "page").exists() and not (folder / "a.undone").exists()
    back = runbook("rollback", "r1", cwd=folder)
    assert back.exit == 1, back
    assert (folder / "a.undone").exists() and not (folder / "page").exists()


def test_rollback_of_a_live_run_is_ordered_and_shown(runbook, playbook):
    folder, run = begin(runbook, playbook)
    ordered = runbook("rollback", "r1", "--why", "too slow", "--output", "json")
    result = run.finish(20)
    assert (ordered.exit, result.exit) == (1, 1), (ordered, result)
    assert ordered.events()[-1]["outcome"] == "rolled_back"
    started = [e for e in result.events() if e["event"] == "rollback.started"][0]
    assert started["why"] == f"ordered by {started_by(result)}: too slow"
    assert (folder / "a.undone").exists() and not (folder / "page").exists() and not (folder / "b.done").exists()


def started_by(result):
    return next(e["initiator"] for e in result.events() if e["event"] == "run.started")


def test_rollback_reaches_a_paused_run(runbook, playbook):
    folder, run = begin(runbook, playbook)
    assert runbook("pause", "r1").exit == 0
    (folder / "a.go").touch()
    wait_for_event(runbook, "run.paused")
    assert runbook("rollback", "r1").exit == 1
    assert run.finish(20).exit == 1
    assert not (folder / "page").exists() and not (folder / "b.done").exists()


def test_a_way_that_does_not_exist(runbook, playbook):
    folder, run = begin(runbook, playbook, TWO.replace("undo = function() fs.write(\"a.undone\", \"1\") end", "undo = { down = function() end, restore = function() end }"))
    refused = runbook("rollback", "r1", "--way", "dwn")
    assert (refused.exit, refused.err) == (1, "error: run r1: the playbook has no way back 'dwn' (did you mean 'down'?): it has down, restore\n")
    assert runbook("cancel", "r1").exit == 0
    run.finish(20)
    refused = runbook("rollback", "r1", "--way", "dwn", cwd=folder)
    assert (refused.exit, refused.err) == (2, "error: the playbook has no way back 'dwn' (did you mean 'down'?): it has down, restore\n")
    assert [line.split()[-2:] for line in runbook("runs").out.splitlines()[1:]] == [["held", "3"]]  # it is what it was


def test_a_cancel_reaches_a_run_that_waits_at_a_gate(runbook, playbook):
    path = playbook("""
        local p = playbook "gate" { summary = "x" }
        gate "go" { ask = "Go on?", within = "5m" }
        step "c" { run = function() return 1 end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_until_known(runbook)
    wait_for_event(runbook, "gate.opened")
    assert runbook("cancel", "r1").exit == 0
    assert run.finish(20).exit == 3


def wait_until_known(runbook):
    deadline = time.monotonic() + 20
    while runbook("show", "r1").exit != 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_what_is_said_of_a_run_that_nobody_runs(runbook, playbook, verb):
    folder, run = begin(runbook, playbook)
    run.process.send_signal(signal.SIGINT)
    assert run.finish(20).exit == 3
    result = runbook(verb, "r1")
    assert (result.exit, result.err) == (
        2, "error: run r1 is not running: it is held\nhint: `runbook resume r1` goes on, `runbook rollback r1` goes back\n")
    assert runbook("rollback", "r1", cwd=folder).exit == 1
    result = runbook(verb, "r1")
    assert (result.exit, result.err) == (2, "error: run r1 has ended already: rolled_back\n")


def test_resume_of_a_run_that_is_not_paused(runbook, playbook):
    folder, run = begin(runbook, playbook)
    result = runbook("resume", "r1")
    assert result.exit == 2
    assert result.err.startswith(f"error: run r1 is running already (process {run.process.pid} on ") and "and not paused" in result.err
    (folder / "a.go").touch()
    assert run.finish(20).exit == 0


FAILS = """
    local p = playbook "fails" { summary = "x", needs = { files = { "./" } }, ask = { within = "1s", otherwise = "hold" } }
    step "a" { undo = keep "x", run = function() fs.write("a" .. tostring(math.random(1, 1000000)), "1") end }
    step "b" { undo = keep "x", failure = "rollback", loses = function() return 3 end, run = function()
      expect(fs.exists("mended"), "it is mended")
    end }
    checkpoint "c" { run = function() return fs.exists("right") end, pass = function(yes) return yes end, fail = { otherwise = hold "look" } }
    step "d" { undo = keep "x", run = function() fs.write("d", "1") end }
"""


def test_retry_runs_a_failed_step_again_and_goes_on(runbook, playbook):
    path = playbook(FAILS)
    held = runbook("exec", path.name, "--run-id", "r1", cwd=path.parent)
    assert held.exit == 3, held
    unknown = runbook("retry", "r1", "bb", cwd=path.parent)
    assert (unknown.exit, unknown.err) == (2, "error: run r1 has no step 'bb' (did you mean 'b'?)\nhint: steps: a, b, c, d\n")
    done = runbook("retry", "r1", "a", cwd=path.parent)
    assert (done.exit, done.err) == (2, 'error: step "a" is finished: only one that failed, did not pass or is in doubt can be retried\n')
    early = runbook("retry", "r1", "d", cwd=path.parent)
    assert (early.exit, early.err) == (2, 'error: step "d" has not begun: only one that failed, did not pass or is in doubt can be retried\n')
    (path.parent / "mended").touch()
    again = runbook("retry", "r1", "b", "--output", "json", cwd=path.parent)
    assert again.exit == 3, again  # the checkpoint behind it
    assert [(e["event"], e.get("attempt")) for e in again.events() if e.get("step") == "b"] == [
        ("step.retried", None), ("step.started", 1), ("step.finished", None)]
    (path.parent / "right").touch()
    last = runbook("retry", "r1", "c", cwd=path.parent)
    assert last.exit == 0, last
    assert (path.parent / "d").exists()
    assert len(list(path.parent.glob("a[0-9]*"))) == 1
    ended = runbook("retry", "r1", "c", cwd=path.parent)
    assert (ended.exit, ended.err) == (2, "error: run r1 has ended already: succeeded\n")


def test_retry_of_a_live_run(runbook, playbook):
    folder, run = begin(runbook, playbook)
    result = runbook("retry", "r1", "a", cwd=folder)
    assert result.exit == 2
    assert result.err.startswith(f"error: run r1 is running (process {run.process.pid} on ") and result.err.endswith(
        ": a step is retried where the run is held\nhint: `runbook cancel r1` holds it\n")
    (folder / "a.go").touch()
    assert run.finish(20).exit == 0


# --- nothing survives a cancel --------------------------------------------------------------------------------------

STUBBORN = r"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("grandchild", "w").write(str(os.getpid()))
        while True:
            time.sleep(0.1)
    os._exit(0)
open("child", "w").write(str(os.getpid()))
while True:
    time.sleep(0.1)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_stubborn_tree_is_gone_when_cancel_returns(runbook, playbook):
    path = playbook("""
        local p = playbook "stubborn" { summary = "x", needs = { files = { "./" }, shell = { "sleep", "/usr/bin/python3" } } }
        step "a" { undo = keep "x", run = function() sh.run({ "/usr/bin/python3", "stubborn.py" }, { grace = "1s" }) end }
    """)
    (path.parent / "stubborn.py").write_text(STUBBORN)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "grandchild")
    wait_for(path.parent / "child")
    time.sleep(0.1)
    pids = [int((path.parent / name).read_text()) for name in ("child", "grandchild")]
    assert all(map(alive, pids))
    began = time.monotonic()
    cancelled = runbook("cancel", "r1")
    took = time.monotonic() - began
    assert cancelled.exit == 0, cancelled
    assert not any(map(alive, pids)), f"still alive after {took:.1f} s"
    assert run.finish(20).exit == 3


def sleeping_postgres(database, mark):
    # by what it waits for: the text that is shown is the cursor's
    return database.sql("select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")


def sleeping_mysql(database, mark):
    return database.sql("select id from information_schema.processlist where info like %s and id <> connection_id()", (f"%{mark}%",))


@pytest.mark.parametrize("kind, statement, look", [
    ("PG", "select pg_sleep(60) /* control_test */", sleeping_postgres),
    ("MYSQL", "select sleep(60) /* control_test */", sleeping_mysql),
    ("MARIADB", "select sleep(60) /* control_test */", sleeping_mysql),
])
def test_cancel_reaches_the_statement_in_the_server(runbook, playbook, scratch, kind, statement, look):
    database = scratch(kind)
    path = playbook(f"""
        local p = playbook "slow" {{ summary = "x", params = {{ db = {{ "database", access = "write", required = true }} }} }}
        step "a" {{ undo = keep "x", run = function() db.query(p.db, [[{statement}]]) end }}
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", "--db", database.url, cwd=path.parent)
    deadline = time.monotonic() + 20
    while not look(database, "control_test"):
        assert time.monotonic() < deadline, "the statement never ran"
        time.sleep(0.05)
    cancelled = runbook("cancel", "r1")
    assert cancelled.exit == 0, cancelled
    assert look(database, "control_test") == []
    assert run.finish(20).exit == 3


def test_ctrl_c_on_a_terminal_asks_and_names_what_is_left_on(runbook, playbook):
    path = playbook(TWO)
    terminal = runbook.terminal("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "a.began")
    terminal.sendintr()
    terminal.expect('interrupted by Ctrl-C. Left switched: step "page on" \\(on\\)')
    terminal.expect("roll back")
    terminal.sendline("h")
    terminal.expect('held: interrupted during step "a". Left switched: step "page on" \\(on\\)')
    terminal.wait()
    assert terminal.exitstatus == 3


def test_ctrl_c_without_a_terminal_names_what_is_left_on(runbook, playbook):
    folder, run = begin(runbook, playbook)
    run.process.send_signal(signal.SIGINT)
    result = run.finish(20)
    assert result.exit == 3
    assert result.events()[-1]["why"] == 'interrupted during step "a". Left switched: step "page on" (on)'


def test_ctrl_c_at_a_question_holds(runbook, playbook):
    path = playbook("""
        local p = playbook "asks" { summary = "x" }
        checkpoint "c" { run = function() return 0 end, pass = function() return false end, fail = { otherwise = ask "lead" } }
    """)
    terminal = runbook.terminal("exec", path.name, "--run-id", "r1", cwd=path.parent)
    terminal.expect("roll back \\(r\\)")
    terminal.sendintr()
    terminal.expect("held: interrupted while waiting for an answer")
    terminal.wait()
    assert terminal.exitstatus == 3


def test_pause_waits_between_two_sub_steps(runbook, playbook):
    path = playbook("""
        local p = playbook "batches" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
        step "many" { undo = keep "x", run = function(ctx)
          for i = 1, 3 do
            ctx.step("batch " .. i, { run = function()
              fs.write("began" .. i, "1")
              while not fs.exists("go" .. i) do sh.run { "sleep", "0.02", reads = true } end
            end })
          end
        end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "began1")
    assert runbook("pause", "r1").exit == 0
    (path.parent / "go1").touch()
    paused = wait_for_event(runbook, "run.paused")
    assert paused["why"].startswith('paused before sub-step "batch 2" of step "many": by ')
    assert not (path.parent / "began2").exists()
    assert runbook("resume", "r1").exit == 0
    (path.parent / "go2").touch()
    (path.parent / "go3").touch()
    assert run.finish(20).exit == 0


def test_a_step_beside_is_cancelled_too_and_then_in_doubt(runbook, playbook):
    path = playbook("""
        local p = playbook "beside" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
        step "long" { beside = "end", undo = keep "x", run = function() fs.write("long.began", "1"); sh.run { "sleep", "60" } end }
        step "a" { undo = keep "x", run = function() fs.write("a.done", "1") end }
        step "end" { undo = keep "x", run = function() fs.write("end.done", "1") end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "long.began")
    wait_for(path.parent / "a.done")
    assert runbook("cancel", "r1").exit == 0
    result = run.finish(20)
    assert result.exit == 3, result
    assert "step.failed" not in [e["event"] for e in result.events()]
    again = runbook("resume", "r1", "--output", "json", cwd=path.parent)
    assert again.exit == 4, again  # never silently run again
    assert [e["step"] for e in again.events() if e["event"] == "step.in_doubt"] == ["long"]
    assert not (path.parent / "end.done").exists()


def test_a_cancel_on_the_way_back_holds_and_resumes_backwards(runbook, playbook):
    path = playbook("""
        local p = playbook "back" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
        step "a" { undo = function() fs.write("a.undone", "1") end, run = function() return 1 end }
        step "b" { undo = function(ctx)
          fs.write("b.undoing", "1")
          while not fs.exists("go") do sh.run { "sleep", "0.02", reads = true } end
        end, run = function() error("broken") end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    wait_for(path.parent / "b.undoing")
    paused = runbook("pause", "r1")
    assert (paused.exit, paused.err) == (1, "error: run r1: the run is on its way back\n")
    again = runbook("rollback", "r1")
    assert (again.exit, again.err) == (1, "error: run r1: the run is on its way back already\n")
    assert runbook("cancel", "r1").exit == 0
    assert run.finish(20).exit == 3
    assert not (path.parent / "a.undone").exists()
    refused = runbook("retry", "r1", "b", cwd=path.parent)
    assert (refused.exit, refused.err) == (2, "error: the run is on its way back: a rollback never goes forward again\nhint: `runbook resume` continues it\n")
    (path.parent / "go").touch()
    result = runbook("resume", "r1", cwd=path.parent)
    assert result.exit == 1, result
    assert (path.parent / "a.undone").exists()


def test_retry_of_a_step_in_doubt_is_a_persons_word(runbook, playbook):
    path = playbook("""
        local p = playbook "doubt" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
        step "a" { undo = keep "x", run = function()
          if fs.exists("began") then return 2 end
          fs.write("began", "1")
          sh.run { "sleep", "60" }
        end }
    """)
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(path.parent / "began")
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(20)
    assert runbook("resume", "r1", cwd=path.parent).exit == 4
    result = runbook("retry", "r1", "a", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    retried = [event for event in result.events() if event["event"] == "step.retried"]
    assert [(event["was"], event["why"]) for event in retried] == [("started", f"ordered by {retried[0]['by']}")]
