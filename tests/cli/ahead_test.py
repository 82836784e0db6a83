"""Runs that are created ahead of T: notices, reminders, confirmations, and what goes on with them. T is moved in the journal, never waited for."""
import json
import sqlite3
import time

import pytest
from hooks import channels, hook, refused  # noqa: F401 (hook is a fixture)

DAY = 86400

BOOK = """
    local p = playbook "move" {{ summary = "Move it", roles = {{ lead = "Migration Lead", qa = "QA" }}, updates = {{ to = "migration" }} {header} }}
    notice "a week ahead" {{ at = "T-7d", to = "general", text = "{{playbook}} comes at {{start}}" }}
    checklist "ready" {{ due = "T-1d", valid = "30d", confirm("lead", "window approved"), confirm("qa", "tests pass"), probe("one", function() return true end) }}
    {gate}
    step "close" {{ run = function() return 1 end }}
    {after}
"""


def moment(ahead):
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + ahead))


def write(playbook, header="", gate="", after=""):
    return playbook(BOOK.format(header=header, gate=gate, after=after))


def events(runbook, run, name=None):
    found = [json.loads(line) for line in runbook("show", run, "--output", "json").out.splitlines()]
    return [e for e in found if name in (None, e["event"])]


def state(runbook, run="r1"):
    return {entry["run"]: entry["state"] for entry in map(json.loads, runbook("runs", "--output", "json").out.splitlines())}[run]


