"""Channels by their kind: what Slack, PagerDuty, Statuspage (stand-ins), a mail server (a real one), files and terminals get."""
import json
import re
import time

import pytest
from hooks import channels, hook, refused  # noqa: F401 fixture
from notify_standins import Mail, PagerDuty, Slack, Statuspage, mail, pagerduty, settings, slack, statuspage  # noqa: F401 fixtures


def send(runbook, playbook, calls, text, env=None, exit=0, run="r1"):
    """Runs a step with these calls of notify.send, which append to `out`; returns it with every notify event."""
    path = playbook(f"""
        local p = playbook "send" {{ summary = "x" }}
        step "send" {{ run = function()
          local out = json.array {{}}
          {calls}
          return out
        end }}
    """)
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    result = runbook("exec", path.name, "--run-id", run, "--output", "json", cwd=path.parent, env=env)
    assert result.exit == exit, result
    events = result.events()
    out = next((e["result"] for e in events if e["event"] == "step.finished"), None)
    return out, [e for e in events if e["event"].startswith("notify.")], result


# --- Slack ------------------------------------------------------------------------------------------------------------


def test_slack_threads_follow_the_first_message_and_grave_ones_are_shown_outside(runbook, playbook, slack):
    text, env = settings(slack=slack)
    path = playbook("""
        local p = playbook "move" { summary = "Move it", updates = { to = "chat" } }
        step "a" { says = "a <done> & well", run = function() end }
    """)
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent, env=env)
    assert result.exit == 0, result
    assert [post["text"].split("\n")[0] for post in slack.posts] == ["move: started by root.", "a &lt;done&gt; &amp; well", slack.posts[2]["text"]]
    assert "thread_ts" not in slack.posts[0]
    assert [post.get("thread_ts") for post in slack.posts[1:]] == [slack.posts[0]["ts"]] * 2
    assert [post.get("reply_broadcast") for post in slack.posts] == [None, None, True]
    times = [request[0] for request in slack.requests]
    assert all(later - earlier >= 0.999 for earlier, later in zip(times, times[1:])), times
    assert slack.refusals == 0
    sent = [e for e in result.events() if e["event"] == "notify.sent" and e["channel"] == "chat"]
    assert [e["receipt"] for e in sent] == [post["ts"] for post in slack.posts]


@pytest.mark.parametrize("change, problem", [
    ("token", "invalid_auth; check token of channels.chat in runbook.toml"),
    ("channel", "channel_not_found; Slack has no channel 'C0GONE' that the app sees: check channels.chat in runbook.toml"),
], ids=["token", "channel"])
def test_slack_says_what_is_wrong_once(runbook, playbook, slack, change, problem):
    text, env = settings(slack=slack)
    if change == "token":
        env["SLACK_TOKEN"] = "xoxb-revoked-token"
    else:
        text = text.replace("#migration", "C0GONE")
    out, events, result = send(runbook, playbook, 'out[1] = notify.send("x", { to = "chat" })[1]', text, env)
    assert out[0]["error"] == f"{slack.url}: {problem}; try it: runbook channels --test chat"
    assert out[0]["attempts"] == 1 and len(slack.requests) == 1
    assert env["SLACK_TOKEN"] not in result.out + result.err


def test_a_thread_that_was_removed_is_no_reason_to_be_silent(runbook, playbook, slack):
    text, env = settings(slack=slack)
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "chat" } }\nstep "a" { says = "a is done", run = function() end }\n')
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    original = slack.act
    slack.act = lambda *args: (lambda answer: (slack.posts.clear() if len(slack.requests) == 1 else None, answer)[1])(original(*args))
    assert runbook("exec", path.name, cwd=path.parent, env=env).exit == 0
    assert slack.posts[0]["text"] == "a is done" and "thread_ts" not in slack.posts[0]


# --- PagerDuty --------------------------------------------------------------------------------------------------------


