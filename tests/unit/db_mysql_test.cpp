#include "runtime/db/mysql/implicit_commit.h"
#include "tests/unit/db_lab.h"

#include "runtime/base/redact.h"

#include <cmath>
#include <future>
#include <limits>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>

using namespace runbook;
using namespace runbook::db;

namespace {

/// A database of the test's own, made by the lab's administrator on one of the two servers.
struct Fixture {
    explicit Fixture(const std::string& server) {
        auto base = lab::url(("RUNBOOK_LAB_" + server + "_SCRATCH").c_str());
        if (!base)
            return;
        admin = lab::open(*lab::url(("RUNBOOK_LAB_" + server + "_ADMIN").c_str()), Access::admin);
        schema = lab::unique("rb_db");
        lab::execute(*admin, "create database " + schema);
        lab::execute(*admin, "grant all on " + schema + ".* to '" + base->user + "'@'%'");
        url = *base;
        url.name = schema;
        connection = lab::open(url);
    }
    ~Fixture() {
        connection.reset();
        if (admin)
            lab::execute(*admin, "drop database " + schema);
    }
    explicit operator bool() const { return connection != nullptr; }
    Connection& operator*() { return *connection; }
    Connection* operator->() { return connection.get(); }

    Url url;
    std::string schema;
    std::unique_ptr<Connection> admin, connection;
};

bool running(Connection& admin, const Value& id) {
    return lab::value(
               admin,
               "select count(*) from information_schema.processlist where id = ? and command in "
               "('Query', 'Execute') and info like '%sleep%'",
               {id}) == Value(1);
}

} // namespace

#define FOR_BOTH_SERVERS                                                                           \
    std::string server = GENERATE("MYSQL", "MARIADB");                                             \
    INFO(server);                                                                                  \
    Fixture my(server);                                                                            \
    if (!my)                                                                                       \
        return;

TEST_CASE("MySQL: who the server is", "[db][mysql]") {
    FOR_BOTH_SERVERS
    const ServerInfo& info = my->server();
    CHECK(info.flavour == (server == "MYSQL" ? Flavour::mysql : Flavour::mariadb));
    CHECK(info.major >= 8);
    CHECK(info.version.find_first_not_of("0123456789.") == std::string::npos);
    CHECK(info.identity == my.admin->server().identity);
    CHECK(info.identity.size() >= 32);
    CHECK_FALSE(info.tls_cipher.empty());
    CHECK(my->quote_name("a`b") == "`a``b`");
    CHECK(lab::value(*my, "select @@time_zone") == Value("+00:00"));
    CHECK(lab::value(*my, "select @@character_set_client") == Value("utf8mb4"));
}

