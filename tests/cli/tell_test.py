"""Telling people: channels of runbook.toml, says and updates."""
import os

import pytest
from hooks import channels, hook, refused, wait_for  # noqa: F401 (hook is a fixture)

# --- says and channels ------------------------------------------------------------------------------------------------

SAYS = """
    local p = playbook "tell" { summary = "x", updates = { to = "migration" } }
    step "count" { says = "{result.rows} rows, {result.bytes}", run = function() return { rows = 12345, bytes = 2000000 } end }
"""


def test_says_goes_to_the_console_and_to_the_channels(runbook, playbook, hook):
    path = playbook(SAYS)
    channels(path, hook)
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    said = [(e["channel"], e["text"]) for e in result.events() if e["event"] == "notify.sent" and e.get("step") == "count"]
    assert sorted(said) == [("console", "12,345 rows, 2.0 MB"), ("migration", "12,345 rows, 2.0 MB")]
    assert hook.texts().count("12,345 rows, 2.0 MB") == 1
    assert [key for _, key, body in hook.posts if body.get("step") == "count"] == ["r1/says/count/1"]


def test_a_channel_that_answers_with_errors_fails_nothing_and_is_reported(runbook, playbook, hook):
    hook.status = 500
    path = playbook(SAYS)
    channels(path, hook)
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    failed = [e for e in result.events() if e["event"] == "notify.failed" and e.get("step") == "count"]
    assert len(failed) == 1 and failed[0]["channel"] == "migration" and "500" in failed[0]["error"]
    assert "500" in runbook("report", "r1", cwd=path.parent).out


