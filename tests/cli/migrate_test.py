"""Versioned migrations on real servers: applied once, planned as they stand, undone, and what does not fit together is refused with the next step."""
import re

import pytest
from evaluate import evaluate

PROD = 'prod = { "database", access = "write", required = true, doc = "x" }'
ONE = ("001_customers.sql", "create table customers (id int primary key, name varchar(50));\ninsert into customers values (1, 'Anna; Berg'), (2, 'Bob');\n")
TWO = ("002_mail.sql", "-- a column; and a comment with a ;\nalter table customers add column mail varchar(90);\nupdate customers set mail = 'x' where id = 1;\n")
TWO_DOWN = ("002_mail.down.sql", "alter table customers drop column mail;\n")
INDEX = ("003_by_name.sql", "create index concurrently by_name on customers (name);\n")
INDEX_DOWN = ("003_by_name.down.sql", "drop index concurrently if exists by_name;\n")


def write(tmp_path, *files):
    folder = tmp_path / "playbooks" / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files:
        (folder / name).write_text(text)


def ask(runbook, playbook, url, code, **more):
    return evaluate(runbook, playbook, 'local migrate = require "migrate"\nlocal M = "migrations/"\n' + code, needs='files = { "migrations/" }', params=PROD,
                    arguments=["--prod", url], **more)


@pytest.fixture
def url(request, scratch):
    """The address of an empty database of the kind that the test is for."""
    kind = getattr(request, "param", "PG")
    return "sqlite:shop.db" if kind == "SQLITE" else scratch(kind).as_user("MIGRATE")


@pytest.mark.parametrize("url", ["PG", "MYSQL", "MARIADB", "SQLITE"], indirect=True)
def test_up_and_down(runbook, playbook, tmp_path, url):
    write(tmp_path, ONE, TWO, TWO_DOWN)
    seen = ask(runbook, playbook, url, """
      local plan = migrate.plan(p.prod, M)
      local before = { migrate.version(p.prod), migrate.state(p.prod, plan), #plan.pending, plan.sentence, plan.irreversible }
      local up = migrate.up(p.prod, { plan = plan })
      local state, again = migrate.state(p.prod, plan), migrate.up(p.prod, { plan = plan })
      local now = migrate.plan(p.prod, M)
      local mail = db.value(p.prod, "select mail from customers where id = 1")
      local down = migrate.down(p.prod, { to = 1 })
      local partial = migrate.state(p.prod, plan)
      local kept = try(migrate.down, p.prod, { to = 0 })
      return { before, up, state, again.applied, #now.pending, now.sentence, mail, down, partial, migrate.version(p.prod), kept, db.value(p.prod, "select count(*) from customers") }
    """)
    assert seen[0] == [0, "absent", 2, "2 migrations (001 customers, 002 mail), risk low", ["001 customers"]]
    assert seen[1:7] == [{"applied": 2, "version": 2}, "done", 2, 0, "no migration", "x"]
    assert seen[7:10] == [{"undone": 1, "version": 1}, "partial", 1]
    assert seen[10] == {"kind": "migrate.no_way_back", "message": "001 customers came without a 001_customers.down.sql: nothing was undone", "hint": "restore the backup that was taken before it"}
    assert seen[11] == 2


def test_what_fails_leaves_nothing(runbook, playbook, tmp_path, url):
    write(tmp_path, ONE, ("002_broken.sql", "alter table customers add column a int;\nalter table nowhere add column b int;\n"))
    seen = ask(runbook, playbook, url, """
      local plan = migrate.plan(p.prod, M)
      local fails = try(migrate.up, p.prod, { plan = plan })
      local columns = db.value(p.prod, "select count(*) from information_schema.columns where table_name = 'customers'")
      return { fails.kind, columns, migrate.version(p.prod), migrate.state(p.prod, plan), migrate.inspect(p.prod, { plan = plan }) }
    """)
    assert seen[:4] == ["db.syntax", 2, 1, "partial"]
    assert (seen[4]["applied"], seen[4]["missing"], seen[4]["problems"]) == (1, ["002 broken"], ["002 broken is not applied"])


