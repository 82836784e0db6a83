#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/db/detail.h"
#include "runtime/db/placeholders.h"
#include "runtime/db/url.h"
#include "tests/unit/catch.h"

using namespace runbook;
using namespace runbook::db;

namespace {

std::string refused(const std::string& text) {
    try {
        Url::parse(text);
    } catch (const Error& error) {
        CHECK(error.kind() == "usage");
        return error.message();
    }
    return "accepted";
}

} // namespace

TEST_CASE("a database URL is taken apart and decoded", "[db][url]") {
    Url url = Url::parse("postgres://app:s%40cr%2Fet%25@db1:6432/"
                         "re%2Fline?sslmode=verify-full&sslrootcert=/etc/ca.pem");
    CHECK(url.engine == Engine::postgresql);
    CHECK(url.user == "app");
    REQUIRE(url.password);
    CHECK(url.password->reveal() == "s@cr/et%");
    CHECK(url.password->origin() == "url");
    CHECK(url.host == "db1");
    CHECK(url.port == 6432);
    CHECK(url.name == "re/line");
    CHECK(url.options.at("sslmode") == "verify-full");
    CHECK(url.options.at("sslrootcert") == "/etc/ca.pem");
    CHECK(url.masked() == "postgres://app:***@db1:6432/re/line");
}

TEST_CASE("the other forms of a database URL", "[db][url]") {
    CHECK(Url::parse("postgresql://h/d").engine == Engine::postgresql);
    CHECK(Url::parse("MySQL://h/d").engine == Engine::mysql);
    CHECK(Url::parse("mariadb://u@h/d").masked() == "mysql://u@h/d");
    Url v6 = Url::parse("mysql://u:p@[fe80::1]:3307/d");
    CHECK(v6.host == "fe80::1");
    CHECK(v6.port == 3307);
    CHECK(v6.masked() == "mysql://u:***@[fe80::1]:3307/d");
    CHECK(Url::parse("postgres://[::1]/d").host == "::1");
    Url at = Url::parse("mysql://u:a@b@host/d");
    CHECK(at.password->reveal() == "a@b");
    CHECK(at.host == "host");
    Url bare = Url::parse("postgres://host");
    CHECK(bare.name.empty());
    CHECK(bare.port == 0);
    CHECK_FALSE(bare.password);
    CHECK_FALSE(Url::parse("mysql://u:@h/d").password);
    Url file = Url::parse("sqlite:./data/a b%20?.db");
    CHECK(file.engine == Engine::sqlite);
    CHECK(file.name == "./data/a b%20?.db");
    CHECK(file.masked() == "sqlite:./data/a b%20?.db");
    CHECK(Url::parse("sqlite:///var/x.db").name == "/var/x.db");
}

TEST_CASE("a wrong database URL says what is wrong", "[db][url]") {
    CHECK(refused("") ==
          "database URL: it does not begin with postgres://, mysql://, mariadb:// or sqlite:");
    CHECK(refused("oracle://u:hunter22@h/d") ==
          "database URL: it does not begin with postgres://, mysql://, mariadb:// or sqlite:");
    CHECK(refused("sqlite:") == "database URL: sqlite: needs a path");
    CHECK(refused("postgres://h:0/d") == "database URL: the port is not a number from 1 to 65535");
    CHECK(refused("postgres://h:99999/d") ==
          "database URL: the port is not a number from 1 to 65535");
    CHECK(refused("postgres://[::1/d") == "database URL: the IPv6 address has no closing ']'");
    CHECK(refused("postgres://::1/d") == "database URL: an IPv6 address stands in brackets: [::1]");
    CHECK(refused("postgres://h/a/b") == "database URL: the name of the database has a '/' in it");
    CHECK(refused("postgres://h/d?sslmod=require") ==
          "database URL: unknown option 'sslmod' (did you mean 'sslmode'?)");
    CHECK(refused("postgres://h/d?sslmode=maybe") ==
          "database URL: sslmode 'maybe' is not one of disable, prefer, require, verify-ca, "
          "verify-full");
    CHECK(refused("postgres://h/d?sslmode=require&sslmode=disable") ==
          "database URL: option 'sslmode' is given twice");
    CHECK(refused("postgres://h/d?sslmode") == "database URL: option 'sslmode' has no value");
    CHECK(refused("postgres://h/d?connect_timeout=soon") ==
          "database URL: connect_timeout 'soon' is not a number of seconds");
    CHECK(refused("postgres://u:%zz@h/d") ==
          "database URL: the password has a '%' that two hexadecimal digits do not follow");
    CHECK(refused("postgres://h/d%00") ==
          "database URL: the name of the database has a control character in it");
}

TEST_CASE("no message repeats a password that was not encoded", "[db][url]") {
    for (const char* text : {"postgres://u:hunter/hunter@h/d", "postgres://u:12/hunter@h/d",
                             "postgres://u:12?hunter@h/d", "mysql://u:hunter%@h/d", "u:hunter@h/d",
                             "postgres://u:[hunter@h:hunter/d", "mysql://u:hunter?hunter@h/d"}) {
        INFO(text);
        std::string message = refused(text);
        CHECK(message != "accepted");
        CHECK(message.find("hunter") == std::string::npos);
        CHECK(message.find("12") == std::string::npos);
    }
}

TEST_CASE("the sslmode that holds where the URL has none", "[db][url]") {
    CHECK(effective_sslmode(Url::parse("mysql://u@db1/d")) == "require");
    CHECK(effective_sslmode(Url::parse("mysql://u@db1/d?sslrootcert=/ca")) == "verify-full");
    CHECK(effective_sslmode(Url::parse("mysql://u@localhost/d")) == "prefer");
    CHECK(effective_sslmode(Url::parse("mysql://u@127.0.0.1/d")) == "prefer");
    CHECK(effective_sslmode(Url::parse("postgres://u@[::1]/d")) == "prefer");
    CHECK(effective_sslmode(Url::parse("postgres:///d?socket=/tmp")) == "prefer");
    CHECK(effective_sslmode(Url::parse("postgres://u@db1/d?sslmode=disable")) == "disable");
}

