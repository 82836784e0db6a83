// What a session can do besides single statements, on real servers: savepoints, many rows at once,
// limits, notifications, pools; and that nothing is sent twice when the server goes away.
#include "runtime/base/worker.h"
#include "runtime/db/ask.h"
#include "runtime/db/insert.h"
#include "runtime/db/notify.h"
#include "runtime/db/pool.h"
#include "runtime/db/prepared.h"
#include "runtime/db/server.h"
#include "tests/unit/db_fresh.h"

#include <fmt/format.h>

#include <future>
#include <thread>

using namespace runbook;
using namespace runbook::db;

using lab::Fresh;
using lab::servers;

TEST_CASE("many rows go in whole or not at all", "[db][session]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        List rows;
        for (int i = 0; i < 2500; ++i)
            rows.emplace_back(i % 2 ? Map{{"id", i}, {"v", fmt::format("row ' {}", i)}}
                                    : Map{{"id", i}});
        CHECK(insert_rows(*fresh.admin, fresh.table, rows, {}, cancel) == 2500);
        CHECK(fresh.count() == Value(2500));
        CHECK(lab::value(*fresh.admin, "select v from " + fresh.table + " where id = 2499") ==
              Value("row ' 2499"));
        CHECK(lab::value(*fresh.admin, "select v from " + fresh.table + " where id = 2498") ==
              Value(Null{}));
        rows.clear();
        for (int i = 3000; i < 5000; ++i)
            rows.emplace_back(Map{{"id", i == 4999 ? 1 : i}});
        CHECK(lab::error_of([&] {
                  insert_rows(*fresh.admin, fresh.table, rows, {}, cancel);
              }).kind() == "db.constraint");
        CHECK(fresh.count() == Value(2500));
        CHECK_FALSE(fresh.admin->in_transaction());
        CHECK(lab::error_of([&] {
                  insert_rows(*fresh.admin, fresh.table, List{Map{{"id", 1}}, 7}, {}, cancel);
              }).message() == "row 2: table by column name expected, got integer");
        CHECK(insert_rows(*fresh.admin, fresh.table, List{}, {}, cancel) == 0);
    }
}

TEST_CASE("a limit on waiting for locks ends the wait in the server", "[db][session]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        lab::execute(*fresh.admin, "insert into " + fresh.table + " values (1, 'a')");
        fresh.admin->begin(cancel);
        lab::execute(*fresh.admin, "update " + fresh.table + " set v = 'b' where id = 1");
        auto handle = std::make_shared<Handle>(*fresh.url, Access::write, "target");
        auto limited = handle->with_lock_timeout(std::chrono::milliseconds(300));
        const std::string update = "update " + fresh.table + " set v = 'c' where id = 1";
        Error error =
            lab::error_of([&] { limited->session(true, cancel).execute(update, {}, {}, cancel); });
        CHECK(error.kind() == "db.lock_timeout");
        fresh.admin->rollback(cancel);
        CHECK(limited->session(true, cancel).execute(update, {}, {}, cancel).rows_affected == 1);
        // The same session without the limit has the server's own again.
        const char* shown = fresh.postgres() ? "select current_setting('lock_timeout')"
                                             : "select @@innodb_lock_wait_timeout";
        CHECK(fetch_value(handle->session(true, cancel), shown) ==
              (fresh.postgres() ? Value("0") : Value(50)));
        handle->close();
    }
    auto sqlite = std::make_shared<Handle>(Url::parse("sqlite::memory:"), Access::write, "target");
    CHECK(lab::error_of([&] { sqlite->with_lock_timeout(std::chrono::seconds(1)); }).kind() ==
          "db.unsupported");
}

TEST_CASE("PostgreSQL: notifications arrive, a wait ends, a lost session says so",
          "[db][session]") {
    Fresh fresh("RUNBOOK_LAB_PG_SCRATCH");
    if (!fresh)
        return;
    Cancel cancel;
    auto listener = lab::open(*fresh.url, Access::read);
    const std::string channel = fresh.table + " \"x\"";
    CHECK(lab::error_of([&] {
              next_notification(*listener, std::chrono::milliseconds(10), cancel);
          }).kind() == "usage");
    listen(*listener, channel, cancel);
    CHECK_FALSE(next_notification(*listener, std::chrono::milliseconds(50), cancel));
    auto waiting = std::async(std::launch::async, [&] {
        Cancel own;
        return next_notification(*listener, std::chrono::seconds(30), own);
    });
    notify(*fresh.admin, channel, "one", cancel);
    notify(*fresh.admin, channel, "two", cancel);
    auto first = waiting.get();
    REQUIRE(first);
    CHECK(first->channel == channel);
    CHECK(first->payload == "one");
    CHECK(Value(first->pid) == fresh.session_id(*fresh.admin));
    CHECK(next_notification(*listener, std::chrono::seconds(30), cancel)->payload == "two");
    // A cancel, and the end of the session, end the wait.
    Cancel stop;
    auto stopped = std::async(std::launch::async, [&] {
        return lab::error_of([&] { next_notification(*listener, std::chrono::minutes(5), stop); });
    });
    stop.request(Cancel::Reason::cancelled);
    CHECK(stopped.get().kind() == "cancelled");
    const Value pid = fresh.session_id(*listener);
    auto lost = std::async(std::launch::async, [&] {
        Cancel own;
        return lab::error_of([&] { next_notification(*listener, std::chrono::minutes(5), own); });
    });
    fresh.end_session(pid);
    Error error = lost.get();
    CHECK(error.kind() == "db.connection");
    CHECK_FALSE(listener->alive());
    CHECK(lab::error_of([&] {
              listen(*lab::open(Url::parse("sqlite::memory:")), "x", cancel);
          }).kind() == "db.unsupported");
}

