"""`runbook channels`: the list, and what a test of a channel says."""
import json

import pytest
from hooks import hook  # noqa: F401 fixture
from notify_standins import Statuspage, mail, pagerduty, settings, slack, statuspage  # noqa: F401 fixtures


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "work"
    made.mkdir()
    return made


def test_the_list_says_where_each_leads_and_what_is_missing(runbook, folder):
    (folder / "runbook.toml").write_text("""
[channels.alerts]
type = "slack"
url = "https://hooks.slack.com/services/T024/B024/Zq81hTokenWord"
[channels.pager]
type = "pagerduty"
key = "env:NO_SUCH_KEY"
[channels.mail]
type = "smtp"
host = "mail.example.com"
from = "ops@example.com"
to = ["team@example.com"]
[channels.ops]
type = "route"
critical = ["alerts", "pager"]
warning = "mail"
""", encoding="utf-8")
    result = runbook("channels", cwd=folder)
    assert result.exit == 0, result
    assert [line.split() for line in result.out.splitlines()] == [
        ["channel", "type", "from", "level", "leads", "to"],
        ["console", "console", "info", "the", "run's", "own", "output"],
        ["alerts", "slack", "info", "https://hooks.slack.com"],
        ["mail", "smtp", "info", "team@example.com", "through", "mail.example.com"],
        ["ops", "route", "critical:", "alerts,", "pager;", "warning:", "mail"],
        ["pager", "pagerduty", "error", "key:", "environment", "variable", "NO_SUCH_KEY", "is", "not", "set"]]
    assert "Zq81hTokenWord" not in result.out
    listed = [json.loads(line) for line in runbook("channels", folder / "x.lua", "--output", "json").out.splitlines()]
    assert listed[4] == {"channel": "pager", "type": "pagerduty", "level": "error", "leads_to": "", "problem": "key: environment variable NO_SUCH_KEY is not set"}


def test_a_test_reaches_every_channel_of_a_route_and_says_what_came_of_it(runbook, folder, hook, pagerduty, slack, statuspage, mail):
    text, env = settings(pagerduty=pagerduty, slack=slack, statuspage=statuspage, mail=mail)
    text += f'[channels.hook]\ntype = "webhook"\nurl = "{hook.url}/x"\n[channels.log]\ntype = "file"\npath = "told.log"\n'
    text += '[channels.ops]\ntype = "route"\ncritical = ["chat", "pager", "mail", "hook", "log", "console"]\n'
    (folder / "runbook.toml").write_text(text, encoding="utf-8")
    result = runbook("channels", "--test", "ops", "--test", "status_page", cwd=folder, env=env)
    assert result.exit == 0, result
    lines = result.out.splitlines()
    assert lines[0] == "chat: taken (1700000000.000001)" and lines[1].startswith("pager: taken (triggered and resolved runbook-test-")
    assert lines[2] == "mail: taken (250 2.0.0 Ok: queued as Q1)" and lines[3] == "hook: taken (status 200)" and lines[4] == "log: taken (told.log)"
    assert lines[5].startswith("runbook: A test of the channel console by root on ") and lines[6] == "console: taken (console)"
    assert lines[7] == "status_page: taken (it may be read; nothing was posted, because it is public)"
    assert statuspage.incidents == [] and [one["status"] for one in pagerduty.incidents.values()] == ["resolved"]
    assert slack.posts[0]["text"].startswith("runbook: A test of the channel chat by root on ")


def test_a_test_that_fails_says_why_and_exits_with_1(runbook, folder, hook):
    hook.status = 404
    (folder / "runbook.toml").write_text(f'[channels.hook]\ntype = "webhook"\nurl = "{hook.url}/x"\n[channels.pager]\ntype = "pagerduty"\nkey = "env:NO_SUCH_KEY"\n',
                                         encoding="utf-8")
    result = runbook("channels", "--test", "hook", "--test", "pager", cwd=folder)
    assert result.exit == 1
    assert result.out == (f"hook: not delivered: {hook.url} answered 404\n  hint: nothing is there any more: check url of channels.hook in runbook.toml\n"
                          "pager: not delivered: key: environment variable NO_SUCH_KEY is not set\n")


def test_a_channel_that_does_not_exist_is_named_with_the_nearest(runbook, folder):
    (folder / "runbook.toml").write_text('[channels.alerts]\ntype = "bell"\n', encoding="utf-8")
    result = runbook("channels", "--test", "alrts", cwd=folder)
    assert result.exit == 2
    assert result.err == "error: --test alrts: no notification channel 'alrts' (did you mean 'alerts'?)\nhint: known: alerts, console\n"
    (folder / "runbook.toml").write_text('[channels.alerts]\ntype = "bel"\n', encoding="utf-8")
    result = runbook("channels", cwd=folder)
    assert result.exit == 2
    assert result.err.startswith("error: runbook.toml:1: channels.alerts: unknown type 'bel' (did you mean 'bell'?)\nhint: known here: console, file, bell,"), result
