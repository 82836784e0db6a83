#include "tests/unit/db_lab.h"

#include <filesystem>
#include <future>
#include <limits>
#include <thread>

using namespace runbook;
using namespace runbook::db;

namespace {

struct Fixture {
    Fixture() {
        folder = std::filesystem::temp_directory_path() / lab::unique("rb_sqlite");
        std::filesystem::create_directories(folder);
        url = Url::parse("sqlite:" + (folder / "test.db").string());
        connection = lab::open(url);
    }
    ~Fixture() {
        connection.reset();
        std::filesystem::remove_all(folder);
    }
    Connection& operator*() { return *connection; }
    Connection* operator->() { return connection.get(); }

    std::filesystem::path folder;
    Url url;
    std::unique_ptr<Connection> connection;
};

// Counts up for minutes, and touches the progress handler all the while.
const char* endless =
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000000000) "
    "select count(*) from n";

} // namespace

TEST_CASE("SQLite: values both ways, by storage class and declared type", "[db][sqlite]") {
    Fixture db;
    lab::execute(*db, "create table t (b boolean, i integer, r real, d decimal(20,2), s text, o "
                      "blob, ts timestamp, "
                      "j json, untyped)");
    auto same = [&](const char* column, const Value& value) {
        INFO(column);
        lab::execute(*db, "delete from t");
        lab::execute(*db, std::string("insert into t (") + column + ") values (?)", {value});
        CHECK(lab::value(*db, std::string("select ") + column + " from t") == value);
    };
    for (const char* column : {"b", "i", "r", "d", "s", "o", "ts", "j", "untyped"})
        same(column, Null{});
    same("b", true);
    same("b", false);
    for (std::int64_t edge :
         {(1LL << 53) + 1, -(1LL << 53) - 1, std::numeric_limits<long long>::max(),
          std::numeric_limits<long long>::min()})
        same("i", edge);
    same("r", 0.1);
    same("s", "tab\t \xF0\x9F\x98\x80 '");
    same("s", "");
    same("o", Bytes{std::string("\0\xff", 2)});
    same("o", Bytes{""});
    same("ts", Timestamp{1795204804123456, 0});
    same("ts", "yesterday");
    same("untyped", "2026-11-20 00:00:00");
    lab::execute(*db, "delete from t");
    lab::execute(*db, "insert into t (j, s) values (?, ?)", {"{\"a\":[1,null]}", "{}"});
    CHECK(fetch_all(*db, "select j, s from t").front() ==
          Map{{"j", Map{{"a", List{1, Null{}}}}}, {"s", "{}"}});
    // Numeric affinity keeps what it can as a number; only text that no number can hold stays
    // exact.
    lab::execute(*db, "create table e (d decimal_text)");
    lab::execute(*db, "insert into e values (?)", {Decimal{"12345678901234567890.10"}});
    CHECK(lab::value(*db, "select typeof(d) from e") == Value("text"));
    CHECK(lab::value(*db, "select d from e") == Value(Decimal{"12345678901234567890.10"}));
}

TEST_CASE("SQLite: parameters and statements that are refused", "[db][sqlite]") {
    Fixture db;
    auto message = [&](const char* sql, std::vector<Value> params) {
        return lab::error_of([&] { lab::execute(*db, sql, params); }).message();
    };
    std::string at = db.url.masked() + ": ";
    CHECK(message("select ?", {List{}}) == "parameter 1: a table cannot be bound");
    CHECK(message("select ?, ?", {1}) == "the statement has 2 placeholders, but 1 value is given");
    CHECK(message("select 1; select 2", {}) == at + "there is a second statement after the first");
    CHECK(message(" -- nothing", {}) == at + "the statement is empty");
    CHECK(message("select nope", {}) == at + "no such column: nope (1)");
    CHECK(lab::value(*db, "select 1; -- the end") == Value(1));
}

TEST_CASE("SQLite: transactions, keys and scripts", "[db][sqlite]") {
    Fixture db;
    Cancel cancel;
    db->script("create table p (id integer primary key); create table c (p references p(id)); "
               "insert into p values (1);",
               cancel);
    CHECK(lab::error_of([&] { lab::execute(*db, "insert into c values (2)"); }).kind() ==
          "db.constraint");
    db->begin(cancel);
    auto executed = lab::execute(*db, "insert into p values (7)");
    CHECK(executed.rows_affected == 1);
    CHECK(executed.last_insert_id == 7);
    CHECK(db->in_transaction());
    db->rollback(cancel);
    CHECK(lab::value(*db, "select count(*) from p") == Value(1));
    db->begin(cancel);
    lab::execute(*db, "insert into p values (8)");
    db->commit(cancel);
    CHECK(lab::value(*db, "select count(*) from p") == Value(2));
    CHECK(lab::execute(*db, "create table q (a)").rows_affected == 0);
    CHECK(fetch_all(*db, "insert into q values (1), (2) returning a").size() == 2);
}