TEST_CASE("MySQL: every type both ways, in both protocols", "[db][mysql]") {
    FOR_BOTH_SERVERS
    auto same = [&](const std::string& type, const Value& value) {
        INFO(type);
        lab::execute(*my, "drop table if exists t");
        lab::execute(*my, "create table t (v " + type + " null) character set utf8mb4");
        lab::execute(*my, "insert into t values (?)", {value});
        CHECK(lab::value(*my, "select v from t") == value);
        CHECK(lab::value(*my, "select v from t where 1 = ?", {1}) == value);
        lab::execute(*my, "update t set v = ?", {Null{}});
        CHECK(lab::value(*my, "select v from t") == Value(Null{}));
        CHECK(lab::value(*my, "select v from t where 1 = ?", {1}) == Value(Null{}));
    };
    same("tinyint", -128);
    same("tinyint(1)", 1);
    same("smallint unsigned", 65535);
    same("mediumint", -8388608);
    same("int", 2147483647);
    same("int unsigned", 4294967295LL);
    for (std::int64_t edge :
         {(1LL << 53) - 1, (1LL << 53) + 1, -(1LL << 53) - 1, std::numeric_limits<long long>::max(),
          std::numeric_limits<long long>::min()})
        same("bigint", edge);
    same("bigint unsigned", std::numeric_limits<long long>::max());
    same("bigint unsigned", Decimal{"18446744073709551615"});
    same("float", 0.1);
    same("double", 0.1);
    same("double", 1e-300);
    same("decimal(65,30)",
         Decimal{"12345678901234567890123456789012345.123456789012345678901234567890"});
    same("decimal(10,2)", Decimal{"-0.50"});
    same("char(3)", "abc");
    same("varchar(50)", "tab\t nl\n \\ ' \xF0\x9F\x98\x80 \\N");
    same("varchar(50)", "");
    same("longtext", std::string(300, 'x') + "end");
    same("longtext", std::string(3'000'000, 'y') + "end");
    same("varbinary(10)", Bytes{std::string("\0\x01\xff\\'", 5)});
    same("longblob", Bytes{std::string(2'000'000, '\0') + "end"});
    same("date", "2026-11-20");
    same("time", "-838:59:59");
    same("time(3)", "12:00:00.500");
    same("datetime(6)", Timestamp{1795204804123456, std::nullopt});
    same("datetime", Timestamp{-1000000, std::nullopt});
    same("timestamp(6)", Timestamp{1795204804123456, 0});
    same("year", 2026);
    same("enum('a','b')", "b");
    same("set('a','b')", "a,b");
    lab::execute(*my, "drop table if exists t");
    lab::execute(*my, "create table t (j json, b bit(40))");
    lab::execute(*my, "insert into t values (?, b'1000000000000000000000000000000000000001')",
                 {"{\"a\":[1,null]}"});
    for (std::vector<Value> params : {std::vector<Value>{}, std::vector<Value>{1}}) {
        std::string where = params.empty() ? "" : " where 1 = ?";
        CHECK(lab::value(*my, "select j from t" + where, params) ==
              Value(Map{{"a", List{1, Null{}}}}));
        CHECK(lab::value(*my, "select b from t" + where, params) == Value((1LL << 39) + 1));
    }
    CHECK(lab::value(*my, "select ?", {true}) == Value(1));
    CHECK(lab::value(*my, "select ?", {7}) == Value(7));
    CHECK(lab::value(*my, "select ?", {make_secret("opened", "env:X")}) == Value("opened"));
    CHECK(lab::value(*my, "select ? = '2026-11-20 20:00:04'",
                     {Timestamp{1795204804000000, 7200}}) == Value(1));
}

TEST_CASE("MySQL: parameters that cannot be bound", "[db][mysql]") {
    FOR_BOTH_SERVERS
    auto message = [&](const char* sql, std::vector<Value> params) {
        return lab::error_of([&] { lab::value(*my, sql, params); }).message();
    };
    CHECK(message("select ?, ?", {1, List{1}}) == "parameter 2: a table cannot be bound");
    CHECK(message("select ?", {}) == "the statement has 1 placeholder, but 0 values are given");
    CHECK(message("select '?'", {1}) == "the statement has 0 placeholders, but 1 value is given");
    CHECK(message("select ?", {std::numeric_limits<double>::quiet_NaN()}) ==
          "parameter 1: MySQL has no NaN");
    CHECK(lab::value(*my, "select ?", {"'; drop table x; -- \\"}) ==
          Value("'; drop table x; -- \\"));
}

TEST_CASE("MySQL: statements, warnings, scripts", "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (id int primary key auto_increment, note varchar(5))");
    auto executed = lab::execute(*my, "insert into t (note) values ('a'), ('b')");
    CHECK(executed.rows_affected == 2);
    CHECK(executed.last_insert_id == 1);
    CHECK(lab::execute(*my, "update t set note = ? where id = ?", {"c", 2}).rows_affected == 1);
    CHECK(lab::execute(*my, "select * from t").rows_affected == 0);
    executed = lab::execute(*my, "drop table if exists nothing_here");
    REQUIRE(executed.warnings.size() == 1);
    CHECK(executed.warnings[0] == "note: Unknown table '" + my.schema + ".nothing_here' (1051)");
    CHECK(lab::error_of([&] {
              lab::execute(*my, "insert into t (note) values ('too long')");
          }).message() == my.url.masked() + ": data too long for column 'note' at row 1 (1406)");
    CHECK(fetch_all(*my, "select id, note from t order by id") ==
          std::vector<Map>{Map{{"id", 1}, {"note", "a"}}, Map{{"id", 2}, {"note", "c"}}});
    Cancel cancel;
    my->script("create table u (a int); insert into u values (1), (2); select * from u", cancel);
    CHECK(lab::value(*my, "select count(*) from u") == Value(2));
    CHECK(lab::error_of([&] { my->script("insert into u values (3); selec 1", cancel); }).kind() ==
          "db.syntax");
    CHECK(lab::value(*my, "select count(*) from u") == Value(3));
    CHECK(lab::error_of([&] { lab::execute(*my, "select 1; select 2"); }).kind() == "db.syntax");
}

