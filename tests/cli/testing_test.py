"""`runbook test`: playbooks tested without servers, in virtual time; what a failure says, and what is refused."""
import json
import os
import re
import signal
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOP = {"shop": 'params = { shop = { "database", access = "write", required = true } }'}


@pytest.fixture
def testing(runbook, tmp_path):
    """Writes shop.lua and shop_test.lua, and tests them."""

    def run(playbook, tests, *args, header="", **options):
        (tmp_path / "shop.lua").write_text('local p = playbook "shop" { %s, %s }\n%s' % (SHOP["shop"], header, playbook))
        (tmp_path / "shop_test.lua").write_text(tests)
        return runbook("test", "shop_test.lua", *args, cwd=tmp_path, **options)

    return run


STEP = 'step "clean" { undo = keep "rows", run = function() return db.execute(p.shop, "delete from t").rows_affected end }\n'


def test_passes_and_says_so(testing):
    done = testing(STEP, '''
fake("db.execute", { rows_affected = 3 })
test("cleans", function()
  local r = run { shop = "sqlite:x.db" }
  r:expect { outcome = "succeeded", exit = 0, results = { clean = 3 }, called = { ["db.execute"] = 1 } }
  expect.contains(r.calls[1].text, "delete from t")
  expect.equal(r.calls[1].step, "clean", "step of the call")
end)
''')
    assert (done.exit, done.err) == (0, "")
    assert done.out == "shop_test.lua\n  ✓ cleans\n1 test: all passed\n"


def test_nothing_real_is_touched(testing, tmp_path):
    done = testing(STEP, 'test("x", function()\n  run { shop = "sqlite:x.db" }\nend)\n')
    assert done.exit == 1
    assert done.out.splitlines()[1:4] == [
        "  ✗ x",
        "      shop.lua:2: db.execute has no fake in this test, and a test touches nothing real",
        '      hint: fake("db.execute", function(…) return … end)']
    assert not (tmp_path / "x.db").exists()
    assert not list(tmp_path.glob("home/**/journal.db"))


@pytest.mark.parametrize("code, function", [
    ('fs.write("x", "y")', "fs.write"), ('fs.read("x")', "fs.read"), ('sh.run { "true" }', "sh.run"), ('http.get("http://localhost:1/")', "http.get"),
    ('db.transaction(p.shop, function() db.query(p.shop, "select 1") end)', "db.query"), ('db.connect("sqlite:y.db")', None)])
def test_each_kind_of_effect_is_refused(testing, tmp_path, code, function):
    done = testing('step "a" { undo = keep "it", run = function() %s end }\n' % code, 'test("x", function() run { shop = "sqlite:x.db" } end)\n',
                   header='needs = { files = { "x" }, shell = { "true" }, http = { "localhost" } }')
    if function:
        assert f"shop.lua:2: {function} has no fake in this test" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "shop.lua", "shop_test.lua"]


def test_functions_of_the_language_that_call_others_need_only_their_fakes(testing):
    done = testing(
        'step "ask" { idempotent = true, run = function() return http.wait_until("http://shop.test/", function(r) return r.status == 200 end).status end }\n'
        'step "write" { undo = keep "it", run = function() return db.transaction(p.shop, function(c) return db.savepoint(c, function() return "written" end) end) end }\n',
        '''
test("both", function()
  local asked = 0
  fake("http.get", function() asked = asked + 1 return { status = asked < 3 and 500 or 200, url = "http://shop.test/" } end)
  run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", results = { ask = 200, write = "written" }, called = { ["http.get"] = 3 } }
end)
''', header='needs = { http = { "shop.test" } }')
    assert (done.exit, done.out) == (0, "shop_test.lua\n  ✓ both\n1 test: all passed\n"), done


def test_rules_hold_for_fakes_too(testing):
    done = testing('step "a" { run = function() db.execute(p.shop, "delete from t") end }\n'
                   'local rm = { "rm" }\nstep "b" { undo = keep "it", run = function() sh.run { rm[1], "x" } end }\n'
                   'step "c" { undo = keep "it", run = function() db.execute(p.shop) end }\n', '''
fake { ["db.execute"] = { rows_affected = 1 }, ["sh.run"] = { exit = 0 } }
test("a", function() run { shop = "sqlite:x.db" }:expect { errors = { a = 'db.execute is refused: step "a" has no way back' } } end)
''')
    assert done.exit == 0, done.out
    done = testing('local rm = { "rm" }\nstep "b" { undo = keep "it", run = function() sh.run { rm[1], "x" } end }\n', '''
fake("sh.run", { exit = 0 })
test("b", function() run { shop = "sqlite:x.db" }:expect { errors = { b = "may not run `rm`" } } end)
''', header='needs = { shell = { "touch *" } }')
    assert done.exit == 0, done.out
    done = testing('step "c" { undo = keep "it", run = function() db.execute(p.shop) end }\n', '''
fake("db.execute", { rows_affected = 1 })
test("c", function() run { shop = "sqlite:x.db" }:expect { errors = { c = "db.execute: argument 2 'sql': string expected, got nil" } } end)
''')
    assert done.exit == 0, done.out


