"""People at other terminals: who may answer, what an answer leads to, and what is said when it comes too late."""
import json
import os
import pwd
import re
import subprocess
import time

import pytest

ME = pwd.getpwuid(os.getuid()).pw_name
EFFECT = 'step "s" { undo = keep "x", run = function() fs.write("s.txt", "s") end }\n'


def write(playbook, text, roster="", header=""):
    path = playbook('local p = playbook "people" { summary = "x", needs = { files = { "./" } }' + header + " }\n" + text)
    (path.parent / "runbook.toml").write_text("[roster]\n" + roster)
    return path


def refused(result, message, hint=None):
    assert result.exit == 2, result
    lines = result.err.splitlines()
    assert lines[0] == f"error: {message}", result.err
    if hint is not None:
        assert lines[1] == f"hint: {hint}", result.err


def events(runbook, name):
    return [e for e in runbook("show", "r1", "--output", "json").events() if e["event"] == name]


def until(run, name):
    for line in run.process.stdout:
        if json.loads(line)["event"] == name:
            return
    pytest.fail(f"the run ended without {name}")


def held(runbook, path):
    result = runbook("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent)
    assert result.exit == 3, result


def test_who_may_answer_is_said_at_once(runbook, playbook):
    path = write(playbook, 'gate "go" { role = "dba", ask = "Go?" }\n' + EFFECT, 'dba = ["anna", "bob"]\n')
    held(runbook, path)
    refused(runbook("approve", "r1", "go"), f'gate "go" is for dba (anna, bob): {ME} may not answer it')
    refused(runbook("approve", "r1", "go", env={"USER": "anna", "LOGNAME": "anna"}), f'gate "go" is for dba (anna, bob): {ME} may not answer it')
    refused(runbook("reject", "r1", "go"), f'gate "go" is for dba (anna, bob): {ME} may not answer it')
    refused(runbook("approve", "r1", "og"), "run r1 has no gate 'og' (did you mean 'go'?)", "gates: go")
    refused(runbook("approve", "r1", "go", "--as", "cto"), "gate \"go\" does not ask the role 'cto': it asks dba")
    assert not (path.parent / "s.txt").exists()


def test_two_people_of_the_operating_system(runbook, playbook, tmp_path):
    """A quorum by two real users: the second answers through setpriv, in a journal that both may write."""
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    path = write(playbook, 'gate "go" { role = "dba", people = 2, ask = "Go?" }\n' + EFFECT, f'dba = ["{ME}", "nobody"]\n')
    held(runbook, path)
    first = runbook("approve", "r1", "go", "--why", "looked")
    assert (first.exit, first.out) == (0, f"approved go as {ME} (1 of 2: waiting for 1 more of dba (nobody))\nnobody runs it now: runbook resume r1\n")
    refused(runbook("approve", "r1", "go"), f'{ME} has approved gate "go" already: 1 of 2: waiting for 1 more of dba (nobody)')
    shared = runbook.journal.parent
    for folder in [*tmp_path.parents][:2] + [tmp_path, runbook.home, runbook.state, shared]:
        os.chmod(folder, 0o777 if folder == shared else 0o755)
    for file in shared.iterdir():
        os.chmod(file, 0o666)
    second = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", str(runbook.binary), "approve", "r1", "go", "--journal", str(runbook.journal)],
                            env={**runbook.environment(), "USER": ME}, cwd="/", capture_output=True, text=True, check=False)
    if "Permission denied" in second.stderr and str(runbook.binary) in second.stderr:
        pytest.skip("another user cannot run this binary")
    assert second.stdout == "approved go as nobody\nnobody runs it now: runbook resume r1\n", second.stderr
    assert runbook("resume", "r1", cwd=path.parent).exit == 0
    answer = events(runbook, "gate.answered")[0]
    assert sorted(one["by"] for one in answer["people"]) == sorted([ME, "nobody"])
    assert all(one["checked"] and one["from"] and len(one["plan"]) == 64 for one in answer["people"])
    assert (path.parent / "s.txt").exists()