TEST_CASE("a pool lends no more than it has, in turn, and takes back what is lost",
          "[db][session]") {
    Handle like(Url::parse("sqlite::memory:"), Access::write, "target");
    auto pool = std::make_shared<Pool>(like, 2);
    Cancel cancel;
    auto first = pool->take(cancel), second = pool->take(cancel);
    CHECK(first.get() != second.get());
    CHECK(pool->used() == 2);
    auto third = std::async(std::launch::async, [&] {
        Cancel own;
        return pool->take(own);
    });
    CHECK(third.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
    Handle* given = first.get();
    pool->give(first);
    CHECK(third.get().get() == given);
    // The lease of the third is gone with its future; giving the first back again changes nothing.
    CHECK(pool->used() == 1);
    auto fourth = pool->take(cancel);
    pool->give(first);
    CHECK(pool->used() == 2);
    Cancel stop;
    auto waiting =
        std::async(std::launch::async, [&] { return lab::error_of([&] { pool->take(stop); }); });
    stop.request(Cancel::Reason::timeout);
    CHECK(waiting.get().kind() == "timeout");
    fourth.reset();
    CHECK(pool->used() == 1);
    CHECK(pool->take(cancel));
}

TEST_CASE("a server that goes away in the middle of a call: an error, and nothing sent twice",
          "[db][session][lost]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        // A write that is under way when its session is ended; the session sleeps in it.
        const std::string insert =
            fresh.postgres() ? "insert into " + fresh.table + " select 1, pg_sleep(30)::text"
                             : "insert into " + fresh.table + " select 1, sleep(30)";
        const std::string query =
            fresh.postgres() ? "select 1, pg_sleep(30)" : "select 1, sleep(30) from " + fresh.table;
        lab::execute(*fresh.admin, "insert into " + fresh.table + " values (100, 'x')");
        using Call = std::function<void(Handle&, Cancel&)>;
        const std::pair<const char*, Call> calls[] = {
            {"execute",
             [&](Handle& handle, Cancel& cancel) {
                 handle.session(true, cancel).execute(insert, {}, {}, cancel);
             }},
            {"query",
             [&](Handle& handle, Cancel& cancel) {
                 auto cursor = handle.session(true, cancel).query(query, {}, {}, cancel);
                 while (cursor->next(cancel)) {
                 }
             }},
            {"script",
             [&](Handle& handle, Cancel& cancel) {
                 handle.session(true, cancel).script(insert, cancel);
             }},
            {"transaction",
             [&](Handle& handle, Cancel& cancel) {
                 handle.begin(true, cancel);
                 handle.session(true, cancel).execute(insert, {}, {}, cancel);
                 handle.commit(cancel);
             }},
            {"prepared",
             [&](Handle& handle, Cancel& cancel) {
                 Connection& session = handle.session(true, cancel);
                 prepare(session, insert, cancel).execute({}, {}, cancel);
             }},
            {"insert",
             [&](Handle& handle, Cancel& cancel) {
                 // Waits for the row that another session has written and not committed.
                 List rows;
                 for (int i = 2000; i < 5000; ++i)
                     rows.emplace_back(Map{{"id", i}});
                 insert_rows(handle.session(true, cancel), fresh.table, rows, {}, cancel);
             }},
        };
        auto blocker = lab::open(*fresh.url);
        Cancel unstoppable;
        blocker->begin(unstoppable);
        lab::execute(*blocker, "insert into " + fresh.table + " values (4000, 'mine')");
        for (const auto& [name, call] : calls) {
            INFO(name);
            Handle handle(*fresh.url, Access::write, "target");
            Cancel cancel;
            const Value id = fresh.session_id(handle.session(true, cancel));
            auto work = std::async(std::launch::async, [&, &call = call] {
                Cancel own;
                return lab::error_of([&] { call(handle, own); });
            });
            while (!fresh.runs(id, fresh.table))
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            fresh.end_session(id);
            REQUIRE(work.wait_for(std::chrono::seconds(15)) == std::future_status::ready);
            Error error = work.get();
            CHECK(error.kind() == "db.connection");
            CHECK(error.message().find("the connection was lost") != std::string::npos);
            // Written outside of a transaction, nobody knows whether it is there; elsewhere it is
            // not.
            CHECK(error.in_doubt() ==
                  (std::string(name) == "execute" || std::string(name) == "script" ||
                   std::string(name) == "prepared"));
            // MySQL ends the sleep first and may still commit: in doubt, but never there twice.
            const std::int64_t more = *fresh.count().get<std::int64_t>() - 1;
            CHECK((more == 0 || (more == 1 && error.in_doubt() && !fresh.postgres())));
            lab::execute(*fresh.admin, "delete from " + fresh.table + " where id = 1");
            CHECK_FALSE(fresh.runs(id, fresh.table));
            if (std::string(name) == "transaction") { // refused until the transaction is ended
                CHECK(lab::error_of([&] { handle.session(true, cancel); }).kind() ==
                      "db.connection");
                handle.rollback(cancel);
            }
            // The next statement opens a new session.
            CHECK(fetch_value(handle.session(true, cancel), "select 7") == Value(7));
            CHECK(fresh.session_id(handle.session(true, cancel)) != id);
            handle.close();
        }
        blocker->rollback(unstoppable);
    }
}

