// Prepared statements on every engine: parsed once, run many times, ended with their session, never
// sent again in silence.
#include "bindings/db.h"
#include "runtime/base/worker.h"
#include "runtime/db/statement.h"
#include "tests/unit/db_fresh.h"
#include "tests/unit/vm_fixture.h"

#include <filesystem>

using namespace runbook;
using namespace runbook::db;
using lab::Fresh;
using lab::servers;

namespace {

Value first(Prepared& statement, std::vector<Value> params, Cancel& cancel) {
    auto cursor = statement.query(params, {}, cancel);
    Value found;
    bool any = false;
    while (BatchPtr batch = cursor->next(cancel)) {
        if (!std::exchange(any, true))
            found = batch->value(0, 0);
    }
    return found;
}

/// How many statements PostgreSQL holds for this session; how many the others have parsed for it.
std::int64_t parsed(Fresh& fresh, Connection& connection) {
    if (fresh.postgres())
        return *lab::value(connection, "select count(*) from pg_prepared_statements")
                    .get<std::int64_t>();
    return std::stoll(
        fetch_all(connection, "show session status like 'Com_stmt_prepare'").at(0).text("Value"));
}

} // namespace

TEST_CASE("a prepared statement is parsed once and run many times", "[db][prepared]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        auto session = lab::open(*fresh.url);
        const std::int64_t before = parsed(fresh, *session);
        Prepared& insert =
            prepare(*session, "insert into " + fresh.table + " values (?, ?)", cancel);
        for (int i = 1; i <= 5; ++i)
            CHECK(insert
                      .execute(std::vector<Value>{i, i == 3 ? Value(Null{}) : Value("v'")}, {},
                               cancel)
                      .rows_affected == 1);
        Prepared& read =
            prepare(*session, "select v from " + fresh.table + " where id = ?", cancel);
        CHECK(first(read, {2}, cancel) == Value("v'"));
        CHECK(first(read, {3}, cancel) == Value(Null{}));
        CHECK(first(read, {9}, cancel) == Value(Null{}));
        CHECK(parsed(fresh, *session) == before + 2);
        // An error of one run is no end of the statement.
        CHECK(lab::error_of([&] {
                  insert.execute(std::vector<Value>{1, "again"}, {}, cancel);
              }).kind() == "db.constraint");
        CHECK(insert.execute(std::vector<Value>{6, "six"}, {}, cancel).rows_affected == 1);
        CHECK(lab::error_of([&] { insert.execute({}, {}, cancel); }).message() ==
              "the statement has 2 placeholders, but 0 values are given");
        CHECK(lab::error_of([&] { prepare(*session, "selec 1", cancel); }).kind() == "db.syntax");
        // One result at a time; a result closed early is harmless, and so is a statement closed
        // under it.
        Prepared& all =
            prepare(*session, "select id, v from " + fresh.table + " order by id", cancel);
        StatementOptions two;
        two.batch_rows = 2;
        auto cursor = all.query({}, two, cancel);
        CHECK(cursor->next(cancel)->rows() == 2);
        CHECK(lab::error_of([&] {
                  insert.execute(std::vector<Value>{7, "x"}, {}, cancel);
              }).kind() == "usage");
        unprepare(*session, read);
        cursor.reset();
        CHECK(first(all, {}, cancel) == Value(1));
        session->begin(cancel);
        insert.execute(std::vector<Value>{8, "eight"}, {}, cancel);
        CHECK(all.query({}, two, cancel)->next(cancel)->rows() == 2); // closed in the transaction
        CHECK(session->in_transaction());
        session->rollback(cancel);
        CHECK(fresh.count() == Value(6));
        unprepare(*session, all);
        unprepare(*session, insert);
        if (fresh.postgres())
            CHECK(parsed(fresh, *session) == 0);
    }
}