TEST_CASE("`?` placeholders are rewritten outside quotes and comments", "[db][sql]") {
    auto sql = [](std::string_view text) { return rewrite_placeholders(text).sql; };
    CHECK(sql("select ?, ?") == "select $1, $2");
    CHECK(sql("select '?', \"a?\", ?") == "select '?', \"a?\", $1");
    CHECK(sql("select 'it''s ?' || ?") == "select 'it''s ?' || $1");
    CHECK(sql("select E'\\'?' || ?") == "select E'\\'?' || $1");
    CHECK(sql("select 1 -- ?\n, ?") == "select 1 -- ?\n, $1");
    CHECK(sql("select /* ? /* ? */ ? */ ?") == "select /* ? /* ? */ ? */ $1");
    CHECK(sql("select $$ ? $$, $a$ ? $$ $a$, ?") == "select $$ ? $$, $a$ ? $$ $a$, $1");
    CHECK(sql("select j ?| array['a'] and j ?& array['b'] and k = ?") ==
          "select j ?| array['a'] and j ?& array['b'] and k = $1");
    CHECK(sql("select j ?? 'a' and k = ?") == "select j ? 'a' and k = $1");
    CHECK(sql("select ?||'x'") == "select $1||'x'");
    CHECK(sql("select j ? 'a' from t where k = $1") == "select j ? 'a' from t where k = $1");
    CHECK(rewrite_placeholders("select $2, $1").dollars == 2);
    CHECK(rewrite_placeholders("select ?, '?', ?").questions == 2);
    CHECK(sql("select 'open ?") == "select 'open ?");
    CHECK(sql("create table f$1(a int) -- ?") == "create table f$1(a int) -- ?");
}

TEST_CASE("what may stand behind DECLARE CURSOR", "[db][sql]") {
    for (const char* text :
         {"select 1", " -- c\n(select 1) union (select 2)", "VALUES (1)", "table t;",
          "with a as (select 'insert') select * from a", "/* x */ Select \"update\" from t"}) {
        INFO(text);
        CHECK(is_plain_query(text));
    }
    for (const char* text :
         {"", "-- only", "insert into t values (1) returning a", "select 1 into t",
          "select 1; drop table t", "with a as (delete from t returning *) select * from a",
          "select * from t for update", "show all", "explain select 1", "update t set a = 1",
          "call p()"}) {
        INFO(text);
        CHECK_FALSE(is_plain_query(text));
    }
    CHECK(first_word(" /* a */ -- b\n (SELECT 1)") == "select");
    CHECK(count_placeholders_mysql(
              "select ?, '?', `?`, \"?\", '\\'?' # ?\n, ? -- ?\n, ? /* ? */") == 3);
}

TEST_CASE("which statements might make a read-only session writable", "[db][sql]") {
    for (const char* sql :
         {"begin read write", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
          "set @@tx_read_only=0", "set session `transaction_read_only` = 0",
          "select 1; set transaction read write", "execute s",
          "select 1 /*!; set session transaction read write */"})
        CHECK(may_unlock(sql));
    for (const char* sql : {"select 'begin; read write'", "show transaction_read_only", "begin",
                            "start transaction with consistent snapshot, read only",
                            "insert into write_log values ('start')", "set time_zone = '+00:00'",
                            "with a as (select 1 as write) select write as start from a"})
        CHECK_FALSE(may_unlock(sql));
}

TEST_CASE("timestamps as databases print them", "[db][types]") {
    auto at = parse_timestamp("2026-11-20 22:00:04.123456+02");
    REQUIRE(at);
    CHECK(at->integer == 1795204804123456);
    CHECK(at->offset == 7200);
    CHECK(at->has_offset);
    CHECK(parse_timestamp("1970-01-01 00:00:00")->integer == 0);
    CHECK_FALSE(parse_timestamp("1970-01-01 00:00:00")->has_offset);
    CHECK(parse_timestamp("1969-12-31T23:59:59.5Z")->integer == -500000);
    CHECK(parse_timestamp("2000-02-29 00:00:00-03:30")->integer == 951795000000000);
    CHECK_FALSE(parse_timestamp("infinity"));
    CHECK_FALSE(parse_timestamp("0044-03-15 00:00:00 BC"));
    CHECK_FALSE(parse_timestamp("0000-00-00 00:00:00"));
    CHECK_FALSE(parse_timestamp("10000-01-01 00:00:00"));
    CHECK_FALSE(parse_timestamp("2026-11-20"));
}

TEST_CASE("arrays both ways", "[db][types]") {
    CHECK(parse_array("{1,NULL,-3}", "int4") == Value(List{1, Null{}, -3}));
    CHECK(parse_array("{a,\"b \\\"c\\\\\",NULL,\"NULL\",\"\"}", "text") ==
          Value(List{"a", "b \"c\\", Null{}, "NULL", ""}));
    CHECK(parse_array("{{1,2},{3,4}}", "int8") == Value(List{List{1, 2}, List{3, 4}}));
    CHECK(parse_array("[0:1]={t,f}", "bool") == Value(List{true, false}));
    CHECK(parse_array("{}", "text") == Value(List{}));
    CHECK(parse_array("{1.50,NaN}", "numeric").get<List>()->front() == Value(Decimal{"1.50"}));
    CHECK(array_literal(List{1, Null{}, "a\"b\\c", List{true}}) == "{1,NULL,\"a\\\"b\\\\c\",{t}}");
}
