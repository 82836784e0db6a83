"""The command line itself: every option and every refusal, with its exact words. No server is needed."""
import json
import os
import re
import sqlite3
import subprocess

import pytest

PLAYBOOK = """
    local p = playbook "tiny" {
      summary = "A tiny playbook",
      params = {
        name = { "string", default = "x", doc = "a name" },
        careful = { "boolean", default = false, doc = "look twice" },
        app_dir = { "path", required = true, doc = "where it is" },
      },
    }
    step "one" { run = function() return { name = p.name, careful = p.careful, app_dir = p.app_dir } end }
    gate "go" { role = "lead", ask = "Go?", within = "10m" }
    step "two" { run = function() return { n = 2 } end }
"""

FAILING = """
    playbook "failing" { summary = "Goes back" }
    step "make" { run = function() return { n = 1 } end, undo = function() end }
    checkpoint "good" { run = function() return 1 end, pass = function(n) return n == 2 end,
      fail = { otherwise = rollback "it is one" } }
"""


@pytest.fixture
def tiny(playbook):
    return playbook(PLAYBOOK, "tiny.lua")


@pytest.fixture
def databases(tmp_path):
    """Two equal SQLite databases of 1,000 rows, as URLs."""
    for name in ("a.db", "b.db"):
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("create table orders (id integer primary key, customer text, total numeric)")
            database.executemany("insert into orders values (?, ?, ?)", [(i, f"c{i} 🙂", i * 1.5) for i in range(1, 1001)])
        database.close()
    return [f"sqlite:{tmp_path / name}" for name in ("a.db", "b.db")]


def change(url, statement):
    with sqlite3.connect(url.removeprefix("sqlite:")) as database:
        database.execute(statement)
    database.close()


def values(result, step):
    """The journaled result of a step."""
    return next(e["result"] for e in result.events() if e["event"] == "step.finished" and e["step"] == step)


def refused(result, error, hint=None, exit=2):
    assert (result.exit, result.out) == (exit, "")
    expected = f"error: {error}\n" + (f"hint: {hint}\n" if hint else "")
    assert result.err == expected


# --- words and options ----------------------------------------------------------------------------------------------


def test_nothing_shows_the_help_and_fails(runbook):
    result = runbook()
    assert (result.exit, result.out) == (2, "")
    assert result.err == runbook("--help").out


@pytest.mark.parametrize("words, error, hint", [
    (["exce"], "unknown command 'exce' (did you mean 'exec'?)", "runbook --help lists the commands"),
    (["frobnicate"], "unknown command 'frobnicate'", "runbook --help lists the commands"),
    (["--versoin"], "unknown option '--versoin' (did you mean '--version'?)", "runbook --help lists the commands"),
    (["help", "exce"], "unknown command 'exce' (did you mean 'exec'?)", "runbook --help lists the commands"),
    (["runs", "--limt", "3"], "unknown option '--limt' (did you mean '--limit'?)", "runbook runs --help shows examples and options"),
    (["runs", "--limit", "none"], "--limit 'none' is not a whole number from 1 up", None),
    (["runs", "--limit", "0"], "--limit '0' is not a whole number from 1 up", None),
    (["runs", "--output", "jsno"], "--output 'jsno' is none of plain, json (did you mean 'json'?)", "runbook runs --help shows examples and options"),
    (["exec", "x.lua", "--output", "xml"], "--output 'xml' is none of tty, plain, json", "runbook exec --help shows examples and options"),
    (["verify", "a", "b", "--mode"], "--mode needs a value: full|counts|sample", "runbook verify --help shows examples and options"),
    (["exec"], "exec: FILE is missing",
     "usage: runbook exec FILE [--NAME VALUE]... [--env NAME] [--dry-run] [--run-id ID] [--start DATE] [--ahead] [--approve GATE]... [--detach] "
     "[--allow-shell PATTERN]... [--allow-ssh HOST]... [--allow-http HOST]... [--allow-files PATH]... [--allow-net HOST]... "
     "[--allow-redis HOST]... [--output tty|plain|json] [--report FILE] [--backtrace] [--journal PLACE]"),
    (["show"], "show: RUN is missing", "usage: runbook show RUN [--audit] [--output plain|json] [--journal PLACE]"),
    (["show", "a", "b"], "show: unexpected argument 'b'", "usage: runbook show RUN [--audit] [--output plain|json] [--journal PLACE]"),
    (["version", "x"], "version: unexpected argument 'x'", "usage: runbook version"),
    (["completion", "fishy"], "no completion for 'fishy' (did you mean 'fish'?)", "bash, zsh and fish are known"),
    (["doc", "db.qeury"], "nothing is named 'db.qeury' (did you mean 'db.query'?)", "runbook doc lists the areas"),
    (["repl", "--connect", "prod"], "--connect needs NAME=URL", "for example --connect prod=postgres://ops@db1/shop"),
    (["copy", "a", "sqlite:b"], "SOURCE: database URL: it does not begin with postgres://, mysql://, mariadb:// or sqlite:",
     "for example postgres://user@host:5432/name"),
    (["exec", "--foo", "x", "t.lua"], "'--foo' stands before the playbook", "the file comes first: runbook exec FILE --foo …"),
    (["plan", "nowhere.lua"], "nowhere.lua: no such file, or it cannot be read", None),
])
def test_refusals(runbook, words, error, hint):
    refused(runbook(*words), error, hint)