TEST_CASE("SQLite: a prepared statement lets go of its locks, and sees a table change",
          "[db][prepared]") {
    const auto path = std::filesystem::temp_directory_path() / lab::unique("rb_prepared");
    {
        Cancel cancel;
        auto session = lab::open(Url::parse("sqlite:" + path.string()));
        lab::execute(*session, "create table t (a int, b text)");
        Prepared& insert = prepare(*session, "insert into t values (?, ?)", cancel);
        for (int i = 0; i < 5; ++i)
            CHECK(insert.execute(std::vector<Value>{i, "x"}, {}, cancel).rows_affected == 1);
        Prepared& all = prepare(*session, "select * from t", cancel);
        StatementOptions two;
        two.batch_rows = 2;
        {
            auto cursor = all.query({}, two, cancel);
            CHECK(cursor->next(cancel)->rows() == 2);
        }
        CHECK(first(all, {}, cancel) == Value(0));
        // Nobody is kept out by a statement that is not running.
        lab::execute(*lab::open(Url::parse("sqlite:" + path.string())),
                     "alter table t rename column b to c");
        CHECK(lab::error_of([&] { first(all, {}, cancel); }).hint() ==
              "a table has changed since: db.prepare makes a new one");
        Prepared& again = prepare(*session, "select * from t", cancel);
        CHECK(first(again, {}, cancel) == Value(0));
    }
    std::filesystem::remove(path);
}

TEST_CASE("PostgreSQL: values of a prepared statement mean what they mean elsewhere",
          "[db][prepared]") {
    Fresh fresh("RUNBOOK_LAB_PG_SCRATCH");
    if (!fresh)
        return;
    Cancel cancel;
    auto session = lab::open(*fresh.url);
    lab::execute(*session, "create temp table t (a timestamp, d date, z timestamptz, b bytea, n "
                           "numeric, l int[])");
    Prepared& insert = prepare(*session, "insert into t values (?, ?, ?, ?, ?, ?)", cancel);
    // 2026-11-20 23:30:00 at +02:00, 21:30 in UTC
    const Timestamp at{1'795'210'200'000'000, 7200};
    const std::vector<Value> row{
        at, at, at, Bytes{std::string("\0\xff\\", 3)}, Decimal{"0.10"}, List{1, Null{}, 3}};
    insert.execute(row, {}, cancel);
    lab::execute(*session, "insert into t values (?, ?, ?, ?, ?, ?::int[])", row);
    CHECK(lab::value(*session, "select count(*) from (select distinct * from t) x") == Value(1));
    Prepared& text = prepare(*session, "select ?::text", cancel);
    CHECK(lab::error_of([&] { first(text, {Bytes{"x"}}, cancel); }).message() ==
          "parameter 1: the statement takes no bytes there");
    // A table that changed under it, and a statement that something else closed.
    Prepared& all = prepare(*session, "select * from t", cancel);
    lab::execute(*session, "alter table t drop column l");
    Error changed = lab::error_of([&] { first(all, {}, cancel); });
    CHECK(changed.kind() == "db.error");
    CHECK(changed.hint() ==
          "a table has changed since the statement was prepared: db.prepare makes a new one");
    lab::execute(*session, "discard all");
    CHECK(lab::error_of([&] { first(text, {"x"}, cancel); }).hint() ==
          "something closed the statement in the server (DEALLOCATE, DISCARD, or a pooler): "
          "db.prepare makes a new one");
}

TEST_CASE("a read-only session refuses what was prepared to write", "[db][prepared]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        auto handle = std::make_shared<Handle>(*fresh.url, Access::write, "target");
        Statement insert(handle, "insert into " + fresh.table + " values (?, 'x')");
        insert.prepare(true, cancel);
        insert.use(true, cancel).execute(std::vector<Value>{1}, {}, cancel);
        CHECK(lab::error_of([&] {
                  insert.use(false, cancel).execute(std::vector<Value>{2}, {}, cancel);
              }).kind() == "db.read_only");
        CHECK(fresh.count() == Value(1));
        handle->close();
    }
}

