"""Dates: what the header and notices say, goals, and history."""
import json

import pytest
from hooks import channels, hook, refused  # noqa: F401 (hook is a fixture)


@pytest.mark.parametrize("header, message", [
    ('updates = { to = "migratoin" }', """playbook.lua:1: playbook "x": updates: option 'to': no channel 'migratoin' (did you mean 'migration'?)"""),
    ('updates = { to = "migration", also = { done = "generel" } }',
     """playbook.lua:1: playbook "x": updates: option 'also.done': no channel 'generel' (did you mean 'general'?)"""),
    ('updates = { every = "15m" }', """playbook.lua:1: playbook "x": updates: option 'to' is required: the channels"""),
    ('updates = { to = "general", every = "15 minuts" }',
     """playbook.lua:1: playbook "x": updates: option 'every': a duration such as 30s or 10m expected, got '15 minuts'"""),
    ('updates = { to = "general", evry = "15m" }',
     """playbook.lua:1: playbook "x": updates: unknown option 'evry' (did you mean 'every'?)"""),
    ('start = "Thorsday 07:00 Europe/Berlin"',
     """playbook.lua:1: playbook "x": option 'start': 'Thorsday 07:00 Europe/Berlin' is not a date: no weekday 'Thorsday' (did you mean 'Thursday'?)"""),
    ('start = "Thursday 07:00"',
     """playbook.lua:1: playbook "x": option 'start': 'Thursday 07:00' is not a date: its time zone is missing: Thursday 07:00 Europe/Berlin"""),
    ('start = "Thursday 25:00 UTC"', """playbook.lua:1: playbook "x": option 'start': 'Thursday 25:00 UTC' is not a date: '25:00' is not a time of day (22:00)"""),
    ('start = "Thursday 07:00 Europe/Berln"',
     """playbook.lua:1: playbook "x": option 'start': 'Thursday 07:00 Europe/Berln' is not a date: no time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)"""),
    ('start = "2026-02-30 07:00 UTC"', """playbook.lua:1: playbook "x": option 'start': '2026-02-30 07:00 UTC' is not a date: there is no 2026-02-30 in the calendar"""),
    ('start = "2026-11-20 22:00"', "playbook.lua:1: playbook \"x\": option 'start': '2026-11-20 22:00' is not a date: its time zone is missing: "
     "2026-11-20 22:00 Europe/Berlin, or 2026-11-20 22:00Z for UTC"),
    ('start = "T-7d"', """playbook.lua:1: playbook "x": option 'start': 'T-7d' counts from the start itself: write Thursday 07:00 Europe/Berlin"""),
    ('goals = { { "g", below = "30 minuts", of = function() end } }',
     """playbook.lua:1: playbook "x": goal 1 "g": option 'below': a number or a duration such as 200ms expected, got '30 minuts'"""),
    ('goals = { { "g", of = function() end } }', """playbook.lua:1: playbook "x": goal 1 "g": has no target: give it below, above or is"""),
    ('goals = { { "g", below = 1, above = 0, of = function() end } }',
     """playbook.lua:1: playbook "x": goal 1 "g": has both below and above: give it one target"""),
    ('goals = { { "g", below = 1 } }', """playbook.lua:1: playbook "x": goal 1 "g": option 'of' is required: function(run) return … end"""),
])
def test_a_header_that_cannot_be_meant_is_refused_before_anything_runs(runbook, playbook, hook, header, message):
    path = playbook(f'local p = playbook "x" {{ summary = "x", {header} }}\nstep "a" {{ run = function() end }}\n')
    channels(path, hook)
    assert message in refused(runbook, path)
    assert not hook.posts