def pass_time(runbook, run, seconds):
    """As if `seconds` had gone by: every date in the run's events becomes that much earlier."""
    def earlier(value):
        if isinstance(value, dict):
            return {key: earlier(item) for key, item in value.items()}
        if isinstance(value, list):
            return [earlier(item) for item in value]
        if isinstance(value, str) and len(value) == 24 and value[10] == "T" and value.endswith("Z"):
            at = time.mktime(time.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - seconds
            return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
        return value

    with sqlite3.connect(runbook.journal) as db:
        triggers = db.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()  # events are append-only
        for name, _ in triggers:
            db.execute(f"drop trigger {name}")
        for seq, text in db.execute("select seq, data from events where run = ?", (run,)).fetchall():
            db.execute("update events set data = ? where run = ? and seq = ?", (json.dumps(earlier(json.loads(text))), run, seq))
        for _, sql in triggers:
            db.execute(sql)


def test_a_run_created_ahead_is_told_reminded_confirmed_and_begun_at_its_time(runbook, playbook, hook):
    path = write(playbook)
    channels(path, hook)
    made = runbook("exec", path.name, "--run-id", "r1", "--start", moment(8 * DAY), "--ahead", "--output", "plain", cwd=path.parent)
    assert made.exit == 3 and "planned for " in made.out and "`runbook due` goes on with it at " in made.out, made
    assert not events(runbook, "r1", "step.started") and hook.texts() == []
    shown = runbook("show", "r1").out
    assert "notice: a week ahead  r1      to come  to general\n" in shown and "reminder: ready       r1      to come  T-1d, by lead, qa\n" in shown, shown
    assert runbook("due").exit == 0 and hook.texts() == []
    listed = [json.loads(line) for line in runbook("due", "--list", "--output", "json").out.splitlines()]
    assert [(e.get("notice") or e.get("reminder"), e["state"]) for e in listed] == [("a week ahead", "to come"), ("ready", "to come")]

    pass_time(runbook, "r1", DAY + 60)  # a week ahead
    assert runbook("due").exit == 0
    assert [text[:14] for text in hook.texts("/general")] == ["move comes at "]
    assert runbook("confirm", "r1", "ready: window approved").exit == 0

    pass_time(runbook, "r1", 6 * DAY)  # a day ahead
    assert runbook("due").exit == 0
    reminded = hook.texts("/migration")
    assert len(reminded) == 1 and reminded[0].startswith('move: "ready" was due at ') and reminded[0].endswith(
        ' (T-1d), and waits for:\n- tests pass (QA): runbook confirm r1 "ready: tests pass"'), reminded
    assert runbook("due").exit == 0 and len(hook.texts("/migration")) == 1
    assert runbook("confirm", "r1", "ready: tests pass").exit == 0
    assert state(runbook) == "held"

    pass_time(runbook, "r1", DAY)  # T
    assert runbook("due").exit == 0
    assert state(runbook) == "succeeded"
    assert [e["event"] for e in events(runbook, "r1") if e["event"] in ("run.planned", "run.begun", "run.finished")] == ["run.planned", "run.begun", "run.finished"]
    assert hook.texts("/migration")[1].startswith("move: started by ") and hook.texts("/migration")[-1].startswith("move: done in ")


def test_what_is_confirmed_in_time_is_not_reminded_of(runbook, playbook, hook):
    path = write(playbook)
    channels(path, hook)
    assert runbook("exec", path.name, "--run-id", "r1", "--start", moment(8 * DAY), "--ahead", cwd=path.parent).exit == 3
    for item in ("window approved", "tests pass"):
        assert runbook("confirm", "r1", f"ready: {item}").exit == 0
    pass_time(runbook, "r1", 7 * DAY + 60)
    assert runbook("due").exit == 0
    assert hook.texts("/migration") == []
    assert [e["why"] for e in events(runbook, "r1", "reminder.dropped")] == ['"ready": everything is confirmed']


def test_no_step_begins_before_T_although_somebody_goes_on_early(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x" }
        checkpoint "look" { run = function() return 1 end, pass = function() return true end }
        step "close" { run = function() return 1 end }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", "--start", moment(DAY), "--ahead", cwd=path.parent).exit == 3
    early = runbook("resume", "r1", "--detach", "--output", "plain", cwd=path.parent)
    assert early.exit == 3 and 'checkpoint "look" waits until ' in early.out, early
    assert not events(runbook, "r1", "step.started")
    pass_time(runbook, "r1", DAY + 60)
    assert runbook("due").exit == 0 and state(runbook) == "succeeded"


def test_one_that_needs_somebody_is_told_and_not_begun(runbook, playbook, hook):
    path = write(playbook, gate='gate "go or no-go" { at = "T-30m", role = "lead", ask = "Go?", within = "30m", otherwise = "rollback" }',
                 after='step "open" { run = function() end, undo = function() end }\ngate "go live" { ask = "Open?", within = "10m", otherwise = "rollback" }')
    channels(path, hook)
    made = runbook("exec", path.name, "--run-id", "r1", "--start", moment(8 * DAY), "--ahead", "--output", "plain", cwd=path.parent)
    assert made.exit == 3 and "somebody goes on with it at " in made.out and "runbook resume r1" in made.out, made
    pass_time(runbook, "r1", 8 * DAY - 1500)  # 25 minutes before T: the gate's time
    for _ in range(2):
        result = runbook("due")
        assert result.exit == 4
        assert result.err.startswith("r1: its time has come, and somebody has to go on with it: runbook resume r1 (gate \"go live\" leads to 'rollback'"), result
    assert not events(runbook, "r1", "gate.opened")
    told = [text for text in hook.texts("/migration") if "it is time" in text]
    assert len(told) == 1 and told[0].endswith("somebody has to go on with the run: runbook resume r1")


def test_a_planned_run_takes_its_locks_when_it_begins(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x", lock = "shop", params = { hold = { "boolean", default = false } } }
        step "close" { run = function() return 1 end }
        gate "go" { ask = "Go?" }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", "--start", moment(DAY), "--ahead", cwd=path.parent).exit == 3
    assert runbook("exec", path.name, "--run-id", "r2", "--detach", cwd=path.parent).exit == 3  # nothing in its way
    pass_time(runbook, "r1", DAY + 60)
    late = runbook("due")
    assert late.exit == 2 and "run r2" in late.err and state(runbook) == "held", late
    assert runbook("resume", "r2", "--approve", "go", cwd=path.parent).exit == 0
    assert runbook("due").exit == 0
    assert [e["step"] for e in events(runbook, "r1", "step.finished")] == ["close"]
    third = runbook("exec", path.name, "--detach", cwd=path.parent)
    assert third.exit == 2 and "run r1" in third.err


def test_a_planned_run_can_be_called_off(runbook, playbook):
    path = playbook('local p = playbook "move" { summary = "x" }\nstep "close" { run = function() return 1 end, undo = function() end }\n')
    assert runbook("exec", path.name, "--run-id", "r1", "--start", moment(DAY), "--ahead", cwd=path.parent).exit == 3
    assert runbook("rollback", "r1", cwd=path.parent).exit == 1
    assert state(runbook) == "failed" and not events(runbook, "r1", "step.started")
    assert runbook("due").exit == 0


@pytest.mark.parametrize("given, message", [
    ([], "error: --ahead: T is not known\nhint: give --start \"Friday 22:00 Europe/Berlin\", or start in the header\n"),
    (["--start", "2024-01-01 00:00 UTC"], "error: --ahead: T, 2024-01-01 00:00 UTC, has passed\nhint: give a --start that is still to come, or leave --ahead away\n"),
    (["--dry-run"], "error: --ahead and --dry-run: a dry run is no run\n"),
])
def test_an_ahead_that_cannot_be_meant_is_refused(runbook, playbook, given, message):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    assert message in refused(runbook, path, "--ahead", *given)


def test_start_without_ahead_says_that_it_is_no_wait(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    result = runbook("exec", path.name, "--start", moment(DAY), "--output", "json", cwd=path.parent)
    assert result.exit == 0
    assert [e["why"].split("; ")[1] for e in result.events() if e["event"] == "start.set"] == [
        "T is no wait, the run begins now (--ahead creates it and leaves it until then)"]
