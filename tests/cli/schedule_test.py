"""`schedule` in the header, and `runbook due FILE`. When an occurrence is, is tested in tests/unit/engine_schedule_test.cpp; here a
schedule counts from a date in the past, so that nothing waits: every 10000 days came on 2024-10-04, and comes in 2052."""
import json
import sqlite3

import pytest
from hooks import refused, wait_for

PAST = 'every = "10000d", from = "2024-01-01 00:00 UTC"'
CAME = "nightly.20241004-0000"


def book(playbook, schedule, body='step "a" { run = function() return { kind = p.kind } end }', header=""):
    return playbook(f"""
        local p = playbook "nightly" {{ summary = "x", params = {{ kind = {{ "string", default = "part" }} }}, {header} schedule = {schedule} }}
        {body}
    """)


def events(runbook, run):
    return [json.loads(line) for line in runbook("show", run, "--output", "json").out.splitlines()]


def runs(runbook):
    return {entry["run"]: entry["state"] for entry in map(json.loads, runbook("runs", "--output", "json").out.splitlines())}


def listed(runbook, *files, cwd=None):
    result = runbook("due", *files, "--list", "--output", "json", cwd=cwd)
    assert result.exit == 0, result
    return {entry["schedule"]: entry for entry in map(json.loads, result.out.splitlines())}


def test_the_first_due_makes_a_schedule_known_and_starts_nothing(runbook, playbook):
    path = book(playbook, '"02:00 Europe/Berlin"')
    assert listed(runbook, path.name, cwd=path.parent)["nightly"]["state"] == "not known yet"
    assert not runbook.journal.exists()
    first = runbook("due", path.name, cwd=path.parent)
    assert first.exit == 0 and first.err.startswith("nightly: scheduled at 02:00 Europe/Berlin, next 20"), first
    assert runs(runbook) == {"schedule.nightly": "scheduled"}
    again = runbook("due", path.name, cwd=path.parent)
    assert (again.exit, again.out, again.err) == (0, "", "")
    assert listed(runbook)["nightly"]["state"] == "to come"  # without the file: what the journal knows
    path.write_text(path.read_text(encoding="utf-8").replace("02:00", "03:30"), encoding="utf-8")
    assert "nightly: its schedule has changed: at 03:30 Europe/Berlin, next " in runbook("due", path.name, cwd=path.parent).err
    assert [e["text"] for e in events(runbook, "schedule.nightly") if e["event"] == "schedule.set"] == ["at 02:00 Europe/Berlin", "at 03:30 Europe/Berlin"]
    ended = runbook("resume", "schedule.nightly")
    assert ended.exit == 2 and "run schedule.nightly has ended already: scheduled" in ended.err


