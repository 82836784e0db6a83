#include "bindings/db.h"
#include "runtime/base/redact.h"
#include "tests/unit/db_lab.h"
#include "tests/unit/vm_fixture.h"

using namespace runbook;
using db::lab::url;

namespace {

/// A machine with `db`; `c` is a writable connection to an empty SQLite database in memory.
struct DbMachine : test::Machine {
    DbMachine() { bindings::register_db(state, registry); }
    Value sqlite(const std::string& code, vm::Effect up_to = vm::Effect::writes) {
        return run("local c = db.connect('sqlite::memory:', { access = 'write' })\n" + code, up_to);
    }
    std::string sqlite_error(const std::string& code) {
        return error("local c = db.connect('sqlite::memory:', { access = 'write' }) " + code);
    }
    /// The same on a server of the lab, over the URL in `variable`; nothing where the lab is not
    /// up.
    Value server(const char* variable, const std::string& code) {
        return run("local c = db.connect('" + std::string(std::getenv(variable)) +
                   "', { access = 'write' })\n" + code);
    }
};

} // namespace

TEST_CASE("db: every example in the declarations runs", "[db][binding]") {
    DbMachine machine;
    for (const vm::AreaDoc& area : machine.registry.areas()) {
        for (const vm::FunctionDoc& function : area.functions) {
            INFO(area.name << "." << function.name);
            CHECK_FALSE(function.example.empty());
            CHECK_FALSE(function.doc.empty());
            CHECK(machine.error(function.example) == "no error");
        }
    }
    CHECK(machine.state.scheduler().pending() == 0);
}

TEST_CASE("db: values arrive as the language has them", "[db][binding]") {
    DbMachine machine;
    CHECK(machine.sqlite("return db.value(c, 'select ?', 9007199254740992) == 9007199254740992") ==
          Value(true));
    CHECK(machine.sqlite("return type(db.value(c, 'select 9007199254740993'))") ==
          Value("userdata"));
    CHECK(machine.sqlite("return tostring(db.value(c, 'select 9007199254740993'))") ==
          Value("9007199254740993"));
    CHECK(machine.sqlite("return db.value(c, 'select ? is null', nil)") == Value(1));
    CHECK(machine.sqlite(
              "local r = db.one(c, 'select null as a, 1 as b') return r.a == nil and r.b == 1") ==
          Value(true));
    CHECK(machine.sqlite("db.execute(c, 'create table t (at timestamp, j json, ok boolean)')\n"
                         "db.execute(c, 'insert into t values (?, ?, ?)', '2026-11-20 22:00:00Z', "
                         "'{\"a\":[1,null]}', true)\n"
                         "local r = db.one(c, 'select * from t')\n"
                         "return { tostring(r.at), r.j.a[1], r.ok }") ==
          Value(List{"2026-11-20T22:00:00Z", 1, true}));
}

TEST_CASE("db: mistakes are named", "[db][binding]") {
    DbMachine machine;
    CHECK(machine.sqlite_error("db.query(c, nil)") ==
          "test.lua:1: db.query: argument 2 'sql': string expected, got nil");
    CHECK(machine.sqlite_error("db.query('x', 'select 1')") ==
          "test.lua:1: db.query: argument 1 'connection': connection expected, got string");
    CHECK(machine.sqlite_error("db.query(c, 'select ?', {})") ==
          "test.lua:1: parameter 1: a table cannot be bound");
    CHECK(machine.sqlite_error("db.query(c, 'select 1 as a, 2 as a')") ==
          "test.lua:1: two columns of the result are named 'a'");
    CHECK(machine.sqlite_error("local r = db.one(c, 'select 1 as name') return r.nmae") ==
          "test.lua:1: the row has no column 'nmae' (did you mean 'name'?)");
    CHECK(machine.sqlite_error("for r in db.rows(c, 'select 1 as name') do local x = r.nmae end") ==
          "test.lua:1: the row has no column 'nmae' (did you mean 'name'?)");
    CHECK(machine.sqlite_error("db.one(c, 'select 1 union select 2')") ==
          "test.lua:1: db.one: the statement gave 2 rows");
    CHECK(machine.sqlite_error("return c.prot") ==
          "test.lua:1: connection has no field 'prot' (did you mean 'port'?)");
    CHECK(machine.error("db.connect('sqlite::memory:', { acces = 'write' })") ==
          "test.lua:1: db.connect: argument 2 'options': unknown option 'acces' (did you mean "
          "'access'?)");
    CHECK(machine.error("db.connect('sqlite::memory:', { access = 'all' })") ==
          "test.lua:1: access must be 'read', 'write' or 'admin', got 'all'");
    CHECK(machine.error("db.connect('pg://u:hunter22@h/d')") ==
          "test.lua:1: database URL: it does not begin with postgres://, mysql://, mariadb:// or "
          "sqlite:");
    machine.host().permissions_.everything = false;
    CHECK(machine.error("db.connect 'sqlite::memory:'") ==
          "test.lua:1: db.connect: the databases of a playbook are its parameters");
}

