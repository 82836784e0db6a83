"""Rules of a copy as people write them: in a playbook, in a file, as options of `runbook copy` and `verify`."""
import json
import re

import pytest

SHOP = """
    create table users (id serial primary key, mail varchar(50) not null, seen timestamp default now() not null, score float8);
    create table orders (id int primary key, user_id int references users (id), at date, code uuid);
    create table audit (id int);
    insert into users (mail, seen, score) values ('a@x', '2024-01-01 10:00', 'NaN'), ('b@x', '2024-02-02 10:00:00.5', 1.5);
    insert into orders values (1, 1, '2024-01-02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (2, 2, '2023-01-02', null);
"""

RULES = """
-- what is no list of rules is refused, but a loop is at hand
local rules = { { type = "uuid", to = "binary(16)" } }
for _, column in ipairs { "score" } do
  rules[#rules + 1] = { table = "users", column = column, using = "nan-to-null" }
end
return rules
"""


@pytest.fixture(params=["MYSQL", "MARIADB"])
def shop(request, scratch):
    source, target = scratch("PG"), scratch(request.param)
    source.sql(SHOP)
    return source, target


def test_a_seed_s_casts_and_settings_stand_as_they_are(runbook, playbook, shop):
    """pgloader's CAST and SET lines of the runbook that this language began with."""
    source, target = shop
    source.sql("update users set score = 2.5 where id = 1")
    path = playbook("""
        local p = playbook "unify" { params = {
          source = { "database", access = "read", required = true }, target = { "database", access = "write", required = true } } }
        local casts = copy.rules {
          { type = "datetime",  to = "datetime", drop_default = true, drop_not_null = true, using = "zero-dates-to-null" },
          { type = "timestamp", to = "datetime", drop_default = true, drop_not_null = true, using = "zero-dates-to-null" },
        }
        step "copy" { undo = keep "a test", run = function()
          local c = copy.database(p.source, p.target, { tables = "all", streams = 4, rejects = 0, charset = "utf8mb4",
            collation = "utf8mb4_unicode_ci", zero_dates = "null", rules = casts,
            settings = { net_read_timeout = "120", net_write_timeout = 120 } })
          local v = verify.database(p.source, p.target, { rules = casts })
          return { rows = c.rows, passed = v.passed, coverage = v.coverage }
        end }
    """)
    result = runbook("exec", path, "--source", source.url, "--target", target.url, "--output", "json")
    assert result.exit == 0, result.err
    finished = next(event for event in result.events() if event["event"] == "step.finished")
    assert finished["result"] == {"rows": 4, "passed": True, "coverage": 1}
    assert target.sql("select column_type, column_default, is_nullable from information_schema.columns where table_schema = database() "
                      "and table_name = 'users' and column_name = 'seen'") == [("datetime(6)", None if target.kind == "MYSQL" else "NULL", "YES")]
    assert target.sql("select cast(seen as char) from users order by id") == [("2024-01-01 10:00:00.000000",), ("2024-02-02 10:00:00.500000",)]
    assert target.sql("select distinct collation_name from information_schema.columns where table_schema = database() and table_name = "
                      "'users' and collation_name is not null") == [("utf8mb4_unicode_ci",)]


def test_rules_in_a_file_and_as_options(runbook, shop, tmp_path):
    source, target = shop
    rules = tmp_path / "rules.lua"
    rules.write_text(RULES)
    same = ["--rules", str(rules), "--rename", "users=accounts", "--rename", "users.mail=email", "--omit", "orders.at",
            "--where", "orders=at >= '2024-01-01'"]
    copied = runbook("copy", source.url, target.url, *same, "--exclude", "audit", "--setting", "net_read_timeout=120", "--output", "json")
    assert copied.exit == 0, copied.err
    assert target.sql("select id, email, score from accounts order by id") == [(1, "a@x", None), (2, "b@x", 1.5)]
    assert target.sql("select id, hex(code) from orders") == [(1, "A0EEBC999C0B4EF8BB6D6BB9BD380A11")]
    assert target.sql("select group_concat(column_name order by ordinal_position) from information_schema.columns where table_schema = "
                      "database() and table_name = 'orders'") == [("id,user_id,code",)]
    verified = runbook("verify", source.url, target.url, *same, "--exclude", "audit", "--output", "json")
    assert verified.exit == 0, verified.out
    seen = json.loads(verified.out.splitlines()[-1])
    assert (seen["coverage"], seen["rows"], seen["mismatches"]) == (1, 3, 0)
    assert seen["omitted_columns"] == ["orders.at (by a rule of the copy)"]
    # Without the rules, verify compares with what is not there.
    assert runbook("verify", source.url, target.url, "--exclude", "audit").exit == 1


def test_the_plan_is_the_statements_that_run(runbook, shop):
    source, target = shop
    planned = runbook("copy", source.url, target.url, "--plan", "--table", "orders", "--omit", "orders.user_id", "--rename", "orders=sales")
    assert planned.exit == 0, planned.err
    assert "CREATE TABLE `sales` (\n  `id` INT NOT NULL,\n  `at` DATE NULL,\n  `code` CHAR(36)" in planned.out
    assert target.sql("show tables") == []


