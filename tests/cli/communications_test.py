"""The texts of stdlib/communications.lua, to the letter, and what becomes of them in a run."""
import pytest
from evaluate import evaluate
from hooks import channels, hook  # noqa: F401 fixture

GIVEN = """{ what = "the move to MySQL 8", service = "Reline", downtime = "30 minutes", contact = "#migration-mysql8", rollback = "10 minutes",
  impact = "uploads fail", lasted = "12 minutes", escalation = "the CTO" }"""

TEXTS = {
    "week_ahead": """Planned maintenance: Reline

On {start} we carry out the move to MySQL 8. Reline will be unavailable for about 30 minutes.
You need not do anything. Please save what you are working on before then.
We will remind you the day before. Questions: #migration-mysql8.""",
    "day_ahead": """Reminder: maintenance of Reline tomorrow

The move to MySQL 8 begins on {start}. Reline will be unavailable for about 30 minutes.
Questions: #migration-mysql8.""",
    "stakeholders": """Change announced: the move to MySQL 8

When: {start}, unavailable for about 30 minutes
Affected: Reline
Way back: prepared and rehearsed; it takes up to 10 minutes
Progress is posted in #migration-mysql8. Please raise objections there before the work begins.""",
    "support": """For the support team: the move to MySQL 8

From {start} Reline shows a maintenance page for about 30 minutes. Users who ask may be told so; nothing of theirs is lost.
Report anything else that users see during the two hours after it in #migration-mysql8.""",
    "preparation": """The move to MySQL 8 is on {start}. By then, please:
- finish your items of the checklist (runbook show {run})
- say here whether you are available, and who stands in for you
- name who is on call during the work and the day after
- check that dashboards, alerts and the status page are reachable for you""",
    "team_soon": "The move to MySQL 8 begins on {start}. The team meets in #migration-mysql8 before it: who does what, what decides about going back, who may decide.",
    "go_no_go": "The move to MySQL 8 begins on {start}: go or no go? Say it in #migration-mysql8 now. Without a go from everybody who is asked, it does not begin.",
    "hour_ahead": "The move to MySQL 8 begins on {start}. No other deployments from now on, please. On call and stakeholders have been told; "
                  "the channel is #migration-mysql8.",
    "posts.started": """The move to MySQL 8 has begun (started by {by}).
Purpose: {summary}
Unavailable for about 30 minutes. News follows every 15 minutes.""",
    "posts.update": """{time} UTC - the move to MySQL 8
Progress: {progress} %
Current step: {step}
Elapsed: {elapsed}
Next checkpoint: {next_checkpoint}
Status: {status}""",
    "posts.held": """The move to MySQL 8 waits for people: {why}.
Nothing goes on until they have answered. Elapsed: {elapsed}.""",
    "posts.failed": """The move to MySQL 8 has stopped: {why}.
It has not been undone as a whole. Who sees to it, and when the next news comes, is posted in #migration-mysql8.""",
    "posts.rollback": """We go back: {why}.
The maintenance page stays on until everything is as it was. This takes up to 10 minutes.
On the way back for: {rollback_elapsed}. News follows every 5 minutes until then.""",
    "posts.rolled_back": """The move to MySQL 8 was undone, and Reline is as it was before. The way back took {rollback_elapsed}.
Reason: {why}.
We look for the cause first. A new date will be announced.""",
    "posts.done": """The move to MySQL 8 is done, and Reline is available.
Duration: {elapsed}
We watch it closely for 24 hours. Please report anything unusual in #migration-mysql8. Thank you for your patience.""",
    "public.started": "Maintenance in progress. Reline is unavailable for about 30 minutes.",
    "public.update": "Maintenance continues. The next news follows within 15 minutes.",
    "public.held": "Maintenance takes longer than planned. We work on it, and will post the next news here.",
    "public.failed": "Maintenance takes longer than planned. We work on it, and will post the next news here.",
    "public.rollback": "We end the maintenance early and restore Reline. This takes up to 10 minutes.",
    "public.rolled_back": "The maintenance has ended early, and Reline is available. Another date will be announced.",
    "public.done": "The maintenance is complete. All systems are operational.",
    "completed": """The move to MySQL 8 has been completed.

Began: {result.began}
Ended: {result.ended}
Duration: {elapsed}
Unavailable: {result.downtime}
Data: {result.tables} tables, {result.rows} rows, {result.mismatches} differences

Reline runs on the new system, and its checks pass. We watch it closely for 24 hours, and report once a day for a week.
What was replaced is kept for 30 days.""",
    "daily": """Day {number} after the move to MySQL 8

Response time (95 %): {result.p95}
Errors: {result.errors}
Connections in use: {result.pool}
Uptime: {result.uptime}
Incidents: {result.incidents}
Against the time before: {result.comparison}
To do: {result.actions}
Recommendation: {result.recommendation}""",
    "final": """The move to MySQL 8: final report

Uptime: {result.uptime}
Average response time: {result.average}
Errors: {result.errors}
Against the time before: {result.comparison}
Incidents: {result.incidents}
Recommendation: {result.recommendation}""",
    "stable": """The move to MySQL 8 is a success: stable for 24 hours, within its limits, without a critical incident, and the team has signed off.
Next: what was replaced is removed after 30 days, the documents are filed, and we look back together.""",
    "incident.investigating": "We are looking into a problem with Reline: uploads fail. The next news follows within 15 minutes.",
    "incident.identified": "We have found the cause of the problem with Reline, and are working on it. The next news follows within 15 minutes.",
    "incident.monitoring": "The problem with Reline is fixed. We watch whether it stays so.",
    "incident.resolved": "The problem with Reline is over. It lasted 12 minutes. What happened, and what we change, follows.",
    "alerts.warning": "Reline: uploads fail. Nobody has to do anything yet; #migration-mysql8 watches it.",
    "alerts.critical": "Reline: uploads fail. Somebody has to see to it now: #migration-mysql8.",
    "alerts.escalated": "Reline: uploads fail. Nobody has answered for 15 minutes; this is now with the CTO, who decides within 10 minutes.",
}