TEST_CASE("db: rows are read one by one, and outlive their loop", "[db][binding]") {
    DbMachine machine;
    const std::string numbers =
        "'with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) "
        "select i, i % 7 as rest from n'";
    CHECK(machine.sqlite("local sum, kept = 0, {}\n"
                         "for row in db.rows(c, " +
                         numbers +
                         ") do\n"
                         "  sum = sum + row.i\n"
                         "  if row.i % 1000 == 0 then kept[#kept + 1] = row end\n"
                         "end\n"
                         "return { sum, kept[1].i, kept[5].i, kept[5].rest, kept[1][2] }") ==
          Value(List{12502500, 1000, 5000, 2, 6}));
    CHECK(machine.sqlite(
              "for row in db.rows(c, 'select 1 where 1 = 0') do error 'a row' end return 'none'") ==
          Value("none"));
    // Leaving the loop early frees the connection; going on after another statement is an error,
    // also with rows left.
    CHECK(machine.sqlite("for row in db.rows(c, " + numbers +
                         ") do break end\n"
                         "return db.value(c, 'select 7')") == Value(7));
    CHECK(machine.sqlite_error("for row in db.rows(c, 'select 1 as n union all select 2') do "
                               "db.value(c, 'select 1') end") ==
          "test.lua:1: db.rows: another statement has taken the connection, so the result was "
          "closed");
    CHECK(machine.sqlite("local next = db.rows(c, 'select 1 as n')\nnext()\nlocal a, b = next(), "
                         "next()\nreturn a == nil and b == nil") == Value(true));
    CHECK(machine.state.scheduler().pending() == 0);
}

TEST_CASE("db: transactions commit, roll back and return", "[db][binding]") {
    DbMachine machine;
    CHECK(machine.sqlite("db.execute(c, 'create table t (a int)')\n"
                         "local a, b = db.transaction(c, function(tx) db.execute(tx, 'insert into "
                         "t values (1)') return 'x', 'y' end)\n"
                         "local ok, err = pcall(db.transaction, c, function()\n"
                         "  db.execute(c, 'insert into t values (2)')\n"
                         "  error 'stop'\n"
                         "end)\n"
                         "return { a, b, ok, db.value(c, 'select count(*) from t') }") ==
          Value(List{"x", "y", false, 1}));
    CHECK(machine.sqlite_error(
              "db.transaction(c, function() db.transaction(c, function() end) end)") ==
          "test.lua:1: db.begin: the connection is in a transaction already");
    CHECK(machine.sqlite_error("db.commit(c)") ==
          "test.lua:1: db.commit: the connection is not in a transaction");
    CHECK(machine.sqlite_error("db.transaction(c, 7)") ==
          "test.lua:1: db.transaction: argument 2 'fn': function expected, got number");
    // After a begin that failed, the connection is free again.
    CHECK(machine.sqlite(
              "pcall(db.transaction, c, function() db.transaction(c, function() end) end)\n"
              "db.transaction(c, function() end) return 1") == Value(1));
}

TEST_CASE("db: what a task may not write, the server refuses", "[db][binding]") {
    DbMachine machine;
    CHECK(machine.error("local c = db.connect('sqlite::memory:', { access = 'write' }) "
                        "db.execute(c, 'create table t (a)')",
                        vm::Effect::reads) == "test.lua:1: db.execute is not allowed in this test");
    CHECK(machine.error("local c = db.connect('sqlite::memory:', { access = 'write' }) db.query(c, "
                        "'create table t (a)')",
                        vm::Effect::reads) ==
          "test.lua:1: sqlite::memory:: attempt to write a readonly database (8)");
}

TEST_CASE("db: versions compare by number, and counts by table", "[db][binding]") {
    DbMachine machine;
    CHECK(machine.run("local v = db.version\n"
                      "return { v '8.0.34' > v '8.0.9', v '8.0' == v '8.0.0', v '10.11.14-MariaDB' "
                      ">= v '10.6', "
                      "tostring(v '9.7.4'), v '15.20'.minor }") ==
          Value(List{true, true, true, "9.7.4", 20}));
    CHECK(machine.sqlite("db.script(c, 'create table a (x); create table \"b c\" (x); insert into "
                         "a values (1)')\n"
                         "local before = db.counts(c)\n"
                         "db.execute(c, 'insert into a values (2)')\n"
                         "local after = db.counts(c)\n"
                         "return { before.a, before['b c'], after.total, before:equals(after), "
                         "before:equals { a = 1, ['b c'] = 0 } }") ==
          Value(List{1, 0, 2, false, true}));
}

