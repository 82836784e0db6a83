// MySQL and MariaDB into each other and into their own kind, on real servers: the source's own
// statements, and values that are compared octet by octet.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

#include <algorithm>

using namespace runbook;
using test::outcome;
using test::run;

namespace {

/// Runs `fn(source, target, from_mariadb, to_mariadb)` for the four pairs.
template <class Fn>
void on_all_pairs(Fn fn) {
    for (bool from : {false, true})
        for (bool to : {false, true}) {
            INFO((from ? "MariaDB" : "MySQL") << " to " << (to ? "MariaDB" : "MySQL"));
            test::MysqlDatabase source(from), target(to);
            if (source.there() && target.there())
                fn(source, target, from, to);
        }
}

/// All rows as hexadecimal octets.
std::string octets(const test::LabDatabase& database, const std::string& columns) {
    std::string list, name;
    for (char c : columns + ",") {
        if (c != ',') {
            name += c;
            continue;
        }
        list += (list.empty() ? "" : ", ") + ("IFNULL(HEX(CAST(" + name + " AS BINARY)), 'NULL')");
        name.clear();
    }
    std::string all;
    for (const char* id : {"0", "2", "41"})
        all += database.value("SELECT CONCAT_WS('|', " + list + ") FROM t WHERE id = " + id) + "\n";
    return all;
}

} // namespace

TEST_CASE("copy: every type of MySQL arrives in MySQL and MariaDB as it was", "[copy][lab]") {
    on_all_pairs([](auto& source, auto& target, bool, bool) {
        source.script(R"(
            SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
            CREATE TABLE t (
                id bigint unsigned AUTO_INCREMENT PRIMARY KEY, b tinyint(1), u1 tinyint unsigned, i3 mediumint,
                u8 bigint unsigned, n decimal(65,30), f4 float, f8 double, c char(5), v varchar(20),
                s text, lv varchar(20) CHARACTER SET latin1, u2 varchar(20) CHARACTER SET utf16, bi binary(4),
                vb varbinary(20), y longblob, d date, tm time(6), dt datetime(6), ts timestamp(3) NULL, yr year,
                e enum('sad','Sad','it''s \\ fine','é') CHARACTER SET latin1 COLLATE latin1_bin,
                st set('a','b','c'), bt bit(10), j json, g geometry,
                twice int GENERATED ALWAYS AS (i3 * 2) STORED, half int AS (i3 div 2) VIRTUAL);
            INSERT INTO t (id, b, u1, i3, u8, n, f4, f8, c, v, s, lv, u2, bi, vb, y, d, tm, dt, ts, yr, e, st, bt, j, g)
              VALUES (0, 7, 255, -8388608, 18446744073709551615,
                '12345678901234567890123456789012345.123456789012345678901234567890', 0.1,
                0.30000000000000004, 'ab  ', CONCAT('a\tb\nc\\d\r', CHAR(0), CHAR(11), CHAR(12), CHAR(8)), '\\N', 'café',
                'é👍', X'00090A5C', X'0009095C0A0D00FF1A', X'', '9999-12-31', '-838:59:59.000000',
                '2024-02-29 23:59:59.999999', '2038-01-19 03:14:07.999', 2155, 'é', 'a,c',
                b'1000000001', '{"a": [1, 2.5, null, "x"], "b": "\\t"}', ST_GeomFromText('POINT(1 2)')),
              (2, 0, 0, 8388607, 0, '-0.000000000000000000000000000001', -3.4028234e38, 1.7976931348623157e308,
                '', '', '', '', '', X'00000000', X'', X'00', '0000-00-00', '838:59:59', '2024-02-31 00:00:00',
                '0000-00-00 00:00:00', 1901, 'Sad', '', b'0', 'null', NULL),
              (41, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);)");
        const copy::CopyResult result = run(source, target);
        CHECK(result.rows == 3);
        const std::string plain =
            "id,b,u1,i3,u8,n,f4 * 1e0,f8,c,v,s,lv,u2,bi,vb,y,d,tm,dt,ts,yr,e,st,"
            "bt,g,twice,half";
        CHECK(octets(target, plain) == octets(source, plain));
        CHECK(octets(source, plain).size() > 900);
        CHECK(target.value("SELECT JSON_EXTRACT(j, '$.a[1]') FROM t WHERE id = 0") == "2.5");
        CHECK(target.value(
                  "SELECT JSON_UNQUOTE(JSON_EXTRACT(j, '$.b')) = '\t' FROM t WHERE id = 0") == "1");
        target.script("INSERT INTO t (b) VALUES (1)");
        CHECK(target.value("SELECT MAX(id) FROM t") == "42");
    });
}

