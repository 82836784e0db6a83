// PostgreSQL into MySQL and MariaDB, on real servers: every type at its edges, refusals before a
// row is written, and what the ledger says.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"

#include <algorithm>

using namespace runbook;
using test::on_both;
using test::outcome;
using test::refused;
using test::run;

namespace {} // namespace

TEST_CASE("copy: every type arrives as it was", "[copy][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"(
            CREATE TYPE mood AS ENUM ('sad', 'Sad', 'it''s \ fine');
            CREATE DOMAIN percent AS int CHECK (VALUE >= 0 AND VALUE <= 100);
            CREATE TABLE t (
                id bigserial PRIMARY KEY, b boolean, i2 smallint, i4 int, i8 bigint,
                n numeric, n2 numeric(30,10), f4 real, f8 double precision, m money,
                s text, v varchar(20), c char(5), y bytea, d date, tm time, tz timetz,
                ts timestamp, tsz timestamptz, iv interval, u uuid, j json, jb jsonb,
                a int[], at text[], e mood, p percent, ip inet, net cidr, mac macaddr,
                bt bit(10), vb bit varying(9), r int4range, x xml);
            INSERT INTO t VALUES (0, true, -32768, -2147483648, -9223372036854775808,
                12345678901234567890.0123456789012, 99999999999999999999.9999999999,
                0.1, 0.30000000000000004, '-1234.56', E'a\tb\nc\\d\x0be\ff\rg\bh', '\N', 'ab',
                '\x0009095c0a0d00ff1a', '9999-12-31', '24:00:00', '23:59:59.999999+02',
                '2024-02-29 23:59:59.999999', '2038-01-19 03:14:08.000001+00', '1 mon 2 days 03:04:05.6',
                'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"b":1,"a":[1.10,  2]}', '{"b":1,"a":"\t👍"}',
                '{1,NULL,3}', '{"a,b",NULL,"\""}', 'it''s \ fine', 55, '10.0.0.1/24', '10.0.0.0/8',
                '08:00:2b:01:02:03', B'1000000001', B'101', '[1,5)', '<a/>'),
              (1, false, 32767, 2147483647, 9223372036854775807, 0, 0, 3.4028235e38,
                1.7976931348623157e308, '0', '', '', '', '', '0001-01-01', '00:00', '00:00+00',
                '0001-01-01', '1970-01-01', '0', '00000000-0000-0000-0000-000000000000', 'null', 'null',
                '{}', '{}', 'sad', 0, '::1', '::/0', '00:00:00:00:00:00', B'0000000000', B'', 'empty', '');
            INSERT INTO t (id) VALUES (2);)");
        copy::CopyResult result = run(source, target);
        CHECK(result.rows == 3);
        CHECK(result.tables.size() == 1);
        auto row = [&](const std::string& expression, int id) {
            return target.value("SELECT " + expression +
                                " FROM t WHERE id = " + std::to_string(id));
        };
        CHECK(row("CAST(b AS CHAR)", 0) == "1");
        CHECK(row("CAST(b AS CHAR)", 1) == "0");
        CHECK(row("b", 2) == "NULL");
        CHECK(row("i2", 0) == "-32768");
        CHECK(row("i8", 0) == "-9223372036854775808");
        CHECK(row("i8", 1) == "9223372036854775807");
        CHECK(row("CAST(n AS CHAR)", 0) == "12345678901234567890.0123456789012");
        CHECK(row("CAST(n2 AS CHAR)", 0) == "99999999999999999999.9999999999");
        CHECK(row("f4 = CAST(0.1 AS FLOAT)", 0) == "1");
        CHECK(row("f8 = 0.30000000000000004e0 AND f8 <> 0.3e0", 0) == "1");
        CHECK(row("f8 = 1.7976931348623157e308", 1) == "1");
        CHECK(row("CAST(m AS CHAR)", 0) == "-1234.56");
        CHECK(row("HEX(s)", 0) == "6109620A635C640B650C660D670868");
        CHECK(row("s", 1) == "");
        CHECK(row("v", 0) == "\\N");
        CHECK(row("c", 0) == "ab");
        CHECK(row("HEX(y)", 0) == "0009095C0A0D00FF1A");
        CHECK(row("HEX(y)", 1) == "");
        CHECK(row("CAST(d AS CHAR)", 0) == "9999-12-31");
        CHECK(row("CAST(d AS CHAR)", 1) == "0001-01-01");
        CHECK(row("CAST(tm AS CHAR)", 0) == "24:00:00.000000");
        CHECK(row("tz", 0) == "23:59:59.999999+02");
        CHECK(row("CAST(ts AS CHAR)", 0) == "2024-02-29 23:59:59.999999");
        CHECK(row("CAST(tsz AS CHAR)", 0) == "2038-01-19 03:14:08.000001");
        CHECK(row("iv", 0) == "P1M2DT3H4M5.6S");
        CHECK(row("u", 0) == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        CHECK(row("CAST(j AS CHAR)", 0) == "{\"b\":1,\"a\":[1.10,  2]}");
        CHECK(row("JSON_UNQUOTE(JSON_EXTRACT(jb, '$.a'))", 0) == "\t\xf0\x9f\x91\x8d");
        CHECK(row("JSON_LENGTH(a)", 0) == "3");
        CHECK(row("JSON_UNQUOTE(JSON_EXTRACT(`at`, '$[2]'))", 0) == "\"");
        CHECK(row("e", 0) == "it's \\ fine");
        CHECK(row("p", 0) == "55");
        CHECK(row("ip", 0) == "10.0.0.1/24");
        CHECK(row("net", 0) == "10.0.0.0/8");
        CHECK(row("mac", 0) == "08:00:2b:01:02:03");
        CHECK(row("CAST(bt AS UNSIGNED)", 0) == "513");
        CHECK(row("vb", 0) == "101");
        CHECK(row("r", 0) == "[1,5)");
        CHECK(row("x", 0) == "<a/>");
        CHECK(target.value("SELECT COUNT(*) FROM t WHERE id = 2 AND s IS NULL AND x IS NULL AND y "
                           "IS NULL AND jb IS NULL AND bt IS NULL") == "1");
        CHECK(target.value("SELECT table_collation FROM information_schema.tables WHERE "
                           "table_schema = DATABASE() AND table_name = 't'") ==
              (mariadb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin"));
        Cancel cancel;
        copy::State state = copy::state(target.url(), cancel);
        CHECK(state.state == "done");
        CHECK(state.run == result.run);
        CHECK(state.rows == 3);
        CHECK(state.tables == 1);
        CHECK_FALSE(state.running);
    });
}

TEST_CASE("copy: keys, defaults and checks arrive, the rest is named", "[copy][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"(
            CREATE TABLE parent (id bigserial PRIMARY KEY, code varchar(12) UNIQUE, label text);
            SELECT setval('parent_id_seq', 41);
            CREATE INDEX parent_label ON parent (label);
            CREATE TABLE child (
                id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                parent_id bigint REFERENCES parent ON DELETE CASCADE,
                rating smallint DEFAULT 3 CHECK (rating >= 1 AND rating <= 5),
                body text NOT NULL DEFAULT 'none' CHECK (body <> 'forbidden'),
                state varchar(9) CHECK (state = ANY (ARRAY['a'::varchar, 'b'::varchar])),
                made timestamptz DEFAULT now(), settings jsonb DEFAULT '{}' NOT NULL,
                odd text DEFAULT current_user);
            COMMENT ON TABLE child IS 'It''s a child';
            CREATE INDEX child_gin ON child USING gin (settings);
            CREATE INDEX child_lower ON child (lower(body));
            CREATE UNIQUE INDEX child_one ON child (parent_id) WHERE rating = 5;
            CREATE VIEW both_of_them AS SELECT 1;
            INSERT INTO parent (code, label) VALUES ('x', 'y');
            INSERT INTO child (parent_id, state) SELECT id, 'a' FROM parent;)");
        copy::CopyResult result = run(source, target);
        CHECK(
            target.value("SELECT auto_increment FROM information_schema.tables WHERE table_schema "
                         "= DATABASE() AND table_name = 'parent'") == "43");
        CHECK(target.value("SELECT delete_rule FROM information_schema.referential_constraints "
                           "WHERE constraint_schema = DATABASE()") == "CASCADE");
        CHECK(target.value("SELECT table_comment FROM information_schema.tables WHERE table_schema "
                           "= DATABASE() AND table_name = 'child'") == "It's a child");
        target.script("INSERT INTO child (state, odd) VALUES ('b', 'x')");
        CHECK(target.value("SELECT CONCAT(rating, '-', id) FROM child WHERE odd = 'x'") == "3-2");
        CHECK(target.value("SELECT JSON_LENGTH(settings) FROM child WHERE odd = 'x'") == "0");
        CHECK(target.value("SELECT body FROM child WHERE odd = 'x'") == "none");
        for (const char* bad : {"INSERT INTO child (rating) VALUES (6)",
                                "INSERT INTO child (body) VALUES ('forbidden')",
                                "INSERT INTO child (state) VALUES ('c')",
                                "INSERT INTO child (parent_id) VALUES (999)",
                                "INSERT INTO parent (code) VALUES ('x')"})
            CHECK_THROWS_AS(target.script(bad), Error);
        const auto& report = result.report;
        CHECK(outcome(report, "parent", "table") == "converted");
        CHECK(outcome(report, "parent.id", "sequence") == "converted: AUTO_INCREMENT from 43");
        CHECK(outcome(report, "parent.label", "column") ==
              "changed: text is part of an index: VARCHAR(255)");
        CHECK(outcome(report, "child.child_gin", "index") == "omitted: gin has no counterpart");
        const std::string over = mariadb
                                     ? "changed: over a generated column that is invisible there"
                                     : "changed: over an expression there";
        CHECK(outcome(report, "child.child_lower", "index") == over);
        CHECK(outcome(report, "child.child_one", "unique index") ==
              over + "; unique where (rating = 5)");
        CHECK_NOTHROW(
            target.script("INSERT INTO child (parent_id, rating) VALUES (42, 4), (42, 4), "
                          "(42, 5)"));
        CHECK_THROWS_AS(target.script("INSERT INTO child (parent_id, rating) VALUES (42, 5)"),
                        Error);
        CHECK(outcome(report, "child.odd", "default") ==
              "omitted: CURRENT_USER has no counterpart that surely means the same");
        CHECK(outcome(report, "child.child_state_check", "check") == "converted");
        CHECK(outcome(report, "both_of_them", "view") ==
              "omitted: views are not translated: write it anew in the target's SQL");
    });
}