def test_an_answer_to_a_live_run_is_told_what_became_of_it(runbook, playbook):
    path = write(playbook, 'gate "go" { all_of = { "lead", "cto" }, ask = "Go?", within = "5m" }\n' + EFFECT, f'lead = ["{ME}"]\ncto = ["carl"]\n')
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    until(run, "gate.opened")
    answer = runbook("approve", "r1", "go")
    assert (answer.exit, answer.out) == (0, f"approved go as {ME} (1 of 2: waiting for cto (carl))\n"), answer.err
    assert runbook("reject", "r1", "go", "--why", "lag").exit == 0
    assert run.finish(20).exit == 1
    refused(runbook("approve", "r1", "go"), "run r1 has ended already: failed")
    assert "2 of 3" not in answer.out


def test_too_late_is_an_error(runbook, playbook):
    path = write(playbook, 'gate "go" { ask = "Go?", within = "10ms", otherwise = "hold" }\n' + EFFECT)
    held(runbook, path)
    time.sleep(0.02)  # two processes may come and go in less than 10 ms
    result = runbook("approve", "r1", "go")
    assert result.exit == 2
    assert re.match(r'error: gate "go": too late: it could be answered until \d{4}-', result.err), result.err
    assert "hint: runbook resume r1 --extend 30m asks again" in result.err
    assert runbook("resume", "r1", "--detach", cwd=path.parent).exit == 3
    refused(runbook("resume", "r1", "--extend", "10 minuts"), "--extend: a duration such as 30m expected, got '10 minuts'")
    assert runbook("resume", "r1", "--detach", "--extend", "5m", cwd=path.parent).exit == 3
    assert runbook("approve", "r1", "go").exit == 0
    assert runbook("resume", "r1", cwd=path.parent).exit == 0


def test_a_checklist_over_days_from_another_terminal(runbook, playbook):
    path = write(playbook, """
        checklist "week" { due = "T-7d", owner = "lead", confirm("lead", "reviewed", { evidence = "url" }), confirm("lead", "load test"),
          probe("quiet", function() return false end) }
        checklist "smoke" { confirm("lead", "login") }
        """ + EFFECT, f'lead = ["{ME}"]\n')
    held(runbook, path)
    refused(runbook("confirm", "r1", "reviewed"), '"reviewed" of checklist "week" needs evidence: give its url with --evidence')
    answer = runbook("confirm", "r1", "reviewed", "--evidence", "https://git/7")
    assert (answer.exit, answer.out) == (0, f"confirmed week: reviewed as {ME}\nnobody runs it now: runbook resume r1\n"), answer.err
    refused(runbook("confirm", "r1", "login"), '"login" of checklist "smoke" is not asked yet: the run has not come to it',
            "an item of a checklist with a due date may be confirmed before")
    refused(runbook("waive", "r1", "load test"), "waive: --why is missing: a reason is required", "it stands in the journal and in the report")
    assert runbook("waive", "r1", "load test", "--why", "no traffic on Sundays").exit == 0
    assert runbook("waive", "r1", "quiet", "--why", "seen by hand").exit == 0
    assert runbook("resume", "r1", "--detach", cwd=path.parent).exit == 3
    assert [e["item"] for e in events(runbook, "item.waived")] == ["quiet", "load test"]
    assert events(runbook, "gate.answered")[0]["evidence"] == "https://git/7"
    assert runbook("confirm", "r1", "smoke: login").exit == 0
    assert runbook("resume", "r1", cwd=path.parent).exit == 0
    report = runbook("report", "r1").out
    assert f"week, load test: waived by {ME} (another terminal), no traffic on Sundays" in report
    assert "evidence https://git/7" in report


