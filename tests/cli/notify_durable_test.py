"""Messages through 429, time-outs, lost answers, pages of proxies, restarts and kills of the run: nothing lost, no duplicate where the
provider has a key, the order kept on each channel. RUNBOOK_PROOF=long: more kills."""
import collections
import os
import random
import time

import pytest
from hooks import Hook, hook, wait_for  # noqa: F401 fixture
from notify_standins import mail, pagerduty, settings, slack, statuspage  # noqa: F401 fixtures

LONG = os.environ.get("RUNBOOK_PROOF") == "long"
STEPS = 12

PLAYBOOK = """
    local p = playbook "long move" { summary = "x", needs = { shell = { "sleep" } },
      updates = { to = { "hook", "chat", "mail", "log", "ops" }, status_page = true } }
    for i = 1, %d do
      step("s" .. i) { undo = keep "x", idempotent = true, says = "message " .. i, run = function() sh.run { "sleep", "0.05" } end }
    end
    checkpoint "lag" { run = function() return 12 end, pass = function(n) return n == 0 end, fail = { otherwise = tell "ops" } }
""" % STEPS


def unreliable(rng, kinds, part=0.35):
    return lambda number: rng.choice(kinds) if rng.random() < part else None


def in_order(texts, wanted):
    """The first time of each wanted text is in the order of `wanted`, and none is missing."""
    first = [texts.index(text) for text in wanted]
    assert first == sorted(first), texts


class Keyed(Hook):
    """A receiver that takes each Idempotency-Key once, as its provider would; `taken`: what it kept, in order."""

    def __init__(self, faults):
        super().__init__()
        self.taken, self.keys, count = [], collections.Counter(), [0]
        outer = self

        def do_POST(handler):
            import json

            body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
            with outer.lock:
                count[0] += 1
                fault = faults(count[0])
                if not isinstance(fault, tuple):
                    key = handler.headers["Idempotency-Key"]
                    outer.keys[key] += 1
                    if outer.keys[key] == 1:
                        outer.taken.append(body["text"])
            if fault == "lost":
                handler.close_connection = True
                return
            if fault == "slow":
                time.sleep(1.5)
            try:
                handler.send_response(fault[0] if isinstance(fault, tuple) else 200)
                for name, value in (fault[1] if isinstance(fault, tuple) else {}).items():
                    handler.send_header(name, value)
                handler.end_headers()
            except OSError:
                pass
        self.server.RequestHandlerClass.do_POST = do_POST


def configure(path, keyed, pagerduty, slack, statuspage, mail):
    text, env = settings(pagerduty=pagerduty, slack=slack, statuspage=statuspage, mail=mail)
    text += f'[channels.hook]\ntype = "webhook"\nurl = "{keyed.url}/x"\ntimeout = "1s"\n[channels.log]\ntype = "file"\npath = "told.log"\n'
    text += '[channels.ops]\ntype = "route"\nwarning = "pager"\n'
    text = text.replace('type = "pagerduty"\n', 'type = "pagerduty"\nlevel = "warning"\n').replace('timeout = "', 'attempts = 60\ntimeout = "')
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    return env


@pytest.mark.parametrize("seed", range(6 if LONG else 2))
def test_nothing_is_lost_or_doubled_through_failures_and_kills(runbook, playbook, pagerduty, slack, statuspage, mail, seed):
    rng = random.Random(seed)
    busy = (429, {"Retry-After": "1"})
    keyed = Keyed(unreliable(rng, ["lost", "slow", busy, (500, {}), (503, {"Retry-After": "0"})]))
    pagerduty.faults = unreliable(rng, ["lost", "slow", "page", busy, (500, {}), (503, {})])
    slack.faults = unreliable(rng, [busy, (500, {}), (503, {}), "page"], 0.2)
    statuspage.faults = unreliable(rng, ["lost", "slow", (420, {}), (500, {})])
    mail.faults = unreliable(rng, [(451, "4.3.0 later"), (421, "4.3.2 closing"), "lost"], 0.25)
    path = playbook(PLAYBOOK)
    env = configure(path, keyed, pagerduty, slack, statuspage, mail)
    kills, started = 0, False
    while True:
        words = ("resume", "r1") if started else ("exec", path.name, "--run-id", "r1")
        run = runbook.start(*words, cwd=path.parent, env=env)
        if kills < (14 if LONG else 6):
            time.sleep(rng.uniform(0.05, 2.5))
            if run.process.poll() is None:
                os.kill(run.process.pid, 9)
                kills += 1
            ended = run.finish()
            assert ended.exit in (-9, 0), ended
        else:
            ended = run.finish(timeout=150)
            assert ended.exit == 0, ended
        shown = runbook("show", "r1", "--output", "json", cwd=path.parent)
        started = shown.exit == 0
        if ended.exit == 0:
            break
    keyed.server.shutdown()
    events = shown.events()
    assert [e for e in events if e["event"] == "notify.failed"] == []
    said = [f"message {i}" for i in range(1, STEPS + 1)]
    done = next(e["text"] for e in events if e["event"] == "notify.queued" and e.get("stage") == "done" and "chat" in e["channels"])
    everything = ["long move: started by root.\nx", *said, done]

    # the provider has a key, or its state can be asked: each once, in order
    assert keyed.taken == everything
    log = [line.split("] ", 1)[1] for line in (path.parent / "told.log").read_text(encoding="utf-8").splitlines() if "] " in line]
    assert log == [text.split("\n")[0] for text in everything]
    assert len(statuspage.incidents) == 1
    assert [update["body"] for update in reversed(statuspage.incidents[0]["incident_updates"])] == ["Maintenance is in progress.", "The maintenance is complete. All systems are operational."]
    assert statuspage.incidents[0]["status"] == "completed"
    assert [(one["opened"], one["status"]) for one in pagerduty.incidents.values()] == [(1, "resolved")]
    assert list(pagerduty.incidents) == ["r1/lag"]
    # mails that came twice have one name, so that they are one
    by_name = {m["message-id"]: text for m, text in zip(mail.mails, mail.texts())}
    assert list(by_name.values()) == everything
    # Slack has no key: nothing is lost, and nothing comes before what was said before it
    in_order([post["text"] for post in slack.posts], everything)
    assert set(post["text"] for post in slack.posts) == set(everything)
    assert {post.get("thread_ts") for post in slack.posts} - {None} <= {post["ts"] for post in slack.posts[:3]}