TEST_CASE("SQLite: a read-only session is refused writes", "[db][sqlite]") {
    Fixture db;
    lab::execute(*db, "create table t (a)");
    auto reader = lab::open(db.url, Access::read);
    Error error = lab::error_of([&] { lab::execute(*reader, "insert into t values (1)"); });
    CHECK(error.kind() == "db.read_only");
    CHECK(error.message() == db.url.masked() + ": attempt to write a readonly database (8)");
    lab::execute(*reader, "pragma query_only = off");
    CHECK(lab::error_of([&] { lab::execute(*reader, "insert into t values (1)"); }).kind() ==
          "db.read_only");
    Cancel cancel;
    CHECK(lab::error_of([&] { reader->set_read_only(false, cancel); }).kind() == "db.read_only");
    db->set_read_only(true, cancel);
    CHECK(lab::error_of([&] { lab::execute(*db, "insert into t values (1)"); }).kind() ==
          "db.read_only");
    db->set_read_only(false, cancel);
    CHECK(lab::execute(*db, "insert into t values (1)").rows_affected == 1);
    CHECK(db->server().identity == std::filesystem::canonical(db.folder / "test.db").string());
}

TEST_CASE("SQLite: files that cannot be opened", "[db][sqlite]") {
    Fixture db;
    Url missing = Url::parse("sqlite:" + (db.folder / "missing.db").string());
    Error error = lab::error_of([&] { lab::open(missing, Access::read); });
    CHECK(error.kind() == "db.connection");
    CHECK(error.message() == missing.masked() + ": unable to open database file (14)");
    CHECK(error.hint() == "there is no such file, and a read-only connection does not make one");
    CHECK_FALSE(std::filesystem::exists(missing.name));
    Url other = Url::parse("sqlite:/etc/passwd");
    CHECK(lab::error_of([&] { lab::open(other, Access::read); }).message() ==
          "sqlite:/etc/passwd: file is not a database (26)");
}

TEST_CASE("SQLite: cancel and timeout stop a statement", "[db][sqlite]") {
    Fixture db;
    Cancel cancel;
    auto work = std::async(std::launch::async, [&] {
        return lab::error_of([&] { db->execute(endless, {}, {}, cancel); });
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancel.request(Cancel::Reason::cancelled);
    REQUIRE(work.wait_for(std::chrono::seconds(1)) == std::future_status::ready);
    Error error = work.get();
    CHECK(error.kind() == "cancelled");
    CHECK(error.message() == db.url.masked() + ": the statement was cancelled");
    StatementOptions options;
    options.timeout = std::chrono::milliseconds(100);
    Cancel fresh;
    error = lab::error_of([&] { db->query(endless, {}, options, fresh)->next(fresh); });
    CHECK(error.kind() == "db.timeout");
    CHECK(lab::value(*db, "select 1") == Value(1));
}

TEST_CASE("SQLite: rows stream in batches; one result at a time", "[db][sqlite]") {
    Fixture db;
    Cancel cancel;
    {
        auto cursor = db->query(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) "
            "select i, 'x' || i as s from n",
            {}, {}, cancel);
        std::int64_t sum = 0;
        while (BatchPtr batch = cursor->next(cancel)) {
            CHECK(batch->rows() <= 1024);
            for (std::size_t row = 0; row < batch->rows(); ++row)
                sum += batch->cell(row, 0).integer;
        }
        CHECK(sum == 100000LL * 100001 / 2);
    }
    auto cursor = db->query("select 1 union all select 2", {}, {}, cancel);
    CHECK(lab::error_of([&] { lab::execute(*db, "select 1"); }).message() ==
          "the connection has a result that is still being read");
    cursor.reset();
    CHECK(lab::value(*db, "select 1") == Value(1));
}

TEST_CASE("SQLite: a locked file is waited for, and a cancel or a timeout ends the wait",
          "[db][sqlite]") {
    Fixture db;
    lab::execute(*db, "create table t (a)");
    auto other = lab::open(db.url);
    Cancel cancel, unused;
    other->begin(unused);
    auto work = std::async(std::launch::async, [&] {
        return lab::error_of([&] { db->execute("insert into t values (1)", {}, {}, cancel); });
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancel.request(Cancel::Reason::cancelled);
    REQUIRE(work.wait_for(std::chrono::seconds(1)) == std::future_status::ready);
    CHECK(work.get().kind() == "cancelled");
    StatementOptions options;
    options.timeout = std::chrono::milliseconds(100);
    CHECK(lab::error_of([&] {
              db->execute("insert into t values (1)", {}, options, unused);
          }).kind() == "db.timeout");
    Error error = lab::error_of([&] { lab::execute(*db, "insert into t values (1)"); });
    CHECK(error.kind() == "db.lock_timeout");
    CHECK(error.message() == db.url.masked() + ": database is locked (5)");
    CHECK(error.hint() == "another process holds the file's lock");
    other->rollback(unused);
    CHECK(lab::execute(*db, "insert into t values (1)").rows_affected == 1);
}