def test_a_failure_says_line_expected_and_got(testing):
    done = testing(STEP, '''fake("db.execute", { rows_affected = 3 })
test("three", function()
  run { shop = "sqlite:x.db" }:expect { outcome = "rolled_back", undone = { "clean" } }
end)
test("two", function() expect.equal({ a = { 1, 2 } }, { a = { 1, 3 } }, "list") end)
test("one", function() expect(1 == 2, "one is two") end)
test("none", function() expect.raises("no such", function() error "nothing is here" end) end)
''')
    assert done.exit == 1
    assert done.out == '''shop_test.lua
  ✗ three
      shop_test.lua:3: outcome: expected "rolled_back", got "succeeded"
      undone: expected { "clean" }, got {}
      the run: succeeded, exit 0
  ✗ two
      shop_test.lua:5: list: expected { a = { 1, 3 } }, got { a = { 1, 2 } }
  ✗ one
      shop_test.lua:6: one is two: expected true, got false
  ✗ none
      shop_test.lua:7: expected an error with "no such" in it, got "nothing is here"
4 tests: 4 failed
'''


def test_a_failure_inside_a_fake_is_the_tests(testing):
    done = testing('step "clean" { undo = keep "rows", run = function() pcall(db.execute, p.shop, "delete from t") end }\n', '''fake("db.execute", function(_, sql)
  expect.equal(sql, "delete from u", "the statement")
end)
test("x", function() run { shop = "sqlite:x.db" } end)
''')
    assert done.exit == 1
    assert 'shop_test.lua:2: the statement: expected "delete from u", got "delete from t"' in done.out


def test_words_name_the_nearest(testing):
    cases = {'fake("db.excute", 1)': "fake: nothing is named 'db.excute' (did you mean 'db.execute'?)",
             'fake("db", { excute = 1 })': "fake: nothing is named 'db.excute' (did you mean 'db.execute'?)",
             'fail("claen", "x") fake("db.execute", {}) run { shop = "sqlite:x.db" }': "fail(\"claen\"): the run has no step of that name (did you mean 'clean'?)",
             'crash("claen") fake("db.execute", {}) run { shop = "sqlite:x.db" }': "crash(\"claen\"): the run has no step of that name (did you mean 'clean'?)",
             'crash("clean", "befor")': "(did you mean 'before'?)",
             'fake("db.execute", {}) run { shop = "sqlite:x.db" }:expect { outcom = "x" }': "expect: unknown fact 'outcom' (did you mean 'outcome'?)",
             'approve("go", { bye = "anna" })': "approve: unknown option 'bye' (did you mean 'by'?)",
             'answer("go", "yes")': 'answer: argument 2: rollback, hold or go_on expected, got "yes"',
             'after("soon", print)': "after: argument 1: a duration such as 30s or 10m expected, got \"soon\"",
             'typed("db.count", {})': "typed: there is no type 'db.count'",
             'resume()': "resume: no run was started",
             'order "cancel"': "order: no run is going on",
             'aprove "go"': "aprove"}
    done = testing(STEP, "".join("test(%s, function() %s end)\n" % (json.dumps(f"case {i}"), code) for i, code in enumerate(cases)))
    for message in cases.values():
        assert message in done.out, f"{message}\n---\n{done.out}"
    assert done.out.endswith(f"{len(cases)} tests: {len(cases)} failed\n")


def test_files_that_do_not_load(testing, runbook, tmp_path):
    done = testing(STEP, 'test("a", function() end)\ntest("a", function() end)\n')
    assert (done.exit, done.err) == (2, "error: shop_test.lua:2: test \"a\": there is one of that name already, at line 1\n")
    done = testing(STEP, 'fs.write("x", "y")\n')
    assert done.exit == 2 and "shop_test.lua:1: fs.write has an effect, and a test file only declares while it loads" in done.err
    done = testing(STEP, "local a = 1\n")
    assert done.exit == 2 and "no tests" in done.err
    done = runbook("test", "nothing", cwd=tmp_path)
    assert done.exit == 2 and "nothing" in done.err
    done = runbook("test", str(tmp_path / "home"), cwd=tmp_path)
    assert done.exit == 2 and "no file here ends in _test.lua" in done.err
    done = testing(STEP, 'test("a", function() end)\n', "--filter", "b")
    assert (done.exit, done.err) == (2, "error: no test's name has 'b' in it (1 test looked at)\n")