def commands(runbook):
    return re.findall(r"^  ([a-z]+) {2,}", runbook("--help").out.split("commands\n")[1].split("\nrunbook")[0], re.M)


def test_every_command_has_examples_and_exit_codes(runbook):
    names = commands(runbook)
    assert len(names) >= 19
    for name in names:
        result = runbook(name, "--help")
        assert (result.exit, result.err) == (0, ""), name
        assert result.out == runbook("help", name).out
        order = [result.out.index(word) for word in ("\nexamples\n", "\nusage\n", "\noptions\n", "\nexit status\n")]
        assert order == sorted(order), name
        assert f"  runbook {name}" in result.out.split("\nusage\n")[0] or name == "completion", name
        assert max(map(len, result.out.splitlines())) <= 100, name


def test_help_is_readable_at_80_columns(runbook):
    assert max(map(len, runbook("--help").out.splitlines())) <= 80


# --- a playbook's parameters ----------------------------------------------------------------------------------------


def test_help_of_a_playbook(runbook, tiny):
    result = runbook("exec", "tiny.lua", "--help", cwd=tiny.parent)
    assert (result.exit, result.err) == (0, "")
    assert result.out == """runbook exec tiny.lua: A tiny playbook

examples
  runbook exec tiny.lua --app-dir PATH
  runbook exec tiny.lua --app-dir PATH --dry-run

parameters
  --app-dir PATH        where it is (path, required)
  --careful             look twice (boolean, default false)
  --name VALUE          a name (string, default x)

A database URL may come without its password: RUNBOOK_<NAME>_PASSWORD gives it.
runbook exec --help shows the options that every playbook has, and the exit codes.
"""


@pytest.mark.parametrize("words, expected", [
    (["--app-dir", "/tmp"], {"name": "x", "careful": False, "app_dir": "/tmp"}),
    (["--app-dir=/tmp", "--name=a=b", "--careful"], {"name": "a=b", "careful": True, "app_dir": "/tmp"}),
    (["--app_dir", "/tmp", "--no-careful"], {"name": "x", "careful": False, "app_dir": "/tmp"}),
    (["--careful", "false", "--app-dir", "/tmp"], {"name": "x", "careful": False, "app_dir": "/tmp"}),
    (["--careful", "--app-dir", "/tmp", "--name", "-5"], {"name": "-5", "careful": True, "app_dir": "/tmp"}),
    (["--app-dir", "/tmp", "--name", ""], {"name": "", "careful": False, "app_dir": "/tmp"}),
])
def test_parameters_are_options(runbook, tiny, words, expected):
    result = runbook("exec", tiny, *words, "--approve", "go", "--output", "json")
    assert result.exit == 0, result.err
    assert values(result, "one") == expected


