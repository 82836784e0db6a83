// MySQL and MariaDB into PostgreSQL, on real servers: every type at its edges, what is found before
// a row is written, and streams that share one snapshot.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

#include <algorithm>
#include <atomic>
#include <thread>

using namespace runbook;
using test::outcome;
using test::refused;
using test::run;

namespace {

/// Runs `fn(source, target)` from MySQL and from MariaDB.
template <class Fn>
void from_both(Fn fn) {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::MysqlDatabase source(mariadb);
        test::PostgresDatabase target;
        if (source.there() && target.there())
            fn(source, target, mariadb);
    }
}

void check_verified(const test::LabDatabase& source, const test::LabDatabase& target) {
    Cancel cancel;
    const verify::Result result =
        verify::verify_database(source.url(), target.url(), {}, nullptr, cancel);
    for (const auto& sample : result.samples)
        UNSCOPED_INFO(sample.text());
    CHECK(result.mismatches() == 0);
    CHECK(result.unchecked.empty());
    CHECK(result.coverage == 1);
}

} // namespace

TEST_CASE("copy: every type of MySQL arrives in PostgreSQL as it was", "[copy][lab]") {
    from_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"(
            CREATE TABLE t (
                id bigint unsigned AUTO_INCREMENT PRIMARY KEY, b tinyint(1), i1 tinyint, u1 tinyint unsigned,
                i2 smallint, u2 smallint unsigned, i3 mediumint, i4 int, u4 int unsigned, i8 bigint,
                u8 bigint unsigned, n decimal(65,30), f4 float, f8 double, c char(5), v varchar(20),
                s text, lv varchar(20) CHARACTER SET latin1, bi binary(4), vb varbinary(20), y longblob,
                d date, tm time(6), dt datetime(6), ts timestamp(3) NULL, yr year,
                e enum('sad','Sad','it''s \\ fine') COLLATE utf8mb4_bin, st set('a','b','c'), bt bit(10), b1 bit(1),
                j json) AUTO_INCREMENT = 42;
            SET SESSION time_zone = '+00:00';
            INSERT INTO t VALUES (1, 1, -128, 255, -32768, 65535, -8388608, -2147483648, 4294967295,
                -9223372036854775808, 18446744073709551615,
                '12345678901234567890123456789012345.123456789012345678901234567890', 0.1,
                0.30000000000000004, 'ab  ', 'a\tb\nc\\d\r', CONCAT('\v\f\b', '\\N', 'é👍'), 'café',
                X'00090A5C', X'0009095C0A0D00FF1A', X'', '9999-12-31', '23:59:59.999999',
                '2024-02-29 23:59:59.999999', '2038-01-19 03:14:07.999', 2155, 'it''s \\ fine', 'a,c',
                b'1000000001', b'1', '{"a": [1, 2.5, null, "x"], "b": "\\t"}'),
              (2, 0, 127, 0, 32767, 0, 8388607, 2147483647, 0, 9223372036854775807, 0, '-0.000000000000000000000000000001',
                -3.4028234e38, 1.7976931348623157e308, '', '', '', '', X'00000000', X'', X'00', '0001-01-01',
                '00:00:00', '0001-01-01 00:00:00', '1970-01-01 00:00:01', 1901, 'Sad', '', b'0', b'0', 'null'),
              (41, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);)");
        const copy::CopyResult result = run(source, target);
        CHECK(result.rows == 3);
        auto row = [&](const std::string& expression, int id) {
            return target.value("SELECT (" + expression +
                                ")::text FROM t WHERE id = " + std::to_string(id));
        };
        CHECK(row("b", 1) == "true");
        CHECK(row("b", 2) == "false");
        CHECK(row("i1", 1) == "-128");
        CHECK(row("u1", 1) == "255");
        CHECK(row("u2", 1) == "65535");
        CHECK(row("u4", 1) == "4294967295");
        CHECK(row("i8", 1) == "-9223372036854775808");
        CHECK(row("u8", 1) == "18446744073709551615");
        CHECK(row("n", 1) == "12345678901234567890123456789012345.123456789012345678901234567890");
        CHECK(row("n", 2) == "-0.000000000000000000000000000001");
        CHECK(row("f4", 1) == "0.1");
        CHECK(row("f4", 2) == "-3.4028235e+38");
        CHECK(row("f8", 1) == "0.30000000000000004");
        CHECK(row("c", 1) == "ab");
        CHECK(row("v = E'a\\tb\\nc\\\\d\\r'", 1) == "true");
        CHECK(row("s = E'vf\\b\\\\Né👍'", 1) == "true"); // MySQL reads \v and \f as the letters
        CHECK(row("lv", 1) == "café");
        CHECK(row("bi", 1) == "\\x00090a5c");
        CHECK(row("vb", 1) == "\\x0009095c0a0d00ff1a");
        CHECK(row("y", 1) == "\\x");
        CHECK(row("d", 1) == "9999-12-31");
        CHECK(row("tm", 1) == "23:59:59.999999");
        CHECK(row("dt", 1) == "2024-02-29 23:59:59.999999");
        CHECK(row("ts = '2038-01-19 03:14:07.999+00'", 1) == "true");
        CHECK(row("yr", 1) == "2155");
        CHECK(row("e", 1) == "it's \\ fine");
        CHECK(row("e", 2) == "Sad");
        CHECK(row("st", 1) == "a,c");
        CHECK(row("st", 2).empty());
        CHECK(row("bt", 1) == "1000000001");
        CHECK(row("b1", 1) == "1");
        CHECK(row(R"(j::jsonb = '{"a": [1, 2.5, null, "x"], "b": "\t"}')", 1) == "true");
        CHECK(row("j::text", 2) == "null");
        CHECK(row("b IS NULL AND v IS NULL AND y IS NULL AND j IS NULL", 41) == "true");
        CHECK(target.value("INSERT INTO t (v) VALUES ('next') RETURNING id") == "42");
        CHECK(outcome(result, "t.u8", "column") == "changed: bigint" +
                                                       std::string(mariadb ? "(20)" : "") +
                                                       " unsigned becomes numeric(20,0)");
        CHECK(outcome(result, "t.st", "column") ==
              "changed: a set becomes the text of its labels, with commas");
        target.script("DELETE FROM t WHERE id = 42");
        check_verified(source, target);
    });
}