TEST_CASE("MySQL: errors and their kinds", "[db][mysql]") {
    FOR_BOTH_SERVERS
    std::string at = my.url.masked() + ": ";
    lab::execute(*my, "create table t (id int primary key)");
    lab::execute(*my, "insert into t values (1)");
    auto failed = [&](const char* sql, const std::string& kind, const std::string& message) {
        Error error = lab::error_of([&] { lab::execute(*my, sql); });
        CHECK(error.kind() == kind);
        CHECK(error.message() == at + message);
        CHECK_FALSE(error.in_doubt());
    };
    std::string key = server == "MYSQL" ? "t.PRIMARY" : "PRIMARY";
    failed("insert into t values (1)", "db.constraint",
           "duplicate entry '1' for key '" + key + "' (1062)");
    std::string list = server == "MYSQL" ? "field list" : "SELECT";
    failed("select nope from t", "db.syntax", "unknown column 'nope' in '" + list + "' (1054)");
    failed("select * from nowhere", "db.syntax",
           "table '" + my.schema + ".nowhere' doesn't exist (1146)");
    CHECK(lab::value(*my, "select 1") == Value(1));
    Error error = lab::error_of(
        [&] { lab::execute(*my, "load data local infile '/etc/passwd' into table t"); });
    INFO(error.message());
    CHECK(error.kind() == "db.permission");
    CHECK(lab::value(*my, "select count(*) from t") == Value(1));
    CHECK(my->alive());
}

TEST_CASE("MySQL: transactions", "[db][mysql]") {
    FOR_BOTH_SERVERS
    Cancel cancel;
    lab::execute(*my, "create table t (id int primary key)");
    my->begin(cancel);
    CHECK(my->in_transaction());
    lab::execute(*my, "insert into t values (1)");
    my->rollback(cancel);
    CHECK_FALSE(my->in_transaction());
    CHECK(lab::value(*my, "select count(*) from t") == Value(0));
    my->begin(cancel);
    lab::execute(*my, "insert into t values (2)");
    my->commit(cancel);
    CHECK(lab::value(*my, "select id from t") == Value(2));
    // what a procedure does is not seen before, but its commit is
    lab::execute(*my, "create procedure makes_u() create table u (a int)");
    my->begin(cancel);
    lab::execute(*my, "call makes_u()");
    CHECK(lab::error_of([&] { my->commit(cancel); }).message() ==
          my.url.masked() +
              ": a statement of the transaction had committed it (CREATE, ALTER and DROP do)");
    CHECK(lab::error_of([&] { my->commit(cancel); }).message() ==
          "the connection is not in a transaction");
}

TEST_CASE("MySQL: a statement that commits by itself is not sent inside a transaction",
          "[db][mysql]") {
    FOR_BOTH_SERVERS
    Cancel cancel;
    const bool mariadb = my->server().flavour == Flavour::mariadb;
    lab::execute(*my, "create table t (id int primary key)");
    my->begin(cancel);
    lab::execute(*my, "insert into t values (1)");
    const Error error = lab::error_of(
        [&] { lab::execute(*my, "/* later */ alter\ttable t add column note text"); });
    CHECK(error.kind() == "usage");
    CHECK(error.message() == my.url.masked() + ": ALTER TABLE is refused in a transaction: " +
                                 (mariadb ? "MariaDB" : "MySQL") +
                                 " would commit what stands before it, and it was not sent");
    CHECK(error.hint() == "do it outside of the transaction: in a step or sub-step of its own, "
                          "with observe");
    CHECK(lab::error_of([&] { lab::value(*my, "drop table t"); }).kind() == "usage");
    CHECK(lab::error_of([&] { my->script("select 1; truncate t", cancel); }).kind() == "usage");
    CHECK(my->in_transaction());
    for (const char* harmless :
         {"create temporary table tmp (a int)", "insert into tmp values (1)", "savepoint s",
          "rollback to savepoint s", "set @autocommit = 1", "drop temporary table tmp"}) {
        CAPTURE(harmless);
        lab::execute(*my, harmless);
        CHECK(my->in_transaction());
    }
    my->rollback(cancel);
    CHECK(lab::value(*my, "select count(*) from t") == Value(0));
    // the list is not longer than what the servers do: each of these ends a transaction
    for (const char* ending : {"create table made (a int)",
                               "alter table made add column b int",
                               "begin",
                               "create index made_b on made (b)",
                               "analyze table made",
                               "truncate table made",
                               "rename table made to made2",
                               "lock tables made2 read",
                               "unlock tables",
                               "create view seen as select 1",
                               "drop view seen",
                               "drop table made2",
                               "/*!50000 create */ table made3 (a int)",
                               "drop table made3",
                               "set autocommit = 0",
                               "set session autocommit = 1",
                               "flush status",
                               "optimize table t",
                               "check table t",
                               "commit",
                               "rollback"}) {
        CAPTURE(ending);
        CHECK(mysql::ends_transaction(ending) != "");
        if (std::string_view(ending) == "set session autocommit = 1") // only where it was 0
            my->script("set autocommit = 0", cancel);
        lab::execute(*my, "start transaction");
        lab::execute(*my, "insert into t values (7)");
        REQUIRE(my->in_transaction());
        if (std::string_view(ending) == "unlock tables")
            lab::execute(*my, "lock tables t write");
        my->script(ending, cancel);
        my->script("unlock tables; set autocommit = 1; rollback", cancel);
        if (std::string_view(ending) != "rollback")
            CHECK(lab::value(*my, "select count(*) from t") ==
                  Value(std::string_view(ending) == "truncate table t" ? 0 : 1));
        lab::execute(*my, "delete from t");
    }
}

