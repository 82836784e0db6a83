// The mapping from PostgreSQL row by row: what each type, key, default, check, index, comment and
// name becomes on MySQL and on MariaDB, read from the target's own catalogue.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

#include <fmt/format.h>

using namespace runbook;
using test::on_both;
using test::outcome;
using test::run;

namespace {

std::string why_refused(const test::LabDatabase& source, const test::LabDatabase& target) {
    try {
        run(source, target);
    } catch (const Error& error) {
        return error.message();
    }
    return "copied";
}

/// A type, and what stands there: the type and collation of MySQL, of MariaDB, and the report.
struct Row {
    std::string type, mysql, mariadb, reported;
};

const std::string converted = "converted";
const std::vector<Row> rows = {
    {"boolean", "tinyint(1)", "tinyint(1)", converted},
    {"smallint", "smallint", "smallint(6)", converted},
    {"integer", "int", "int(11)", converted},
    {"bigint", "bigint", "bigint(20)", converted},
    {"numeric(65,30)", "decimal(65,30)", "decimal(65,30)", converted},
    {"numeric", "decimal(30,10)", "decimal(30,10)",
     "changed: numeric has no limit there: DECIMAL(30,10), sized from the data"},
    {"real", "float", "float", converted},
    {"double precision", "double", "double", converted},
    {"text", "longtext utf8mb4_0900_bin", "longtext utf8mb4_nopad_bin", converted},
    {"varchar(30)", "varchar(30) utf8mb4_0900_bin", "varchar(30) utf8mb4_nopad_bin", converted},
    {"char(3)", "char(3) utf8mb4_0900_bin", "char(3) utf8mb4_nopad_bin", converted},
    {"bytea", "longblob", "longblob", converted},
    {"date", "date", "date", converted},
    {"timestamp", "datetime(6)", "datetime(6)", converted},
    {"timestamp(0)", "datetime", "datetime", converted},
    {"timestamptz(3)", "datetime(3)", "datetime(3)", converted},
    {"time", "time(6)", "time(6)", converted},
    {"timetz", "varchar(21) ascii_bin", "varchar(21) ascii_bin",
     "changed: time with time zone becomes its text"},
    {"interval", "varchar(64) ascii_bin", "varchar(64) ascii_bin",
     "changed: interval becomes its text in ISO 8601"},
    {"uuid", "char(36) ascii_bin", "char(36) ascii_bin", converted},
    {"json", "longtext utf8mb4_0900_bin", "longtext utf8mb4_nopad_bin", converted},
    {"jsonb", "json", "longtext utf8mb4_bin", converted},
    {"int[]", "json", "longtext utf8mb4_bin", "changed: integer[] becomes JSON"},
    {"int4range", "varchar(255) utf8mb4_0900_bin", "varchar(255) utf8mb4_nopad_bin",
     "changed: int4range becomes its text"},
    {"mood", "enum('a','A') utf8mb4_0900_bin", "enum('a','A') utf8mb4_nopad_bin", converted},
    {"percent", "int", "int(11)", "changed: domain public.percent becomes its base type"},
    {"pair", "json", "longtext utf8mb4_bin", "changed: pair becomes JSON"},
    {"inet", "varchar(43) ascii_bin", "varchar(43) ascii_bin", converted},
    {"cidr", "varchar(43) ascii_bin", "varchar(43) ascii_bin", converted},
    {"macaddr", "varchar(23) ascii_bin", "varchar(23) ascii_bin", converted},
    {"bit(10)", "bit(10)", "bit(10)", converted},
    {"bit varying(9)", "varchar(9) ascii_bin", "varchar(9) ascii_bin",
     "changed: bit varying(9) becomes the text of its bits"},
    {"money", "decimal(19,2)", "decimal(19,2)",
     "changed: money becomes DECIMAL(19,2), without its currency"},
    {"xml", "longtext utf8mb4_0900_bin", "longtext utf8mb4_nopad_bin", "changed: xml becomes text"},
    {"tsvector", "(no row)", "(no row)",
     "omitted: tsvector has no counterpart; a FULLTEXT index on the texts it was made of searches "
     "there"},
    {"point", "point", "point", "changed: point becomes POINT, without a reference system"},
    {"oid", "bigint unsigned", "bigint(20) unsigned",
     "changed: oid becomes its number; a rule with to = \"longblob\" carries the large object"},
};

} // namespace