TEST_CASE("copy: keys, checks, defaults and partitions between MySQL and MariaDB", "[copy][lab]") {
    on_all_pairs([](auto& source, auto& target, bool from, bool to) {
        const std::string collation = from ? "utf8mb4_uca1400_nopad_ai_ci" : "utf8mb4_0900_ai_ci";
        source.script(R"(
            CREATE TABLE parent (id int unsigned AUTO_INCREMENT PRIMARY KEY, code varchar(40) NOT NULL,
                made datetime NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
                state enum('on','off') NOT NULL DEFAULT 'on', token varchar(64) DEFAULT (concat('t-', 1 + 1)),
                price decimal(8,2) NOT NULL DEFAULT 1.50 COMMENT 'what''s, (asked)', note text,
                UNIQUE KEY by_code (code), KEY same (note(10), price), FULLTEXT KEY words (note),
                FULLTEXT KEY codes (code),
                CONSTRAINT price_ok CHECK (price >= 0 AND state <> 'a,b)')) COMMENT = 'all, (parents)'
                COLLATE )" +
                      collation + R"(;
            CREATE TABLE child (a int NOT NULL, n int NOT NULL AUTO_INCREMENT, parent_id int unsigned,
                PRIMARY KEY (a, n), KEY numbering (n), KEY same (parent_id),
                CONSTRAINT child_parent FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
            CREATE TABLE parts (id int NOT NULL, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id)
                (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
            INSERT INTO parent (code, price, note) VALUES ('x', 2.25, 'a long note'), ('y', 3, NULL);
            INSERT INTO child (a, parent_id) VALUES (1, 1), (2, NULL);
            INSERT INTO parts VALUES (1, 1), (11, 2);)");
        const copy::CopyResult result = run(source, target);
        CHECK(result.rows == 6);
        CHECK(target.value(
                  "SELECT GROUP_CONCAT(DISTINCT CONCAT(table_name, '.', index_name) ORDER BY "
                  "table_name, index_name) FROM information_schema.statistics WHERE "
                  "table_schema = database() AND table_name <> '_runbook_copy'") ==
              "child.numbering,child.PRIMARY,child.same,parent.by_code,parent.codes,parent.PRIMARY,"
              "parent.same,parent.words,parts.PRIMARY");
        CHECK(
            target.value("SELECT COUNT(*) FROM information_schema.partitions WHERE table_schema = "
                         "database() AND partition_name IS NOT NULL") == "2");
        target.script("INSERT INTO parent (code) VALUES ('z')");
        CHECK(target.value("SELECT CONCAT(id, state, price, token) FROM parent WHERE code = 'z'") ==
              "3on1.50t-2");
        CHECK_THROWS_AS(target.script("INSERT INTO parent (code, price) VALUES ('q', -1)"), Error);
        target.script("DELETE FROM parent WHERE id = 1");
        CHECK(target.value("SELECT COUNT(*) FROM child WHERE parent_id IS NULL") == "2");
        CHECK(target.value("SELECT table_comment FROM information_schema.tables WHERE table_schema "
                           "= database() AND table_name = 'parent'") == "all, (parents)");
        CHECK(outcome(result, "parent.by_code", "unique index") == "converted");
        CHECK(outcome(result, "child.child_parent", "foreign key") == "converted");
        CHECK(target.value("SELECT table_collation FROM information_schema.tables WHERE "
                           "table_schema = database() AND table_name = 'parent'") ==
              (to ? "utf8mb4_uca1400_nopad_ai_ci" : "utf8mb4_0900_ai_ci"));
    });
}

TEST_CASE("copy: MariaDB's own types become text in MySQL", "[copy][lab]") {
    test::MysqlDatabase source(true), target(false);
    if (!source.there() || !target.there())
        return;
    source.script(R"(
        CREATE TABLE t (id uuid NOT NULL DEFAULT uuid() PRIMARY KEY, a inet6, b inet4, j json,
            d date DEFAULT curdate(), v varchar(20) COLLATE utf8mb4_uca1400_as_ci, UNIQUE KEY (v));
        INSERT INTO t (id, a, b, j, v) VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1', '10.0.0.1',
            '{"n": 1.10}', 'x');)");
    const copy::CopyResult result = run(source, target);
    CHECK(target.value("SELECT CONCAT_WS(' ', id, a, b, j, v) FROM t") ==
          R"(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ::1 10.0.0.1 {"n": 1.10} x)");
    target.script("INSERT INTO t (v) VALUES ('y')");
    CHECK(target.value("SELECT d = CURDATE() AND LENGTH(id) = 36 FROM t WHERE v = 'y'") == "1");
    CHECK(outcome(result, "t.a", "column") ==
          "changed: inet6 becomes varchar(39) CHARACTER SET ascii COLLATE ascii_bin");
    CHECK(outcome(result, "t", "collation").starts_with("changed: utf8mb4_uca1400_"));
}

TEST_CASE("copy: texts that a new collation makes equal are found before a row is written",
          "[copy][lab]") {
    test::MysqlDatabase source(true), target(false);
    if (!source.there() || !target.there())
        return;
    // Without padding 'a' and 'a ' differ; what pads in MariaDB does not in MySQL, so nothing
    // collides there; the other way round accents do.
    source.script(
        "CREATE TABLE t (v varchar(20) COLLATE utf8mb4_nopad_bin PRIMARY KEY); INSERT INTO "
        "t VALUES ('a'), ('a '), ('A'), ('á')");
    CHECK(run(source, target).rows == 4);
    CHECK(target.value("SELECT COUNT(*) FROM t") == "4");
    Cancel cancel;
    copy::Options options;
    options.collation = "utf8mb4_unicode_ci";
    CHECK_THROWS_WITH(
        copy::copy_database(source.url(), target.url(), options, nullptr, cancel),
        "options 'charset' and 'collation': a table of MySQL or MariaDB keeps its own there");
}