TEST_CASE("MySQL: which words end a transaction", "[db]") {
    const std::vector<std::pair<const char*, const char*>> known = {
        {"alter table t add x int", "ALTER TABLE"},
        {"  -- a note\n# another\nDrop  Table t", "DROP TABLE"},
        {"/*!40101 SET autocommit = 1 */", "SET AUTOCOMMIT"},
        {"/*M!100100 drop */ table t", "DROP TABLE"},
        {"create or replace table t (a int)", "CREATE OR REPLACE TABLE"},
        {"create or replace temporary table t (a int)", ""},
        {"create temporary table t (a int)", ""},
        {"drop prepare s", ""},
        {"set names utf8mb4, @@session.autocommit = 0", "SET NAMES"},
        {"set @autocommit = 0", ""},
        {"set x = 'autocommit = 1'", ""},
        {"set password = 'x'", "SET PASSWORD"},
        {"set statement max_statement_time = 1 for drop table t", "DROP TABLE"},
        {"set statement max_statement_time = 1 for select 1", ""},
        {"begin not atomic select 1; end", ""},
        {"select 'create table t (a int)'", ""},
        {"select `drop` from t; drop table t", "DROP TABLE"},
        {"insert into t values ('it''s \\'; drop table t')", ""},
        {"(select 1)", ""},
        {"truncate(1, 2)", "TRUNCATE"},
        {"select truncate(1.5, 1)", ""},
        {"call make_it()", ""},
        {"rollback work to savepoint s", ""},
        {"rollback", "ROLLBACK"},
        {"reset persist", ""},
        {"load data infile 'x' into table t", ""},
        {"analyze select 1", ""},
        {"", ""}};
    for (const auto& [sql, words] : known) {
        CAPTURE(sql);
        CHECK(mysql::ends_transaction(sql) == words);
    }
}