TEST_CASE("copy: keys, indexes, checks, defaults and comments of MySQL", "[copy][lab]") {
    from_both([](auto& source, auto& target, bool) {
        source.script(R"(
            CREATE TABLE parent (id int unsigned AUTO_INCREMENT PRIMARY KEY, code varchar(40) NOT NULL,
                made datetime NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
                state enum('on','off') NOT NULL DEFAULT 'on', open tinyint(1) NOT NULL DEFAULT 1,
                price decimal(8,2) NOT NULL DEFAULT 1.50 COMMENT 'what''s asked', note text,
                twice decimal(9,2) GENERATED ALWAYS AS (price * 2) STORED,
                UNIQUE KEY by_code (code), KEY same (note(10)), FULLTEXT KEY words (note),
                CONSTRAINT price_ok CHECK (price >= 0 AND price < 1000)) COMMENT = 'all parents';
            CREATE TABLE child (a int NOT NULL, b varchar(10) NOT NULL, parent_id int unsigned,
                PRIMARY KEY (a, b), KEY same (b DESC),
                CONSTRAINT child_parent FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
            INSERT INTO parent (code, price, note) VALUES ('x', 2.25, 'a long note'), ('y', 3, NULL);
            INSERT INTO child VALUES (1, 'one', 1), (2, 'two', NULL);
            CREATE VIEW all_of_it AS SELECT * FROM parent;)");
        const copy::CopyResult result = run(source, target);
        CHECK(result.rows == 4);
        CHECK(target.value("SELECT twice::text FROM parent WHERE id = 1") == "4.50");
        CHECK(target
                  .value("SELECT indexdef FROM pg_indexes WHERE tablename = 'parent' AND "
                         "indexdef LIKE '%left%'")
                  .find("\"left\"(note, 10)") != std::string::npos);
        CHECK(target.value("INSERT INTO parent (code) VALUES ('z') RETURNING id || ' ' || state || "
                           "' ' || open || ' ' || price") == "3 on true 1.50");
        CHECK_THROWS_AS(target.script("INSERT INTO parent (code, price) VALUES ('q', -1)"), Error);
        CHECK_THROWS_AS(target.script("INSERT INTO parent (code, state) VALUES ('q', 'x')"), Error);
        target.script("DELETE FROM parent WHERE id = 1");
        CHECK(target.value("SELECT count(*) FROM child WHERE parent_id IS NULL") == "2");
        CHECK(target.value("SELECT obj_description('parent'::regclass)") == "all parents");
        CHECK(target.value("SELECT col_description('parent'::regclass, 6)") == "what's asked");
        CHECK(outcome(result, "parent.words", "index") ==
              "omitted: fulltext has no counterpart that is made by itself");
        CHECK(outcome(result, "parent.made", "default") ==
              "omitted: ON UPDATE CURRENT_TIMESTAMP needs a trigger there");
        CHECK(outcome(result, "parent.price_ok", "check") == "converted");
        CHECK(outcome(result, "child.child_parent", "foreign key") == "converted");
        CHECK(outcome(result, "all_of_it", "view") ==
              "omitted: views are not translated: write it anew in the target's SQL");
    });
}

TEST_CASE("copy: what PostgreSQL cannot hold is found before a row is written", "[copy][lab]") {
    from_both([](auto& source, auto& target, bool) {
        source.script(R"(
            SET SESSION sql_mode = 'ALLOW_INVALID_DATES';
            CREATE TABLE t (id int PRIMARY KEY, d date, dt datetime, tm time, s text, e enum('a','b'));
            INSERT INTO t VALUES (1, '0000-00-00', '2024-02-31 00:00:00', '-01:00:00', 'a', 'a'),
                (2, '2024-00-15', NULL, '838:59:59', CONCAT('a', CHAR(0), 'b'), 'zzz'),
                (3, '2024-01-01', '2024-01-01 10:00:00', '24:00:00', '', 'b');
            CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM;
            CREATE TABLE flags (id int PRIMARY KEY, on_off tinyint(1));
            INSERT INTO flags VALUES (1, 1), (2, 7);)");
        Cancel cancel;
        const copy::Preflight found =
            copy::preflight(source.url(), target.url(), {}, nullptr, cancel);
        std::vector<std::string> texts;
        for (const copy::Finding& finding : found.findings)
            texts.push_back(finding.text());
        std::sort(texts.begin(), texts.end());
        CHECK(texts == std::vector<std::string>{
                           "old: its engine MyISAM has no snapshot: what is written during the "
                           "copy would be there in part",
                           "t.d: 2 rows: no day of the calendar (a zero date) (1; 2)",
                           "t.dt: 1 row: no day of the calendar (a zero date) (1)",
                           "t.e: 1 row: no label of its ENUM (2)",
                           "t.s: 1 row: a text with a NUL character (2)",
                           "t.tm: 2 rows: no time of a day (below 00:00 or beyond 24:00) (1; 2)"});
        CHECK(found.blocking() == 6);
        CHECK(refused(source, target).starts_with("copy.refused: "));
        CHECK(target.value("SELECT count(*) FROM pg_class WHERE relnamespace = "
                           "'public'::regnamespace") == "0");
        source.script("DROP TABLE t, old");
        const copy::CopyResult result = run(source, target);
        CHECK(outcome(result, "flags.on_off", "column") ==
              "changed: tinyint(1) holds 1 values that are neither 0 nor 1: smallint");
        CHECK(target.value("SELECT on_off FROM flags WHERE id = 2") == "7");
    });
}

TEST_CASE("copy: all streams of MySQL read one moment while a writer commits", "[copy][lab]") {
    from_both([](auto& source, auto& target, bool) {
        // Every transaction moves an amount from one table to the other: at any one moment the sum
        // is the same.
        source.script(R"(
            CREATE TABLE a (id int PRIMARY KEY, n bigint NOT NULL);
            CREATE TABLE b (id int PRIMARY KEY, n bigint NOT NULL);
            INSERT INTO a VALUES (1, 1000000);
            INSERT INTO b VALUES (1, 0);)");
        std::atomic<bool> stop{false};
        std::int64_t moved = 0;
        std::thread writer([&] {
            Cancel cancel;
            auto connection = source.open();
            while (!stop) {
                connection->begin(cancel);
                connection->execute("UPDATE a SET n = n - 1", {}, {}, cancel);
                connection->execute("UPDATE b SET n = n + 1", {}, {}, cancel);
                connection->commit(cancel);
                ++moved;
            }
        });
        copy::Options options;
        options.streams = 2;
        std::string problem;
        int streams = 0;
        for (int i = 0; i < 10 && problem.empty(); ++i) {
            streams = std::max(streams, run(source, target, options).streams);
            if (target.value("SELECT (SELECT n FROM a) + (SELECT n FROM b)") != "1000000")
                problem =
                    "the sum is " + target.value("SELECT (SELECT n FROM a) + (SELECT n FROM b)");
            Cancel cancel;
            copy::discard(target.url(), cancel);
        }
        stop = true;
        writer.join();
        CHECK(problem.empty());
        CHECK(streams == 2);
        CHECK(moved > 100);
    });
}