REFUSED = {
    "edited after it ran": (
        lambda folder: (folder / ONE[0]).write_text("create table customers (id bigint primary key);\n"), "migrate.edited", r"migrations/001_customers\.sql was edited after it ran on \d{4}-\d\d-\d\d",
        'put it back (git log -p migrations/001_customers.sql) and write the change as a migration of its own; where only comments changed: migrate.accept(connection, "migrations/", 1)'),
    "two with one version": (
        lambda folder: (folder / "2_post.sql").write_text("select 1"), "migrate.duplicate", r"two migrations have the version 2: (002_mail|2_post)\.sql and (002_mail|2_post)\.sql",
        "rename the one that ran nowhere; 3 is free"),
    "one that is gone": (
        lambda folder: (folder / ONE[0]).unlink(), "migrate.missing", r"001 customers was applied on \S+, and migrations/ has no file for it",
        "it is on another branch, or was removed: bring it back (git log -- migrations/)"),
    "an older one": (
        lambda folder: (folder / "000_first.sql").write_text("select 1"), "migrate.order", r"migrations/000_first\.sql is older than 1, which was applied",
        "give it a version above 1; or say { out_of_order = true } where it cannot matter"),
    "a name that says nothing": (
        lambda folder: (folder / "mail.sql").write_text("select 1"), "migrate.file", r"migrations/mail\.sql: a name such as 009_add_orders\.sql, .* expected", "rename it"),
    "a way back of nothing": (
        lambda folder: (folder / "005_x.down.sql").write_text("select 1"), "migrate.file", r"migrations/005_x\.down\.sql belongs to no migration: 005_x\.sql is not there", "rename it, or remove it"),
    "a transaction of its own": (
        lambda folder: (folder / "004_x.sql").write_text("select 1;\n\nCOMMIT;\n"), "migrate.file",
        r"migrations/004_x\.sql:3: COMMIT has no place in a migration: it is one transaction already",
        "where a statement cannot be in a transaction, the first line says so: -- runbook: no-transaction"),
    "two that cannot be together": (
        lambda folder: (folder / "004_x.sql").write_text("select 1;\ncreate index concurrently a on b (c);\n"), "migrate.file",
        r"migrations/004_x\.sql:2: this statement cannot be in a transaction, and stands beside others",
        "give it a migration of its own, or begin the file with -- runbook: no-transaction: each statement then counts for itself"),
    "nothing": (lambda folder: (folder / "004_x.sql").write_text("-- later\n"), "migrate.file", r"migrations/004_x\.sql has no statement", "remove it, or write what it should do"),
}


def test_what_does_not_fit_together_is_refused(runbook, playbook, tmp_path, url):
    write(tmp_path, ONE)
    assert ask(runbook, playbook, url, "return migrate.up(p.prod, { plan = migrate.plan(p.prod, M) }).applied") == 1
    folder = tmp_path / "playbooks" / "migrations"
    for what, (change, kind, message, hint) in REFUSED.items():
        for file in folder.iterdir():
            file.unlink()
        write(tmp_path, ONE, TWO)
        change(folder)
        error = ask(runbook, playbook, url, "return try(migrate.plan, p.prod, M)")
        assert error["kind"] == kind and re.fullmatch(message, error["message"]) and error["hint"] == hint, (what, error)


def test_an_accepted_edit_and_a_change_after_the_plan(runbook, playbook, tmp_path, url):
    write(tmp_path, ONE, TWO)
    seen = ask(runbook, playbook, url, """
      local plan = migrate.plan(p.prod, M)
      fs.write(M .. "002_mail.sql", "drop table customers")
      local changed = try(migrate.up, p.prod, { plan = plan })
      fs.write(M .. "001_customers.sql", "-- with a comment\\n" .. fs.read(M .. "001_customers.sql"))
      local edited = try(migrate.plan, p.prod, M).kind
      migrate.accept(p.prod, M, 1)
      return { changed, edited, #migrate.plan(p.prod, M).pending, try(migrate.accept, p.prod, M, 9).message }
    """)
    assert seen[0] == {"kind": "migrate.changed", "message": "migrations/002_mail.sql was changed after it was planned",
                       "hint": "plan again: what people approved is not what stands there now"}
    assert seen[1:] == ["migrate.edited", 1, "there is no applied migration 9 with a file in migrations/"]