def test_the_schema_first_and_the_data_later(runbook, shop):
    source, target = shop
    source.sql("update users set score = 0")
    assert runbook("copy", source.url, target.url, "--schema-only").exit == 0
    assert target.sql("select count(*) from users") == [(0,)]
    filled = runbook("copy", source.url, target.url, "--data-only")
    assert filled.exit == 0, filled.err
    assert "copied 4 rows of 3 tables" in filled.out
    assert target.sql("select count(*) from orders") == [(2,)]
    target.sql("create table more (x int)")
    refused = runbook("copy", source.url, target.url, "--data-only")
    assert refused.exit == 2
    assert re.search(r"is not empty: it holds orders, users\b", refused.err), refused.err


@pytest.mark.parametrize("options, message", [
    (["--rename", "users"], "--rename needs NAME=NEW or TABLE.COLUMN=NEW, got 'users'"),
    (["--omit", "users"], "--omit needs TABLE.COLUMN, got 'users'"),
    (["--where", "users"], "--where needs TABLE=CONDITION, got 'users'"),
    (["--setting", "net_read_timeout=soon"], "--setting needs NAME=NUMBER, got 'net_read_timeout=soon'"),
    (["--setting", "sql_mode=1"], "option 'settings': 'sql_mode' is none that a copy lets you set"),
    (["--setting", "net_red_timeout=1"], "option 'settings': 'net_red_timeout' is none that a copy lets you set (did you mean "
                                         "'net_read_timeout'?)"),
    (["--schema-only", "--data-only"], "--schema-only and --data-only exclude each other"),
    (["--rules", "nowhere.lua"], "--rules: cannot read 'nowhere.lua'"),
    (["--rename", "usres=people"], "rule 1 (table \"usres\"): there is no table 'usres' (did you mean 'users'?)"),
    (["--where", "users=male = 'x'"], "rule 1 (table \"users\"): where = \"male = 'x'\""),
    (["--data-only"], "audit: there is no table audit in the target"),
])
def test_what_is_wrong_is_said_before_anything_runs(runbook, scratch, options, message):
    source, target = scratch("PG"), scratch("MYSQL")
    source.sql(SHOP)
    source.sql("update users set score = 0")
    result = runbook("copy", source.url, target.url, *options)
    assert result.exit == 2
    assert message in result.err
    assert target.sql("show tables") == []


@pytest.mark.parametrize("text, message", [
    ("return 5", "rules.lua: a list of rules expected, it returns number"),
    ("return { { type = 'uuid' } }", "rules.lua: option 'rules': rule 1: it says nothing to do"),
    ("return { { tpye = 'uuid' } }", "rules.lua: option 'rules': rule 1: unknown option 'tpye' (did you mean 'type'?)"),
    ("return os.execute('id')", "rules.lua:1: attempt to index global 'os' (a nil value)"),
    ("return {", "rules.lua:1: unexpected symbol near '<eof>'"),
])
def test_a_file_of_rules_is_data(runbook, tmp_path, text, message):
    rules = tmp_path / "rules.lua"
    rules.write_text(text)
    result = runbook("copy", "sqlite:a.db", "sqlite:b.db", "--rules", str(rules))
    assert result.exit == 2
    assert message in result.err


def test_rules_are_checked_where_a_playbook_declares_them(runbook, playbook):
    path = playbook("""
        playbook "rules" {}
        local casts = copy.rules {
          { type = "uuid", to = "binary(16)" }, { type = "date", usnig = "infinity-to-null" } }
        step "nothing" { run = function() end }
    """)
    result = runbook("check", path)
    assert result.exit == 2
    assert re.search(r":2: .*option 'rules': rule 2: unknown option 'usnig' \(did you mean 'using'\?\)", result.err + result.out)


@pytest.mark.parametrize("options, message", [
    ("{ settings = { net_read_timeout = \"soon\" } }", "option 'settings': net_read_timeout: a whole number expected, got \"soon\""),
    ("{ settings = { net_read_timeout = 0 } }", "option 'settings': net_read_timeout: 1 or more expected, got 0"),
    ("{ zero_dates = \"keep\" }", "option 'zero_dates': \"null\" expected, got \"keep\""),
    ("{ schema_only = true, data_only = true }", "options 'schema_only' and 'data_only' exclude each other"),
    ("{ rules = { { table = \"item\", exclude = true } } }",
     "copying sqlite:a.db into sqlite:b.db: rules are for PostgreSQL into MySQL or MariaDB"),
])
def test_options_of_a_playbook_s_copy(runbook, playbook, tmp_path, options, message):
    import sqlite3
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("create table item (id integer primary key)")
    path = playbook(f"""
        local p = playbook "copying" {{ params = {{
          source = {{ "database", access = "read", required = true }}, target = {{ "database", access = "write", required = true }} }} }}
        step "copy" {{ run = function() copy.database(p.source, p.target, {options}) end, undo = keep "a test" }}
    """)
    result = runbook("exec", path, "--source", "sqlite:a.db", "--target", "sqlite:b.db", "--output", "json", cwd=tmp_path)
    assert result.exit == 1
    error = next(event["error"] for event in result.events() if event["event"] == "step.failed")
    assert message in error["message"]
