// PostgreSQL, MySQL and MariaDB into SQLite: every type as SQLite can keep it without a change.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

#include <filesystem>

using namespace runbook;
using test::outcome;

namespace {

struct SqliteFile {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / (test::unique_name("copy_to") + ".db");
    ~SqliteFile() { std::filesystem::remove(path); }
    db::Url url() const { return db::Url::parse("sqlite:" + path.string()); }
    std::string value(const std::string& sql) const {
        Cancel cancel;
        auto connection = db::connect(url(), {}, cancel);
        const Value value = db::fetch_value(*connection, "SELECT CAST((" + sql + ") AS TEXT)");
        const auto* text = value.get<std::string>();
        return text ? *text : "NULL";
    }
};

copy::CopyResult run(const db::Url& source, const SqliteFile& target) {
    Cancel cancel;
    return copy::copy_database(source, target.url(), {}, nullptr, cancel);
}

void check_verified(const db::Url& source, const SqliteFile& target) {
    Cancel cancel;
    const verify::Result result =
        verify::verify_database(source, target.url(), {}, nullptr, cancel);
    for (const auto& sample : result.samples)
        UNSCOPED_INFO(sample.text());
    for (const auto& unchecked : result.unchecked)
        UNSCOPED_INFO(unchecked.table + ": " + unchecked.reason);
    CHECK(result.mismatches() == 0);
    CHECK(result.unchecked.empty());
    CHECK(result.coverage == 1);
}

} // namespace