TEST_CASE("copy: what the target cannot hold is refused before a row is written", "[copy][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"(
            CREATE TABLE bad (id int PRIMARY KEY, n numeric, f float8, d date, ts timestamp,
                              jb jsonb, pt path, tv tsvector);
            INSERT INTO bad VALUES (1, 'NaN', 'Infinity', '0044-03-15 BC', 'infinity',
                                    '{"a": 123456789012345678901234567890}'),
                                   (2, 1, 1, '10000-01-01', '2024-01-01', '[18446744073709551615, 1.50]'),
                                   (3, 1, 'NaN', '2024-01-01', '2024-01-01', '[0.12345678901234567890]');)");
        Cancel cancel;
        copy::Preflight found = copy::preflight(source.url(), target.url(), {}, nullptr, cancel);
        std::vector<std::string> texts;
        for (const copy::Finding& finding : found.findings)
            texts.push_back(finding.text());
        std::vector<std::string> expected = {
            "bad.n: 1 row: not a number that DECIMAL holds (NaN or Infinity) (1)",
            "bad.f: 2 rows: not a number that DOUBLE holds (NaN or Infinity) (1; 3)",
            "bad.d: 2 rows: outside of the years 1 to 9999 (BC, infinity) (1; 2)",
            "bad.ts: 1 row: outside of the years 1 to 9999 (BC, infinity) (1)",
            "bad.jb: 2 rows: a number in it that JSON there would round (1 "
            "(123456789012345678901234567890); 3 (0.12345678901234567890))",
            "bad.pt: 3 rows: the type path cannot be carried"};
        if (mariadb)
            expected.erase(expected.begin() + 4);
        CHECK(texts == expected);
        CHECK(found.blocking() == static_cast<std::int64_t>(expected.size()));
        CHECK(outcome(found.report, "bad.tv", "column") ==
              "omitted: tsvector has no counterpart; a FULLTEXT index on the texts it was made of "
              "searches there");
        CHECK(
            refused(source, target)
                .starts_with("copy.refused: the source holds what the target cannot: bad.n: 1 row: "
                             "not a number that DECIMAL holds (NaN or Infinity) (1); bad.f"));
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                           "DATABASE()") == "0");
    });
}

