"""Follow-ups and `runbook due`: runs of their own, from what the run that they follow had pinned."""
import json
import os
import sqlite3
import time

import pytest
from hooks import channels, hook, refused, wait_for  # noqa: F401 (hook is a fixture)

FOLLOW = """
    local helper = require "helper"
    local p = playbook "move" { summary = "x", params = { where = { "string", default = "here" } }, needs = { files = { "./" } } }
    local copied = step "copy" { run = function() return { rows = 5 } end }
    followup "look" { after = "0s", owner = "ops", run = function() return { seen = copied.result.rows, where = p.where, word = helper.word } end }
    followup "in a week" { after = "7d", run = function() return 1 end }
"""


def events(runbook, run):
    return [json.loads(line) for line in runbook("show", run, "--output", "json").out.splitlines()]


def due(runbook):
    result = runbook("due", "--list", "--output", "json")
    assert result.exit == 0, result
    return {entry["run"]: entry["state"] for entry in map(json.loads, result.out.splitlines())}


def shift(runbook, run, seconds):
    """Moves the follow-ups of a run into the past, as if `seconds` had gone by."""
    with sqlite3.connect(runbook.journal) as db:
        triggers = db.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()  # events are append-only
        for name, _ in triggers:
            db.execute(f"drop trigger {name}")
        for seq, text in db.execute("select seq, data from events where run = ? and event = 'followup.scheduled'", (run,)).fetchall():
            data = json.loads(text)
            times = [time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - seconds for at in data["at"]]
            data["at"] = [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at)) for at in times]
            db.execute("update events set data = ? where run = ? and seq = ?", (json.dumps(data), run, seq))
        for _, sql in triggers:
            db.execute(sql)


def test_a_follow_up_runs_the_pinned_source_with_the_results_of_its_run(runbook, playbook):
    path = playbook(FOLLOW)
    helper = playbook('return { word = "pinned" }\n', "helper.lua")
    parent = runbook("exec", path.name, "--run-id", "r1", "--where", "there", "--output", "plain", cwd=path.parent)
    assert parent.exit == 0, parent
    assert 'follow-up "in a week" ' in parent.out and "`runbook due` starts it" in parent.out
    assert due(runbook) == {"r1.look": "due", "r1.in-a-week": "to come"}
    path.write_text("this is no playbook any more\n", encoding="utf-8")
    helper.write_text("error 'changed'\n", encoding="utf-8")
    assert runbook("due", "--output", "json", cwd=runbook.home).exit == 0
    finished = [e for e in events(runbook, "r1.look") if e["event"] == "step.finished"]
    assert finished[0]["result"] == {"seen": 5, "where": "there", "word": "pinned"}
    assert due(runbook) == {"r1.look": "succeeded", "r1.in-a-week": "to come"}
    again = runbook("due", cwd=runbook.home)
    assert again.exit == 0 and again.out == ""