def test_a_required_channel_that_fails_rolls_back(runbook, playbook, hook):
    hook.status = 500
    path = playbook("""
        local p = playbook "tell" { summary = "x", updates = { to = "ops" }, needs = { files = { "./" } } }
        step "write" { says = "written", run = function() fs.write("a.txt", "a") end, undo = function() fs.remove "a.txt" end }
    """)
    channels(path, hook, f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\nattempts = 1\nrequired = true\n')
    result = runbook("exec", path.name, "--output", "plain", cwd=path.parent)
    assert result.exit == 1, result
    assert 'step "write": channel "ops" (required): ' in result.out
    assert not (path.parent / "a.txt").exists()


def test_nothing_is_said_twice_over_a_crash_and_a_resume(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "tell" { summary = "x", updates = { to = "migration" }, needs = { files = { "./" }, shell = { "sleep" } } }
        step "a" { says = "a is done", undo = keep "x", run = function() fs.write("a.txt", "a") end }
        step "b" { says = "b is done", undo = keep "x", idempotent = true, run = function(ctx)
          if ctx.attempt == 1 then sh.run { "sleep", "60" } end
        end }
    """)
    channels(path, hook)
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    hook.wait(lambda h: "a is done" in h.texts())
    # the journal has it, too: what was sent and not yet journaled may be sent again, with the same key
    wait_for(lambda: any(e["event"] == "notify.sent" and e["channel"] == "migration" and e["text"] == "a is done"
                         for e in runbook("show", "r1", "--output", "json", cwd=path.parent).events()))
    os.kill(run.process.pid, 9)
    run.finish()
    result = runbook("resume", "r1", cwd=path.parent)
    assert result.exit == 0, result
    assert hook.texts().count("a is done") == 1
    assert hook.texts().count("b is done") == 1
    assert hook.texts().count("tell: started by root.\nx") <= 1


def test_without_a_runbook_toml_a_plan_is_drawn_and_a_run_refused(runbook, playbook):
    path = playbook(SAYS)
    assert runbook("plan", path.name, cwd=path.parent).exit == 0
    assert 'no channel \'migration\': there is no runbook.toml beside the playbook that declares [channels.migration]' in refused(runbook, path)


@pytest.mark.parametrize("settings, message", [
    ('type = "webhok"\nurl = "http://x/"', "runbook.toml:1: channels.ops: unknown type 'webhok' (did you mean 'webhook'?)"),
    ('type = "webhook"', "runbook.toml:1: channels.ops: url is missing"),
    ('type = "webhook"\nurl = "http://x/"\nrequird = true', "runbook.toml:1: channels.ops: unknown key 'requird' (did you mean 'required'?)"),
    ('type = "webhook"\nurl = "http://x/"\ntimeout = "10 minuts"', "runbook.toml:1: channels.ops: timeout: a duration such as 30s or 10m expected"),
])
def test_a_channel_that_cannot_be_meant_names_its_line(runbook, playbook, settings, message):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text(f"[channels.ops]\n{settings}\n", encoding="utf-8")
    assert message in refused(runbook, path)


def test_a_secret_of_a_channel_is_missed_only_by_who_posts_there_and_is_never_shown(runbook, playbook, hook):
    path = playbook(SAYS)
    (path.parent / "runbook.toml").write_text('[channels.migration]\ntype = "slack"\nurl = "env:MIGRATION_HOOK"\n', encoding="utf-8")
    assert ("option 'to': runbook.toml:1: channels.migration: url: environment variable MIGRATION_HOOK is not set") in refused(runbook, path)
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent, env={"MIGRATION_HOOK": f"{hook.url}/s3cr3tword"})
    assert result.exit == 0, result
    assert "12,345 rows, 2.0 MB" in hook.texts("/s3cr3tword")
    everything = result.out + result.err + runbook("show", "r1", "--output", "json").out
    assert "s3cr3tword" not in everything and b"s3cr3tword" not in runbook.journal.read_bytes()
    other = playbook('local p = playbook "y" { summary = "x" }\nstep "a" { run = function() end }\n', "other.lua")
    assert runbook("exec", other.name, cwd=path.parent).exit == 0


# --- updates ----------------------------------------------------------------------------------------------------------

def test_updates_have_progress_step_checkpoint_and_colour_and_keep_their_beat(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "move" { summary = "Move it", needs = { shell = { "sleep" } }, window = { from = "close", to = "open", target = "5m", max = "2h" },
          updates = { to = "migration", also = { started = "general", done = "general" }, every = "250ms", status_page = true } }
        step "close" { takes = "1m", run = function() end }
        step "copy" { takes = "2m", undo = keep "x", run = function() sh.run { "sleep", "1" } end }
        checkpoint "same" { takes = "1m", run = function() return 1 end, pass = function(n) return n == 1 end }
        step "open" { takes = "10ms", run = function() end }
    """)
    channels(path, hook)
    result = runbook("exec", path.name, "--run-id", "r1", cwd=path.parent)
    assert result.exit == 0, result
    for name in ("general", "status_page"):
        texts = hook.texts(f"/{name}")
        assert len(texts) == 2 and texts[0] == "move: started by root.\nMove it" and texts[1].startswith("move: done in "), texts
    beats = [(key, body) for where, key, body in hook.posts if body.get("data", {}).get("update") == "update"]
    assert 2 <= len(beats) <= 5, beats
    assert len({key for key, _ in beats}) == len(beats)
    during = next(body for _, body in beats if body["data"]["step"] == "copy")
    lines = during["text"].split("\n")
    assert lines[0].endswith(" UTC - move") and lines[1] == "Progress: 25 %" and lines[2] == "Current step: copy", lines
    assert lines[4] == "Next checkpoint: same in 2m" and lines[5] == "Status: on track (green)", lines


def test_updates_turn_yellow_and_red_by_the_plan(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "late" { summary = "x", needs = { shell = { "sleep" } }, window = { from = "a", to = "b", target = "1s", max = "10h" },
          updates = { to = "migration", every = "300ms" } }
        step "a" { takes = "100ms", undo = keep "x", run = function() sh.run { "sleep", "1.6" } end }
        step "b" { takes = "100ms", run = function() end }
    """)
    channels(path, hook)
    assert runbook("exec", path.name, cwd=path.parent).exit == 0
    statuses = [text.split("\n")[-1] for text in hook.texts() if "Status: " in text]
    assert any(status.startswith("Status: delayed (yellow): ") for status in statuses), statuses
    assert any("\"a\" takes " in status and "longer than planned" in status or "its target is 1s" in status for status in statuses)


def test_a_rollback_has_its_own_beat_and_texts_and_templates_replace_them(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "back" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } }, rollback = { within = "1m" },
          updates = { to = "migration", also = { rolled_back = "general" }, every = "1h", in_rollback = "250ms", templates = "posts/" } }
        step "a" { run = function() fs.write("a.txt", "a") end, undo = function() sh.run { "sleep", "1" } fs.remove "a.txt" end }
        checkpoint "no" { run = function() return 1 end, pass = function(n) return n == 2 end, fail = { otherwise = rollback "it differs" } }
    """)
    channels(path, hook)
    (path.parent / "posts").mkdir()
    (path.parent / "posts" / "rolled_back.md").write_text("We went back because {why}. {unknown}\n", encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent).exit == 1
    going = [body["text"] for _, _, body in hook.posts if body.get("data", {}).get("update") == "rollback"]
    assert 3 <= len(going) <= 6 and 'is rolling back: checkpoint "no" did not pass: it differs' in going[0], going
    assert going[0].endswith("Status: issue detected (red): rolling back")
    assert hook.texts("/general") == ['We went back because checkpoint "no" did not pass: it differs. {unknown}']