@pytest.mark.parametrize("body, message", [
    ('notice "n" { at = "T-10 minuts", to = "general", text = "x" }',
     """playbook.lua:2: notice "n": option 'at': 'T-10 minuts' is not a date: '10 minuts' is not a duration (30s, 10m, 1h30m, 7d)"""),
    ('notice "n" { at = "T-7d", text = "x" }', """playbook.lua:2: notice "n": option 'to' is required: the channels"""),
    ('notice "n" { at = "T-7d", to = "general" }', """playbook.lua:2: notice "n": give it either text or template"""),
    ('notice "n" { to = "general", text = "x" }', """playbook.lua:2: notice "n": give it either at (a date) or after (a duration, from the start)"""),
    ('notice "n" { at = "T-7d", to = "genral", text = "x" }', """playbook.lua:2: notice "n": option 'to': no channel 'genral' (did you mean 'general'?)"""),
    ('notice "n" { at = "T-7d", to = "general", template = "a.md" }', """playbook.lua:2: notice "n": option 'template': there is no a.md beside the playbook"""),
    ('notice "n" { at = "T-7d", to = "general", text = "x" }\nnotice "n" { at = "T-7d", to = "general", text = "x" }',
     """playbook.lua:3: notice "n": declared twice, first at line 2"""),
    ('checklist "c" { probe("x", history.rehearsd { env = "staging" }) }', "playbook.lua:2: history has no 'rehearsd' (did you mean 'rehearsed'?)"),
    ('checklist "c" { probe("x", history.rehearsed { envi = "staging" }) }', "playbook.lua:2: history.rehearsed: unknown option 'envi' (did you mean 'env'?)"),
    ('checklist "c" { probe("x", history.rolled_back { below = "10 minuts" }) }',
     "playbook.lua:2: history.rolled_back: option 'below': a duration such as 30s or 10m expected, got '10 minuts'"),
    ('local x = history.last { env = "staging" }', "playbook.lua:2: history.last: has no value while the file loads"),
])
def test_a_word_that_cannot_be_meant_is_refused_before_anything_runs(runbook, playbook, hook, body, message):
    path = playbook(f'local p = playbook "x" {{ summary = "x" }}\n{body}\nstep "a" {{ run = function() end }}\n')
    channels(path, hook)
    assert message in refused(runbook, path)


# --- goals and history ------------------------------------------------------------------------------------------------

GOALS = """
    local p = playbook "reach" { summary = "x", params = { fail = { "boolean", default = false } },
      window = { from = "a", to = "b", target = "1m", max = "2m" }, rollback = { within = "1m" },
      goals = {
        { "rows",      is = 5,         of = function(run) return run["a"].rows end },
        { "downtime",  below = "30m",  of = function(run) return run.window end },
        { "speed",     above = 10,     of = function(run) return run["a"].speed end },
        { "too long",  below = "1ms",  of = function(run) return run["a"].elapsed + 1 end },
        { "nothing",   below = 1,      of = function(run) return run["a"].nothing end },
        { "misspelt",  below = 1,      of = function(run) return run["bb"].rows end },
        { "went back", is = false,     of = function(run) return run.rolled_back end },
        { "way back",  below = "10m",  of = function(run) return run.rollback_time end },
      } }
    step "a" { run = function() return { rows = 5, speed = 2.5 } end }
    step "b" { undo = function() end, run = function() if p.fail then error "no" end end }
"""


def judged(result):
    return {e["name"]: (e["state"], e["target"], e.get("actual")) for e in result.events() if e["event"] == "goal.judged"}


def test_goals_are_judged_at_the_end_and_decide_nothing(runbook, playbook):
    path = playbook(GOALS)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    goals = judged(result)
    assert goals["rows"] == ("met", "is 5", "5")
    assert goals["downtime"][:2] == ("met", "below 30m")
    assert goals["speed"] == ("missed", "above 10", "2.5")
    assert goals["too long"][:2] == ("missed", "below 1ms")
    assert goals["nothing"] == ("unknown", "below 1", None)
    assert goals["misspelt"] == ("unknown", "below 1", None)
    assert goals["went back"] == ("met", "is false", "false")
    assert goals["way back"] == ("met", "below 10m", "not needed")
    assert [e["error"] for e in result.events() if e.get("name") == "misspelt"] == ["no step 'bb' (did you mean 'b'?)"]
    back = judged(runbook("exec", path.name, "--fail", "--output", "json", cwd=path.parent))
    assert back["went back"] == ("missed", "is false", "true")
    assert back["way back"][0] == "met" and back["way back"][2] != "not needed"


