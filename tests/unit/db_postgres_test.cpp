#include "tests/unit/db_lab.h"

#include "runtime/base/redact.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmath>
#include <future>
#include <limits>
#include <thread>

using namespace runbook;
using namespace runbook::db;

namespace {

/// A schema of the test's own on the lab's scratch database.
struct Fixture {
    explicit Fixture(Access access = Access::write) : url(lab::url("RUNBOOK_LAB_PG_SCRATCH")) {
        if (!url)
            return;
        schema = lab::unique("rb_db");
        admin = lab::open(*url);
        lab::execute(*admin, "create schema " + schema);
        connection = lab::open(*url, access);
        lab::execute(*connection, "set search_path to " + schema);
    }
    ~Fixture() {
        connection.reset();
        if (admin)
            lab::execute(*admin, "drop schema " + schema + " cascade");
    }
    explicit operator bool() const { return connection != nullptr; }
    Connection& operator*() { return *connection; }
    Connection* operator->() { return connection.get(); }

    std::optional<Url> url;
    std::string schema;
    std::unique_ptr<Connection> admin, connection;
};

/// True while the server's own activity table says that the session `pid` runs a statement.
/// Each question is a transaction of its own, so it sees the table as it is.
bool running(Connection& admin, const Value& pid) {
    return lab::value(admin,
                      "select count(*) from pg_stat_activity where pid = ? and state = 'active'",
                      {pid}) == Value(1);
}

Value roundtrip(Connection& connection, const std::string& type, const Value& value) {
    return lab::value(connection, "select cast(? as " + type + ")", {value});
}

} // namespace

TEST_CASE("PostgreSQL: who the server is", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    CHECK(pg->server().flavour == Flavour::postgresql);
    CHECK(pg->server().major >= 13);
    CHECK_FALSE(pg->server().identity.empty());
    CHECK(pg->server().identity == pg.admin->server().identity);
    CHECK_FALSE(pg->server().tls_cipher.empty());
    CHECK(pg->alive());
    CHECK(pg->quote_name("a\"b") == "\"a\"\"b\"");
}