def test_pagerduty_gets_an_incident_that_is_acknowledged_and_resolved(runbook, playbook, pagerduty):
    text, env = settings(pagerduty=pagerduty)
    out, events, _ = send(runbook, playbook, """
        out[1] = notify.send("Replication is 12 minutes behind", { to = "pager", level = "critical", incident = "lag", title = "shop", data = { lag = 720 } })[1]
        out[2] = notify.send("anna sees to it", { to = "pager", action = "acknowledge", incident = "lag" })[1]
        out[3] = notify.send("caught up", { to = "pager", action = "resolve", incident = "lag" })[1]
        out[4] = json.array(notify.send("a warning wakes nobody", { to = "pager", level = "warning" }))
    """, text, env)
    assert [one["receipt"] for one in out[:3]] == ["r1/lag"] * 3 and out[3] == []
    incident = pagerduty.incidents["r1/lag"]
    assert incident["status"] == "resolved" and incident["opened"] == 1
    assert incident["log"][0] == ("trigger", "shop: Replication is 12 minutes behind", "critical", {"text": "Replication is 12 minutes behind", "run": "r1", "lag": 720})
    assert [action for action, *_ in incident["log"]] == ["trigger", "acknowledge", "resolve"]


def test_pagerduty_a_wrong_key_is_said_with_what_pagerduty_says(runbook, playbook, pagerduty):
    text, env = settings(pagerduty=pagerduty)
    env["PAGER_KEY"] = "00000000000000000000000000000000"
    out, _, result = send(runbook, playbook, 'out[1] = notify.send("x", { to = "pager", level = "error" })[1]', text, env)
    assert out[0]["error"] == (f"{pagerduty.url} answered 400 (Event object is invalid); 'routing_key' is invalid: check key of channels.pager in runbook.toml; "
                               "try it: runbook channels --test pager")
    assert env["PAGER_KEY"] not in result.out + result.err


def test_a_rollback_pages_once_and_its_end_resolves_it(runbook, playbook, pagerduty, hook):
    text, env = settings(pagerduty=pagerduty)
    path = playbook("""
        local p = playbook "back" { summary = "x", needs = { files = { "./" }, shell = { "sleep" } },
          updates = { to = "ops", every = "1h", in_rollback = "250ms" } }
        step "a" { run = function() fs.write("a.txt", "a") end, undo = function() sh.run { "sleep", "0.7" } fs.remove "a.txt" end }
        checkpoint "no" { run = function() return 1 end, pass = function(n) return n == 2 end, fail = { otherwise = rollback "it differs" } }
    """)
    channels(path, hook, text + '[channels.ops]\ntype = "route"\ncritical = ["migration", "pager"]\ninfo = "general"\n')
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent, env=env).exit == 1
    assert list(pagerduty.incidents) == ["r1"]
    incident = pagerduty.incidents["r1"]
    assert incident["opened"] == 1 and incident["status"] == "resolved"
    assert incident["log"][0][1].split("\n")[0].endswith('is rolling back: checkpoint "no" did not pass: it differs')
    assert [action for action, *_ in incident["log"]][-1] == "resolve" and "resolve" not in [action for action, *_ in incident["log"]][:-1]
    assert hook.texts("/general") == ["back: started by root.\nx"]
    assert hook.texts("/migration")[-1].startswith("back: rolled back in ")


def test_an_incident_stays_open_while_people_are_needed_and_is_acknowledged_by_who_goes_on(runbook, playbook, pagerduty):
    text, env = settings(pagerduty=pagerduty)
    path = playbook("""
        local p = playbook "held" { summary = "x", updates = { to = "pager" } }
        checkpoint "odd" { run = function() return 1 end, pass = function(n) return fs.exists "fine" end, fail = { otherwise = hold "look at it" } }
    """.replace('summary = "x"', 'summary = "x", needs = { files = { "./" } }'))
    (path.parent / "runbook.toml").write_text(text.replace('timeout', 'level = "warning"\ntimeout'), encoding="utf-8")
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent, env=env).exit == 3
    assert pagerduty.incidents["r1"]["status"] == "triggered"
    (path.parent / "fine").write_text("x", encoding="utf-8")
    assert runbook("resume", "r1", cwd=path.parent, env=env).exit == 0
    assert [action for action, *_ in pagerduty.incidents["r1"]["log"]] == ["trigger", "acknowledge", "resolve"]
    assert pagerduty.incidents["r1"]["status"] == "resolved"