@pytest.mark.parametrize("url", ["PG", "MYSQL"], indirect=True)
def test_one_at_a_time_and_an_owner_who_is_gone(runbook, playbook, tmp_path, url):
    write(tmp_path, ONE)
    code = """
      local plan = migrate.plan(p.prod, M)
      fs.write(M .. "001_customers.sql", "select 1")
      pcall(migrate.up, p.prod, { plan = plan })   -- fails, and keeps the lock
      fs.write(M .. "001_customers.sql", [[%s]])
      local mine = plan.id
      local other = db.pool(p.prod, { size = 1 })
      local lives = other:use(function(c) return { try(migrate.up, c, { plan = migrate.plan(c, M) }), try(migrate.unlock, c, mine), try(migrate.unlock, c, "x") } end)
      return { mine, lives }
    """ % ONE[1]
    mine, lives = ask(runbook, playbook, url, code)
    name = url.split("?")[0].rsplit("/", 1)[1]
    assert [error["kind"] for error in lives] == ["migrate.locked"] * 3
    assert re.fullmatch(rf"the migrations of {name} are being run by {mine} \(as \w+\) since \S+", lives[0]["message"]), lives[0]
    assert lives[0]["hint"] == "wait for it: runbook runs shows what goes on"
    assert lives[1]["message"] == f"{mine} still holds the lock of the migrations of {name}: its session lives"
    assert lives[2]["message"] == f"the lock of the migrations of {name} belongs to {mine}, not to x"
    gone, removed, applied = ask(runbook, playbook, url, f"""
      local plan = migrate.plan(p.prod, M)
      return {{ try(migrate.up, p.prod, {{ plan = plan }}), migrate.unlock(p.prod, "{mine}"), migrate.up(p.prod, {{ plan = plan }}).applied }}
    """)
    assert gone["kind"] == "migrate.abandoned"
    assert re.fullmatch(rf"the lock of the migrations of {name} belongs to {mine} \(as \w+\) since \S+, whose session has ended", gone["message"])
    assert gone["hint"] == f'runbook resume its run; or, when nobody will: migrate.unlock(connection, "{mine}")'
    assert (removed, applied) == (True, 1)


def test_what_cannot_be_in_a_transaction(runbook, playbook, tmp_path, scratch):
    database = scratch("PG")
    write(tmp_path, ONE, INDEX, INDEX_DOWN, ("004_more.sql", "-- runbook: no-transaction\ncreate index concurrently by_mail on customers (name desc);\ncreate table if not exists more (a int);\n"),
          ("004_more.contract.sql", "drop table more;\n"))
    seen = ask(runbook, playbook, database.as_user("MIGRATE"), """
      local plan = migrate.plan(p.prod, M)
      migrate.up(p.prod, { plan = plan })
      local seen = migrate.inspect(p.prod, { plan = plan, rows = { customers = 3, total = 3 } })
      local contracted, again = migrate.contract(p.prod), migrate.contract(p.prod)
      return { plan.pending[2].transaction, plan.pending[3].transaction, seen.applied, seen.problems, seen.damaged, contracted.contracted, #again.contracted, try(migrate.down, p.prod, { to = 1 }).kind,
        migrate.version(p.prod) }
    """)
    assert seen == [False, False, 3, ["customers had 3 rows and has 2"], 1, ["004 more"], 0, "migrate.no_way_back", 4]
    assert {row[0] for row in database.sql("select indexname from pg_indexes where tablename = 'customers'")} == {"customers_pkey", "by_name", "by_mail"}


def test_risks_are_named(runbook, playbook, tmp_path, url):
    write(tmp_path, ("001_a.sql", "create table a (id int);\ncreate index on a (id);"), ("002_b.sql", "/* ; */ alter table a drop column id;"), ("003_c.sql", "update a set id = ';' where id = 1;"))
    seen = ask(runbook, playbook, url, """
      local plan = migrate.plan(p.prod, M)
      return { plan.pending[1].risk, plan.pending[1].why, plan.pending[1].statements, plan.pending[2].why, plan.pending[3].risk, plan.risk, plan.sentence }
    """)
    assert seen == ["medium", "line 2 keeps writers out while it is built", 2, "line 1 drops a column", "low", "high",
                    "3 migrations (001 a, 002 b, 003 c), risk high (002 b: line 1 drops a column)"]


SQL = {
    "a body": ("create function f() returns int language sql as $x$ select 1; select 2 $x$; select 3", 2),
    "a quote in a quote": ("select 'it''s; fine', \"a;b\"; select E'\\'; still'; select 2", 3),
    "nested comments": ("/* one /* two; */ three; */ select 1; -- select 2;\nselect 3;", 2),
    "a dollar that is none": ("select a$b$c from t; select 1", 2),
    "a quote that never ends": ("select 1; select 'open; x", 2),
}