TEST_CASE("copy: keys that collide under the target's collation are refused", "[copy][lab]") {
    on_both([](auto& source, auto& target, bool) {
        source.script(R"(
            CREATE TABLE users (id int PRIMARY KEY, email varchar(100) UNIQUE);
            INSERT INTO users VALUES (1, 'ann@x'), (2, 'ANN@x'), (3, 'renée'), (4, 'renee'),
                                     (5, 'bob'), (6, NULL), (7, NULL);)");
        copy::Options options;
        options.collation = "utf8mb4_unicode_ci";
        CHECK(
            refused(source, target, options) ==
            "copy.refused: the source holds what the target cannot: users.email: 4 rows: values of "
            "users_email_key that are equal under utf8mb4_unicode_ci (ANN@x = ann@x; renee = "
            "renée)");
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                           "DATABASE()") == "0");
        // Exact by default: then all of them differ.
        CHECK(run(source, target).rows == 7);
    });
}

TEST_CASE("copy: a target that is not empty is refused, discard drops only its own",
          "[copy][lab]") {
    on_both([](auto& source, auto& target, bool) {
        source.script("CREATE TABLE a (x int); INSERT INTO a VALUES (1)");
        target.script("CREATE TABLE mine (x int)");
        CHECK(refused(source, target) ==
              "db.not_empty: " + target.url().masked() + " is not empty: it holds mine");
        target.script("DROP TABLE mine");
        CHECK(run(source, target).rows == 1);
        CHECK(refused(source, target) ==
              "db.not_empty: " + target.url().masked() + " is not empty: it holds a");
        target.script("CREATE TABLE mine (x int)");
        Cancel cancel;
        CHECK(copy::discard(target.url(), cancel) == std::vector<std::string>{"a"});
        CHECK(target.value("SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE "
                           "table_schema = DATABASE()") == "mine");
        CHECK(copy::state(target.url(), cancel).state == "absent");
    });
}