TEST_CASE("copy: every type of PostgreSQL arrives in SQLite", "[copy][lab]") {
    test::PostgresDatabase source;
    if (!source.there())
        return;
    source.script(R"(
        CREATE TYPE mood AS ENUM ('sad', 'it''s \ fine');
        CREATE TABLE t (
            id bigserial PRIMARY KEY, b boolean, i2 smallint, i8 bigint, n numeric, n2 numeric(30,10),
            f4 real, f8 double precision, s text, v varchar(20) DEFAULT 'x''y', c char(5), y bytea, d date, tm time,
            ts timestamp, tsz timestamptz DEFAULT now(), iv interval, u uuid, j json, jb jsonb, a int[], e mood,
            ip inet, bt bit(10), r int4range);
        INSERT INTO t VALUES (0, true, -32768, -9223372036854775808, 12345678901234567890.0123456789012,
            1.10, 0.1, 0.30000000000000004, E'a\tb\nc\\d\x0be\ff\rg\bh', '\N', 'ab', '\x0009095c0a0d00ff1a',
            '9999-12-31', '23:59:59.999999', '2024-02-29 23:59:59.999999', '2038-01-19 03:14:08.000001+00',
            '1 mon 2 days 03:04:05.6', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '1.10', '{"b":1,"a":"\t👍"}',
            '{1,NULL,3}', 'it''s \ fine', '10.0.0.1/24', B'1000000001', '[1,5)'),
          (1, false, 32767, 9223372036854775807, 0, 0, 3.4028235e38, 'Infinity', '', '', '', '', '0001-01-01',
            '00:00', '0001-01-01', '1970-01-01', '0', '00000000-0000-0000-0000-000000000000', 'null', 'null',
            '{}', 'sad', '::1', B'0000000000', 'empty');
        INSERT INTO t (id, v, tsz) VALUES (2, NULL, NULL);
        CREATE TABLE child (a int, b text, t_id bigint REFERENCES t ON DELETE CASCADE, PRIMARY KEY (a, b));
        CREATE UNIQUE INDEX only_some ON child (b) WHERE a > 1;
        CREATE INDEX plain ON child (b, a DESC);
        INSERT INTO child VALUES (1, 'one', 1), (2, 'two', NULL);)");
    SqliteFile target;
    const copy::CopyResult result = run(source.url(), target);
    CHECK(result.rows == 5);
    auto row = [&](const std::string& expression, int id) {
        return target.value("SELECT " + expression + " FROM t WHERE id = " + std::to_string(id));
    };
    CHECK(row("typeof(b) || b", 0) == "integer1");
    CHECK(row("typeof(i8) || i8", 0) == "integer-9223372036854775808");
    CHECK(row("typeof(n) || n", 0) == "text12345678901234567890.0123456789012");
    CHECK(row("n2", 0) == "1.1000000000");
    CHECK(row("f4 = 0.10000000149011612", 0) == "1");
    CHECK(row("f8 = 0.30000000000000004", 0) == "1");
    CHECK(row("f8 > 1e308", 1) == "1");
    CHECK(row("hex(s)", 0) == "6109620A635C640B650C660D670868");
    CHECK(row("v", 0) == "\\N");
    CHECK(row("typeof(y) || hex(y)", 0) == "blob0009095C0A0D00FF1A");
    CHECK(row("typeof(y) || hex(y)", 1) == "blob");
    CHECK(row("ts", 0) == "2024-02-29 23:59:59.999999");
    CHECK(row("tsz", 0) == "2038-01-19 03:14:08.000001");
    CHECK(row("iv", 0) == "P1M2DT3H4M5.6S");
    CHECK(row("u", 0) == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    CHECK(row("typeof(j) || j", 0) == "text1.10");
    CHECK(row("a", 0) == "[1,null,3]");
    CHECK(row("e", 0) == "it's \\ fine");
    CHECK(row("bt", 0) == "1000000001");
    CHECK(row("v IS NULL AND y IS NULL", 2) == "1");
    CHECK(outcome(result, "t.n", "column") ==
          "changed: numeric becomes text: there are no exact decimals there");
    CHECK(outcome(result, "child.only_some", "unique index") == "omitted: it is partial: (a > 1)");
    CHECK(outcome(result, "child.plain", "index") == "converted");
    CHECK(target.value("SELECT seq FROM sqlite_sequence WHERE name = 't'") == "2");
    CHECK(target.value("SELECT \"table\" || \"on_delete\" FROM pragma_foreign_key_list('child')") ==
          "tCASCADE");
    check_verified(source.url(), target);

    source.script("UPDATE t SET f8 = 'NaN' WHERE id = 1");
    SqliteFile other;
    CHECK_THROWS_WITH(run(source.url(), other),
                      Catch::Contains("t.f8: 1 row: not a number, which SQLite keeps as NULL (1)"));
}

TEST_CASE("copy: every type of MySQL arrives in SQLite", "[copy][lab]") {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::MysqlDatabase source(mariadb);
        if (!source.there())
            return;
        source.script(R"(
            SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
            CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, b tinyint(1), u8 bigint unsigned, n decimal(65,30),
                f4 float, f8 double, v varchar(20) DEFAULT 'x''y', y blob, d date, tm time(6), dt datetime(6),
                ts timestamp NULL, e enum('a','b'), st set('a','b'), bt bit(10), j json, KEY same (v(5)));
            INSERT INTO t VALUES (0, 7, 18446744073709551615,
                '12345678901234567890123456789012345.123456789012345678901234567890', 0.1, 1e300,
                CONCAT('a', CHAR(0), 'b\t\\N'), X'0009', '0000-00-00', '-838:59:59', '2024-02-29 23:59:59.999999',
                '2038-01-19 03:14:07', 'b', 'a,b', b'1000000001', '{"a": [1, 2.5]}'),
              (5, 1, 1, 1, 1, 1, '', '', '2024-01-01', '10:00:00', '2024-01-01', '2024-01-01', 'a', '', b'1', '1'),
              (9, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);)");
        SqliteFile target;
        CHECK(run(source.url(), target).rows == 3);
        auto row = [&](const std::string& expression) {
            return target.value("SELECT " + expression + " FROM t WHERE id = 0");
        };
        CHECK(row("typeof(b) || b") == "integer7");
        CHECK(row("typeof(u8) || u8") == "text18446744073709551615");
        CHECK(row("n") == "12345678901234567890123456789012345.123456789012345678901234567890");
        CHECK(row("f4 = 0.10000000149011612") == "1");
        CHECK(row("hex(CAST(v AS BLOB))") == "61006209"
                                             "5C4E");
        CHECK(row("typeof(y) || hex(y)") == "blob0009");
        CHECK(row("d") == "0000-00-00");
        CHECK(row("tm") == "-838:59:59.000000");
        CHECK(row("dt") == "2024-02-29 23:59:59.999999");
        CHECK(row("ts") == "2038-01-19 03:14:07");
        CHECK(row("e || st") == "ba,b");
        CHECK(row("bt") == "1000000001");
        CHECK(row("json_extract(j, '$.a[1]')") == "2.5");
        CHECK(target.value("SELECT seq FROM sqlite_sequence WHERE name = 't'") == "9");
    }
}