@pytest.mark.parametrize("words, error, hint", [
    (["--apdir", "/tmp"], "unknown option '--apdir' (did you mean '--app-dir'?)", "runbook exec --help shows examples and options"),
    (["--app-dir", "/tmp", "--detahc"], "unknown option '--detahc' (did you mean '--detach'?)", "runbook exec --help shows examples and options"),
    (["--app-dir"], "parameter --app-dir needs a value", "runbook exec --help shows examples and options"),
    (["--app-dir", "/tmp", "more"], "exec: unexpected argument 'more'", "a parameter is given as --NAME VALUE"),
    ([], "parameter --app-dir is required: where it is (path)", None),
])
def test_wrong_parameters_touch_nothing(runbook, tiny, words, error, hint):
    refused(runbook("exec", tiny, *words), error, hint)
    assert not runbook.journal.exists()


def test_environment_gives_defaults(runbook, tiny):
    (tiny.parent / "runbook.toml").write_text('[env.staging.params]\napp_dir = "/srv"\nname = "s"\n')
    result = runbook("exec", tiny, "--env", "staging", "--name", "n", "--approve", "go", "--output", "json")
    assert values(result, "one") == {"name": "n", "careful": False, "app_dir": "/srv"}
    wrong = runbook("exec", tiny, "--env", "stagin")
    refused(wrong, f"{tiny.parent}/runbook.toml: no environment 'stagin' (did you mean 'staging'?)", "declared: staging")


def test_a_mistake_in_the_configuration_names_its_line(runbook, tiny):
    (tiny.parent / "runbook.toml").write_text("\n[enf.staging]\n")
    refused(runbook("exec", tiny, "--env", "staging"), f"{tiny.parent}/runbook.toml:2: unknown table 'enf' (did you mean 'env'?)",
            "known here: env, connections, channels, backups, roster, vault")


def test_password_on_the_command_line_is_warned_of(runbook):
    result = runbook("verify", "postgres://u:horse-battery@127.0.0.1:1/x", "sqlite:y")
    assert result.exit == 2
    assert result.err.splitlines()[0] == ("warning: the password in source is visible to other users of this machine; "
                                          "give it as RUNBOOK_SOURCE_PASSWORD")
    assert "horse-battery" not in result.err


# --- runs and the journal -------------------------------------------------------------------------------------------


def test_json_is_one_event_a_line(runbook, tiny):
    result = runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--output", "json", "--run-id", "night-1")
    assert (result.exit, result.err) == (0, "")
    events = result.events()
    assert [e["event"] for e in events][:2] == ["run.started", "plan"]
    assert events[-1]["event"] == "run.finished"
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert {e["run"] for e in events} == {"night-1"}


def test_plain_is_the_default_without_a_terminal(runbook, tiny):
    words = ["exec", tiny, "--app-dir", "/tmp", "--approve", "go"]
    assert "\x1b" not in runbook(*words).out
    assert runbook(*words).out.count("\n") == runbook(*words, "--output", "plain").out.count("\n")