def test_what_a_held_run_could_not_say_is_said_by_its_next_process(runbook, playbook, hook):
    """A message that was queued and not sent when the process was killed: the journal has it."""
    hook.status = 503
    path = playbook("""
        local p = playbook "x" { summary = "x", updates = { to = "ops" }, needs = { shell = { "sleep" } } }
        step "a" { says = "a is done", undo = keep "x", run = function() end }
        step "b" { undo = keep "x", idempotent = true, run = function(ctx) if ctx.attempt == 1 then sh.run { "sleep", "60" } end end }
    """)
    (path.parent / "runbook.toml").write_text(f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\nattempts = 500\n', encoding="utf-8")
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    shown = lambda: runbook("show", "r1", "--output", "json", cwd=path.parent)  # noqa: E731
    wait_for(lambda: any(e["event"] == "notify.queued" and e.get("text") == "a is done" for e in (shown().events() if shown().exit == 0 else [])))
    os.kill(run.process.pid, 9)
    run.finish()
    report = runbook("report", "r1", cwd=path.parent).out
    assert "not told yet, ops: a is done" in report
    hook.status, before = 200, len(hook.posts)
    result = runbook("resume", "r1", cwd=path.parent)
    assert result.exit == 0, result
    texts = [body["text"] for _, _, body in hook.posts[before:]]
    assert texts[:2] == ["x: started by root.\nx", "a is done"] and texts[2].startswith("x: done in ") and len(texts) == 3
    assert "not told yet" not in runbook("report", "r1", cwd=path.parent).out


def test_a_dead_channel_holds_up_no_other(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "x" { summary = "x", updates = { to = { "dead", "ops" } }, needs = { shell = { "sleep" } } }
        step "a" { says = "a is done", undo = keep "x", run = function() sh.run { "sleep", "2" } end }
    """)
    (path.parent / "runbook.toml").write_text(f'[channels.dead]\ntype = "webhook"\nurl = "http://127.0.0.1:9/x"\nattempts = 4\n'
                                              f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\n', encoding="utf-8")
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    began = time.monotonic()
    hook.wait(lambda h: len(h.texts()) == 1)
    assert time.monotonic() - began < 1.5
    result = run.finish()
    assert result.exit == 0, result
    failed = [e for e in result.events() if e["event"] == "notify.failed"]
    assert [(e["channel"], e["attempts"], e["error"]) for e in failed] == [
        ("dead", 4, "http://127.0.0.1:9: connection refused; try it: runbook channels --test dead")] * 3
    assert len(hook.texts()) == 3


def test_a_key_of_notify_send_holds_over_a_resume(runbook, playbook, hook):
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { shell = { "sleep" } } }
        step "a" { undo = keep "x", idempotent = true, run = function(ctx)
          local sent = notify.send("backup done", { to = "ops", key = "backup" })[1]
          sleep "1s" -- is journaled, and what was sent before it
          sh.run { "sleep", ctx.attempt == 1 and "60" or "0" }
          return sent.repeated
        end }
    """)
    (path.parent / "runbook.toml").write_text(f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\n', encoding="utf-8")
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent)
    wait_for(lambda: "notify.sent" in runbook("show", "r1", "--output", "json", cwd=path.parent).out)
    os.kill(run.process.pid, 9)
    run.finish()
    result = runbook("resume", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    assert [e["result"] for e in result.events() if e["event"] == "step.finished"] == [True]
    assert hook.texts() == ["backup done"]


def test_a_post_whose_answer_the_killed_process_never_saw_is_looked_for(runbook, playbook, statuspage):
    text, env = settings(statuspage=statuspage)
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "console", status_page = true } }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    statuspage.faults = lambda number: "slow" if statuspage.requests[-1][1] == "POST" else None
    run = runbook.start("exec", path.name, "--run-id", "r1", cwd=path.parent, env=env)
    wait_for(lambda: statuspage.incidents)
    os.kill(run.process.pid, 9)
    run.finish()
    statuspage.faults = lambda number: None
    assert runbook("resume", "r1", cwd=path.parent, env=env).exit == 0
    assert [[update["status"] for update in reversed(one["incident_updates"])] for one in statuspage.incidents] == [["in_progress", "completed"]]