# --- Statuspage -------------------------------------------------------------------------------------------------------


def test_a_status_page_follows_the_run_through_its_states(runbook, playbook, statuspage):
    text, env = settings(statuspage=statuspage)
    path = playbook("""
        local p = playbook "Database maintenance" { summary = "Short interruptions are possible", updates = { to = "console", status_page = true } }
        step "a" { run = function() end }
    """)
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent, env=env)
    assert result.exit == 0, result
    assert len(statuspage.incidents) == 1
    incident = statuspage.incidents[0]
    assert incident["status"] == "completed" and incident["impact_override"] == "maintenance"
    assert [(update["status"], update["body"]) for update in reversed(incident["incident_updates"])] == [
        ("in_progress", "Maintenance is in progress."), ("completed", "The maintenance is complete. All systems are operational.")]
    assert incident["name"] == "Database maintenance" and incident["metadata"] == {"runbook": {"run": "r1"}}
    assert statuspage.components == {"web": "operational"}


def test_a_status_page_that_lost_its_answers_has_one_incident_and_each_post_once(runbook, playbook, statuspage):
    text, env = settings(statuspage=statuspage)
    writes = []

    def faults(number):
        if statuspage.requests[-1][1] != "GET":
            writes.append(number)
            return "lost" if len(writes) in (1, 2) else None
        return None
    statuspage.faults = faults
    out, events, _ = send(runbook, playbook, """
        for i, stage in ipairs { "started", "update", "done" } do
          out[i] = notify.send("post " .. i, { to = "status_page", title = "Maintenance", stage = stage, key = stage })[1]
        end
    """, text, env)
    assert [one["delivered"] for one in out] == [True] * 3, out
    assert len(statuspage.incidents) == 1
    assert [update["body"] for update in reversed(statuspage.incidents[0]["incident_updates"])] == ["post 1", "post 2", "post 3"]


def test_incident_states(runbook, playbook, statuspage):
    text, env = settings(statuspage=statuspage)
    text = text.replace('rate = "50/s"', 'rate = "50/s"\nstyle = "incident"')
    _, events, _ = send(runbook, playbook, """
        for i, stage in ipairs { "started", "update", "rolled_back", "done" } do
          notify.send("post " .. i, { to = "status_page", title = "Errors", stage = stage, level = "critical", key = stage })
        end
    """, text, env)
    incident = statuspage.incidents[0]
    assert [update["status"] for update in reversed(incident["incident_updates"])] == ["investigating", "identified", "monitoring", "resolved"]
    assert incident["impact_override"] == "critical" and incident["name"] == "Errors" and statuspage.components == {"web": "operational"}


@pytest.mark.parametrize("change, problem", [
    ("token", "answered 401 (Could not authenticate); check token of channels.status_page in runbook.toml"),
    ("page", "answered 404 (not found); check page of channels.status_page in runbook.toml"),
], ids=["token", "page"])
def test_a_status_page_that_refuses(runbook, playbook, statuspage, change, problem):
    text, env = settings(statuspage=statuspage)
    if change == "token":
        env["STATUS_TOKEN"] = "another-token-altogether"
    text = text.replace(Statuspage.PAGE, "zzz") if change == "page" else text
    out, _, _ = send(runbook, playbook, 'out[1] = notify.send("x", { to = "status_page" })[1]', text, env)
    assert out[0]["error"] == f"{statuspage.url} {problem}; try it: runbook channels --test status_page"


# --- mail -------------------------------------------------------------------------------------------------------------


