"""runbook plan: the timeline with clock offsets, owners, decisions, lanes and the way back, in four forms; no effects."""
import json
import re

import pytest

PLAN = """
    local p = playbook "night" { summary = "Move the shop", params = { site = { "url", default = "http://shop.example/" }, shop = { "database", access = "write", required = true }, extra = { "boolean" } },
      roles = { dba = "Database Engineer", lead = "Lead" }, needs = { shell = { "systemctl * app" }, http = { "site" } },
      window = { from = "close", to = "open", target = "30m", max = "1h" }, rollback = { within = "10m", ways = { "down", "restore" } },
      ask = { within = "5m", otherwise = "rollback" } }
    local sign = toggle { on = function() end, off = function() end, state = function() return "on" end }
    phase "Before"
    checklist "ready" { owner = "lead", confirm("lead", "everyone is there"), probe("disk is free", function() return true end) }
    phase "The move"
    step "close" { sign.on, owner = "lead", takes = "5m" }
    step "warm caches" { owner = "dba", takes = "12m", beside = "verified", run = function() end }
    step "copy" { owner = "dba", takes = "10m", retry = { attempts = 3 }, run = function() end, undo = { down = function() end, restore = function() end } }
    step "left out" { takes = "4m", only_if = false, run = function() end, undo = keep "x" }
    checkpoint "verified" { owner = "dba", takes = "1m", run = function() end, pass = function() return true end,
      fail = { { when = function() return false end, ask "dba" }, otherwise = rollback "rows <lost>" } }
    checkpoint "old shop serves" { on = "rollback", takes = "1m", run = function() end, pass = function() return true end, fail = { otherwise = hold "look" } }
    gate "go live" { role = "lead", ask = "Open \\"it\\" | now?" }
    step "open" { sign.off, owner = "lead", takes = "1m" }
    step "note" { manual = "write to the customers", owner = "lead" }
"""


@pytest.fixture
def plan(runbook, playbook):
    path = playbook(PLAN)

    def make(form):
        result = runbook("plan", path, "--shop", "postgres://app:pw-of-app@db1/shop", "--format", form)
        assert result.exit == 0, result.out + result.err
        assert "pw-of-app" not in result.out
        assert not runbook.journal.exists()
        return result.out

    return make


def test_the_clock_goes_on_through_lanes_and_joins(plan):
    data = json.loads(plan("json"))
    at = {item["name"]: item.get("at_s") for item in data["items"]}
    assert at == {"Before": None, "ready": 0, "The move": None, "close": 0, "warm caches": 300, "copy": 300, "left out": 900,
                  "verified": 1020,  # warm caches is joined here, two minutes after the copy
                  "old shop serves": None, "go live": 1080, "open": 1080, "note": 1140}
    assert data["total_s"] == 1140
    items = {item["name"]: item for item in data["items"]}
    assert items["verified"]["decisions"] == ["ask dba", "rollback: rows <lost>"]
    assert items["go live"]["question"] == {"ask": 'Open "it" | now?', "role": "lead", "within_s": 300, "otherwise": "rollback"}
    assert items["copy"]["ways"] == ["down", "restore"]
    assert items["left out"]["left_out"] is True
    assert [(entry["kind"], entry["text"]) for entry in items["ready"]["entries"]] == [("confirm", "everyone is there"), ("probe", "disk is free")]
    assert [one["name"] for one in data["way_back_order"]] == ["open", "old shop serves", "left out", "copy", "close"]


def test_the_text_fits_eighty_columns(plan):
    text = plan("text")
    assert all(len(line) <= 80 for line in text.splitlines()), text
    flat = re.sub(r"\s+", " ", text)
    for wanted in ("night · Move the shop", "all steps as planned: 19m", 'traffic closed from "close" to "open"', "of 30m (target)", "of 1h (maximum)",
                   "latest moment to choose rollback: 50:00 after traffic was closed", "rollback within 10m",
                   "lead confirms: everyone is there; checks: disk is free", "T+0:00 5m lead close switched back on the way back",
                   '| T+5:00 12m dba warm caches', 'beside, joined before "verified"', "undo (down, restore); 3 attempts", "left out: only_if is not true",
                   "T+17:00 1m dba verified", "otherwise ask dba; rollback: rows <lost>", 'asks lead: "Open "it" | now?"; within 5m, otherwise rollback',
                   "by hand: write to the customers", "old shop serves checked, otherwise hold: look", "shell systemctl * app", "http http://shop.example/ files nothing",
                   "db shop: postgres://app:***@db1/shop (write)"):
        assert wanted in flat, (wanted, text)
    assert text.index("\nThe move\n") < text.index("lead      close") < text.index("way back, from the end:")


def test_markdown_cells_stay_cells(plan):
    text = plan("md")
    rows = [line for line in text.splitlines() if line.startswith("| T+")]
    assert len(rows) == 9
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows), rows
    assert "| T+17:00 | verified | Database Engineer | 1m |" in text
    assert "rows \\<lost\\>" in text and "1. open: switched back" in text