TEST_CASE("copy: long keys share what a key takes, names stay within 64 characters",
          "[copy][lab]") {
    on_both([](auto& source, auto& target, bool) {
        source.script(R"(
            CREATE TABLE a_table_whose_name_is_as_long_as_postgresql_lets_it_be_written (
                a text, b text, c varchar, d varchar, n int NOT NULL CHECK (n > 0), PRIMARY KEY (a, b, c, d));
            INSERT INTO a_table_whose_name_is_as_long_as_postgresql_lets_it_be_written
                VALUES ('x', 'y', 'z', repeat('w', 190), 1);
            CREATE TABLE other (n int CONSTRAINT same CHECK (n > 0));
            CREATE TABLE third (n int CONSTRAINT same CHECK (n > 1));
            CREATE TABLE _runbook_copy (of_an_earlier_copy int);)");
        copy::CopyResult result = run(source, target);
        CHECK(result.tables.size() == 3);
        CHECK(outcome(result.report,
                      "a_table_whose_name_is_as_long_as_postgresql_lets_it_be_written.d",
                      "column") == "changed: character varying is part of an index: VARCHAR(255)");
        CHECK(target.value("SELECT character_maximum_length FROM information_schema.columns WHERE "
                           "table_schema = DATABASE() AND column_name = 'd'") == "192");
        CHECK(outcome(result.report, "third.same", "check") == "changed: named third_same there");
        CHECK(refused(source, target).starts_with("db.not_empty: "));
        // A key that does not fit is refused, with its name.
        source.script(
            "UPDATE a_table_whose_name_is_as_long_as_postgresql_lets_it_be_written SET c = "
            "repeat('v', 200)");
        Cancel cancel;
        copy::discard(target.url(), cancel);
        CHECK(
            refused(source, target) ==
            "copy.refused: the source holds what the target cannot: "
            "a_table_whose_name_is_as_long_as_postgresql_lets_it_be_written: 1 row: primary key: a "
            "key there takes 3072 bytes");
    });
}

TEST_CASE("copy: options that would copy nothing, or change texts, are refused", "[copy][lab]") {
    on_both([](auto& source, auto& target, bool) {
        std::string from = source.url().masked();
        CHECK(refused(source, target) == "copy.refused: " + from + ": there is no table to copy");
        source.script("CREATE TABLE a (x text)");
        copy::Options options;
        options.include = {"a", "b"};
        CHECK(refused(source, target, options) == "argument: " + from + ": there is no table 'b'");
        options = {};
        options.charset = "latin1";
        CHECK(refused(source, target, options) ==
              "argument: option 'charset': only utf8mb4 is supported, got 'latin1'");
        options = {};
        options.collation = "latin1_bin";
        CHECK(refused(source, target, options) == "argument: option 'collation': 'latin1_bin' is a "
                                                  "collation of latin1, one of utf8mb4 is "
                                                  "needed");
        options.collation = "utf8mb4_unicode_cs";
        CHECK(refused(source, target, options) ==
              "argument: " + target.url().masked() +
                  ": the server has no collation 'utf8mb4_unicode_cs'");
        options = {};
        options.schema = "nowhere";
        CHECK(refused(source, target, options) ==
              "argument: " + from + ": there is no schema 'nowhere'");
    });
}