def test_a_mail_has_text_and_html_goes_encrypted_and_logged_in_and_answers_the_first(runbook, playbook, mail):
    text, env = settings(mail=mail)
    out, events, result = send(runbook, playbook, """
        out[1] = notify.send("Die Übernahme läuft.\\n.\\n<b>250</b> rows & more", { to = "mail", title = "Migration ✅ fertig", level = "error", key = "a" })[1]
        out[2] = notify.send("second", { to = "mail", key = "b" })[1]
    """, text, env)
    assert [one["delivered"] for one in out] == [True, True], out
    assert out[0]["receipt"] == "250 2.0.0 Ok: queued as Q1"
    assert mail.envelopes[0] == ("ops@example.com", ["team@example.com", "lead@example.com"], True)
    first = mail.mails[0]
    assert first["subject"] == "Migration ✅ fertig" and first["from"] == "Ops <ops@example.com>" and first["to"] == "team@example.com, lead@example.com"
    assert first["auto-submitted"] == "auto-generated" and first["x-runbook-level"] == "error"
    assert mail.texts()[0] == "Die Übernahme läuft.\n.\n<b>250</b> rows & more"
    html = first.get_body(("html",)).get_content()
    assert "Die Übernahme läuft.<br>" in html and "&lt;b&gt;250&lt;/b&gt; rows &amp; more<br>" in html and "<h2>Migration ✅ fertig</h2>" in html
    assert re.fullmatch(r"<[0-9a-f]{32}\.runbook@example\.com>", first["message-id"])
    assert Mail.PASSWORD not in result.out + result.err and Mail.PASSWORD.encode() not in runbook.journal.read_bytes()


def test_mails_of_a_run_are_one_thread(runbook, playbook, mail):
    text, env = settings(mail=mail)
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "mail" } }\nstep "a" { says = "a is done", run = function() end }\n')
    (path.parent / "runbook.toml").write_text(text, encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent, env=env).exit == 0
    assert len(mail.mails) == 3
    assert [m["in-reply-to"] for m in mail.mails] == [None] + [mail.mails[0]["message-id"]] * 2


@pytest.mark.parametrize("change, problem", [
    ("password", "mail server localhost does not accept the login (535 5.7.8 Authentication credentials invalid); check user and password of channels.mail in runbook.toml"),
    ("ca", "check host and ca of channels.mail in runbook.toml"),
    ("to", "mail server localhost answered 550 5.1.1 no such user here; check from and to of channels.mail in runbook.toml"),
    ("port", "mail server localhost: "),
], ids=["password", "ca", "to", "port"])
def test_a_mail_that_cannot_be_sent(runbook, playbook, mail, change, problem):
    text, env = settings(mail=mail)
    text += "attempts = 2\n"
    if change == "password":
        env["MAIL_PASSWORD"] = "another-password"
    elif change == "ca":
        text = re.sub(r'ca = ".*"\n', "", text)
    elif change == "to":
        text = text.replace("lead@", "nobody@")
    else:
        text = text.replace(str(mail.port), "9")
    out, _, result = send(runbook, playbook, 'out[1] = notify.send("x", { to = "mail" })[1]', text, env)
    assert problem in out[0]["error"], out
    assert out[0]["attempts"] == (2 if change == "port" else 1)
    assert mail.mails == [] and env["MAIL_PASSWORD"] not in result.out + result.err


def test_a_server_without_starttls_gets_nothing(runbook, playbook, tmp_path):
    server = Mail(tmp_path, starttls=False)
    try:
        text, env = settings(mail=server)
        out, _, _ = send(runbook, playbook, 'out[1] = notify.send("x", { to = "mail" })[1]', text, env)
        assert out[0]["error"].startswith("mail server localhost offers no STARTTLS: nothing was sent; "), out
        text = re.sub(r'(user|password|ca) = ".*"\n', "", text) + 'security = "none"\n'
        out, _, _ = send(runbook, playbook, 'out[1] = notify.send("in the open", { to = "mail" })[1]', text, env, run="r2")
        assert server.texts() == ["in the open"] and not server.envelopes[0][2]
    finally:
        server.stop()