def test_a_decision_from_another_terminal(runbook, playbook):
    path = write(playbook, """
        step "s" { run = function() fs.write("s.txt", "s") end, undo = function() fs.remove("s.txt") end, loses = function() return 412 end }
        checkpoint "c" { run = function() return 1 end, pass = function(n) return n == 2 end, fail = { otherwise = ask "lead" } }
        """, f'lead = ["{ME}"]\n')
    run = runbook.start("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent)
    until(run, "decision.asked")
    refused(runbook("answer", "r1", "rolback"), "answer: 'rolback' is no decision (did you mean 'rollback'?)", "rollback, hold or go-on")
    answer = runbook("answer", "r1", "rollback", "--why", "orders are missing")
    assert (answer.exit, answer.out) == (0, 'checkpoint "c" did not pass. A rollback from here would lose 412 rows\na rollback from here loses 412 rows\n'
                                            f"answered rollback as {ME}\n"), answer.err
    assert run.finish(20).exit == 1
    assert not (path.parent / "s.txt").exists()
    assert events(runbook, "decision.answered")[0]["why"] == "orders are missing"


def test_approve_says_nothing_about_a_decision(runbook, playbook):
    path = write(playbook, EFFECT + 'checkpoint "ok" { run = function() return 1 end, pass = function() return false end, fail = { otherwise = ask() } }\n')
    for name, label in (("ok", 'checkpoint "ok"'), ("s", 'step "s"')):
        refused(runbook("exec", path.name, "--run-id", "r1", "--detach", "--approve", name, cwd=path.parent),
                f"--approve: {label} is not a gate: --approve says yes to a gate, an item to confirm or a step that a person does",
                "a decision is answered where it is asked, or with `runbook answer RUN rollback`, `hold` or `go-on`")
    assert not (path.parent / "s.txt").exists()


def test_approve_of_a_gate_does_not_answer_the_decision_that_follows_it(runbook, playbook):
    path = write(playbook, EFFECT + 'gate "go" { all_of = { "dba", "lead" }, ask = "Go?", within = "300ms", otherwise = ask() }\n', f'dba = ["{ME}"]\nlead = ["anna"]\n',
                 ', ask = { within = "300ms", otherwise = "hold" }')
    result = runbook("exec", path.name, "--run-id", "r1", "--approve", "go", cwd=path.parent)
    assert result.exit == 3, result
    assert [e["why"] for e in events(runbook, "answer.refused")][-1] == (
        'the decision at gate "go": --approve says yes to a gate, and this asks what to do: runbook answer r1 rollback, hold or go-on')
    assert [e["answer"] for e in events(runbook, "decision.answered")] == ["hold"]
    assert (path.parent / "s.txt").exists()


def test_no_decision_is_open(runbook, playbook):
    path = write(playbook, 'gate "go" { ask = "Go?" }\n' + EFFECT)
    held(runbook, path)
    refused(runbook("answer", "r1", "hold"), "run r1 asks for no decision now",
            "runbook show r1 says where it is; a gate is answered with approve or reject")


def test_a_changed_parameter_is_refused(runbook, playbook):
    path = write(playbook, 'gate "go" { ask = "Go?" }\n' + EFFECT, header=', params = { size = { "integer", default = 1 } }')
    assert runbook("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent, env={"RUNBOOK_SIZE": "2"}).exit == 3
    assert runbook("approve", "r1", "go").exit == 0
    refused(runbook("resume", "r1", cwd=path.parent), "parameter --size has changed since the run started: it was '2', it is '1'",
            "give it as it was, or resume with --accept-changed")
    changed = runbook("resume", "r1", "--accept-changed", "--detach", cwd=path.parent)
    assert changed.exit == 3, changed  # the approval was given to the other plan
    assert events(runbook, "answer.refused")


def test_the_terminal_asks_only_who_may_answer(runbook, playbook):
    path = write(playbook, 'gate "go" { role = "dba", ask = "Go?", within = "1s", otherwise = "hold" }\n' + EFFECT, 'dba = ["anna"]\n')
    child = runbook.terminal("exec", path.name, "--run-id", "r1", cwd=path.parent)
    child.expect("no answer in time")
    assert "approve? [y/n]" not in child.before
    child.wait()
    assert child.exitstatus == 3


def test_completion_offers_what_is_asked(runbook, playbook):
    path = write(playbook, 'gate "go live" { ask = "Go?" }\ngate "later" { ask = "?" }\n' + EFFECT)
    held(runbook, path)
    assert [line.split("\t")[0] for line in runbook("__complete", "approve", "r1", "").out.splitlines()] == ["go live"]
    assert [line.split("\t")[0] for line in runbook("__complete", "answer", "r1", "").out.splitlines()] == ["rollback", "hold", "go-on"]