TEST_CASE("MySQL: a read-only session is refused writes by the server", "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (id int)");
    auto reader = lab::open(my.url, Access::read);
    auto refused = [&](const char* sql) {
        return lab::error_of([&] { lab::execute(*reader, sql); });
    };
    Error error = refused("insert into t values (1)");
    CHECK(error.kind() == "db.read_only");
    CHECK(error.message() ==
          my.url.masked() + ": cannot execute statement in a READ ONLY transaction (1792)");
    CHECK(refused("drop table t").kind() == "db.read_only");
    for (const char* sql :
         {"set session transaction read write", "SET TRANSACTION READ/**/WRITE",
          "set @@session.transaction_read_only = 0", "set tx_read_only = off",
          "start transaction read write", "/*!50000 set session transaction read write */",
          "prepare s from concat('set session transaction read wr', 'ite')", "execute s"}) {
        INFO(sql);
        Cancel none;
        const std::string message = my.url.masked() + ": the session is read-only and stays so";
        CHECK(refused(sql).message() == message);
        CHECK(lab::error_of([&] { reader->query(sql, {}, {}, none); }).message() == message);
        CHECK(lab::error_of([&] {
                  reader->script(std::string("select 1; ") + sql, none);
              }).message() == message);
    }
    lab::execute(*reader, "set @a = 1");
    CHECK(lab::value(*reader, "select 'write transaction', @@autocommit") ==
          Value("write transaction"));
    CHECK(refused("insert into t values (1)").kind() == "db.read_only");
    CHECK(lab::error_of([&] { lab::value(*reader, "insert into t values (?)", {1}); }).kind() ==
          "db.read_only");
    Cancel cancel;
    CHECK(lab::error_of([&] { reader->set_read_only(false, cancel); }).kind() == "db.read_only");
    CHECK(lab::value(*my, "select count(*) from t") == Value(0));
    my->set_read_only(true, cancel);
    CHECK(lab::error_of([&] { lab::execute(*my, "insert into t values (1)"); }).kind() ==
          "db.read_only");
    my->set_read_only(false, cancel);
    CHECK(lab::execute(*my, "insert into t values (1)").rows_affected == 1);
}

TEST_CASE("MySQL: rows stream in bounded memory, and a result closed early is harmless",
          "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (id int primary key, s varchar(1000))");
    lab::execute(*my, "insert into t values (0, repeat('x', 1000))");
    for (int size = 1; size < 65536; size *= 2)
        lab::execute(*my, "insert into t select id + ?, s from t", {size});
    auto peak = [] {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_maxrss;
    };
    Cancel cancel;
    for (std::vector<Value> params : {std::vector<Value>{}, std::vector<Value>{-1}}) {
        long before = peak();
        std::string where = params.empty() ? "" : " where id > ?";
        auto cursor = my->query("select id, s from t" + where, params, {}, cancel);
        std::int64_t sum = 0, whole = 0;
        while (BatchPtr batch = cursor->next(cancel)) {
            CHECK(batch->rows() <= 1024);
            for (std::size_t row = 0; row < batch->rows(); ++row) {
                sum += batch->cell(row, 0).integer;
                whole += batch->cell(row, 1).text.size() == 1000;
            }
        }
        CHECK(whole == 65536);
        CHECK(sum == 65535LL * 65536 / 2);
        CHECK((lab::sanitized || peak() - before < 32 * 1024));
        {
            auto early = my->query("select id, s from t" + where, params, {}, cancel);
            CHECK(early->next(cancel));
            CHECK(lab::error_of([&] { lab::execute(*my, "select 1"); }).message() ==
                  "the connection has a result that is still being read");
        }
        CHECK(lab::value(*my, "select 1") == Value(1));
        CHECK(lab::value(*my, "select count(*) from t") == Value(65536));
    }
}

TEST_CASE("MySQL: a cancel reaches the server within a second", "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (a int)");
    lab::execute(*my, "insert into t values (1), (2), (3)");
    Value id = lab::value(*my, "select connection_id()");
    for (bool prepared : {false, true}) {
        Cancel cancel;
        auto work = std::async(std::launch::async, [&] {
            return lab::error_of([&] {
                std::vector<Value> params{30};
                if (prepared)
                    my->execute("update t set a = a + sleep(?)", params, {}, cancel);
                else
                    my->execute("update t set a = a + sleep(30)", {}, {}, cancel);
            });
        });
        while (!running(*my.admin, id))
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        double took = lab::seconds([&] {
            cancel.request(Cancel::Reason::cancelled);
            work.wait();
        });
        Error error = work.get();
        CHECK(took < 1.0);
        CHECK(error.kind() == "cancelled");
        CHECK(error.message() ==
              my.url.masked() + ": the statement was cancelled in the server (1317)");
        CHECK_FALSE(error.in_doubt());
        CHECK_FALSE(running(*my.admin, id));
        CHECK(lab::value(*my, "select sum(a) from t") == Value(Decimal{"6"}));
    }
}