TEST_CASE("a prepared statement ends with its session, and nothing is sent again",
          "[db][prepared]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        auto handle = std::make_shared<Handle>(*fresh.url, Access::write, "target");
        const std::string at = fresh.url->masked();
        auto insert =
            std::make_unique<Statement>(handle, "insert into " + fresh.table + " values (?, 'x')");
        auto run = [&](int id) {
            return insert->use(true, cancel).execute(std::vector<Value>{id}, {}, cancel);
        };
        run(1);
        fresh.end_session(fresh.session_id(handle->session(true, cancel)));
        Error lost = lab::error_of([&] { run(2); });
        CHECK(lost.kind() == "db.connection");
        CHECK(lost.in_doubt());
        Error ended = lab::error_of([&] { run(3); });
        CHECK(ended.kind() == "usage");
        CHECK(ended.message() == at + ": the prepared statement has ended with its session");
        CHECK(ended.hint() == "nothing was sent; db.prepare makes a new one in the new session");
        CHECK(fetch_value(handle->session(true, cancel), "select 7") == Value(7));
        CHECK(lab::error_of([&] { run(4); }).message() == ended.message());
        CHECK(fresh.count() == Value(1));
        insert->prepare(true, cancel);
        run(5);
        handle->close();
        CHECK(lab::error_of([&] { run(6); }).message() == ended.message());
        insert->close();
        CHECK(lab::error_of([&] { run(7); }).message() ==
              at + ": the prepared statement was closed");
        insert->close();
        insert.reset();
        CHECK(fresh.count() == Value(2));
    }
}

TEST_CASE("statements in a playbook: results, errors and the end of their connection",
          "[db][prepared][binding]") {
    test::Machine machine;
    bindings::register_db(machine.state, machine.registry);
    const std::string head = "local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                             "db.execute(c, 'create table t (a int, b text)')\n"
                             "local add = c:prepare 'insert into t values (?, ?)'\n";
    CHECK(machine.run(head +
                      "for i = 1, 3 do assert(add:execute(i, nil).rows_affected == 1) end\n"
                      "local all = db.prepare(c, 'select a, b from t where a >= ?')\n"
                      "local seen = 0\n"
                      "for row in all:rows(2) do seen = seen + row.a end\n"
                      "return { seen, #all:query(1), all:one(3).a, all:value(2), all.sql }") ==
          Value(List{5, 3, 3, 2, "select a, b from t where a >= ?"}));
    CHECK(machine.error(head + "add:close() add:close() add:execute(1, 2)") ==
          "test.lua:4: sqlite::memory:: the prepared statement was closed");
    CHECK(machine.error(head + "db.close(c) add:execute(1, 2)") ==
          "test.lua:4: sqlite::memory:: the prepared statement has ended with its session");
    CHECK(machine.error(head + "add:execute(1)") ==
          "test.lua:4: the statement has 2 placeholders, but 1 value is given");
    CHECK(machine.error(head + "db.prepare(c, 'select 1 as n union select 2'):one()") ==
          "test.lua:4: statement.one: the statement gave 2 rows");
    CHECK(machine.error(head + "return add.exceute") ==
          "test.lua:4: statement has no field 'exceute' (did you mean 'execute'?)");
    CHECK(
        machine.error(head + "statement.query(c)") ==
        "test.lua:4: statement.query: argument 1 'statement': statement expected, got connection");
    CHECK(machine.error(head + "add:execute(1, 2)", vm::Effect::reads).find("execute") !=
          std::string::npos);
    // A loop over one statement's rows is ended by the next statement, like db.rows.
    CHECK(machine.error(head + "add:execute(1, 'x')\n"
                               "local all = c:prepare 'select a from t'\n"
                               "for row in all:rows() do all:value() end") ==
          "test.lua:6: db.rows: another statement has taken the connection, so the result was "
          "closed");
    CHECK(machine.state.scheduler().pending() == 0);
}
