"""Reports of real runs: every form is whole, and what a playbook calls its steps stays text."""
import json
import re
import xml.etree.ElementTree as ElementTree

HOSTILE = """
    local p = playbook "night <script>alert(1)</script>" { params = { folder = { "path", required = true } },
      needs = { files = { "folder" } }, window = { from = "close", to = "open", target = "5m", max = "15m" } }
    local closed = p.folder .. "closed"
    local sign = toggle { on = function() fs.write(closed, "x") end, off = function() fs.remove(closed) end,
      state = function() return fs.exists(closed) and "on" or "off" end }
    step "close" { sign.on, takes = "10s" }
    step "a <script>alert(2)</script>" { takes = "1m", run = function() return { text = "<img src=x onerror=alert(3)>", detail = nil } end }
    checkpoint "equal" { run = function() return { tables = { { table = "t", source_rows = 5, target_rows = PASS, missing = 0 } } } end,
      pass = function(r) return r.tables[1].target_rows == 5 end, fail = { otherwise = rollback "rows <b>lost</b>" } }
    step "open" { sign.off, takes = "10s" }
"""


def run(runbook, playbook, tmp_path, rows, *options):
    folder = tmp_path / "state"
    folder.mkdir(exist_ok=True)
    return runbook("exec", playbook(HOSTILE.replace("PASS", str(rows))), "--folder", f"{folder}/", *options)


def test_every_form_of_a_run_that_succeeded(runbook, playbook, tmp_path):
    junit = tmp_path / "night.xml"
    result = run(runbook, playbook, tmp_path, 5, "--report", junit)
    assert result.exit == 0, result.out + result.err
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("0", "0", "5")
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == ["close", "a <script>alert(2)</script>", "equal", "open", "outcome"]
    page = runbook("report", "last", "--format", "html").out
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    assert "<td>t</td>" in page and "✓ equal" in page
    assert not re.search(r"""(src|href)\s*=\s*["']|url\(|@import""", page)  # opens offline
    data = json.loads(runbook("report", "last", "--format", "json").out)
    assert data["outcome"] == "succeeded" and data["window"]["spent_s"] > 0 and data["chain"] == "whole"
    text = runbook("report", "last", "--format", "md").out
    assert "| t | 5 | 5 | 0 | ✓ equal |" in text and "<script" not in text.replace("\\<script", "")


def test_junit_of_a_run_that_went_back(runbook, playbook, tmp_path):
    assert run(runbook, playbook, tmp_path, 4).exit == 1
    result = runbook("report", "last", "--format", "junit")
    assert result.exit == 0
    suite = ElementTree.fromstring(result.out).find("testsuite")
    cases = {(case.get("classname").rsplit(".", 1)[1], case.get("name")): case for case in suite.iter("testcase")}
    failed = cases["checkpoint", "equal"].find("failure")
    assert failed.get("type") == "rollback" and failed.get("message") == "did not pass: rows <b>lost</b>"
    assert "playbook.lua:9:" in failed.text
    assert cases["step", "open"].find("skipped").get("message") == "not started"
    assert cases["undo", "close"].find("failure") is None
    assert cases["run", "outcome"].find("failure").get("type") == "rolled_back"
    assert suite.get("failures") == "2"
    page = runbook("report", "last", "--format", "html").out
    assert "✗ differs" in page and "<h2>Way back</h2>" in page


def test_an_unknown_form_is_refused(runbook, playbook, tmp_path):
    run(runbook, playbook, tmp_path, 5)
    result = runbook("report", "last", "--format", "juint")
    assert result.exit == 2
    assert "error: --format 'juint' is none of html, md, json, junit (did you mean 'junit'?)" in result.err
