// `verify` and `schema` as a playbook meets them.
#include "bindings/db.h"
#include "bindings/verify.h"
#include "tests/unit/db_lab.h"
#include "tests/unit/vm_fixture.h"

#include <filesystem>

using namespace runbook;

namespace {

/// A machine in an empty folder of its own, with the connections `a` and `b` to two SQLite files.
struct VerifyMachine : test::Machine {
    VerifyMachine() : before(std::filesystem::current_path()) {
        bindings::register_db(state, registry);
        bindings::register_verify(state, registry);
        bindings::register_schema(state, registry);
        folder = (std::filesystem::temp_directory_path() / "verifyXXXXXX").string();
        REQUIRE(mkdtemp(folder.data()));
        std::filesystem::current_path(folder);
    }
    ~VerifyMachine() {
        std::filesystem::current_path(before);
        std::filesystem::remove_all(folder);
    }
    std::string two(const std::string& code) {
        return "local a = db.connect('sqlite:a.db', { access = 'write' }) "
               "local b = db.connect('sqlite:b.db', { access = 'write' }) " +
               code;
    }
    std::filesystem::path before;
    std::string folder;
};

} // namespace

TEST_CASE("verify: every example in the declarations runs", "[verify][binding]") {
    VerifyMachine machine;
    for (const vm::AreaDoc& area : machine.registry.areas()) {
        if (area.name == "db")
            continue;
        for (const vm::FunctionDoc& function : area.functions) {
            INFO(area.name << "." << function.name);
            CHECK_FALSE(function.example.empty());
            CHECK_FALSE(function.doc.empty());
            CHECK(machine.error(function.example) == "no error");
        }
    }
    CHECK(machine.state.scheduler().pending() == 0);
}

TEST_CASE("verify: what a checkpoint asks of a result", "[verify][binding]") {
    VerifyMachine machine;
    machine.run(
        machine.two("for _, c in ipairs { a, b } do db.script(c, "
                    "\"create table t (id integer primary key, v text); insert into t values (1, "
                    "'x'), (2, 'y'); "
                    "create table u (id integer primary key); insert into u values (1)\") end "
                    "db.execute(b, \"update t set v = 'z' where id = 2\") db.execute(a, 'create "
                    "table gone (n int)')"));
    CHECK(machine.run(
              machine.two("local v = verify.database(a, b, { recheck_delay = '1ms', recheck = 1 }) "
                          "return { v.coverage < 1, v.mismatches, #v.unchecked, "
                          "v.unchecked[1].table, v.unsettled, "
                          "v.tables_seen:includes { 't', 'u' }, v.tables_seen:includes 'gone', "
                          "v.samples[1].text, "
                          "v.samples[1].columns[1].target, v.passed }")) ==
          Value(List{true, 1, 1, "gone", 0, true, false, "t 2: changed: v: source 'y', target 'z'",
                     "'z'", false}));
    CHECK(machine.run(machine.two("return verify.table(a, b, 'u').passed")) == Value(true));
    CHECK(machine.run(machine.two(
              "return verify.database(a, b, { exclude = 'gone', recheck = 0, values = false })"
              ".samples[1].text")) == Value("t 2: changed: v: source (hidden), target (hidden)"));
    CHECK(machine.run(machine.two(
              "local s = schema.compare(a, b) return { #s.missing, s.missing[1].kind, s.passed, "
              "s.indexes:has('t', 'PRIMARY', { unique = true, columns = { 'id' } }), "
              "s.indexes:has('t', 'nothing'), s.collations:only 'utf8mb4_bin' }")) ==
          Value(List{1, "table", false, true, false, false}));
}

TEST_CASE("verify: mistakes are named", "[verify][binding]") {
    VerifyMachine machine;
    CHECK(machine.error(machine.two("verify.database(a)")) ==
          "test.lua:1: verify.database: argument 2 'target': connection expected, got nil");
    CHECK(machine.error(machine.two("verify.database(a, b, { mod = 'full' })")) ==
          "test.lua:1: verify.database: argument 3 'options': unknown option 'mod' (did you mean "
          "'mode'?)");
    CHECK(machine.error(machine.two("verify.database(a, b, { mode = 'some' })")) ==
          "test.lua:1: verify: mode is \"full\", \"counts\" or \"sample\", not \"some\"");
    CHECK(machine.error(machine.two("verify.database(a, b, { zero_dates = 'skip' })")) ==
          "test.lua:1: option 'zero_dates': \"null\" expected, got \"skip\"");
    CHECK(machine.error("local m = db.connect 'sqlite::memory:' verify.database(m, m)") ==
          "test.lua:1: verify: a database in memory lives in the session that made it");
    CHECK(machine.error("verify.database(db.connect 'sqlite:no.db', db.connect 'sqlite:no.db')")
              .find("no.db") != std::string::npos);
}