TEST_CASE("copy mapping: every type of the table", "[copy][mapping][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        std::string columns;
        for (std::size_t i = 0; i < rows.size(); ++i)
            columns += fmt::format(", c{} {}", i, rows[i].type);
        source.script("CREATE TYPE mood AS ENUM ('a', 'A'); CREATE TYPE pair AS (a int, b text);"
                      "CREATE DOMAIN percent AS int CHECK (VALUE >= 0 AND VALUE <= 100);"
                      "CREATE TABLE t (id int PRIMARY KEY" +
                      columns + "); INSERT INTO t (id) VALUES (1)");
        copy::CopyResult result = run(source, target);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            INFO(rows[i].type);
            const std::string name = fmt::format("c{}", i);
            CHECK(target.value("SELECT CONCAT_WS(' ', column_type, collation_name) FROM "
                               "information_schema.columns WHERE table_schema = DATABASE() AND "
                               "table_name = 't' AND column_name = '" +
                               name + "'") == (mariadb ? rows[i].mariadb : rows[i].mysql));
            CHECK(outcome(result.report, "t." + name, "column") == rows[i].reported);
        }
        target.script("INSERT INTO t (id, c25) VALUES (2, 100)");
        CHECK_THROWS_AS(target.script("INSERT INTO t (id, c25) VALUES (3, 101)"), Error);
        target.script("DELETE FROM t WHERE id = 2");
        Cancel cancel;
        CHECK(verify::verify_database(source.url(), target.url(), {}, nullptr, cancel).passed());
    });
}

TEST_CASE("copy mapping: keys, indexes, comments, generated columns, -0", "[copy][mapping][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"(
            CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a int, b varchar(20),
                c text, f float8, total int GENERATED ALWAYS AS (a * 2 + 1) STORED,
                big boolean GENERATED ALWAYS AS (a > 10) STORED,
                odd text GENERATED ALWAYS AS (substr(b, 1, 2)) STORED,
                UNIQUE (a, b) DEFERRABLE);
            INSERT INTO t (id, a, b, c, f) VALUES (0, 11, 'Xyz', 'long', '-0'), (5, 3, NULL, NULL, 1);
            SELECT setval('t_id_seq', 99);
            CREATE INDEX over_two ON t (lower(b), a DESC);
            CREATE UNIQUE INDEX over_sum ON t ((a + 1));
            CREATE UNIQUE INDEX partial ON t (b) WHERE a > 5 AND c IS NOT NULL;
            CREATE INDEX odd_one ON t (substr(b, 2));
            CREATE INDEX brin ON t USING brin (a);
            COMMENT ON COLUMN t.a IS 'It''s a \ number';
            COMMENT ON INDEX over_two IS 'for look-ups';)");
        source.script("COMMENT ON TABLE t IS '" + std::string(3000, 'x') + "'");
        copy::CopyResult result = run(source, target);
        const auto& report = result.report;
        CHECK(target.value("SELECT CONCAT_WS(' ', id, total, big, odd) FROM t WHERE id = 0") ==
              "0 23 1 Xy");
        target.script("INSERT INTO t (a, b) VALUES (20, 'Q')");
        CHECK(target.value("SELECT CONCAT_WS(' ', id, total, big, COALESCE(odd, '-')) FROM t WHERE "
                           "a = 20") == "100 41 1 -");
        // Unique where the predicate holds, and over the expression.
        target.script("INSERT INTO t (a, b, c) VALUES (2, 'Xyz', 'c')");
        CHECK_THROWS_AS(target.script("INSERT INTO t (a, b, c) VALUES (12, 'Xyz', 'c')"), Error);
        CHECK_THROWS_AS(target.script("INSERT INTO t (a, b) VALUES (20, 'other')"), Error);
        target.script("DELETE FROM t WHERE id >= 100");
        CHECK(
            target.value("SELECT column_comment FROM information_schema.columns WHERE "
                         "table_schema = DATABASE() AND table_name = 't' AND column_name = 'a'") ==
            "It's a \\ number");
        CHECK(target.value("SELECT CHAR_LENGTH(table_comment) FROM information_schema.tables WHERE "
                           "table_schema = DATABASE() AND table_name = 't'") == "2048");
        const std::string over = mariadb
                                     ? "changed: over a generated column that is invisible there"
                                     : "changed: over an expression there";
        CHECK(outcome(report, "t.over_two", "index") == over);
        CHECK(outcome(report, "t.over_sum", "unique index") == over);
        CHECK(outcome(report, "t.partial", "unique index") ==
              over + "; unique where ((a > 5) AND (c IS NOT NULL))");
        CHECK(outcome(report, "t.odd_one", "index") ==
              "omitted: it is over an expression that has no counterpart that surely means the "
              "same: substr(b::text, 2)");
        CHECK(outcome(report, "t.brin", "index") == "omitted: brin has no counterpart");
        CHECK(outcome(report, "t.t_a_b_key", "unique index") ==
              "changed: checked at once there, not at commit");
        CHECK(outcome(report, "t.total", "column") ==
              "changed: computed there too, as ((`a` * 2) + 1)");
        CHECK(outcome(report, "t.odd", "column")
                  .starts_with("changed: generated as substr((b)::text, 1, 2) here; its values are "
                               "copied"));
        CHECK(outcome(report, "t", "table") == "converted");
        std::vector<std::string> warnings;
        for (const copy::Finding& finding : result.findings)
            warnings.push_back(finding.text());
        CHECK(warnings ==
              (mariadb ? std::vector<std::string>{"t.f: 1 row: -0, which becomes 0 there (0)"}
                       : std::vector<std::string>{}));
        Cancel cancel;
        verify::Result same =
            verify::verify_database(source.url(), target.url(), {}, nullptr, cancel);
        INFO(same.summary());
        CHECK(same.passed());
    });
}