TEST_CASE("MySQL: a lone SLEEP swallows the KILL, and is cancelled all the same", "[db][mysql]") {
    FOR_BOTH_SERVERS
    Value id = lab::value(*my, "select connection_id()");
    Cancel cancel;
    auto work = std::async(std::launch::async, [&] {
        return lab::error_of([&] {
            auto cursor = my->query("select sleep(30)", {}, {}, cancel);
            while (cursor->next(cancel)) {
            }
        });
    });
    while (!running(*my.admin, id))
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    double took = lab::seconds([&] {
        cancel.request(Cancel::Reason::timeout);
        work.wait();
    });
    Error error = work.get();
    CHECK(took < 1.0);
    CHECK(error.kind() == "timeout");
    CHECK_FALSE(error.in_doubt());
    CHECK_FALSE(running(*my.admin, id));
    CHECK(lab::value(*my, "select 1") == Value(1));
}

TEST_CASE("MySQL: a statement timeout ends the statement in the server", "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (a int)");
    lab::execute(*my, "insert into t values (1)");
    Value id = lab::value(*my, "select connection_id()");
    Cancel cancel;
    StatementOptions options;
    options.timeout = std::chrono::milliseconds(200);
    Error error =
        lab::error_of([&] { my->execute("update t set a = sleep(30) + 2", {}, options, cancel); });
    CHECK(error.kind() == "db.timeout");
    CHECK_FALSE(running(*my.admin, id));
    CHECK(lab::value(*my, "select a from t") == Value(1));
    options.timeout = std::chrono::milliseconds(5000);
    CHECK(my->execute("update t set a = 3", {}, options, cancel).rows_affected == 1);
}

TEST_CASE("MySQL: a lost session stays lost, and says what is open", "[db][mysql]") {
    FOR_BOTH_SERVERS
    lab::execute(*my, "create table t (id int)");
    Cancel cancel;
    auto kill = [&] {
        lab::execute(
            *my.admin,
            "kill connection " +
                std::to_string(*lab::value(*my, "select connection_id()").get<std::int64_t>()));
    };
    kill();
    Error error = lab::error_of([&] { lab::execute(*my, "insert into t values (1)"); });
    CHECK(error.kind() == "db.connection");
    CHECK(error.in_doubt());
    CHECK_FALSE(my->alive());
    error = lab::error_of([&] { lab::value(*my, "select 1"); });
    CHECK(error.message() == my.url.masked() + ": the connection was lost: it is closed");
    my.connection = lab::open(my.url);
    CHECK(lab::value(*my, "select count(*) from t") == Value(0));
    my->begin(cancel);
    lab::execute(*my, "insert into t values (1)");
    kill();
    error = lab::error_of([&] { lab::execute(*my, "insert into t values (2)"); });
    CHECK(error.kind() == "db.connection");
    CHECK_FALSE(error.in_doubt());
    my.connection = lab::open(my.url);
    my->begin(cancel);
    lab::execute(*my, "insert into t values (1)");
    kill();
    error = lab::error_of([&] { my->commit(cancel); });
    CHECK(error.kind() == "db.connection");
    CHECK(error.in_doubt());
    my.connection = lab::open(my.url);
    CHECK(lab::value(*my, "select count(*) from t") == Value(0));
}

TEST_CASE("MySQL: connections that are refused", "[db][mysql]") {
    FOR_BOTH_SERVERS
    Url url = my.url;
    auto refused = [&] { return lab::error_of([&] { lab::open(url); }); };
    url.password = make_secret("wrong password", "url");
    Error error = refused();
    CHECK(error.kind() == "db.auth");
    CHECK(error.message() == url.masked() + ": access denied for user '" + url.user + "' (1045)");
    url.password = nullptr;
    error = refused();
    CHECK(error.kind() == "db.auth");
    CHECK(error.hint() ==
          "set the password in the URL, in RUNBOOK_<NAME>_PASSWORD or in ~/.my.cnf");
    url = my.url;
    url.port = 1;
    error = refused();
    CHECK(error.kind() == "db.connection");
    CHECK(error.message() == url.masked() + ": the server cannot be reached (2002)");
    url = my.url;
    url.name = "nowhere";
    CHECK(refused().message() == url.masked() + ": unknown database 'nowhere' (1049)");
    url = my.url;
    url.options["sslrootcert"] = "/etc/ssl/certs/ca-certificates.crt";
    error = refused();
    CHECK(error.kind() == "db.connection");
    INFO(error.message());
    CHECK(error.message().find("(2026)") != std::string::npos);
    url = my.url;
    url.options["sslmode"] = "disable";
    error = refused();
    CHECK(error.kind() == (server == "MYSQL" ? "db.connection" : "db.auth"));
}
