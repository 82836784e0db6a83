"""The prompt, as a script and on a terminal."""
import os
import re
import sqlite3
import stat
import time

import pytest
from conftest import lab_url

TABLE = """\
 id │ customer │   total │ note
────┼──────────┼─────────┼────────────
  1 │ anna     │ 1,000.5 │ NULL
  2 │ ben      │   2,001 │ two\\nlines
(2 rows)
"""


@pytest.fixture
def shop(tmp_path):
    """sqlite:shop.db with one small table."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("create table orders (id integer primary key, customer text, total real, note text)")
        database.executemany("insert into orders values (?, ?, ?, ?)", [(1, "anna", 1000.5, None), (2, "ben", 2001.0, "two\nlines")])
    database.close()
    return f"sqlite:{path}"


def rows(url):
    with sqlite3.connect(url.removeprefix("sqlite:")) as database:
        found = database.execute("select id, customer from orders order by id").fetchall()
    database.close()
    return found


def script(runbook, shop, text, *more, **options):
    return runbook("repl", "--connect", f"shop={shop}", *more, input=text, **options)


def output(runbook, shop, text, *more):
    result = script(runbook, shop, text, *more)
    assert (result.exit, result.err) == (0, "")
    return result.out


# --- as a script ----------------------------------------------------------------------------------------------------


def test_sql_gives_a_table(runbook, shop):
    assert output(runbook, shop, "select * from orders order by id\n") == TABLE
    assert output(runbook, shop, "select *\n  from orders\norder by id") == TABLE
    assert output(runbook, shop, "select * from orders\n;\n") == TABLE
    assert output(runbook, shop, "-- a comment\nselect * from orders where note is null or note <> ';' order by id;") == TABLE


def test_ascii_where_the_locale_is_not_utf8(runbook, shop):
    result = script(runbook, shop, "select id from orders", env={"LC_ALL": "C"})
    assert result.out == " id\n----\n  1\n  2\n(2 rows)\n"


def test_several_statements_on_a_line(runbook, shop):
    assert output(runbook, shop, "select 1 as a; select 2 as b;") == " a\n───\n 1\n(1 row)\n b\n───\n 2\n(1 row)\n"


def test_expanded_form(runbook, shop):
    assert output(runbook, shop, ":expanded\nselect id, customer from orders where id = 1") == (
        "expanded is on\n── row 1 ───────────\n id       │ 1\n customer │ anna\n(1 row)\n")


def test_at_most_1000_rows(runbook, shop):
    series = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1001) select i from n"
    lines = output(runbook, shop, series).splitlines()
    assert lines[-1] == "(1,000 rows shown, there are more: limit the statement, or read them in Lua with db.rows)"
    assert lines[-2] == " 1,000"


def test_lua(runbook, shop):
    assert output(runbook, shop, "1 + 1\n'text'\nnil\ntrue\n{}\n") == "2\ntext\nnull\ntrue\n{}\n"
    assert output(runbook, shop, "local t = { b = { 1, 2 }, a = 'x' }\nt\n") == "a = x\nb =\n  1: 1\n  2: 2\n"
    assert output(runbook, shop, "function f(a)\n  return a * 2\nend\nx = f(21)\nprint(x, 'and', nil)\n") == "42\tand\tnull\n"
    assert output(runbook, shop, "db.value(shop, 'select count(*) from orders')\n") == "2\n"
    assert output(runbook, shop, "shop:query('select id from orders where id = ?', 2)\n") == " id\n────\n  2\n"


def test_words_that_are_both(runbook, shop):
    assert output(runbook, shop, "values = 3\nvalues + 1\ntable.concat({ 'a', 'b' })\n") == "4\nab\n"
    assert output(runbook, shop, "values (1), (2)\n").endswith("(2 rows)\n")


def test_help_comes_from_the_declarations(runbook, shop):
    expected = runbook("doc", "db.query").out
    assert expected.startswith("db.query(")
    assert output(runbook, shop, "help('db.query')\n") == expected
    assert output(runbook, shop, "help(db.query)\n") == expected
    assert "db" in output(runbook, shop, "help()\n")
    assert output(runbook, shop, "help(db)\n") == runbook("doc", "db").out
    assert output(runbook, shop, ":help\n").startswith("A line is SQL when it starts with an SQL word")


@pytest.mark.parametrize("line, error", [
    ("slect 1", "error: prompt:1: '=' expected near '1'\nhint: did you mean 'select'? It was read as Lua\n"),
    ("select 1 from nowhere", "error: {shop}: no such table: nowhere (1)\n"),
    ("delete from orders", "error: {shop}: attempt to write a readonly database (8)\nhint: :read-write reopens the connection for writing\n"),
    ("nosuch", "error: undefined name 'nosuch'\n"),
    ("shpo", "error: undefined name 'shpo' (did you mean 'shop'?)\n"),
    ("error('own words')", "error: own words\n"),
    (":conections", "error: unknown command ':conections' (did you mean ':connections'?)\nhint: :help lists the commands\n"),
    (":use", "error: :use needs NAME\nhint: :help lists the commands\n"),
    (":use shp", "error: no connection 'shp' (did you mean 'shop'?)\nhint: open: shop\n"),
    (":connect x", "error: :connect needs NAME=URL\nhint: for example :connect prod=postgres://ops@db1/shop\n"),
    (":connect end=sqlite:x", "error: 'end' is no name for a connection\nhint: letters, digits and _, not a word of Lua: NAME=URL\n"),
    (":connect db=sqlite:x", "error: 'db' is a name of the language already\nhint: choose another name for the connection\n"),
    (":export x.lua", "error: nothing was done yet that a playbook could do\n"),
    ("\\d ordres", "error: there is no table 'ordres' (did you mean 'orders'?)\nhint: \\d lists the tables\n"),
])
def test_an_error_ends_a_script(runbook, shop, line, error):
    result = script(runbook, shop, f"{line}\nprint 'not reached'\n")
    assert (result.exit, result.out) == (1, "")
    assert re.sub(r"^(error: )prompt:1: (?!')", r"\1", result.err) == error.format(shop=shop)
    assert len(rows(shop)) == 2


def test_backtrace_shows_where_an_error_came_from(runbook, shop, tmp_path):
    (tmp_path / "own.lua").write_text("function inner(sql) local rows = db.query(shop, sql) return rows end\nfunction outer(sql) local rows = inner(sql) return rows end\n")
    line = 'outer("select nothing from nowhere")\n'
    plain = runbook("repl", "own.lua", "--connect", f"shop={shop}", input=line, cwd=tmp_path)
    whole = runbook("repl", "own.lua", "--connect", f"shop={shop}", "--backtrace", input=line, cwd=tmp_path)
    assert plain.exit == whole.exit == 1
    assert whole.err.startswith(plain.err)
    assert "    own.lua:1: in 'inner'\n" in whole.err and "    own.lua:2" in whole.err, whole.err


def test_sql_without_a_connection(runbook):
    result = runbook("repl", input="select 1\n")
    assert (result.exit, result.err) == (1, "error: no connection is open\nhint: :connect NAME=URL opens one\n")


def test_read_write(runbook, shop):
    assert output(runbook, shop, "delete from orders where id = 1\n", "--read-write") == "(1 row changed)\n"
    assert rows(shop) == [(2, "ben")]
    assert output(runbook, shop, ":read-write\nupdate orders set customer = 'carl'\n:read-only\n") == (
        "shop is read-write now\n(1 row changed)\nshop is read-only now\n")
    assert rows(shop) == [(2, "carl")]
    assert script(runbook, shop, ":read-write\n:read-only\ndelete from orders\n").exit == 1
    assert rows(shop) == [(2, "carl")]
    assert script(runbook, shop, "db.execute(shop, 'delete from orders')\n").exit == 1
    assert rows(shop) == [(2, "carl")]


def test_a_transaction_is_not_lost_in_silence(runbook, shop):
    result = script(runbook, shop, "begin\ndelete from orders\n:read-only\n", "--read-write")
    assert (result.exit, result.out) == (1, "(done)\n(2 rows changed)\n")
    assert result.err == "error: shop: a transaction is open\nhint: commit or rollback first\n"
    assert len(rows(shop)) == 2


def test_several_connections(runbook, shop, tmp_path):
    other = tmp_path / "other.db"
    sqlite3.connect(other).close()
    other.write_bytes(b"")
    text = f":connect other=sqlite:{other}\n:connections\n:use shop\nselect count(*) as n from orders\n"
    lines = output(runbook, shop, text).splitlines()
    assert re.fullmatch(r"other: SQLite [\d.]+, read-only", lines[0])
    assert [line.split()[0] for line in lines[3:5]] == ["shop", "other"]
    assert lines[-2:] == [" 2", "(1 row)"]


def test_tables_and_columns(runbook, shop):
    assert output(runbook, shop, "\\d\n") == " name   │ kind\n────────┼───────\n orders │ table\n(1 row)\n"
    columns = output(runbook, shop, "\\d orders\n")
    assert [line.split()[0] for line in columns.splitlines()[2:6]] == ["id", "customer", "total", "note"]
    assert output(runbook, shop, "desc orders\n") == columns


def test_export_is_a_playbook(runbook, shop, tmp_path):
    file = tmp_path / "night.lua"
    text = f"select 1\nupdate orders set note = ']]' where id = 1\nx = 1\nx + 1\nhelp()\n:export {file}\n"
    assert output(runbook, shop, text, "--read-write").endswith(f"{file}: 3 steps\n")
    checked = runbook("check", file)
    assert (checked.exit, checked.out) == (0, "1 file checked: no mistakes\n")
    source = file.read_text()
    assert "[=[update orders set note = ']]' where id = 1]=]" in source
    assert 'access = "write"' in source
    again = script(runbook, shop, f"select 1\n:export {file}\n")
    assert again.err == f"error: {file} exists already\nhint: choose another name\n"


def test_a_file_runs_first(runbook, shop, tmp_path):
    (tmp_path / "mine.lua").write_text("function double(n)\n  return n * 2\nend\n")
    assert output(runbook, shop, "double(4)\n", tmp_path / "mine.lua") == "8\n"
    missing = script(runbook, shop, "", "none.lua")
    assert (missing.exit, missing.err) == (2, "error: none.lua: no such file, or it cannot be read\n")


def test_a_connection_that_fails_is_exit_2(runbook):
    result = runbook("repl", "--connect", "shop=sqlite:/nowhere/x.db", input="")
    assert result.exit == 2
    assert result.err.startswith("error: sqlite:/nowhere/x.db: unable to open database file")
    result = runbook("repl", "--connect", "prod=postgres://u@127.0.0.1:1/x", env={"RUNBOOK_PROD_PASSWORD": "horse-battery"}, input="")
    assert result.exit == 2 and "horse-battery" not in result.err
    assert result.err.startswith("error: postgres://u:***@127.0.0.1:1/x: ")


# --- on a terminal --------------------------------------------------------------------------------------------------


@pytest.fixture
def prompt(runbook, shop):
    """A session on a terminal, at its first prompt."""
    started = []

    def start(*words, connect=None, env=None):
        child = runbook.terminal("repl", "--connect", f"shop={connect or shop}", *words, env=env)
        started.append(child)
        child.expect(r"shop \(read-only, \w+ [\d.]+\)> ")
        return child

    yield start
    for child in started:
        child.close(force=True)


def ask(child, line):
    """Sends a line; what came before the next prompt, without the echo."""
    child.sendline(line)
    child.expect(r"\r\nshop> ")
    return child.before.split("\r\n", 1)[1] if "\r\n" in child.before else child.before


def leave(child):
    import pexpect

    child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_prompt_and_end(prompt):
    child = prompt()
    assert re.search(r" n\r\n───\r\n 1\r\n\(1 row, \d+ ms\)$", ask(child, "select 1 as n"))
    child.sendline(":timing")
    child.expect("timing is off\r\nshop> ")
    assert ask(child, "select 1 as n").endswith("(1 row)")
    assert leave(child) == 0


def test_ctrl_c_drops_the_line(prompt):
    child = prompt()
    child.send("half a line\x03")
    child.expect(r"\^C\r\nshop> ")
    child.sendline("f(")
    child.expect(r"\.\.\.> ")
    child.send("\x03")
    child.expect(r"\^C\r\nshop> ")
    assert ask(child, "1 + 1") == "2"
    assert leave(child) == 0


def test_ctrl_c_cancels_the_statement(prompt):
    child = prompt()
    child.sendline("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n")
    child.expect("from n\r\n")
    child.send("\x03")
    child.expect("cancelled\r\nshop> ")
    assert ask(child, "1 + 1") == "2"
    assert leave(child) == 0


def test_an_error_does_not_end_the_session(prompt):
    child = prompt()
    assert ask(child, "select 1 from nowhere").startswith("error: sqlite:")
    assert ask(child, "1 + 1") == "2"
    assert leave(child) == 0


def test_tab_completes(prompt):
    child = prompt()
    child.send("select customer from ord\ts where i\td = 2\r")
    child.expect("ben")
    child.expect("shop> ")
    child.send("db.val\t(shop, 'select 7')\r")
    child.expect("\r\n7\r\n")
    child.send(":conn\t\t")
    child.expect("connect +connections")
    child.send("\x03")
    child.expect("shop> ")
    assert leave(child) == 0


def test_history_is_private_and_without_secrets(prompt, runbook):
    child = prompt()
    ask(child, "select 41 + 1")
    child.sendline(":connect x=postgres://u:horse-battery@127.0.0.1:1/x")
    child.expect("error: .*shop> ")
    assert leave(child) == 0
    file = runbook.state / "runbook" / "history"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    text = file.read_text()
    assert "41" in text and "horse" not in text
    again = prompt()
    again.send("\x1b[A\r")
    again.expect("42")
    again.expect("shop> ")
    assert leave(again) == 0


def test_quit(prompt):
    import pexpect

    child = prompt()
    child.sendline(":quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# --- real servers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, server, refusal", [
    ("PG", r"PostgreSQL [\d.]+", "cannot execute INSERT in a read-only transaction"),
    ("MYSQL", r"MySQL [\d.]+", "READ ONLY transaction"),
    ("MARIADB", r"MariaDB [\d.]+", "READ ONLY transaction"),
])
def test_the_server_enforces_read_only(runbook, scratch, kind, server, refusal):
    database = scratch(kind)
    database.sql("create table t (a int primary key, b text)")
    words = ["repl", "--connect", f"one={database.url}"]
    refused = runbook(*words, input="insert into t values (1, 'x')\n")
    assert refused.exit == 1 and refusal in refused.err
    assert refused.err.endswith("hint: :read-write reopens the connection for writing\n")
    assert database.sql("select count(*) from t")[0][0] == 0
    written = runbook(*words, "--read-write", input="insert into t values (1, 'x'), (2, null)\nselect * from t order by a\n\\d t\n")
    assert written.exit == 0, written.err
    assert written.out.startswith("(2 rows changed)\n a │ b\n───┼──────\n 1 │ x\n 2 │ NULL\n(2 rows)\n")
    assert re.search(server, runbook(*words, input=":connections\n").out)


def test_passwords_come_from_the_environment(runbook, scratch):
    from urllib.parse import urlsplit, unquote

    database = scratch("PG")
    parts = urlsplit(database.url)
    bare = database.url.replace(f":{parts.password}@", "@", 1)
    result = runbook("repl", "--connect", f"one={bare}", env={"RUNBOOK_ONE_PASSWORD": unquote(parts.password)}, input="select 1 as n\n")
    assert (result.exit, result.out, result.err) == (0, " n\n───\n 1\n(1 row)\n", "")
    assert runbook("repl", "--connect", f"one={bare}", input="").exit == 2


def test_ctrl_c_reaches_the_server(prompt, scratch):
    database = scratch("PG")
    child = prompt(connect=database.url)
    child.sendline("select pg_sleep(600)")
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    for _ in range(600):
        if database.sql(waiting)[0][0] == 1:
            break
        time.sleep(0.1)
    child.send("\x03")
    child.expect("cancelled\r\nshop> ")
    assert database.sql(waiting)[0][0] == 0
    child.sendline("select 5 as five")
    child.expect("\\(1 row")
    child.expect("shop> ")
    assert leave(child) == 0


def test_a_session_that_is_lost(runbook, scratch, prompt):
    database = scratch("PG")
    child = prompt(connect=database.url)
    database.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
    child.sendline("select 1 as one")
    child.expect("shop> ")
    child.sendline("select 5 as five")
    child.expect("\\(1 row")
    assert lab_url("PG_ADMIN")