TEST_CASE("PostgreSQL: every type both ways", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    auto same = [&](const std::string& type, const Value& value) {
        INFO(type);
        CHECK(roundtrip(*pg, type, value) == value);
        CHECK(roundtrip(*pg, type, Null{}) == Value(Null{}));
    };
    same("bool", true);
    same("bool", false);
    same("int2", -32768);
    same("int4", 2147483647);
    for (std::int64_t edge :
         {(1LL << 53) - 1, 1LL << 53, (1LL << 53) + 1, -(1LL << 53) - 1,
          std::numeric_limits<long long>::max(), std::numeric_limits<long long>::min()})
        same("int8", edge);
    same("float8", 0.1);
    same("float8", 1e-300);
    same("float8", std::numeric_limits<double>::infinity());
    same("float4", 0.5);
    same("numeric",
         Decimal{"12345678901234567890123456789012345678901234567890.000000000000000000010"});
    same("numeric", Decimal{"-0.50"});
    same("numeric", Decimal{"9223372036854775808"});
    same("text", "line\n\ttab \\ ' \" \xF0\x9F\x98\x80 \\N");
    same("text", "");
    same("varchar(3)", "abc");
    same("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    same("date", "2026-11-20");
    same("interval", "1 day 02:03:04");
    same("inet", "10.0.0.1/8");
    same("timestamptz", Timestamp{1795204804123456, 0});
    same("timestamp", Timestamp{1795204804000000, std::nullopt});
    same("timestamptz", "infinity");
    same("bytea", Bytes{std::string("\0\x01\xff\\x'\n", 7)});
    same("bytea", Bytes{""});
    same("int8[]", List{1, Null{}, 3});
    same("text[]", List{"a,b", "", "NULL", Null{}, "q\"\\"});
    same("numeric[]", List{Decimal{"1.50"}});
    same("timestamptz[]", List{Timestamp{0, 0}});
    same("bool[]", List{List{true, false}, List{false, true}});
    same("bytea[]", List{Bytes{std::string("\0a", 2)}});
    CHECK(roundtrip(*pg, "jsonb", "{\"a\": [1, null, \"x\"]}") ==
          Value(Map{{"a", List{1, Null{}, "x"}}}));
    CHECK(std::isnan(*roundtrip(*pg, "numeric", "NaN").get<double>()));
    // Bound as they are, without a cast around them.
    CHECK(lab::value(*pg, "select ?", {true}) == Value(true));
    CHECK(lab::value(*pg, "select ?", {7}) == Value(7));
    CHECK(lab::value(*pg, "select ? + 1", {1LL << 53}) == Value((1LL << 53) + 1));
    CHECK(lab::value(*pg, "select ?", {1.5}) == Value(1.5));
    CHECK(lab::value(*pg, "select ?", {"x"}) == Value("x"));
    CHECK(lab::value(*pg, "select ?", {Decimal{"1.50"}}) == Value(Decimal{"1.50"}));
    CHECK(lab::value(*pg, "select ?", {make_secret("opened", "env:X")}) == Value("opened"));
}

TEST_CASE("PostgreSQL: types that are not built in", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    lab::execute(*pg, "create type mood as enum ('sad', 'glad')");
    CHECK(lab::value(*pg, "select cast(? as mood)", {"sad"}) == Value("sad"));
    CHECK(lab::value(*pg, "select array['sad','glad']::mood[]") == Value(List{"sad", "glad"}));
    Cancel cancel;
    auto cursor = pg->query("select 'sad'::mood as m, 1::int8 as n", {}, {}, cancel);
    CHECK(cursor->columns()[0].type == "mood");
    CHECK(cursor->columns()[1].type == "int8");
    CHECK(cursor->columns()[1].name == "n");
}

TEST_CASE("PostgreSQL: parameters that cannot be bound", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    auto message = [&](const char* sql, std::vector<Value> params) {
        return lab::error_of([&] { lab::value(*pg, sql, params); }).message();
    };
    CHECK(message("select ?, ?", {1, Map{}}) == "parameter 2: a table cannot be bound");
    CHECK(message("select ?", {}) == "the statement has 1 placeholder, but 0 values are given");
    CHECK(message("select $2::int, $1::int", {1}) ==
          "the statement has 2 placeholders, but 1 value is given");
    CHECK(message("select ?", {std::string("a\0b", 3)}) ==
          "parameter 1: PostgreSQL's text cannot hold a zero byte");
    CHECK(message("select ?", {Opaque{"connection prod"}}) ==
          "parameter 1: a value of type opaque cannot be bound");
    CHECK(lab::value(*pg, "select '; drop table x --' = ?", {"; drop table x --"}) == Value(true));
}

TEST_CASE("PostgreSQL: statements, rows affected, notices", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    lab::execute(*pg, "create table t (id int primary key, note text)");
    CHECK(lab::execute(*pg, "insert into t select g, null from generate_series(1, 5) g")
              .rows_affected == 5);
    CHECK(lab::execute(*pg, "update t set note = ? where id > ?", {"x", 3}).rows_affected == 2);
    auto executed = lab::execute(*pg, "drop table if exists nothing_here");
    REQUIRE(executed.warnings.size() == 1);
    CHECK(executed.warnings[0] == "notice: table \"nothing_here\" does not exist, skipping");
    CHECK(fetch_all(*pg, "insert into t values (9, 'nine'), (10, null) returning id, note") ==
          std::vector<Map>{Map{{"id", 9}, {"note", "nine"}}, Map{{"id", 10}, {"note", Null{}}}});
    CHECK(fetch_all(*pg, "select 1 where false").empty());
    Cancel cancel;
    pg->script("create table u (a int); insert into u values (1), (2); -- done\n", cancel);
    CHECK(lab::value(*pg, "select count(*) from u") == Value(2));
    std::vector<Value> params{1};
    auto error = lab::error_of([&] { pg->script("copy u from stdin", cancel); });
    CHECK(error.kind() == "db.unsupported");
    CHECK(lab::value(*pg, "select 1") == Value(1));
    CHECK(lab::value(*pg, "show server_encoding") == Value("UTF8"));
}

TEST_CASE("PostgreSQL: errors and their kinds", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    std::string at = pg->url().masked() + ": ";
    lab::execute(*pg, "create table t (id int primary key)");
    lab::execute(*pg, "insert into t values (1)");
    auto failed = [&](const char* sql, const std::string& kind, const std::string& message) {
        Error error = lab::error_of([&] { lab::value(*pg, sql); });
        CHECK(error.kind() == kind);
        CHECK(error.message() == at + message);
        CHECK_FALSE(error.in_doubt());
    };
    failed("insert into t values (1)", "db.constraint",
           "duplicate key value violates unique constraint \"t_pkey\": Key (id)=(1) already exists "
           "(23505)");
    failed("select nope from t", "db.syntax",
           "column \"nope\" does not exist at character 8 (42703)");
    failed("selec 1", "db.syntax", "syntax error at or near \"selec\" at character 1 (42601)");
    failed("select 1 / 0", "db.error", "division by zero (22012)");
    failed("select 1; select 2", "db.syntax",
           "cannot insert multiple commands into a prepared statement (42601)");
    CHECK(lab::value(*pg, "select 1") == Value(1));
    CHECK_FALSE(pg->in_transaction());
}

TEST_CASE("PostgreSQL: transactions", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    Cancel cancel;
    lab::execute(*pg, "create table t (id int primary key)");
    pg->begin(cancel);
    CHECK(pg->in_transaction());
    lab::execute(*pg, "insert into t values (1)");
    CHECK(lab::value(*pg, "select count(*) from t") == Value(1));
    CHECK(pg->in_transaction());
    pg->rollback(cancel);
    CHECK_FALSE(pg->in_transaction());
    CHECK(lab::value(*pg, "select count(*) from t") == Value(0));
    pg->begin(cancel);
    lab::execute(*pg, "insert into t values (2)");
    pg->commit(cancel);
    CHECK(lab::value(*pg, "select id from t") == Value(2));
    pg->begin(cancel);
    lab::error_of([&] { lab::execute(*pg, "insert into t values (2)"); });
    Error error = lab::error_of([&] { pg->commit(cancel); });
    CHECK(error.message() ==
          pg->url().masked() +
              ": a statement of the transaction had failed, so it was rolled back");
    CHECK_FALSE(error.in_doubt());
    CHECK(lab::error_of([&] { pg->commit(cancel); }).message() ==
          "the connection is not in a transaction");
}

TEST_CASE("PostgreSQL: a read-only session is refused writes by the server", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    lab::execute(*pg, "create table t (id int)");
    auto reader = lab::open(*pg.url, Access::read);
    std::string insert = "insert into " + pg.schema + ".t values (1)";
    CHECK(lab::error_of([&] { lab::execute(*reader, insert); }).kind() == "db.read_only");
    CHECK(lab::error_of([&] { lab::value(*reader, insert + " returning id"); }).kind() ==
          "db.read_only");
    for (const char* sql :
         {"set default_transaction_read_only = off", "begin read write",
          "START TRANSACTION READ /* or */ WRITE", "set transaction read write",
          "set session characteristics as transaction read write", "reset all", "discard all",
          "select set_config('default_transaction_' || 'read_only', 'off', false)"}) {
        INFO(sql);
        Cancel none;
        const std::string message =
            reader->url().masked() + ": the session is read-only and stays so";
        CHECK(lab::error_of([&] { lab::execute(*reader, sql); }).message() == message);
        CHECK(lab::error_of([&] { lab::value(*reader, sql); }).message() == message);
        CHECK(lab::error_of([&] { lab::execute(*reader, insert); }).kind() == "db.read_only");
        if (std::string_view(sql).find("write") != std::string_view::npos)
            CHECK(lab::error_of([&] {
                      reader->script(std::string("select 1; ") + sql, none);
                  }).message() == message);
    }
    {
        Cancel none;
        reader->begin(none);
        CHECK(lab::error_of([&] { lab::execute(*reader, "set transaction read write"); }).kind() ==
              "db.read_only");
        reader->rollback(none);
    }
    CHECK(lab::value(*reader, "show transaction_read_only") == Value("on"));
    CHECK(lab::error_of([&] { lab::execute(*reader, insert); }).kind() == "db.read_only");
    Cancel cancel;
    CHECK(lab::error_of([&] { reader->set_read_only(false, cancel); }).kind() == "db.read_only");
    CHECK(lab::value(*pg, "select count(*) from t") == Value(0));
    pg->set_read_only(true, cancel);
    CHECK(lab::error_of([&] { lab::execute(*pg, "insert into t values (1)"); }).kind() ==
          "db.read_only");
    pg->set_read_only(false, cancel);
    CHECK(lab::execute(*pg, "insert into t values (1)").rows_affected == 1);
}

TEST_CASE("PostgreSQL: rows stream in bounded memory", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    auto peak = [] {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_maxrss;
    };
    Cancel cancel;
    long before = peak();
    auto cursor =
        pg->query("select g, repeat('x', 1000) from generate_series(1, 100000) g", {}, {}, cancel);
    std::int64_t sum = 0, rows = 0;
    while (BatchPtr batch = cursor->next(cancel)) {
        CHECK(batch->rows() <= 1024);
        for (std::size_t row = 0; row < batch->rows(); ++row) {
            sum += batch->cell(row, 0).integer;
            rows += batch->cell(row, 1).text.size() == 1000;
        }
    }
    CHECK(rows == 100000);
    CHECK(sum == 100000LL * 100001 / 2);
    CHECK((lab::sanitized || peak() - before < 32 * 1024)); // KiB; the result is 100 MB
    CHECK_FALSE(pg->in_transaction());
}

TEST_CASE("PostgreSQL: one result at a time, closed early without harm", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    Cancel cancel;
    {
        auto cursor = pg->query("select g from generate_series(1, 100000) g", {}, {}, cancel);
        CHECK(cursor->next(cancel));
        CHECK_FALSE(pg->in_transaction());
        Error error = lab::error_of([&] { lab::execute(*pg, "select 1"); });
        CHECK(error.kind() == "usage");
        CHECK(error.message() == "the connection has a result that is still being read");
    }
    CHECK(lab::value(*pg, "select 1") == Value(1));
    lab::execute(*pg, "create table t (id int)");
    {
        auto cursor = pg->query(
            "insert into t select g from generate_series(1, 5000) g returning id", {}, {}, cancel);
        CHECK(cursor->next(cancel)->rows() == 1024);
    }
    CHECK(lab::value(*pg, "select count(*) from t") == Value(5000));
    pg->begin(cancel);
    {
        auto cursor = pg->query("select id from t", {}, {}, cancel);
        CHECK(cursor->next(cancel)->rows() > 0);
    }
    CHECK(pg->in_transaction());
    lab::execute(*pg, "delete from t");
    pg->commit(cancel);
    CHECK(lab::value(*pg, "select count(*) from t") == Value(0));
}

TEST_CASE("PostgreSQL: a cancel reaches the server within a second", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    for (bool as_query : {false, true}) {
        Value pid = lab::value(*pg, "select pg_backend_pid()");
        std::string sql = "select pg_sleep(60)";
        Cancel cancel;
        auto work = std::async(std::launch::async, [&] {
            return lab::error_of([&] {
                if (as_query)
                    pg->query(sql, {}, {}, cancel);
                else
                    pg->execute(sql, {}, {}, cancel);
            });
        });
        // Asleep for sure: the statement itself, not what the session says before it. Each
        // question is a transaction of its own, so it sees the activity as it is.
        while (lab::value(*pg.admin,
                          "select count(*) from pg_stat_activity where pid = ? and state = "
                          "'active' and wait_event = 'PgSleep'",
                          {pid}) != Value(1))
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        double took = lab::seconds([&] {
            cancel.request(Cancel::Reason::cancelled);
            work.wait();
        });
        Error error = work.get();
        CHECK(took < 1.0);
        CHECK(error.kind() == "cancelled");
        CHECK(error.message() ==
              pg->url().masked() + ": the statement was cancelled in the server (57014)");
        CHECK_FALSE(error.in_doubt());
        CHECK_FALSE(running(*pg.admin, pid));
        CHECK(pg->alive());
        CHECK(lab::value(*pg, "select 1") == Value(1));
    }
}

TEST_CASE("PostgreSQL: a cancel before the statement sends nothing", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    lab::execute(*pg, "create table t (id int)");
    Cancel cancel;
    cancel.request(Cancel::Reason::timeout);
    Error error = lab::error_of([&] { pg->execute("insert into t values (1)", {}, {}, cancel); });
    CHECK(error.kind() == "timeout");
    CHECK(lab::value(*pg, "select count(*) from t") == Value(0));
}

TEST_CASE("PostgreSQL: a statement timeout ends the statement in the server", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    Value pid = lab::value(*pg, "select pg_backend_pid()");
    Cancel cancel;
    StatementOptions options;
    options.timeout = std::chrono::milliseconds(200);
    Error error = lab::error_of([&] { pg->execute("select pg_sleep(60)", {}, options, cancel); });
    CHECK(error.kind() == "db.timeout");
    CHECK(error.sqlstate() == "57014");
    CHECK_FALSE(running(*pg.admin, pid));
    CHECK(lab::value(*pg, "show statement_timeout") == Value("0"));
    // A timeout set inside a transaction that is rolled back is not believed afterwards.
    pg->begin(cancel);
    options.timeout = std::chrono::milliseconds(5000);
    pg->execute("select 1", {}, options, cancel);
    pg->rollback(cancel);
    options.timeout = std::chrono::milliseconds(5000);
    auto cursor = pg->query("show statement_timeout", {}, options, cancel);
    CHECK(cursor->next(cancel)->value(0, 0) == Value("5s"));
}

TEST_CASE("PostgreSQL: a lost session stays lost, and says what is open", "[db][postgres]") {
    Fixture pg;
    if (!pg)
        return;
    lab::execute(*pg, "create table t (id int)");
    auto backend = [&] { return lab::value(*pg, "select pg_backend_pid()"); };
    auto kill = [&](const Value& pid) {
        lab::value(*pg.admin, "select pg_terminate_backend(?, 5000)", {pid});
    };
    auto reopen = [&] {
        pg.connection = lab::open(*pg.url);
        lab::execute(*pg, "set search_path to " + pg.schema);
    };
    Cancel cancel;
    SECTION("a read") {
        kill(backend());
        Error error = lab::error_of([&] { lab::value(*pg, "select 1"); });
        CHECK(error.kind() == "db.connection");
        CHECK_FALSE(error.in_doubt());
        CHECK_FALSE(pg->alive());
        error = lab::error_of([&] { lab::value(*pg, "select 1"); });
        CHECK(error.message() == pg->url().masked() + ": the connection was lost: it is closed");
    }
    SECTION("a write outside a transaction is in doubt") {
        kill(backend());
        Error error = lab::error_of([&] { lab::execute(*pg, "insert into t values (1)"); });
        CHECK(error.kind() == "db.connection");
        CHECK(error.in_doubt());
        reopen();
        CHECK(lab::value(*pg, "select count(*) from t") == Value(0));
    }
    SECTION("a write inside a transaction is gone; a commit is in doubt") {
        Value pid = backend();
        pg->begin(cancel);
        lab::execute(*pg, "insert into t values (1)");
        kill(pid);
        Error error = lab::error_of([&] { pg->commit(cancel); });
        CHECK(error.kind() == "db.connection");
        CHECK(error.in_doubt());
        reopen();
        pid = backend();
        pg->begin(cancel);
        kill(pid);
        error = lab::error_of([&] { lab::execute(*pg, "insert into t values (1)"); });
        CHECK(error.kind() == "db.connection");
        CHECK_FALSE(error.in_doubt());
        CHECK_FALSE(pg->in_transaction());
    }
}

TEST_CASE("PostgreSQL: connections that are refused", "[db][postgres]") {
    auto given = lab::url("RUNBOOK_LAB_PG_SCRATCH");
    if (!given)
        return;
    Url url = *given;
    auto refused = [&] { return lab::error_of([&] { lab::open(url); }); };
    SECTION("a wrong password") {
        url.password = make_secret("wrong password", "url");
        Error error = refused();
        CHECK(error.kind() == "db.auth");
        CHECK(error.message() == url.masked() + ": password authentication failed for user \"" +
                                     url.user + "\" (28P01)");
    }
    SECTION("no password") {
        url.password = nullptr;
        Error error = refused();
        CHECK(error.kind() == "db.auth");
        CHECK(error.hint() ==
              "set a password in the URL, in RUNBOOK_<NAME>_PASSWORD or in ~/.pgpass");
    }
    SECTION("a closed port") {
        url.port = 1;
        Error error = refused();
        CHECK(error.kind() == "db.connection");
        CHECK(error.message() == url.masked() + ": connection refused");
        CHECK(error.hint() == "is the server up, and reachable from this host?");
    }
    SECTION("a database that is not there") {
        url.name = "nowhere";
        Error error = refused();
        CHECK(error.kind() == "db.connection");
        CHECK(error.message() == url.masked() + ": database \"nowhere\" does not exist (3D000)");
    }
    SECTION("another authority's certificate") {
        url.options["sslrootcert"] = "/etc/ssl/certs/ca-certificates.crt";
        Error error = refused();
        CHECK(error.kind() == "db.connection");
        CHECK(error.message() == url.masked() + ": SSL error: certificate verify failed");
    }
    SECTION("no answer") {
        // A port that takes connections and never answers.
        url.host = "127.0.0.1";
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(listen(listener, 1) == 0);
        socklen_t length = sizeof address;
        getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
        url.port = ntohs(address.sin_port);
        url.options["connect_timeout"] = "1";
        Error error = refused();
        CHECK(error.kind() == "db.connection");
        CHECK(error.message() == url.masked() + ": no answer within 1s");
        Cancel cancel;
        url.options["connect_timeout"] = "60";
        auto work = std::async(std::launch::async,
                               [&] { return lab::error_of([&] { connect(url, {}, cancel); }); });
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        cancel.request(Cancel::Reason::cancelled);
        REQUIRE(work.wait_for(std::chrono::seconds(5)) == std::future_status::ready);
        CHECK(work.get().kind() == "cancelled");
        close(listener);
    }
}