def test_a_run_that_does_not_start(testing):
    done = testing(STEP, '''
test("no parameter", function() run {}:expect { outcome = "refused", exit = 2, why = "parameter --shop is required" } end)
test("unknown", function() run { shop = "sqlite:x.db", shopp = 1 }:expect { outcome = "refused", why = "unknown parameter --shopp" } end)
test("no file", function() run("other.lua"):expect { outcome = "refused", why = "other.lua: no such file" } end)
''')
    assert done.exit == 0, done.out


def test_time_is_virtual(testing):
    began = time.monotonic()
    done = testing('''
step "wait" { run = function() sleep "3d" end }
step "late" { timeout = "10m", undo = keep "it", run = function() db.execute(p.shop, "x") end, failure = "continue" }
monitor "weeks" { from = "watched", lasts = "14d", every = "1h", { function() return db.value(p.shop, "rate") end, above = 0.5, sustained = "2h", verdict = rollback "rate" } }
step "watched" { undo = function() end, run = function() end }
''', '''
local rate = 0
fake("db.value", function() return rate end)
fake("db.execute", function() sleep "2h" end)
test("all is well", function()
  run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", elapsed = 17 * 86400 + 600, errors = { late = "time limit of 10m reached" } }
end)
test("a breach after a week", function()
  after("10d", function() rate = 0.9 end)
  local r = run { shop = "sqlite:x.db" }:expect { outcome = "rolled_back", verdicts = { weeks = "rollback" }, undone = { "watched" } }
  expect(r.elapsed >= 10 * 86400 and r.elapsed <= 10 * 86400 + 3 * 3600 + 600, "rolled back two hours later")
end)
test("no data for three looks", function()
  after("10d", function() rate = nil end)
  run { shop = "sqlite:x.db" }:expect { outcome = "rolled_back", why = "no data" }
end)
''')
    assert done.exit == 0, done.out
    assert time.monotonic() - began < 45


PEOPLE = '''
gate "go" { role = "dba", people = 2, not_initiator = true, ask = "Go?", within = "10m", otherwise = "hold" }
checklist "ready" { within = "1h", confirm("lead", "the phone is manned"), confirm("lead", "the page is up", { evidence = "url" }) }
gate "last" { role = "lead", ask = "Sure?" }
step "a" { undo = keep "it", run = function() end }
'''


def test_people(testing):
    done = testing(PEOPLE, '''
roster { dba = { "tester", "anna", "bob" }, lead = "carla" }
local function confirmed()
  confirm "the phone is manned"
  confirm("the page is up", { evidence = "https://status.example.com/1", after = "20m" })
end
test("two of three, not who started it", function()
  approve("go", { by = "tester" })
  approve("go", { after = "1m" })
  approve("go", { after = "1m" })
  confirmed()
  approve "last"
  local r = run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", asked = { "go", "the phone is manned", "the page is up", "last" }, elapsed = "22m" }
  local by = {}
  for _, event in ipairs(r.events) do
    if event.event == "answer.refused" then by[#by + 1] = event.data.by .. " no" end
    if event.event == "approval.given" then by[#by + 1] = event.data.by end
    if event.event == "gate.answered" and event.step == "go" then by[#by + 1] = event.data.by end
  end
  expect.equal(by, { "tester no", "anna", "bob" }, "who")
end)
test("silence holds, and a resume with more time goes on", function()
  run { shop = "sqlite:x.db" }:expect { outcome = "held", exit = 3, elapsed = "10m" }
  approve("go", { by = "anna" })
  approve("go", { by = "bob" })
  confirmed()
  approve "last"
  resume { extend = "5m" }:expect { outcome = "succeeded" }
end)
test("no", function()
  reject("go", { by = "anna", why = "not today" })
  run { shop = "sqlite:x.db" }:expect { outcome = "failed", why = "declined by anna: not today" }
end)
test("nobody", function()
  approve("go", { by = "anna" })
  approve("go", { by = "bob" })
  confirmed()
  run { shop = "sqlite:x.db" }
end)
''', header="roles = { dba = 'D', lead = 'L' }")
    assert done.out.splitlines()[1:] == [
        "  ✓ two of three, not who started it", "  ✓ silence holds, and a resume with more time goes on", "  ✓ no", "  ✗ nobody",
        '      shop_test.lua:38: the run waits, and nobody answers "last" (lead) in this test',
        '      hint: write approve("last") before the run, or give the question `within`', "4 tests: 1 failed"]