TEST_CASE("copy mapping: what has no counterpart is refused with its name",
          "[copy][mapping][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        const std::string begin = "the source holds what the target cannot: ";
        auto says = [&](const std::string& sql, const std::string& message) {
            source.script("DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + sql);
            CHECK(why_refused(source, target) == begin + message);
        };
        says(
            "CREATE TABLE t (a int, CONSTRAINT one EXCLUDE USING btree (a WITH =))",
            "t: constraint one: EXCLUDE has no counterpart; a rule with index = \"one\", exclude = "
            "true leaves it out");
        says("CREATE TABLE t (\"A\" int, a int)", "t.a: its name differs from A only in case");
        says("CREATE TYPE e AS ENUM ('x', 'x '); CREATE TABLE t (a e)",
             "t.a: the label 'x ' ends in a blank, which ENUM drops: a rule with to = \"varchar\" "
             "keeps it");
        says("CREATE TABLE t (a path)", "t.a: the type path cannot be carried");
        std::string columns;
        for (int i = 0; i < 200; ++i)
            columns += fmt::format("{}c{} text", i ? ", " : "", i);
        says("CREATE TABLE t (" + columns + ")",
             "t: its columns need 8,425 bytes within a page of InnoDB, which takes 8,126");
        if (!mariadb)
            says("CREATE TABLE t (a numeric[]); INSERT INTO t VALUES ('{0.12345678901234567890}')",
                 "t.a: 1 row: a number in it that JSON there would round "
                 "({0.12345678901234567890} (0.12345678901234567890))");
    });
}

TEST_CASE("copy mapping: a row too wide for MySQL gives its widest texts room outside of it",
          "[copy][mapping][lab]") {
    on_both([](auto& source, auto& target, bool) {
        std::string columns;
        for (int i = 0; i < 6; ++i)
            columns += fmt::format(", c{} varchar({}) DEFAULT 'x'", i, 4000 - i);
        source.script("CREATE TABLE t (id int PRIMARY KEY" + columns +
                      "); INSERT INTO t (id, c0) VALUES (1, repeat('é', 4000))");
        copy::CopyResult result = run(source, target);
        CHECK(outcome(result.report, "t.c0", "column") ==
              "changed: VARCHAR(4000) would not fit into the 65,535 bytes of a row: LONGTEXT");
        CHECK(outcome(result.report, "t.c5", "column") == "converted");
        CHECK(target.value("SELECT CONCAT(CHAR_LENGTH(c0), c1, c5) FROM t") == "4000xx");
        target.script("INSERT INTO t (id) VALUES (2)");
        CHECK(target.value("SELECT CONCAT(c0, c5) FROM t WHERE id = 2") == "xx");
    });
}

TEST_CASE("copy mapping: names beyond 64 characters end in a hash of their own",
          "[copy][mapping][lab]") {
    for (bool mariadb : {false, true}) {
        test::MysqlDatabase target(mariadb);
        if (!target.there())
            return;
        const std::string file = "/tmp/" + test::unique_name("copy_long") + ".db";
        db::Url source = db::Url::parse("sqlite:" + file);
        const std::string table(70, 't'), column(80, 'c');
        Cancel cancel;
        {
            db::ConnectOptions options;
            options.access = db::Access::admin;
            db::connect(source, options, cancel)
                ->script("CREATE TABLE " + table + " (id integer primary key, " + column +
                             " text, " + column + "2 text); INSERT INTO " + table +
                             " VALUES (1, 'a', 'b')",
                         cancel);
        }
        copy::CopyResult result = copy::copy_database(source, target.url(), {}, nullptr, cancel);
        unlink(file.c_str());
        const std::string there =
            target.value("SELECT table_name FROM information_schema.tables WHERE table_schema = "
                         "DATABASE() AND table_name LIKE 'tttt%'");
        CHECK(there.size() == 64);
        CHECK(there.starts_with(std::string(55, 't') + "_"));
        CHECK(outcome(result.report, table, "table") == "changed: named " + there + " there");
        CHECK(target.value("SELECT COUNT(DISTINCT column_name) FROM information_schema.columns "
                           "WHERE table_schema = DATABASE() AND table_name = '" +
                           there + "' AND CHAR_LENGTH(column_name) = 64") == "2");
        CHECK(target.value("SELECT COUNT(*) FROM `" + there + "`") == "1");
    }
}