def test_a_mail_that_is_put_off_or_whose_answer_is_lost_is_sent_again_with_its_own_name(runbook, playbook, mail):
    text, env = settings(mail=mail)
    mail.faults = lambda number: {1: (451, "4.7.1 greylisted"), 2: "lost"}.get(number)
    out, _, _ = send(runbook, playbook, 'out[1] = notify.send("x", { to = "mail", key = "k" })[1]', text, env)
    assert out[0]["delivered"] and out[0]["attempts"] == 3, out
    assert len(mail.mails) == 2 and len({m["message-id"] for m in mail.mails}) == 1


# --- file, bell, webhooks, routes -------------------------------------------------------------------------------------


def test_files_get_a_line_a_message(runbook, playbook, tmp_path):
    text = '[channels.log]\ntype = "file"\npath = "told.log"\n[channels.json]\ntype = "file"\npath = "told.json"\nformat = "json"\nlevel = "warning"\n'
    out, _, _ = send(runbook, playbook, """
        notify.send("first", { to = { "log", "json" }, key = "a" })
        notify.send("second\\nline", { to = { "log", "json" }, title = "t", level = "error", key = "b", data = { n = 1 } })
    """, text)
    path = next(p for p in tmp_path.rglob("told.log"))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z info     \[r1/send/a\] first", lines[0]), lines
    assert lines[1].endswith("Z error    [r1/send/b] t: second") and lines[2] == "    line" and lines[3:] == [""]
    objects = [json.loads(line) for line in (path.parent / "told.json").read_text(encoding="utf-8").splitlines()]
    assert [(one["key"], one["level"], one["text"], one["title"], one["data"]) for one in objects] == [("r1/send/b", "error", "second\nline", "t", {"n": 1})]


def test_the_bell_rings_on_a_terminal_and_is_missed_without_one(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "bell" } }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text('[channels.bell]\ntype = "bell"\n', encoding="utf-8")
    terminal = runbook.terminal("exec", path.name, cwd=path.parent)
    terminal.expect("\a")
    terminal.expect("succeeded|done|exit", timeout=20)
    terminal.wait() if terminal.isalive() else None


def test_a_webhook_takes_headers_a_token_and_grafanas_format(runbook, playbook, hook):
    text = f"""
[channels.hook]
type = "webhook"
url = "{hook.url}/a"
token = "env:HOOK_TOKEN"
headers = {{ "X-Team" = "dba", "X-Key" = "env:HOOK_KEY" }}
[channels.notes]
type = "webhook"
format = "grafana"
url = "{hook.url}/api/annotations"
"""
    seen = []
    original = hook.server.RequestHandlerClass.do_POST
    hook.server.RequestHandlerClass.do_POST = lambda handler: (seen.append(dict(handler.headers)), original(handler))[1]
    send(runbook, playbook, 'notify.send("x", { to = { "hook", "notes" }, level = "warning" })', text, {"HOOK_TOKEN": "hook-token-1234", "HOOK_KEY": "hook-key-5678"})
    assert (seen[0]["Authorization"], seen[0]["X-Team"], seen[0]["X-Key"]) == ("Bearer hook-token-1234", "dba", "hook-key-5678")
    body = hook.posts[1][2]
    assert body["text"] == "x" and body["tags"] == ["runbook", "warning", "r1"] and abs(body["time"] / 1000 - time.time()) < 60


def test_a_webhook_that_is_gone_names_the_next_command_in_the_report(runbook, playbook, hook):
    hook.status = 404
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "migration" } }\nstep "a" { run = function() end }\n')
    channels(path, hook)
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    problem = (f"{hook.url} answered 404; nothing is there any more: check url of channels.migration in runbook.toml; try it: runbook channels --test migration")
    assert [e["error"] for e in result.events() if e["event"] == "notify.failed"] == [problem] * 2
    report = runbook("report", "r1", cwd=path.parent).out
    assert problem in report.replace("\\", ""), report