def test_decisions_and_orders(testing):
    done = testing('''
step "a" { undo = function() db.execute(p.shop, "back a") end, run = function() db.execute(p.shop, "a") end }
step "b" { loses = function() return 7 end, run = function() db.execute(p.shop, "b") end }
step "c" { undo = keep "it", run = function() sleep "1h" end }
''', '''
fake("db.execute", function(_, sql)
  if sql == "b" then sleep "1m" end
  return { rows_affected = 1 }
end)
test("a person holds", function()
  fail("c", "broken")
  answer("c", "hold", { by = "anna" })
  run { shop = "sqlite:x.db" }:expect { outcome = "held", asked = { "c" } }
end)
test("a person goes on", function()
  fail("c", "broken")
  answer("c", "go_on")
  run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", failed = { "c" } }
end)
test("rolled back from another terminal", function()
  after("10m", function() order("rollback", { by = "anna", why = "users complain" }) end)
  run { shop = "sqlite:x.db" }:expect { outcome = "rolled_back", why = "ordered by anna: users complain", elapsed = "10m", asked = {}, undone = { "a" } }
end)
test("paused and resumed", function()
  on("step.started", "a", function() order "pause" end)
  after("30m", function() order "resume" end)
  run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", elapsed = "1h30m" }
end)
test("held, then rolled back", function()
  after("1m", function() order "cancel" end)
  run { shop = "sqlite:x.db" }:expect { outcome = "held" }
  rollback():expect { outcome = "rolled_back", undone = { "a" } }
end)
test("an undo that fails", function()
  fail("c", "broken")
  fail("a", { kind = "db.error", message = "locked" }, { at = "undo" })
  answer("c", "rollback")
  run { shop = "sqlite:x.db" }:expect { outcome = "person_needed", exit = 4, errors = { a = "locked" } }
end)
''')
    assert done.exit == 0, done.out


def test_crashes(testing):
    done = testing('''
step "a" { undo = function() db.execute(p.shop, "back a") end, run = function() return db.execute(p.shop, "a").rows_affected end,
  observe = function() return db.value(p.shop, "a?") and "done" or "absent" end }
step "parts" { run = function(ctx)
  for _, name in ipairs { "x", "y", "z" } do
    ctx.step(name, { run = function() db.execute(p.shop, name) end, undo = function() db.execute(p.shop, "back " .. name) end,
      observe = function() return db.value(p.shop, name) and "done" or "absent" end })
  end
end }
step "once" { undo = keep "it", run = function(ctx) return ctx.transaction(p.shop, function(c) return db.execute(c, "once").rows_affected end) end }
step "nap" { run = function() sleep "2h" end }
''', '''
local standing, statements = {}, {}
fake("db.execute", function(_, sql)
  statements[#statements + 1] = sql
  standing[(sql:gsub("^back ", ""))] = sql:sub(1, 5) ~= "back "
  return { rows_affected = 1 }
end)
fake("db.value", function(_, sql) return standing[(sql:gsub("?", ""))] == true end)
local databases = { shop = "sqlite:x.db" }
local all = { "a", "x", "y", "z", "once" }

for _, case in ipairs { { "a", "after", 1 }, { "a", "before", 2 }, { "a", "finished", 1 }, { "a", "db.execute", 1 }, { "parts/y", "after", 1 }, { "parts/y", "before", 1 },
  { "parts", "after", 2 }, { "once", "after", 2 }, { "once", "transaction.committed", 2 }, { "once", "db.execute", 2 }, { "nap", "sleep.started", 2 } } do
  local step, point, attempts = unpack(case)
  test(("crash at %s of %s"):format(point, step), function()
    crash(step, point)
    run(databases):expect { outcome = "crashed" }
    local before = #statements
    local r = resume():expect { outcome = "succeeded" }
    local wanted = point == "db.execute" and step == "once" and { "a", "x", "y", "z", "once", "once" } or all
    expect.equal(statements, wanted, "statements")
    expect(r.attempts.once == 1 or step == "once" and r.attempts.once == 2, "once")
  end)
end

test("a crash on the way back", function()
  fail("nap", "broken")
  crash("parts/y", "undo")
  run(databases):expect { outcome = "crashed" }
  resume():expect { outcome = "rolled_back", undone = { "parts/z", "parts/y", "parts/x", "parts", "a" }, kept = { "once" } }
  expect.equal({ standing.a, standing.x, standing.y, standing.z, standing.once }, { false, false, false, false, true }, "what stands")
end)

test("what is slept is slept once", function()
  after("90m", crash)
  run(databases):expect { outcome = "crashed" }
  resume():expect { outcome = "succeeded", elapsed = "2h" }
end)
''')
    assert done.exit == 0, done.out