def test_mermaid_is_a_flowchart_without_loose_quotes(plan):
    text = plan("mermaid")
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    assert text.count("subgraph") == lines.count("  end") == 3
    nodes = set(re.findall(r"^  (\w+)[\[({]", text, re.M))
    for source, target in re.findall(r"^  (\w+) -[-.]+>(?:\|[^|]*\|)? (\w+)$", text, re.M):
        assert source in nodes and target in nodes, (source, target)
    for line in lines[1:]:
        assert line.count('"') in (0, 2), line
        assert not re.search(r'"[^"]*[<>](?<!<br/>)[^"]*"', line.replace("<br/>", "")), line
    ids = dict((name, node) for node, name in re.findall(r'^  (n\d+)[\[{]"([^<"]+)', text, re.M))
    assert f"  {ids['warm caches']} --> {ids['verified']}" in lines  # the lane comes back
    assert f"  {ids['left out']} --> {ids['verified']}" in lines
    assert f"  {ids['verified']} -->|passes| {ids['go live']}" in lines
    assert f'  {ids["verified"]} -.->|"rollback: rows #lt;lost#gt;"| b0' in lines
    assert f'  {ids["go live"]} -.->|"no answer: rollback"| b0' in lines


AROUND = """
    local p = playbook "move" { summary = "x", roles = { lead = "Migration Lead", dba = "DBA" }, params = { kind = { "string" } },
      updates = { to = "console", also = { done = "console" }, every = "15m", in_rollback = "5m" },
      schedule = { { name = "weekly", at = "Sunday 03:00 UTC", params = { kind = "full" } }, { name = "hourly", every = "1h", missed = "run once" } } }
    notice "a week ahead" { at = "T-7d", to = "console", text = "x" }
    notice "on a day" { at = "2030-06-01 07:00 UTC", to = { "console" }, text = "x" }
    checklist "ready" { due = "T-1d", confirm("lead", "all here"), confirm("dba", "backup") }
    gate "go" { at = "T-30m", role = "lead", ask = "Go?" }
    step "a" { run = function() end }
    followup "first day" { every = "2h", times = 12, owner = "dba", run = function() end }
    followup "sign-off" { after = "1d", gate = { all_of = { "lead", "dba" } }, ask = "Done?" }
    followup "take down" { at = "Friday 09:00 Europe/Berlin", owner = "dba", manual = "Switch it off" }
    on_rollback "inquiry" { owner = "lead", tasks = { { "tell the users", by = "1h" }, { "find the cause", owner = "dba" } } }
"""


def test_what_stands_around_the_run_is_in_every_form(runbook, playbook):
    path = playbook(AROUND)

    def plan(form, *more):
        result = runbook("plan", path, "--format", form, *more)
        assert result.exit == 0, result
        return result.out

    data = json.loads(plan("json", "--start", "2031-03-10 22:00 Europe/Berlin"))
    assert data["start"] == {"text": "2031-03-10 22:00 Europe/Berlin", "at": "2031-03-10T21:00:00.000Z"}
    assert [(one["kind"], one["name"], one["when"], one["at"][:16]) for one in data["ahead"]] == [
        ("notice", "on a day", "2030-06-01 07:00 UTC", "2030-06-01T07:00"), ("notice", "a week ahead", "T-7d", "2031-03-03T21:00"),
        ("checklist", "ready", "T-1d", "2031-03-09T21:00"), ("gate", "go", "T-30m", "2031-03-10T20:30")]
    assert [(one["name"], one["when"], one["what"]) for one in data["followups"]] == [
        ("first day", "every 2h, 12 times", "runs"), ("sign-off", "1d after the run", 'asks lead, dba: "Done?"'),
        ("take down", "Friday 09:00 Europe/Berlin, the first after the run", "by hand: Switch it off")]
    assert [(one["text"], one.get("by_s"), one["owner_title"]) for one in data["after_rollback"]] == [("tell the users", 3600, "Migration Lead"), ("find the cause", None, "DBA")]
    assert [(one["name"], one["text"], one["missed"]) for one in data["schedules"]] == [("weekly", "at Sunday 03:00 UTC", "skip"), ("hourly", "every 1h", "run once")]
    assert data["updates"]["every_s"] == 900 and data["updates"]["to"] == ["console"]

    undated = json.loads(plan("json"))
    assert "start" not in undated and [one.get("at") for one in undated["ahead"]] == [None, None, None, "2030-06-01T07:00:00.000Z"]

    text = plan("text", "--start", "2031-03-10 22:00 Europe/Berlin")
    assert all(len(line) <= 80 for line in text.splitlines()), text
    flat = " ".join(text.split())
    for wanted in ("T is 2031-03-10 21:00 UTC (2031-03-10 22:00 Europe/Berlin)", "T-7d 2031-03-03 21:00 UTC a week ahead (notice to console)",
                   "T-1d 2031-03-09 21:00 UTC ready (checklist: confirmed by lead, dba)", "T-30m 2031-03-10 20:30 UTC go (gate: asks lead)",
                   "every 15m updates (to console; done also to console; every 5m in a rollback)", "every 2h, 12 times first day (DBA: runs)",
                   "within 1h tell the users (Migration Lead)", "at Sunday 03:00 UTC weekly (missed where it is later than 1h; --kind full)",
                   "every 1h hourly (after a downtime the newest is run once)"):
        assert wanted in flat, (wanted, text)

    markdown = plan("md")
    assert "## Afterwards\n\n| When | Name | What |\n|---|---|---|\n| every 2h, 12 times | first day | DBA: runs |\n" in markdown
    assert "| T-7d | a week ahead | notice to console |" in markdown and "## After a rollback" in markdown and "## Started by itself" in markdown
    flow = plan("mermaid")
    assert 'subgraph t5["after a rollback"]' in flow and 't5_0["within 1h<br/>tell the users<br/>Migration Lead"]' in flow
    assert flow.count("subgraph") == flow.splitlines().count("  end")


def test_an_unknown_form_names_the_nearest(runbook, playbook):
    result = runbook("plan", playbook(PLAN), "--format", "mermayd")
    assert result.exit == 2
    assert "error: --format 'mermayd' is none of text, md, mermaid, json (did you mean 'mermaid'?)" in result.err