@pytest.mark.parametrize("settings_text, message", [
    ('[channels.ops]\ntype = "route"\ncritical = "pagr"\n[channels.pager]\ntype = "bell"\n',
     "runbook.toml:1: channels.ops: no channel 'pagr' (did you mean 'pager'?)"),
    ('[channels.ops]\ntype = "route"\ninfo = "all"\n[channels.all]\ntype = "route"\ninfo = "console"\n', "runbook.toml:1: channels.ops: 'all' is a route itself"),
    ('[channels.pager]\ntype = "pagerduty"\nkey = "0123456789abcdef"\n',
     "runbook.toml:1: channels.pager: key: env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD expected"),
], ids=["unknown", "route", "open"])
def test_channels_that_cannot_be_meant_are_refused_before_anything_runs(runbook, playbook, settings_text, message):
    path = playbook('local p = playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text(settings_text, encoding="utf-8")
    assert message in refused(runbook, path)


def test_a_route_to_a_channel_without_its_secret_is_refused_before_anything_runs(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "ops" } }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text('[channels.ops]\ntype = "route"\ncritical = "pager"\n[channels.pager]\ntype = "pagerduty"\nkey = "env:NOT_SET_KEY"\n',
                                              encoding="utf-8")
    assert ("option 'to': 'ops' leads to a channel that cannot be used: runbook.toml:4: channels.pager: key: environment variable NOT_SET_KEY is not set"
            in refused(runbook, path))


def test_a_channel_that_does_not_exist_names_the_nearest_and_the_next_command(runbook, playbook):
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "migraton" } }\nstep "a" { run = function() end }\n')
    (path.parent / "runbook.toml").write_text('[channels.migration]\ntype = "bell"\n', encoding="utf-8")
    assert ("error: playbook.lua:1: playbook \"x\": updates: option 'to': no channel 'migraton' (did you mean 'migration'?); "
            "`runbook channels FILE` lists those of its runbook.toml" in refused(runbook, path))


def test_a_step_in_doubt_is_critical_and_a_notice_ahead_is_scheduled(runbook, playbook, hook, statuspage):
    text, env = settings(statuspage=statuspage)
    path = playbook("""
        local p = playbook "x" { summary = "x", updates = { to = "ops" }, needs = { files = { "./" } } }
        notice "soon" { at = "T-1d", to = "status_page", text = "Maintenance tomorrow" }
        step "a" { takes = "30m", undo = function() error "no way back" end, run = function() error "it broke" end }
    """)
    channels(path, hook, text + '[channels.ops]\ntype = "route"\ncritical = "migration"\n')
    config = (path.parent / "runbook.toml")
    config.write_text(re.sub(r'\[channels.status_page\]\ntype = "webhook".*?(?=\[)', "", config.read_text(encoding="utf-8"), flags=re.S), encoding="utf-8")
    start = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() + 86400 - 120))
    result = runbook("exec", path.name, "--run-id", "r1", "--start", start, cwd=path.parent, env=env)
    assert result.exit == 4, result
    assert [body["level"] for _, _, body in hook.posts] == ["critical", "critical"]
    assert hook.texts("/migration")[-1].startswith("x: waits for people: ")
    incident = statuspage.incidents[0]
    assert incident["status"] == "scheduled" and incident["scheduled_for"][:16] == start[:16]
    assert incident["scheduled_until"] > incident["scheduled_for"]


def test_a_required_channel_that_fails_is_named_once(runbook, playbook, hook):
    hook.status = 404
    path = playbook('local p = playbook "x" { summary = "x", updates = { to = "ops" } }\nstep "a" { says = "done", run = function() end }\n')
    (path.parent / "runbook.toml").write_text(f'[channels.ops]\ntype = "webhook"\nurl = "{hook.url}/ops"\nrequired = true\n', encoding="utf-8")
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    assert (f'step "a": channel "ops" (required): {hook.url} answered 404; nothing is there any more: check url of channels.ops in runbook.toml; '
            "try it: runbook channels --test ops") in [e.get("why") for e in result.events()]