def test_every_text_to_the_letter(runbook, playbook):
    found = evaluate(runbook, playbook, f"return require('communications').texts {GIVEN}")
    flat = {}
    for name, value in found.items():
        flat.update({f"{name}.{inner}": text for inner, text in value.items()} if isinstance(value, dict) else {name: value})
    assert flat == TEXTS


def test_what_a_run_posts_of_them(runbook, playbook, hook):
    path = playbook(f"""
        local say = require("communications").texts {GIVEN}
        local templates = {{ status_page = say.public }}
        for name, text in pairs(say.posts) do templates[name] = text end
        local p = playbook "move" {{ summary = "The same database everywhere", needs = {{ shell = {{ "sleep" }}, files = {{ "./" }} }},
          updates = {{ to = "migration", status_page = true, every = "300ms", in_rollback = "300ms", templates = templates }} }}
        notice "users: a week ahead" {{ after = "0s", to = "general", text = say.week_ahead }}
        step "copy" {{ takes = "1m", run = function() fs.write("a", "a") sh.run {{ "sleep", "0.5" }} end, undo = function() sh.run {{ "sleep", "0.5" }} end }}
        checkpoint "same" {{ takes = "1m", run = function() return fs.exists "fail" end, pass = function(bad) return not bad end, fail = {{ otherwise = rollback "rows are lost" }} }}
        followup "report" {{ after = "0s", to = "general", text = say.stable }}
    """)
    channels(path, hook)
    result = runbook("exec", path.name, "--run-id", "r1", "--start", "2026-11-20T22:00Z", cwd=path.parent)
    assert result.exit == 0, result
    posts = hook.texts("/migration")
    assert posts[0] == "The move to MySQL 8 has begun (started by root).\nPurpose: The same database everywhere\nUnavailable for about 30 minutes. News follows every 15 minutes."
    assert any(post.split("\n")[1:3] == ["Progress: 0 %", "Current step: copy"] for post in posts), posts
    assert posts[-1].startswith("The move to MySQL 8 is done, and Reline is available.\nDuration: ")
    assert hook.texts("/status_page") == [TEXTS["public.started"], TEXTS["public.done"]]
    assert runbook("due", cwd=path.parent).exit == 0
    assert TEXTS["stable"] in hook.texts("/general")

    hook.posts.clear()
    (path.parent / "fail").write_text("x", encoding="utf-8")
    assert runbook("exec", path.name, "--run-id", "r2", cwd=path.parent).exit == 1
    posts = hook.texts("/migration")
    assert any(post.startswith('We go back: checkpoint "same" did not pass: rows are lost.\nThe maintenance page stays on') for post in posts), posts
    assert posts[-1].startswith("The move to MySQL 8 was undone, and Reline is as it was before. The way back took ")
    assert hook.texts("/status_page") == [TEXTS[f"public.{kind}"] for kind in ("started", "rollback", "rolled_back")]
    said = hook.texts("/general")
    assert len(said) == 1 and said[0].startswith("Planned maintenance: Reline\n\nOn 20") and "{" not in said[0], said


@pytest.mark.parametrize("templates, problem", [
    ('{ strated = "x" }', "updates: option 'templates': no post 'strated' (did you mean 'started'?)"),
    ('{ started = 5 }', "updates: option 'templates.started': text expected, got number"),
    ('{ migration = { don = "x" } }', "updates: option 'templates.migration': no post 'don' (did you mean 'done'?)"),
    ('5', "updates: option 'templates': a folder, or a table of texts expected, got number"),
], ids=["kind", "text", "channel", "number"])
def test_texts_that_nobody_would_post(runbook, playbook, hook, templates, problem):
    path = playbook(f'playbook "x" {{ summary = "x", updates = {{ to = "migration", templates = {templates} }} }}\nstep "a" {{ run = function() end }}\n')
    channels(path, hook)
    result = runbook("exec", path.name, cwd=path.parent)
    assert result.exit == 2 and f'error: playbook.lua:1: playbook "x": {problem}' in result.err, result


def test_a_channel_may_have_a_folder_of_its_own(runbook, playbook, hook):
    path = playbook('playbook "x" { summary = "x", updates = { to = { "migration", "general" }, templates = "posts/" } }\nstep "a" { run = function() end }\n')
    channels(path, hook)
    for name, text in {"done.md": "for all: {playbook}", "general/done.md": "for many"}.items():
        (path.parent / "posts" / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "posts" / name).write_text(text, encoding="utf-8")
    assert runbook("exec", path.name, "--run-id", "r1", cwd=path.parent).exit == 0
    assert hook.texts("/migration")[-1] == "for all: x" and hook.texts("/general")[-1] == "for many"
