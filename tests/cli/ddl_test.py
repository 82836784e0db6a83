"""Changes of a schema in use, on real servers: who is in the way is named, and invalid indexes are mended."""
import threading

import pytest
from evaluate import evaluate

PROD = 'prod = { "database", access = "write", required = true, doc = "x" }'


def ask(runbook, playbook, database, code, url=None):
    return evaluate(runbook, playbook, 'local ddl = require "ddl"\n' + code, params=PROD, arguments=["--prod", url or database.as_user("MIGRATE")])


@pytest.fixture
def orders(runbook, playbook, scratch):
    """A table with a value that comes twice; it belongs to the role that migrates."""
    database = scratch("PG")
    assert ask(runbook, playbook, database, """
      db.script(p.prod, "create table orders (id int primary key, code text); insert into orders values (1, 'a'), (2, 'a')")
      return "made"
    """) == "made"
    return database


def test_who_is_in_the_way_is_named(runbook, playbook, orders):
    holder = orders.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("set application_name = 'report'")
        cursor.execute("select count(*) from orders")
        cursor.execute("select pg_backend_pid()")
        pid = cursor.fetchone()[0]
    owner = holder.info.user
    code = 'return try(ddl.run, p.prod, "alter table orders add column note text", { lock_timeout = "1500ms", lock_retries = 1, pause = "10ms" })'
    error, plain = ask(runbook, playbook, orders, code, url=orders.url), ask(runbook, playbook, orders, code)
    holder.rollback()
    assert error["kind"] == "ddl.blocked"
    assert error["message"].startswith(f"alter table orders add column note text: no lock within 1.5s, tried 2 times; in the way: session {pid} (")
    assert " report, idle in transaction for " in error["message"] and error["message"].endswith(": select pg_backend_pid())")
    assert plain["message"].endswith(f"in the way: session {pid} ({owner} report, what it does, a role with pg_read_all_stats is told)"), plain
    assert error["hint"] == f"let it end, or end it where that is right: select pg_terminate_backend({pid})"
    assert ask(runbook, playbook, orders, 'return ddl.run(p.prod, "alter table orders add column note text")') == "done"
    holder.close()


def test_it_goes_on_once_the_way_is_free(runbook, playbook, orders):
    holder = orders.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("select count(*) from orders")
    watcher, waits = orders.connect(), threading.Event()

    def free():
        with watcher.cursor() as cursor:
            while not waits.is_set():
                cursor.execute("select count(*) from pg_locks l join pg_database d on d.oid = l.database where not l.granted and d.datname = current_database()")
                if cursor.fetchone()[0]:
                    break
        holder.rollback()

    thread = threading.Thread(target=free)
    thread.start()
    done = ask(runbook, playbook, orders, """
      return ddl.patiently(p.prod, function(c)
        return db.transaction(c, function() db.execute(c, "alter table orders add column note text") return "changed" end)
      end, { lock_timeout = "500ms", lock_retries = 40, pause = "10ms" })
    """)
    waits.set()
    thread.join()
    holder.close()
    watcher.close()
    assert done == "changed"


def test_an_index_that_cannot_be_built_leaves_nothing(runbook, playbook, orders):
    seen = ask(runbook, playbook, orders, """
      local sql = "create unique index concurrently if not exists orders_code on orders (code)"
      local error_ = try(ddl.run, p.prod, sql)
      local after = ddl.index_state(p.prod, sql)
      db.execute(p.prod, "update orders set code = 'b' where id = 2")
      local made, again = ddl.run(p.prod, sql), ddl.run(p.prod, sql)
      return { error_, after, made, again, ddl.index_state(p.prod, sql), tostring(ddl.index_state(p.prod, "select 1")) }
    """)
    assert seen[0]["kind"] == "db.constraint" and "could not create unique index" in seen[0]["message"], seen[0]
    assert seen[1:] == ["absent", "done", "exists", "valid", "nil"]


def test_an_invalid_index_is_found_and_mended(runbook, playbook, orders):
    seen = ask(runbook, playbook, orders, """
      pcall(db.execute, p.prod, "create unique index concurrently orders_code on orders (code)")
      local found = ddl.invalid_indexes(p.prod)
      local fails = try(ddl.repair_indexes, p.prod)
      db.execute(p.prod, "update orders set code = 'b' where id = 2")
      local mended = ddl.repair_indexes(p.prod)
      return { found, fails.kind, mended, #ddl.invalid_indexes(p.prod), db.facts(p.prod).invalid_indexes }
    """)
    assert [(one["name"], one["table"]) for one in seen[0]] == [("orders_code", "orders")]
    assert seen[1] == "db.constraint"
    assert "orders_code" in seen[2]["rebuilt"] and seen[3:] == [0, 0]
    assert [row[0] for row in orders.sql("select indexname from pg_indexes where tablename = 'orders' order by 1")] == ["orders_code", "orders_pkey"]


def test_an_invalid_index_is_no_index(runbook, playbook, orders):
    """IF NOT EXISTS would take what a failed build left for the index, and do nothing."""
    seen = ask(runbook, playbook, orders, """
      pcall(db.execute, p.prod, "create unique index concurrently orders_code on orders (code)")
      db.execute(p.prod, "update orders set code = 'b' where id = 2")
      return { ddl.run(p.prod, "create unique index concurrently if not exists orders_code on orders (code)"), #ddl.invalid_indexes(p.prod) }
    """)
    assert seen == ["done", 0]


def test_on_sqlite_there_is_nobody_to_name(runbook, playbook):
    seen = evaluate(runbook, playbook, """
      local ddl = require "ddl"
      ddl.run(p.prod, "create table t (a int)")
      return { #ddl.blockers(p.prod, 1), #ddl.invalid_indexes(p.prod), #db.tables(p.prod) }
    """, params=PROD, arguments=["--prod", "sqlite:x.db"])
    assert seen == [0, 0, 1]


def test_mysql_names_who_is_in_the_way(runbook, playbook, scratch):
    database = scratch("MYSQL")
    database.sql("create table orders (id int primary key)")
    holder = database.connect()
    holder.autocommit(False)
    with holder.cursor() as cursor:
        cursor.execute("select count(*) from orders")
    error = ask(runbook, playbook, database, 'return try(ddl.run, p.prod, "alter table orders add column note text", { lock_timeout = "2s", lock_retries = 0 })', url=database.url)
    holder.rollback()
    assert error["kind"] == "ddl.blocked"
    assert f"tried 1 times; in the way: session {holder.thread_id()} (" in error["message"] and error["hint"].endswith(f"kill {holder.thread_id()}"), error
    assert ask(runbook, playbook, database, 'return ddl.run(p.prod, "alter table orders add column note text")') == "done"
    holder.close()