def test_runs_show_and_audit(runbook, tiny):
    missing = runbook("runs")
    refused(missing, f"there is no journal at {runbook.journal}", "a first `runbook exec` makes it; --journal names another")
    runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--run-id", "night-1")
    runbook("exec", tiny, "--app-dir", "/tmp", "--detach", "--run-id", "night-2")
    lines = runbook("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "night-2", "night-1"]
    assert lines[1].split()[-2:] == ["held", "3"] and lines[2].split()[-2:] == ["succeeded", "0"]
    listed = [json.loads(line) for line in runbook("runs", "--output", "json", "--limit", "1").out.splitlines()]
    assert [(run["run"], run["state"], run["exit"]) for run in listed] == [("night-2", "held", 3)]
    shown = runbook("show", "night-1", "--output", "json").events()
    assert shown[0]["event"] == "run.started" and shown[-1]["outcome"] == "succeeded"
    assert runbook("show", "last").out.splitlines()[0] == "run       night-2"
    assert runbook("show", "ight-1").exit == 0
    audit = runbook("show", "night-1", "--audit")
    assert (audit.exit, audit.out) == (0, f"run night-1: {len(shown)} events, chain whole\n")
    refused(runbook("show", "night-9"), "no run 'night-9' (did you mean 'night-2'?)", "runbook runs lists them")
    refused(runbook("show", "night"), "'night' is part of 2 runs: night-2, night-1", "give more of it")


def test_audit_finds_a_changed_event(runbook, tiny):
    runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--run-id", "night-1")
    with sqlite3.connect(runbook.journal) as journal:
        table, column = next((t, c) for (t,) in journal.execute("select name from sqlite_master where type = 'table'").fetchall()
                             for (_, c, *_) in journal.execute(f"pragma table_info({t})") if t == "events" and c == "data")
        for (trigger,) in journal.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            journal.execute(f"drop trigger {trigger}")
        journal.execute(f"update {table} set {column} = replace({column}, 'x', 'y') where seq = 4")
    journal.close()
    result = runbook("show", "night-1", "--audit")
    assert (result.exit, result.out) == (1, "run night-1: event 4 does not fit the chain: it, or one before it, was changed "
                                            "after it was written\n")


def test_answers_through_the_journal(runbook, tiny):
    runbook("exec", tiny, "--app-dir", "/tmp", "--detach", "--run-id", "night-1")
    refused(runbook("approve", "night-1", "og"), "run night-1 has no gate 'og' (did you mean 'go'?)", "gates: go")
    refused(runbook("approve", "night-1"), "approve: GATE is missing", "usage: runbook approve RUN GATE [--why TEXT] [--evidence TEXT] [--as ROLE] "
            "[--journal PLACE]")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    answered = runbook("approve", "night-1", "go", "--why", "looks good")
    assert (answered.exit, answered.out) == (0, f"approved go as {user}\nnobody runs it now: runbook resume night-1\n")
    resumed = runbook("resume", "night-1", "--output", "json")
    assert resumed.exit == 0, resumed.err
    answer = next(e for e in resumed.events() if e["event"] == "gate.answered")
    assert (answer["answer"], answer["by"]) == ("approve", user)
    refused(runbook("reject", "night-1", "go"), "run night-1 has ended already: succeeded")
    refused(runbook("resume", "night-1"), "run night-1 has ended already: succeeded")


def test_approve_reaches_a_waiting_run(runbook, tiny):
    waiting = runbook.start("exec", tiny, "--app-dir", "/tmp", "--run-id", "night-1", "--output", "json")
    for line in waiting.process.stdout:
        if json.loads(line)["event"] == "gate.opened":
            break
    tail = runbook.start("tail", "night-1", "--output", "json")
    assert runbook("approve", "night-1", "go").exit == 0
    assert waiting.finish().exit == 0
    followed = tail.finish()
    assert followed.exit == 0
    assert followed.events()[0]["event"] == "run.started" and followed.events()[-1]["event"] == "run.finished"


def test_tail_without_a_run_takes_the_newest(runbook, tiny):
    runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--run-id", "night-1")
    assert runbook("tail", "--output", "json").events()[-1]["run"] == "night-1"


def test_failure_goes_back_and_exits_1(runbook, playbook):
    path = playbook(FAILING)
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 1
    names = [e["event"] for e in result.events()]
    assert "undo.finished" in names and names[-1] == "run.finished"


def test_rollback_of_a_held_run(runbook, tiny):
    runbook("exec", tiny, "--app-dir", "/tmp", "--detach", "--run-id", "night-1")
    assert runbook("rollback", "night-1").exit == 1
    assert "failed" in runbook("runs").out or "rolled back" in runbook("runs").out


@pytest.mark.parametrize("ending, start", [("html", "<!"), ("md", "# tiny"), ("json", "{")])
def test_reports(runbook, tiny, tmp_path, ending, start):
    file = tmp_path / f"night.{ending}"
    result = runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--report", file, "--run-id", "night-1")
    assert result.exit == 0
    assert file.read_text().startswith(start)
    assert runbook("report", "night-1", "--format", ending).out.startswith(start)
    again = tmp_path / f"again.{ending}"
    assert runbook("report", "night-1", "--to", again).out == ""
    assert again.read_text().startswith(start)


def test_report_that_cannot_be_written_is_refused_before_the_run(runbook, tiny):
    refused(runbook("exec", tiny, "--app-dir", "/tmp", "--report", "x.pdf"), "report x.pdf: the ending says the form: .html, .md, .json or .xml (JUnit)")
    refused(runbook("exec", tiny, "--app-dir", "/tmp", "--report", "none/x.md"), "--report none/x.md: there is no folder none")
    assert not runbook.journal.exists()


def test_journal_elsewhere(runbook, tiny, tmp_path):
    journal = tmp_path / "other.db"
    runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--journal", journal, "--run-id", "night-1")
    assert not runbook.journal.exists()
    assert "night-1" in runbook("runs", "--journal", journal).out


# --- plan, check ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form, start", [("text", "tiny"), ("md", "# tiny"), ("mermaid", "flowchart"), ("json", "{")])
def test_plan_forms(runbook, tiny, form, start):
    result = runbook("plan", tiny, "--format", form)
    assert (result.exit, result.err) == (0, "")
    assert result.out.startswith(start)
    assert not runbook.journal.exists()


def test_check_counts_mistakes(runbook, playbook, tiny):
    bad = playbook('playbook "bad" {}\nstep "x" { runn = 1 }\n', "bad.lua")
    result = runbook("check", tiny, bad)
    assert result.exit == 2
    assert result.out.splitlines()[-1] == "2 files checked: 1 mistake"
    assert result.out.startswith(f"{bad}:2: ")
    assert "did you mean 'run'?" in result.out
    found = [json.loads(line) for line in runbook("check", bad, "--output", "json").out.splitlines()]
    assert [(f["line"], f["level"]) for f in found] == [(2, "error")]
    fine = runbook("check", tiny)
    assert (fine.exit, fine.out) == (0, "1 file checked: no mistakes\n")


# --- the native engines ---------------------------------------------------------------------------------------------


def test_verify(runbook, databases):
    result = runbook("verify", *databases)
    assert result.exit == 0
    assert result.out.splitlines()[-1].startswith("equal: 1,000 rows of 1 table, every column, in ")
    change(databases[1], "update orders set customer = 'other' where id = 7")
    result = runbook("verify", *databases)
    assert result.exit == 1
    assert "orders 7: changed: customer: source 'c7 🙂', target 'other'\n" in result.out
    assert result.out.splitlines()[-1] == "different: 0 missing, 0 extra, 1 changed, 0 unsettled of 1,000 rows"
    hidden = runbook("verify", *databases, "--hide-values")
    assert "'other'" not in hidden.out and "customer" in hidden.out
    final = json.loads(runbook("verify", *databases, "--output", "json").out.splitlines()[-1])
    assert (final["event"], final["changed"], final["passed"]) == ("verify.finished", 1, False)


def test_counts_prove_nothing(runbook, databases):
    result = runbook("verify", *databases, "--mode", "counts")
    assert result.exit == 1
    assert result.out.splitlines()[-1] == "not proven: nothing differs in what was compared, which is 0.0 % of the rows"


def test_verify_without_a_database(runbook, databases):
    result = runbook("verify", databases[0], "sqlite:nowhere.db")
    assert result.exit == 2
    assert result.err.startswith("error: sqlite:nowhere.db: unable to open database file")


# --- what the declarations give -------------------------------------------------------------------------------------


def test_doc_and_types(runbook, tmp_path):
    assert runbook("doc", "db.query").out.startswith("db.query(")
    assert runbook("doc", "step").out.startswith("step(")
    assert "db" in runbook("doc").out
    result = runbook("types", tmp_path / "types")
    assert result.exit == 0 and result.out.startswith(f"{tmp_path}/types/runbook.lua\n{tmp_path}/types/runbook_test.lua\n")
    assert f"{tmp_path}/types/libraries/kube.lua\n" in result.out
    assert (tmp_path / "types" / "runbook.lua").read_text().startswith("---@meta")


def test_docs_writes_the_reference(runbook, tmp_path):
    assert runbook("docs", tmp_path).exit == 0
    assert {"README.md", "db.md", "words.md", "runbook.lua"} <= set(os.listdir(tmp_path / "docs" / "api"))
    assert " docs " not in runbook("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(runbook, shell):
    result = runbook("completion", shell)
    assert result.exit == 0 and "__complete" in result.out


def complete(runbook, *words):
    return [line.split("\t")[0] for line in runbook("__complete", *words).out.splitlines()]


def test_completion(runbook, tiny):
    assert "exec" in complete(runbook, "") and "docs" not in complete(runbook, "")
    assert complete(runbook, "show", "--output", "") == ["plain", "json"]
    assert complete(runbook, "check", "") == [":file"]
    assert complete(runbook, "types", "") == [":folder"]
    assert "--audit" in complete(runbook, "show", "x", "--")
    offered = complete(runbook, "exec", str(tiny), "--")
    assert {"--app-dir", "--careful", "--no-careful", "--dry-run"} <= set(offered)
    runbook("exec", tiny, "--app-dir", "/tmp", "--approve", "go", "--run-id", "night-1")
    assert complete(runbook, "show", "") == ["last", "night-1"]


def test_completion_in_bash(runbook):
    script = f"""
        eval "$({runbook.binary} completion bash)"
        COMP_WORDS=({runbook.binary} sh); COMP_CWORD=1; _runbook; echo "${{COMPREPLY[@]}}"
        COMP_WORDS=({runbook.binary} runs --out); COMP_CWORD=2; _runbook; echo "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=runbook.environment())
    assert result.stdout == "show\n--output\n"


def test_full_output_is_reported(runbook):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([runbook.binary, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                env=runbook.environment(), check=False)
    assert (result.returncode, result.stderr) == (2, "error: standard output cannot be written\n")


# --- on a terminal --------------------------------------------------------------------------------------------------


def ended(child):
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_a_gate_is_answered_on_the_terminal(runbook, tiny):
    child = runbook.terminal("exec", tiny, "--app-dir", "/tmp", "--run-id", "night-1")
    child.expect(r"approve\? \[y/n\] ")
    child.sendline("perhaps")
    child.expect(r"approve\? \[y/n\] ")
    child.sendline("y")
    assert ended(child) == 0
    answer = next(e for e in runbook("show", "night-1", "--output", "json").events() if e["event"] == "gate.answered")
    assert (answer["answer"], answer["via"]) == ("approve", "terminal")


@pytest.mark.parametrize("answer, exit", [("h", 3), ("r", 1)])
def test_ctrl_c_asks(runbook, tiny, answer, exit):
    child = runbook.terminal("exec", tiny, "--app-dir", "/tmp", "--run-id", "night-1")
    child.expect(r"approve\? \[y/n\] ")
    child.send("\x03")
    child.expect(r"roll back \(r\), hold here \(h\), or go on \(g\)\? ")
    child.sendline(answer)
    assert ended(child) == exit