def test_a_held_run_leaves_nothing_behind_that_due_would_not_send(runbook, playbook, hook):
    """A receiver that is down for longer than the end of a run waits: what is left is listed, and `runbook due` sends it."""
    hook.status = 503
    path = playbook("""
        local p = playbook "x" { summary = "x", updates = { to = "ops" } }
        gate "go" { role = "lead", ask = "Go?" }
    """)
    (path.parent / "runbook.toml").write_text(f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\nattempts = 500\n', encoding="utf-8")
    run = runbook.start("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent)
    result = run.finish(timeout=100)
    assert result.exit == 3, result
    listed = runbook("due", "--list", cwd=path.parent).out
    assert "message: r1/update/started/1" in listed and "to ops" in listed, listed
    hook.status, before = 200, len(hook.posts)
    assert runbook("due", cwd=path.parent).exit == 0
    texts = [body["text"] for _, _, body in hook.posts[before:]]
    assert texts[0] == "x: started by root.\nx" and texts[1].startswith("x: waits for people: ") and len(texts) == 2, texts
    assert "message: " not in runbook("due", "--list", cwd=path.parent).out


def test_killed_at_every_write_of_the_journal_nothing_is_lost_or_doubled(runbook, playbook, statuspage, tmp_path):
    keyed = Keyed(lambda number: None)
    text, env = settings(statuspage=statuspage)
    path = playbook("""
        local p = playbook "x" { summary = "x", updates = { to = { "hook", "log" }, status_page = true } }
        step "a" { says = "a is done", undo = keep "x", idempotent = true, run = function() end }
        checkpoint "b" { run = function() return 1 end, pass = function(n) return n == 0 end, fail = { otherwise = tell "hook" } }
    """)
    (path.parent / "runbook.toml").write_text(text + f'[channels.hook]\ntype = "webhook"\nurl = "{keyed.url}/x"\n[channels.log]\ntype = "file"\npath = "told.log"\n',
                                              encoding="utf-8")
    crossings = tmp_path / "crossings"
    assert runbook("exec", path.name, "--run-id", "whole", cwd=path.parent, env={**env, "RUNBOOK_FAILPOINT": f"count:{crossings}"}).exit == 0
    total = len([line for line in crossings.read_text(encoding="utf-8").splitlines() if line.startswith("journal")])
    assert total > 30, total
    killed = 0
    for n in range(1, total + 1, 1 if LONG else 2):
        run = f"at-{n:03}"
        result = runbook("exec", path.name, "--run-id", run, cwd=path.parent, env={**env, "RUNBOOK_FAILPOINT": f"all:{n}"})
        assert result.exit in (-9, 0), result
        killed += result.exit == -9
        there = runbook("show", run, cwd=path.parent).exit == 0
        words = ("resume", run) if there else ("exec", path.name, "--run-id", run)
        again = runbook(*words, cwd=path.parent, env=env)
        assert again.exit == 0 or "has ended already: succeeded" in again.err, (run, again)
        told = [key for key in keyed.keys if key.startswith(f"{run}/")]
        kinds = [key.split("/")[1] + "/" + key.split("/")[2] for key in told]
        assert sorted(set(kinds)) == ["says/a", "tell/b", "update/done", "update/started"], (run, told)
        assert kinds.count("says/a") == kinds.count("update/done") == kinds.count("update/started") == 1, (run, told)
        lines = [line for line in (path.parent / "told.log").read_text(encoding="utf-8").splitlines() if f"[{run}/" in line]
        assert [line.split("[", 1)[1].split("/")[1] for line in lines] == ["update", "says", "update"], (run, lines)
        page = [one for one in statuspage.incidents if one["metadata"]["runbook"]["run"] == run]
        assert [[update["status"] for update in reversed(one["incident_updates"])] for one in page] == [["in_progress", "completed"]], run
    keyed.server.shutdown()
    assert killed > total / 3, (killed, total)