def test_history_says_what_was_rehearsed_where_and_why_not(runbook, playbook):
    path = playbook("""
        local p = playbook "rehearse" { summary = "x", params = { fail = { "boolean", default = false }, live = { "boolean", default = false } },
          goals = { { "rows", below = 10, of = function(run) return run["a"].rows end } } }
        if p.live then
          checklist "rehearsal" {
            probe("succeeded", history.rehearsed { env = "staging", within = "14d" }),
            probe("with rollback", history.rehearsed { env = "staging", within = "14d", rollback = true }),
            probe("fast", history.rolled_back { env = "staging", within = "14d", below = "10m" }),
            probe("goal", function() return history.last { env = "staging" }.goals["rows"].met end),
          }
        end
        step "a" { undo = function() end, run = function() return { rows = 5 } end }
        checkpoint "b" { run = function() return p.fail end, pass = function(failing) return failing == false end, fail = { otherwise = rollback "asked for" } }
    """)
    (path.parent / "runbook.toml").write_text("[env.staging.params]\nfail = false\n[env.qa.params]\nfail = false\n", encoding="utf-8")

    def run(*more):
        return runbook("exec", path.name, "--output", "json", *more, cwd=path.parent)

    def why(result):
        assert result.exit == 1, result
        return [e["why"] for e in result.events() if e["event"] == "checkpoint.judged" and e["step"] == "rehearsal"][0]

    nothing = why(run("--live"))
    assert 'succeeded (no run of this version of "rehearse" succeeded in staging within 14d)' in nothing
    assert 'goal (no run of "rehearse" has ended in staging)' in nothing
    assert run("--env", "qa").exit == 0
    assert 'succeeded (no run of this version of "rehearse" succeeded in staging within 14d)' in why(run("--live"))
    assert run("--env", "staging").exit == 0
    halfway = why(run("--live"))
    assert "succeeded (" not in halfway and 'with rollback (no run of this version of "rehearse" was rolled back in staging within 14d; the newest: ' in halfway
    assert run("--env", "staging", "--fail").exit == 1
    assert run("--env", "staging").exit == 0
    assert run("--live").exit == 0
    path.write_text(path.read_text(encoding="utf-8") + "-- edited\n", encoding="utf-8")
    edited = why(run("--live"))
    assert "succeeded (no run of this version" in edited and ", of another version of the playbook)" in edited


# --- notices ----------------------------------------------------------------------------------------------------------

def test_notices_are_posted_on_their_date_once_and_a_late_one_is_said(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "dates" { summary = "Move it", needs = { shell = { "sleep" } } }
        notice "a week ahead" { at = "T-7d", to = "general", text = "soon" }
        notice "now" { at = "T", to = { "general", "migration" }, text = "{playbook} starts: {summary}" }
        notice "a bit later" { after = "700ms", to = "general", template = "later.md" }
        notice "next year" { after = "365d", to = "general", text = "much later" }
        step "a" { undo = keep "x", run = function() sh.run { "sleep", "1.5" } end }
    """)
    channels(path, hook)
    (path.parent / "later.md").write_text("It goes on.\n", encoding="utf-8")
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    assert hook.texts("/general") == ["dates starts: Move it", "It goes on."]
    assert hook.texts("/migration") == ["dates starts: Move it"]
    missed = [e["why"] for e in result.events() if e["event"] == "notice.missed"]
    assert missed == ['notice "a week ahead" was due 7d ago: it is not posted any more']
    assert [e["notice"] for e in result.events() if e["event"] == "notice.scheduled"] == ["a week ahead", "now", "a bit later", "next year"]


def test_start_from_the_command_line_is_fixed_over_a_resume(runbook, playbook):
    path = playbook("""
        local p = playbook "dates" { summary = "x", start = "Monday 07:00 UTC" }
        gate "go" { ask = "Go?", within = "5m" }
    """)
    assert "--start: 'Thorsday 07:00 UTC' is not a date: no weekday 'Thorsday' (did you mean 'Thursday'?)" in refused(runbook, path, "--start", "Thorsday 07:00 UTC")
    assert runbook("exec", path.name, "--run-id", "r1", "--start", "2031-06-01 07:00 Europe/Berlin", "--detach", cwd=path.parent).exit == 3
    assert runbook("resume", "r1", "--approve", "go", cwd=path.parent).exit == 0
    events = [json.loads(line) for line in runbook("show", "r1", "--output", "json").out.splitlines()]
    assert [e["at"] for e in events if e["event"] == "start.set"] == ["2031-06-01T05:00:00.000Z"]