def test_followups_updates_and_history(testing, tmp_path):
    (tmp_path / "runbook.toml").write_text('[channels.ops]\ntype = "webhook"\nurl = "http://127.0.0.1:9/hook"\n')
    done = testing('''
step "move" { undo = keep "it", run = function() sleep "50m" return { rows = 7 } end, says = "{result.rows} rows moved." }
followup "prune" { after = "7d", role = "dba", run = function() db.execute(p.shop, "prune") end }
''', '''
fake("db.execute", { rows_affected = 1 })
test("posts on the beat, and prunes a week later", function()
  run { shop = "sqlite:x.db" }:expect { outcome = "succeeded", elapsed = "50m",
    messages = { "started by tester", "09:20 UTC", "Elapsed: 40m", "7 rows moved.", "done in 50m" } }
end)
test("prunes", function()
  run { shop = "sqlite:x.db" }
  approve "prune: go"
  followup "prune":expect { outcome = "succeeded", called = { ["db.execute"] = 1 } }
end)
''', header='updates = { to = "ops", every = "20m" }')
    assert done.exit == 0, done.out


def test_filter_json_and_junit(testing, tmp_path):
    tests = 'test("good one", function() end)\ntest("bad <one>", function() expect.equal(1, 2) end)\ntest("other", function() end)\n'
    done = testing(STEP, tests, "--filter", "one", "--output", "json", "--junit", "out.xml")
    assert done.exit == 1
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["test"], line["passed"], line["line"]) for line in lines] == [("good one", True, 1), ("bad <one>", False, 2)]
    assert lines[1]["message"] == "shop_test.lua:2: value: expected 2, got 1"
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["good one", "bad <one>"]
    assert suite[1][0].get("message") == "shop_test.lua:2: value: expected 2, got 1"


def test_states_are_apart(testing):
    done = testing(STEP, '''
local count = 0
fake("db.execute", function() count = count + 1 return { rows_affected = 1 } end)
test("one", function() run { shop = "sqlite:x.db" } expect.equal(count, 1) end)
test("two", function() run { shop = "sqlite:x.db" } run { shop = "sqlite:x.db" } expect.equal(count, 2) end)
test("three", function() expect.equal(count, 0) end)
''')
    assert done.exit == 0, done.out


def test_backtrace_shows_every_frame(testing):
    tests = 'local function check() expect.equal(1, 2) end\ntest("x", function()\n  check()\nend)\n'
    plain, whole = testing(STEP, tests), testing(STEP, tests, "--backtrace")
    assert "runtime/" not in plain.out
    assert "shop_test.lua:3" in whole.out and "runtime/engine/test/" in whole.out


def test_example_of_the_guide(runbook, tmp_path):
    guide, playbooks = (ROOT / "docs" / "testing.md").read_text(), (ROOT / "docs" / "playbook.md").read_text()
    example = re.search(r"```lua\n(-- tidy_test.lua.*?)```", guide, re.S).group(1)
    shown = re.search(r"\$ runbook test tidy_test.lua\n(.*?)```", guide, re.S).group(1)
    (tmp_path / "tidy.lua").write_text('''local p = playbook "tidy" { params = { shop = { "database", access = "write", required = true } } }
step "count" { run = function() return db.value(p.shop, "select count(*) from sessions where age > 30") end }
gate "go" { ask = "Remove them?", within = "10m", otherwise = "rollback" }
step "remove" { undo = keep "they are only sessions",
  run = function() return db.execute(p.shop, "delete from sessions where age > 30").rows_affected end,
  observe = function()
    if db.value(p.shop, "select count(*) from sessions where age > 30") == 0 then return "done" end
    return "absent"
  end,
}
''')
    assert "tidy" in playbooks
    (tmp_path / "tidy_test.lua").write_text(example)
    done = runbook("test", "tidy_test.lua", cwd=tmp_path)
    assert (done.exit, done.out) == (0, shown)