TEST_CASE("a server that goes away while rows are read: an error, and the rows before it",
          "[db][session][lost]") {
    for (const char* variable : servers) {
        for (const bool as_prepared : {false, true}) {
            INFO(variable << (as_prepared ? ", prepared" : ""));
            Fresh fresh(variable);
            if (!fresh)
                return;
            Cancel cancel;
            // More than what fits into the buffers between the server and its reader.
            const std::string sql =
                fresh.postgres()
                    ? "select g, repeat('x', 1000) as x from generate_series(1, 100000) g"
                    : "select 1 as g, repeat('x', 1000) as x from information_schema.collations "
                      "a, information_schema.collations b";
            auto session = lab::open(*fresh.url);
            const Value id = fresh.session_id(*session);
            auto cursor = as_prepared ? prepare(*session, sql, cancel).query({}, {}, cancel)
                                      : session->query(sql, {}, {}, cancel);
            REQUIRE(cursor->next(cancel)->rows() > 0);
            fresh.end_session(id);
            Error error = lab::error_of([&] {
                while (cursor->next(cancel)) {
                }
            });
            INFO(error.message());
            CHECK(error.kind() == "db.connection");
            CHECK_FALSE(error.in_doubt());
            CHECK_FALSE(session->alive());
            cursor.reset();
        }
    }
}

TEST_CASE("another session's statement is cancelled by its number", "[db][session]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        auto other = lab::open(*fresh.url);
        const Value id = fresh.session_id(*other);
        lab::execute(*fresh.admin, "insert into " + fresh.table + " values (1, 'x')");
        const std::string sql =
            fresh.postgres() ? "select pg_sleep(30)"
                             : "select count(*) as sleep_30 from information_schema.collations "
                               "a, information_schema.collations b, "
                               "information_schema.collations c, "
                               "information_schema.collations d";
        auto work = std::async(std::launch::async,
                               [&] { return lab::error_of([&] { lab::value(*other, sql); }); });
        while (!fresh.runs(id, fresh.postgres() ? "pg_sleep(30)" : "sleep_30"))
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        Cancel cancel;
        CHECK(cancel_statement(*fresh.admin, *id.get<std::int64_t>(), cancel));
        Error error = work.get();
        CHECK(error.kind() == "db.cancelled");
        CHECK(other->alive());
        CHECK_FALSE(cancel_statement(*fresh.admin, 2'000'000'000, cancel));
    }
}

TEST_CASE("what a server tells of itself", "[db][session]") {
    for (const char* variable : servers) {
        INFO(variable);
        Fresh fresh(variable);
        if (!fresh)
            return;
        Cancel cancel;
        const Map disk = disk_of(*fresh.admin, cancel);
        CHECK(disk.integer("bytes") > 0);
        CHECK(disk.number("free_ratio") > 0);
        CHECK(disk.number("free_ratio") < 1);
        const Map archive = archiving_of(*fresh.admin, cancel);
        CHECK(archive.boolean("healthy") == !fresh.postgres()); // archive_mode is off in the lab
        CHECK(archive.text("why") == (fresh.postgres() ? "archive_mode is off" : ""));
        const std::string child = fresh.table + "_child";
        if (fresh.postgres()) {
            lab::execute(*fresh.admin, "create table " + child + " (id int, parent int)");
            lab::execute(*fresh.admin, "insert into " + child + " values (1, 7), (2, null)");
            lab::execute(*fresh.admin, "alter table " + child +
                                           " add foreign key (parent) references " + fresh.table +
                                           " not valid");
        } else {
            lab::execute(*fresh.admin,
                         "create table " + child +
                             " (id int, parent int, foreign key (parent) references " +
                             fresh.table + " (id))");
            lab::execute(*fresh.admin, "set foreign_key_checks = 0");
            lab::execute(*fresh.admin, "insert into " + child + " values (1, 7), (2, null)");
            lab::execute(*fresh.admin, "set foreign_key_checks = 1");
        }
        const Map facts = facts_of(*fresh.admin, cancel);
        CHECK(facts.integer("orphans") == 1);
        CHECK(facts.integer("unvalidated") == (fresh.postgres() ? 1 : 0));
        CHECK(facts.integer("sessions") > 0);
        CHECK(facts.integer("most_sessions") > facts.integer("sessions"));
        lab::execute(*fresh.admin, "drop table " + child);
    }
}