@pytest.mark.parametrize("what", SQL)
def test_statements_are_cut_where_they_end(runbook, playbook, what):
    text, count = SQL[what]
    seen = evaluate(runbook, playbook, f"local s = require 'migrate.statements'\nreturn #s.split([==[{text}]==], false)")
    assert seen == count


def test_a_trigger_is_one_statement(runbook, playbook):
    text = "create trigger t after insert on a begin insert into b values (1); update c set d = 1; end; select 1"
    assert evaluate(runbook, playbook, f"local s = require 'migrate.statements'\nreturn {{ #s.split([==[{text}]==], true), s.split([==[{text}]==], true)[2].text }}") == [2, "select 1"]


@pytest.mark.parametrize("point", [25, 60, 90, 110, 130, 145, 155, 159, 165, 180])
def test_killed_anywhere_and_resumed(runbook, playbook, tmp_path, scratch, point):
    database = scratch("PG")
    write(tmp_path, ONE, TWO, INDEX)
    path = playbook("""
local migrate = require "migrate"
local p = playbook "m" { summary = "x", needs = { files = { "migrations/" } }, params = { %s } }
local plan = step "plan" { run = function() return migrate.plan(p.prod, "migrations/") end }
step "migrate" { undo = keep "x", capture = function() return { version = migrate.version(p.prod) } end,
  run = function(ctx) return migrate.up(p.prod, { plan = plan.result, each = ctx.step }) end,
  observe = function(ctx) return migrate.state(p.prod, plan.result, ctx.saved.version) end }
""" % PROD, "run.lua")
    env = {"RUNBOOK_PROD": database.as_user("MIGRATE")}
    killed = runbook("exec", path.name, "--run-id", "r", cwd=path.parent, env={**env, "RUNBOOK_FAILPOINT": f"all:{point}"})
    resumed = runbook("resume", "r", cwd=path.parent, env=env)
    ended = "error: run r has ended already: succeeded" in resumed.err  # killed behind its last entry
    assert killed.exit == 0 or resumed.exit == 0 or ended, killed.err + resumed.out + resumed.err
    assert database.sql("select count(*), max(mail) from customers") == [(2, "x")]
    assert database.sql("select version, state from _runbook_migrations order by 1") == [(1, "done"), (2, "done"), (3, "done")]
    assert database.sql("select count(*) from _runbook_migration_lock") == [(0,)]


def test_a_checkpoint_mends_an_invalid_index(runbook, playbook, tmp_path, scratch):
    database = scratch("PG")
    write(tmp_path, ONE)
    path = playbook("""
local migrate = require "migrate"
local p = playbook "m" { summary = "x", needs = { files = { "migrations/" } }, params = { %s } }
local plan = step "plan" { run = function() return migrate.plan(p.prod, "migrations/") end }
step "migrate" { undo = keep "x", run = function() return migrate.up(p.prod, { plan = plan.result }) end }
step "spoil" { undo = keep "x", run = function()
  db.script(p.prod, "insert into customers values (3, 'Bob')")
  pcall(db.execute, p.prod, "create unique index concurrently once on customers (name)")
  db.execute(p.prod, "update customers set name = 'Carl' where id = 3")
end }
checkpoint "schema" { run = function() return migrate.inspect(p.prod, { plan = plan.result }) end, pass = function(r) return #r.problems == 0 end,
  fail = { { when = function(r) return r.only_invalid_indexes end, repair("invalid indexes", migrate.reindex_invalid) }, otherwise = rollback "no" } }
""" % PROD, "run.lua")
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent, env={"RUNBOOK_PROD": database.as_user("MIGRATE")})
    assert result.exit == 0, result.out
    assert [e["why"] for e in result.events() if e["event"] == "repair.started"] == ["invalid indexes"]
    first = next(e for e in result.events() if e["event"] == "checkpoint.judged")
    assert first["result"]["problems"] == ["the index once of customers is invalid"]
    wrong = ask(runbook, playbook, database.as_user("MIGRATE"), "return try(migrate.reindex_invalid, { id = 'x' })")
    assert (wrong["message"], wrong["hint"]) == ("migrate.reindex_invalid: that is no result of migrate.inspect in this checkpoint",
                                                 "name the database: function() ddl.repair_indexes(p.prod) end")