def test_a_gated_follow_up_waits_for_people_and_may_change_things(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x", needs = { files = { "./" } } }
        step "a" { run = function() end }
        followup "prune" { after = "0s", role = "dba", run = function() fs.write("pruned.txt", "x") end }
        followup "take down" { after = "0s", owner = "ops", manual = "Take the old server down" }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    first = runbook("due", "--output", "plain")
    assert first.exit == 0 and "Take the old server down - done?" in first.out, first
    assert due(runbook) == {"r1.prune": "held", "r1.take-down": "held"}
    assert not (path.parent / "pruned.txt").exists()
    assert runbook("due").err == "prune: held (runbook resume r1.prune)\ntake down: held (runbook resume r1.take-down)\n"
    assert runbook("approve", "r1.prune", "prune: go").exit == 0
    assert runbook("resume", "r1.prune").exit == 0
    assert (path.parent / "pruned.txt").exists()
    assert runbook("resume", "r1.take-down", "--approve", "take down").exit == 0
    assert due(runbook) == {"r1.prune": "succeeded", "r1.take-down": "succeeded"}


def test_a_follow_up_that_changes_things_needs_a_gate_or_a_way_back(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x", needs = { files = { "./" } } }
        step "a" { run = function() end }
        followup "write" { after = "0s", run = function() fs.write("a.txt", "x") end }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    result = runbook("due", "--output", "plain")
    assert result.exit == 1 and 'fs.write is refused: step "write" has no way back' in result.out, result
    assert not (path.parent / "a.txt").exists()


def test_of_a_repeated_follow_up_the_newest_is_run_and_the_others_are_told(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "move" { summary = "x" }
        step "a" { run = function() end }
        followup "report" { every = "1h", times = 4, template = "daily.md", to = "migration", run = function() return { rows = 1234 } end }
    """)
    channels(path, hook)
    (path.parent / "daily.md").write_text("Number {number} after {run}: {result.rows} rows.\n", encoding="utf-8")
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    assert set(due(runbook).values()) == {"to come"}
    shift(runbook, "r1", 3.5 * 3600)
    assert due(runbook) == {"r1.report.1": "left out", "r1.report.2": "left out", "r1.report.3": "due", "r1.report.4": "to come"}
    assert runbook("due").exit == 0
    assert hook.texts("/migration") == ["Number 3 after r1: 1,234 rows."]
    missed = [e["why"] for e in events(runbook, "r1.report.3") if e["event"] == "followup.missed"]
    assert missed == [f'follow-up "report" of run r1: number {n} was not started in time, and is left out' for n in (1, 2)]
    shift(runbook, "r1", 3600 * 30)
    late = runbook("due", "--output", "plain")
    assert late.exit == 0 and 'follow-up "report" of run r1 was due ' in late.out, late
    assert due(runbook)["r1.report.4"] == "succeeded"


def test_a_follow_up_that_crashed_is_resumed_as_any_run(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } } }
        local a = step "a" { run = function() return { rows = 5 } end }
        followup "clean" { after = "0s", undo = keep "x", idempotent = true, run = function(ctx)
          fs.write("attempt" .. ctx.attempt .. ".txt", "x")
          if ctx.attempt == 1 then sh.run { "sleep", "60" } end
          return a.result.rows
        end }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    run = runbook.start("due")
    wait_for((path.parent / "attempt1.txt").exists)
    os.kill(run.process.pid, 9)
    run.finish()
    assert due(runbook)["r1.clean"] == "interrupted"
    assert runbook("due").err == "clean: interrupted (runbook resume r1.clean)\n"
    path.unlink()
    assert runbook("resume", "r1.clean").exit == 0
    assert [e["result"] for e in events(runbook, "r1.clean") if e["event"] == "step.finished"] == [5]


def test_a_run_that_did_not_succeed_schedules_nothing(runbook, playbook):
    path = playbook("""
        local p = playbook "move" { summary = "x" }
        step "a" { run = function() error "no" end }
        followup "look" { after = "0s", run = function() end }
    """)
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 1
    assert due(runbook) == {}


def test_after_a_rollback_people_are_told_what_to_do(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "move" { summary = "x", roles = { lead = "Migration Lead" }, updates = { to = "migration" }, params = { fail = { "boolean", default = true } } }
        step "a" { run = function() end, undo = function() end }
        step "b" { run = function() if p.fail then error "no" end end }
        on_rollback "inquiry" { owner = "lead", tasks = { { "tell the users", by = "1h" }, { "find the cause" } } }
    """)
    channels(path, hook)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    opened = [(e["task"], e["owner"], "by" in e) for e in result.events() if e["event"] == "task.opened"]
    assert opened == [("tell the users", "lead", True), ("find the cause", "lead", False)]
    told = [text for text in hook.texts("/migration") if text.startswith("To do after the rollback:\n- tell the users, by 2")]
    assert len(told) == 1 and told[0].endswith("(Migration Lead)\n- find the cause (Migration Lead)")
    assert not [e for e in runbook("exec", path.name, "--no-fail", "--output", "json", cwd=path.parent).events() if e["event"] == "task.opened"]


@pytest.mark.parametrize("body, message", [
    ("", "on_rollback \"o\": option 'tasks' is required: { { \"what\", by = \"1h\" }, … }"),
    ('tasks = { "x" }', 'on_rollback "o": task 1: { "what", by = "1h" } expected, got string'),
    ('tasks = { { "x", by = "10 minuts" } }', "on_rollback \"o\": task 1: option 'by': a duration such as 30s or 10m expected, got '10 minuts'"),
])
def test_a_task_that_cannot_be_meant_is_refused(runbook, playbook, body, message):
    path = playbook(f'local p = playbook "x" {{ summary = "x" }}\non_rollback "o" {{ {body} }}\nstep "a" {{ run = function() end }}\n')
    assert message in refused(runbook, path)


def test_notices_of_a_held_run_are_posted_by_due(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "dates" { summary = "x" }
        notice "soon" { after = "1s", to = "general", text = "it comes" }
        gate "go" { ask = "Go?" }
    """)
    channels(path, hook)
    assert runbook("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent).exit == 3
    assert runbook("due").exit == 0
    if not hook.texts():
        time.sleep(1.1)  # its date is a second after the start
        assert runbook("due").exit == 0
    assert hook.texts("/general") == ["it comes"]
    assert runbook("due").exit == 0 and hook.texts("/general") == ["it comes"]
    assert runbook("resume", "r1", "--approve", "go", cwd=path.parent).exit == 0
    assert hook.texts("/general") == ["it comes"]


@pytest.mark.parametrize("body, message", [
    ("run = function() end", 'followup "f": when? give it after, at or every'),
    ('after = "7 dayz", run = function() end', "followup \"f\": option 'after': a duration such as 30s or 10m expected, got '7 dayz'"),
    ('at = "Fryday 09:00 UTC", run = function() end',
     "followup \"f\": option 'at': 'Fryday 09:00 UTC' is not a date: no weekday 'Fryday' (did you mean 'Friday'?)"),
    ('at = "T+1d", run = function() end', "followup \"f\": option 'at': 'T+1d' counts from the start itself: write Thursday 07:00 Europe/Berlin"),
    ('every = "1h", run = function() end', "followup \"f\": option 'times' is required beside every: how often"),
    ('after = "1h", times = 3, run = function() end', "followup \"f\": option 'times' needs every: how long between them"),
    ('after = "1h", at = "Friday 09:00 UTC", run = function() end', 'followup "f": has at and after or every: a date comes once'),
    ('after = "1h"', 'followup "f": has nothing to do: give it run, manual, template or a gate'),
    ('after = "1h", run = function() end, manual = "x"', 'followup "f": has both run and manual: who does it?'),
    ('after = "1h", template = "x.md"', "followup \"f\": option 'to' is required beside template: the channels"),
    ('after = "1h", template = "x.md", to = "console"', "followup \"f\": option 'template': there is no x.md beside the playbook"),
    ('after = "1h", runn = function() end', "followup \"f\": unknown option 'runn' (did you mean 'run'?)"),
    ('after = "1h", run = function() end }\nstep "f" { run = function() end', 'step "f": declared twice, first at line 2'),
])
def test_a_follow_up_that_cannot_be_meant_is_refused(runbook, playbook, body, message):
    path = playbook(f'local p = playbook "x" {{ summary = "x" }}\nfollowup "f" {{ {body} }}\nstep "a" {{ run = function() end }}\n')
    assert message in refused(runbook, path)


def test_a_role_that_the_header_does_not_have_is_refused(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", roles = { lead = "Lead" } }
        followup "f" { after = "1d", role = "laed", run = function() end }
        on_rollback "o" { owner = "leed", tasks = { { "x" } } }
        step "a" { run = function() end }
    """)
    told = refused(runbook, path)
    assert "playbook.lua:2: followup \"f\": option 'role': no role 'laed' (did you mean 'lead'?)" in told
    assert "playbook.lua:3: on_rollback \"o\": option 'owner': no role 'leed' (did you mean 'lead'?)" in told