def test_playbooks_of_this_repository(runbook):
    done = runbook("test", "playbooks", cwd=ROOT)
    assert done.exit == 0, done.out
    assert "playbooks/quickstart_test.lua\n" in done.out and "playbooks/mysql8_unification_test.lua\n" in done.out


def test_stubs_know_every_word(runbook, tmp_path):
    assert runbook("types", str(tmp_path)).exit == 0
    stubs = (tmp_path / "runbook_test.lua").read_text()
    source = (ROOT / "runtime" / "engine" / "test" / "words.lua").read_text()
    words = set(re.findall(r"\bwords\.(\w+)", source))
    assert len(words) > 15
    for word in words:
        assert re.search(rf"^(function {word}\(|{word} = )", stubs, re.M), word


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_test_leaves_nothing_behind(runbook, tmp_path, number):
    (tmp_path / "shop.lua").write_text('playbook "x" { summary = "x" }\nstep "a" { run = function() end }\n')
    (tmp_path / "shop_test.lua").write_text('test("endless", function() while true do run {} end end)\n')
    run = runbook.start("test", "shop_test.lua", cwd=tmp_path)
    folders = lambda: {path for path in Path("/dev/shm").glob("runbook-test-*") if own(path, run.process.pid)}  # noqa: E731
    deadline = time.monotonic() + 30
    while not folders():
        assert time.monotonic() < deadline and run.process.poll() is None
        time.sleep(0.02)
    made = folders()
    run.process.send_signal(number)
    result = run.finish()
    assert result.exit == -number, result
    assert not any(path.exists() for path in made)


def own(folder, pid):
    """Whether that process has a file of the folder open."""
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if os.readlink(entry).startswith(str(folder)):
                return True
        except OSError:
            continue
    return False


MODULE_BOOK = """
local kube, firestore = require "kube", require "firestore"
local p = playbook "m" { summary = "x", needs = { shell = { "kubectl" } } }
local db_ = firestore.open { project = "x" }
local switch = kube.scaled "deployment/api"
step "off" { switch.off, stays = "a test" }
step "note" { undo = keep "x", run = function() db_:set("a/b", { n = 1 }) return kube.env("deployment/api", "MODE") end }
"""


def test_functions_of_modules_are_faked_as_a_whole(runbook, playbook):
    playbook(MODULE_BOOK, "m.lua")
    path = playbook("""
local replicas, noted = 3, nil
fake("kube", { replicas = function() return { wanted = replicas, ready = replicas } end, scale = function(_, count) replicas = count end, env = "on" })
fake("sh.run", { exit = 0, out = "", err = "" })
fake("firestore.set", function(_, path, fields) noted = path .. fields.n end)
test("a method too", function()
  run():expect { outcome = "succeeded", results = { note = "on" }, called = { ["kube.env"] = 1, ["firestore.set"] = 1 } }
  expect.equal(replicas, 0, "replicas")
  expect.equal(noted, "a/b1", "the note")
end)
test("its arguments are checked", function()
  fake("kube.env", function() return nil end)
  expect.raises("fake: nothing is named 'kube.enf' (did you mean 'kube.env'?)", function() fake("kube.enf", 1) end)
  expect.raises("fake: nothing is named 'cube.env'", function() fake("cube.env", 1) end)
end)
""", "m_test.lua")
    result = runbook("test", path)
    assert result.exit == 0, result.out + result.err


def test_what_a_module_calls_needs_fakes(runbook, playbook):
    playbook(MODULE_BOOK, "m.lua")
    path = playbook("""
test("says which", function() run():expect { outcome = "succeeded" } end)
""", "m_test.lua")
    result = runbook("test", path)
    assert result.exit == 1 and "sh.run has no fake in this test" in result.out, result.out


def test_a_secret_comes_from_the_test(runbook, playbook):
    playbook("""
local p = playbook "s" { summary = "x", params = { key = { "secret", from = "env:THE_KEY", doc = "x" } } }
step "a" { run = function() return { masked = tostring(p.key) } end }
""", "s.lua")
    path = playbook("""
test("set", function()
  environment { THE_KEY = "only in the test" }
  run():expect { outcome = "succeeded", results = { a = { masked = "***" } } }
end)
test("unset", function() run():expect { outcome = "refused", why = "environment variable THE_KEY is not set" } end)
""", "s_test.lua")
    result = runbook("test", path, env={"THE_KEY": "a real one"})
    assert result.exit == 0, result.out + result.err