def test_an_occurrence_is_started_once_with_its_parameters(runbook, playbook):
    path = book(playbook, f'{{ {PAST}, missed = "run once", params = {{ kind = "full" }} }}')
    result = runbook("due", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    started = [e for e in result.events() if e["event"] == "schedule.started"]
    assert [(e["run"], e["schedule"], e["due"], e["why"]) for e in started] == [
        (CAME, "schedule.nightly", "2024-10-04T00:00:00.000Z", "its schedule: every 10000d, from 2024-01-01 00:00 UTC")]
    assert [e["result"] for e in result.events() if e["event"] == "step.finished"] == [{"kind": "full"}]
    assert runs(runbook) == {CAME: "succeeded", "schedule.nightly": "scheduled"}
    again = runbook("due", path.name, cwd=path.parent)
    assert (again.exit, again.out) == (0, "")
    entry = listed(runbook, path.name, cwd=path.parent)["nightly"]
    assert (entry["state"], entry["due"], entry["missed"]) == ("to come", "2052-02-20T00:00:00.000Z", 0)
    assert runbook("show", "last", "--output", "json").out.splitlines()[0].find(CAME) > 0  # a schedule is no run


def test_one_that_is_too_late_is_missed_told_and_kept(runbook, playbook):
    path = book(playbook, f"{{ {PAST} }}")
    result = runbook("due", path.name, cwd=path.parent)
    assert result.exit == 0 and "nightly: 2024-10-04 00:00 UTC was missed: it was not started in time\n" in result.err, result
    missed = [e for e in events(runbook, "schedule.nightly") if e["event"] == "schedule.missed"]
    assert [(e["due"], e["count"], e["why"]) for e in missed] == [("2024-10-04T00:00:00.000Z", 1, "it was not started in time")]
    assert runs(runbook) == {"schedule.nightly": "scheduled, 1 missed"}
    entry = listed(runbook)["nightly"]
    assert (entry["missed"], entry["last_missed"], entry["why"]) == (1, "2024-10-04T00:00:00.000Z", "it was not started in time")
    assert "1, the last for 2024-10-04 00:00: it was not started in time" in runbook("due", "--list").out
    again = runbook("due", path.name, cwd=path.parent)
    assert (again.exit, again.out, again.err) == (0, "", "")
    assert runbook("show", "schedule.nightly", "--audit").exit == 0


def test_two_at_once_start_one_run(runbook, playbook):
    path = book(playbook, f'{{ {PAST}, missed = "run once" }}', body='step "a" { run = function() sleep "300ms" end }')
    two = [runbook.start("due", path.name, cwd=path.parent) for _ in range(4)]
    ended = [run.finish() for run in two]
    assert [run.exit for run in ended] == [0] * 4, ended
    assert runs(runbook) == {CAME: "succeeded", "schedule.nightly": "scheduled"}
    assert len([e for e in events(runbook, CAME) if e["event"] == "step.started"]) == 1


def test_while_the_previous_run_is_held_the_next_is_skipped(runbook, playbook):
    path = book(playbook, '{ every = "1s", late = "1h" }', body='gate "go" { ask = "Go?" }')

    def skipped():
        return [e["why"] for e in events(runbook, "schedule.nightly") if e["event"] == "schedule.missed" and "skipped" in e["why"]]

    def due():
        result = runbook("due", path.name, cwd=path.parent)
        return result, [run for run, state in runs(runbook).items() if state == "held"]

    wait_for(lambda: due()[1])
    held = due()[1]
    assert len(held) == 1
    wait_for(lambda: (due(), skipped())[1])
    assert set(skipped()) == {f"skipped: run {held[0]} is still held (runbook resume {held[0]})"}
    assert due()[1] == held
    wait_for(lambda: due()[0].exit == 4)  # said each time: nothing is done by itself any more
    assert f"; run {held[0]} is still held (runbook resume {held[0]})" in runbook("due", path.name, "--list", cwd=path.parent).out
    assert runbook("resume", held[0], "--approve", "go", cwd=path.parent).exit == 0
    wait_for(lambda: (due(), len([run for run in runs(runbook) if run.startswith("nightly.")]) == 2)[1])


def test_what_cannot_be_started_is_told_and_tried_again(runbook, playbook):
    path = book(playbook, f'{{ {PAST}, missed = "run once" }}', header="",
                body='step "a" { run = function() return 1 end }')
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('default = "part"', "required = true"), encoding="utf-8")
    for _ in range(2):
        result = runbook("due", path.name, cwd=path.parent)
        assert result.exit == 2 and "error: nightly: 2024-10-04 00:00 UTC could not be started: parameter --kind is required: no description (string)" in result.err, result
    assert [e["problem"] for e in events(runbook, "schedule.nightly") if e["event"] == "schedule.failed"] == ["parameter --kind is required: no description (string)"]
    assert runs(runbook) == {"schedule.nightly": "scheduled"}
    assert listed(runbook)["nightly"]["state"] == "due"
    result = runbook("due", path.name, cwd=path.parent, env={"RUNBOOK_KIND": "full"})
    assert result.exit == 0 and runs(runbook)[CAME] == "succeeded", result


def test_environments_and_several_schedules_are_apart(runbook, playbook):
    path = book(playbook, f'{{ {{ name = "Full copy", {PAST}, missed = "run once", params = {{ kind = "full" }} }}, {{ name = "hourly", every = "1h" }} }}')
    (path.parent / "runbook.toml").write_text("[env.staging.params]\n", encoding="utf-8")
    assert runbook("due", path.name, "--env", "staging", cwd=path.parent).exit == 0
    assert {"nightly.staging.full-copy.20241004-0000", "schedule.nightly.staging.full-copy", "schedule.nightly.staging.hourly"} == set(runs(runbook))
    assert runbook("due", path.name, cwd=path.parent).exit == 0
    assert "nightly.full-copy.20241004-0000" in runs(runbook)


def test_the_lines_for_cron_and_systemd(runbook, playbook):
    path = book(playbook, '"02:00 UTC"')
    (path.parent / "runbook.toml").write_text("[env.staging.params]\n", encoding="utf-8")
    cron = runbook("due", path.name, "--timer", "cron", "--env", "staging", cwd=path.parent)
    assert cron.exit == 0 and cron.out == f"*/5 * * * * cd {path.parent} && {runbook.binary} due playbook.lua --env staging\n", cron
    units = runbook("due", path.name, "--timer", "systemd", cwd=path.parent).out
    for line in ("Type=oneshot", f"WorkingDirectory={path.parent}", f"ExecStart={runbook.binary} due playbook.lua", "OnCalendar=*:0/5", "Persistent=true",
                 "WantedBy=timers.target"):
        assert line in units.splitlines()
    often = book(playbook, '{ at = { "02:00 UTC", "14:03 UTC" } }')
    assert runbook("due", often.name, "--timer", "cron", cwd=path.parent).out.startswith("* * * * * cd ")
    assert not runbook.journal.exists()