TEST_CASE("db: the connection's fields; the password stays secret", "[db][binding]") {
    DbMachine machine;
    lua_State* L = machine.state.L();
    machine.state.push_sandbox();
    lua_pushliteral(L, "target");
    bindings::push_connection(L, "mysql://app:hunter2222@db2/reline", "write", "target");
    CHECK(bindings::masked_url(L, -1) == "mysql://app:***@db2/reline");
    lua_rawset(L, -3);
    lua_pop(L, 1);
    CHECK(machine.run("return { target.engine, target.host, target.port, target.name, target.user, "
                      "tostring(target.password) }") ==
          Value(List{"mysql", "db2", 3306, "reline", "app", "***"}));
    setenv("RUNBOOK_RUN_TIME_PASSWORD", "from the environment", 1);
    bindings::push_connection(L, "mysql://app@db2/reline", "read", "run-time");
    unsetenv("RUNBOOK_RUN_TIME_PASSWORD");
    CHECK(bindings::masked_url(L, -1) == "mysql://app:***@db2/reline");
    lua_getglobal(L, "tostring");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    CHECK(std::string(lua_tostring(L, -1)) == "mysql://app:***@db2/reline");
    CHECK_THROWS_AS(bindings::push_connection(L, "mysql://h:x/d", "write", "target"), Error);
}

TEST_CASE("db: a connection of a parameter opens with its first statement", "[db][binding]") {
    auto given = url("RUNBOOK_LAB_PG_SCRATCH");
    if (!given)
        return;
    DbMachine machine;
    lua_State* L = machine.state.L();
    machine.state.push_sandbox();
    lua_pushliteral(L, "source");
    std::string text = std::getenv("RUNBOOK_LAB_PG_SCRATCH");
    auto at = text.find("://"), colon = text.find(':', at + 3), end = text.find('@');
    bindings::push_connection(L, text.substr(0, colon) + text.substr(end), "read", "source");
    lua_rawset(L, -3);
    lua_pop(L, 1);
    CHECK(
        machine.run(
            "local ok, err = pcall(db.value, source, 'select 1') return { err.kind, err.hint }") ==
        Value(List{"db.auth",
                   "set a password in the URL, in RUNBOOK_SOURCE_PASSWORD or in ~/.pgpass"}));
}

TEST_CASE("db: facts about the lab's servers", "[db][binding]") {
    for (const char* variable :
         {"RUNBOOK_LAB_PG_SCRATCH", "RUNBOOK_LAB_MYSQL_SCRATCH", "RUNBOOK_LAB_MARIADB_SCRATCH"}) {
        auto given = url(variable);
        if (!given)
            return;
        INFO(variable);
        DbMachine machine;
        std::string t = db::lab::unique("rb_facts");
        CHECK(
            machine.server(variable,
                           "db.execute(c, 'create table " + t +
                               " (id int primary key)')\n"
                               "local before = db.counts(c, { '" +
                               t +
                               "' })\n"
                               "db.execute(c, 'insert into " +
                               t +
                               " values (?), (?)', 1, 2)\n"
                               "local counts, there = db.counts(c, { '" +
                               t +
                               "' }), false\n"
                               "for _, name in ipairs(db.tables(c)) do there = there or name == '" +
                               t +
                               "' end\n"
                               "local grants = db.grants(c)\n"
                               "local result = { counts['" +
                               t +
                               "'], before:equals(counts), there, db.tls(c).cipher ~= nil,\n"
                               "  grants:covers 'ALL', grants:covers { 'select', 'INSERT' }, "
                               "grants:covers { 'SUPER ' },\n"
                               "  grants:equals { 'SELECT', on = c.name }, db.version(c) >= "
                               "db.version '8.0.34', #db.running(c, '1h') }\n"
                               "db.execute(c, 'drop table " +
                               t +
                               "')\n"
                               "return result") ==
            Value(List{2, false, true, true, true, true, false, false, true, 0}));
    }
}

TEST_CASE("db: a transaction of a cancelled task is rolled back, and its locks go",
          "[db][binding]") {
    auto given = url("RUNBOOK_LAB_PG_SCRATCH");
    if (!given)
        return;
    DbMachine machine;
    std::string t = db::lab::unique("rb_cancel");
    machine.server("RUNBOOK_LAB_PG_SCRATCH", "db.execute(c, 'create table " + t + " (a int)')");
    std::string text = std::getenv("RUNBOOK_LAB_PG_SCRATCH");
    std::string failed = machine.error("local c = db.connect('" + text +
                                       "', { access = 'write' })\n"
                                       "db.transaction(db.timeout(c, '200ms'), function(tx)\n"
                                       "  db.execute(tx, 'insert into " +
                                       t +
                                       " values (1)')\n"
                                       "  db.value(tx, 'select pg_sleep(30)')\n"
                                       "end)");
    CHECK(
        failed ==
        "test.lua:4: " + given->masked() +
            ": the statement took longer than its timeout and was cancelled in the server (57014)");
    CHECK(machine.server("RUNBOOK_LAB_PG_SCRATCH", "local n = db.value(c, 'select count(*) from " +
                                                       t +
                                                       "')\n"
                                                       "db.execute(c, 'drop table " +
                                                       t + "')\nreturn n") == Value(0));
    CHECK(machine.state.scheduler().pending() == 0);
}