def test_a_playbook_without_a_schedule_is_refused_by_due(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    result = runbook("due", path.name, cwd=path.parent)
    assert result.exit == 2
    assert result.err == ('error: playbook.lua: playbook.lua: playbook "x" has no schedule\nhint: give its header one: schedule = { at = "02:00 Europe/Berlin" }\n')


def test_a_scheduled_run_that_would_need_somebody_is_refused(runbook, playbook):
    path = book(playbook, '"02:00 UTC"', body='''step "a" { run = function() end, undo = keep "x" }
        gate "go" { ask = "Go?", within = "5m", otherwise = "rollback" }''')
    result = runbook("check", path.name, cwd=path.parent)
    assert result.exit == 2
    assert ("gate \"go\" leads to 'rollback' when nobody answers within 5m: a playbook with a schedule is started without anybody who would do it; "
            'say otherwise = "hold" there') in result.out


@pytest.mark.parametrize("schedule, message", [
    ("5", 'schedule: { at = "02:00 Europe/Berlin" } or { every = "1h" } expected, got number'),
    ("{}", "schedule: give it either at (02:00 Europe/Berlin) or every (1h)"),
    ('{ at = "02:00 UTC", every = "1h" }', "schedule: give it either at (02:00 Europe/Berlin) or every (1h)"),
    ('"02:00"', "schedule: option 'at': '02:00' is not a date: its time zone is missing: 02:00 Europe/Berlin"),
    ('"Sunady 02:00 UTC"', "schedule: option 'at': 'Sunady 02:00 UTC' is not a date: no weekday 'Sunady' (did you mean 'Sunday'?)"),
    ('"2026-11-20 22:00 UTC"', "schedule: option 'at': '2026-11-20 22:00 UTC' does not come again: write 02:00 Europe/Berlin, Sunday 03:00 UTC, "
                               "day 1 03:00 UTC or last day 03:00 UTC"),
    ('"day 31 02:00 UTC"', "schedule: option 'at': 'day 31 02:00 UTC': a day from 1 to 28 expected, or last day: not every month has a day 31"),
    ('"T-1d"', "schedule: option 'at': 'T-1d' does not come again"),
    ('{ every = "0s" }', "schedule: option 'every': whole seconds from 1s up expected, got '0s'"),
    ('{ every = "10 minuts" }', "schedule: option 'every': a duration such as 30s or 10m expected, got '10 minuts'"),
    ('{ every = "1h", missed = "twice" }', "schedule: option 'missed': skip or run once expected, got 'twice'"),
    ('{ every = "1h", late = "2h", missed = "run once" }', 'schedule: has both late and missed = "run once": that one is started however late it is'),
    ('{ every = "1h", evry = "2h" }', "schedule: unknown option 'evry' (did you mean 'every'?)"),
    ('{ every = "1h", params = { knd = "x" } }', "schedule: params: the playbook has no parameter 'knd' (did you mean 'kind'?)"),
    ('{ every = "1h", params = { count = "x" } }', "schedule: params: 'count': an integer expected, got 'x'"),
    ('{ every = "1h", params = { token = "x" } }', "schedule: params: 'token' is a secret: give it a source (from = \"env:NAME\")"),
    ('{ every = "1h", from = "02:00 UTC" }', "schedule: option 'from': a date such as 2026-11-20 22:00 Europe/Berlin expected, got '02:00 UTC'"),
    ('{ { every = "1h" }, { every = "2h", name = "b" } }', "schedule 1: option 'name' is required where there are several"),
    ('{ { every = "1h", name = "B" }, { every = "2h", name = "b" } }', "schedule 2: option 'name': 'b' stands twice"),
])
def test_a_schedule_that_cannot_be_meant_is_refused(runbook, playbook, schedule, message):
    path = playbook(f"""
        local p = playbook "nightly" {{ summary = "x", params = {{ kind = {{ "string" }}, count = {{ "integer" }}, token = {{ "secret" }} }}, schedule = {schedule} }}
        step "a" {{ run = function() end }}
    """)
    assert f'playbook.lua:1: playbook "nightly": {message}' in refused(runbook, path)
