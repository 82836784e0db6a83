// Every pair of engines, the same logical rows written by hand on each: no difference; then one
// change, named exactly.
#include "tests/unit/verify_support.h"

using namespace runbook;
using namespace runbook::verify;
using db::Flavour;
using verify::lab::Place;

namespace {

std::vector<std::string> things(Flavour flavour) {
    switch (flavour) {
    case Flavour::postgresql:
        return {"CREATE TYPE mood AS ENUM ('sad', 'ok', 'Ok')",
                "CREATE TABLE things (id int PRIMARY KEY, flag boolean, small smallint, big "
                "bigint, price numeric(12,4), "
                "f real, d double precision, name varchar(100), body text, code char(5), data "
                "bytea, day date, "
                "at timestamptz, wall timestamp, t time, doc jsonb, u uuid, tags text[], span "
                "interval, mood mood)",
                "INSERT INTO things VALUES (1, true, -7, 9007199254740993, 12.5, 0.1, 0.1, 'Zoë', "
                "E'tab\\t nl\\n bs\\\\ \\\\N 😀', "
                "'ab', '\\x00ff5c', '2024-02-29', '2024-03-01 00:30:00.123456+02', '1999-12-31 "
                "23:59:59.5', '23:59:59.000001', "
                "'{\"b\": 1.50, \"a\": [\"é\", null]}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', "
                "'{x,\"y z\"}', "
                "'1 year 2 days 03:04:05.6', 'Ok')",
                "INSERT INTO things VALUES (2, false, 0, -1, -0.0001, -1.5, 1e300, '', ' ', '', "
                "'', '0001-01-01', "
                "'9999-12-31 23:59:59.999999+00', '1000-01-01', '00:00', '[]', "
                "'00000000-0000-0000-0000-000000000000', "
                "'{}', '-1 mon', 'sad')",
                "INSERT INTO things (id) VALUES (3), (-4)"};
    case Flavour::mysql:
    case Flavour::mariadb:
        return {"CREATE TABLE things (id int PRIMARY KEY, flag tinyint(1), small smallint, big "
                "bigint, price decimal(12,4), "
                "f float, d double, name varchar(100), body longtext, code char(5), data longblob, "
                "day date, "
                "at datetime(6), wall datetime(6), t time(6), doc json, u char(36) CHARACTER SET "
                "ascii COLLATE ascii_bin, "
                "tags json, span varchar(64), mood enum('sad','ok','Ok') COLLATE utf8mb4_bin)",
                "INSERT INTO things VALUES (1, 1, -7, 9007199254740993, 12.5, 0.1, 0.1, 'Zoë', "
                "'tab\\t nl\\n bs\\\\ \\\\N 😀', "
                "'ab', X'00ff5c', '2024-02-29', '2024-02-29 22:30:00.123456', '1999-12-31 "
                "23:59:59.5', '23:59:59.000001', "
                "'{\"a\": [\"\\\\u00e9\", null], \"b\": 1.5}', "
                "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '[\"x\", \"y z\"]', "
                "'P1Y2DT3H4M5.6S', 'Ok')",
                "INSERT INTO things VALUES (2, 0, 0, -1, -0.0001, -1.5, 1e300, '', ' ', '', '', "
                "'0001-01-01', "
                "'9999-12-31 23:59:59.999999', '1000-01-01', '00:00', '[]', "
                "'00000000-0000-0000-0000-000000000000', "
                "'[]', 'P-1M', 'sad')",
                "INSERT INTO things (id) VALUES (3), (-4)"};
    case Flavour::sqlite:
        break;
    }
    return {"CREATE TABLE things (id INTEGER PRIMARY KEY, flag BOOLEAN, small INTEGER, big "
            "INTEGER, price NUMERIC(12,4), "
            "f REAL, d DOUBLE, name VARCHAR(100), body TEXT, code TEXT, data BLOB, day DATE, at "
            "TIMESTAMP, wall DATETIME, "
            "t TIME, doc TEXT, u TEXT, tags TEXT, span TEXT, mood TEXT)",
            "INSERT INTO things VALUES (1, 1, -7, 9007199254740993, 12.5, 0.1, 0.1, 'Zoë', 'tab' "
            "|| char(9) || ' nl' || char(10) "
            "|| ' bs\\ \\N 😀', 'ab', X'00ff5c', '2024-02-29', '2024-02-29T22:30:00.123456Z', "
            "'1999-12-31 23:59:59.5', "
            "'23:59:59.000001', '{\"a\":[\"é\",null],\"b\":1.5}', "
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '[\"x\",\"y z\"]', "
            "'P1Y2DT3H4M5.6S', 'Ok')",
            "INSERT INTO things VALUES (2, 0, 0, -1, -0.0001, -1.5, 1e300, '', ' ', '', X'', "
            "'0001-01-01', "
            "'9999-12-31 23:59:59.999999', '1000-01-01 00:00:00', '00:00:00', '[]', "
            "'00000000-0000-0000-0000-000000000000', '[]', 'P-1M', 'sad')",
            "INSERT INTO things (id) VALUES (3), (-4)"};
}

struct Change {
    std::string set, expected;
};

/// Changes that any engine can make in the same words, and how they are told.
std::vector<Change> changes(Flavour target) {
    const bool lite = target == Flavour::sqlite;
    return {
        {"name = 'Zoe' WHERE id = 1", "things 1: changed: name: source 'Zoë', target 'Zoe'"},
        {"name = NULL WHERE id = 2", "things 2: changed: name: source '', target NULL"},
        {"body = '' WHERE id = 3", "things 3: changed: body: source NULL, target ''"},
        {"body = '  ' WHERE id = 2", "things 2: changed: body: source ' ', target '  '"},
        {"small = -8 WHERE id = 1", "things 1: changed: small: source -7, target -8"},
        {"big = 9007199254740992 WHERE id = 1",
         "things 1: changed: big: source 9007199254740993, target 9007199254740992"},
        {"price = 12.5001 WHERE id = 1", "things 1: changed: price: source 12.5, target 12.5001"},
        {lite                            ? "at = '2024-02-29 22:30:00.123457' WHERE id = 1"
         : target == Flavour::postgresql ? "at = '2024-02-29 22:30:00.123457+00' WHERE id = 1"
                                         : "at = '2024-02-29 22:30:00.123457' WHERE id = 1",
         "at: source 2024-02-29 22:30:00.123456"},
        {"doc = '{\"a\": [\"é\", null], \"b\": 1.51}' WHERE id = 1",
         "things 1: changed: doc: source"},
        {"u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12' WHERE id = 1", "things 1: changed: u: source"},
        {"d = 0.10000000000000002 WHERE id = 1", "target 0.10000000000000002"}};
}

void check_pair(Flavour from, Flavour to) {
    Place source(from), target(to);
    if (!source || !target)
        return;
    INFO(source.name() << " to " << target.name());
    source.script(things(from));
    target.script(things(to));
    Result clean = verify::lab::check(source, target);
    INFO(verify::lab::told(clean));
    CHECK(clean.passed());
    CHECK(clean.rows == 4);
    REQUIRE(clean.tables.size() == 1);
    CHECK(clean.tables[0].method == "key");
    if (from == Flavour::sqlite && to == Flavour::sqlite)
        return; // told with SQLite's own spelling of the values, below
    for (const Change& change : changes(to)) {
        target.sql("DELETE FROM things");
        std::vector<std::string> rows = things(to);
        for (const std::string& statement : rows)
            if (statement.starts_with("INSERT"))
                target.sql(statement);
        target.sql("UPDATE things SET " + change.set);
        Result result = verify::lab::check(source, target);
        INFO(change.set << ": " << verify::lab::told(result));
        CHECK(!result.passed());
        CHECK(result.changed == 1);
        CHECK(result.mismatches() == 1);
        REQUIRE(result.samples.size() == 1);
        CHECK(result.samples[0].columns.size() == 1);
        CHECK(result.samples[0].text().find(change.expected) != std::string::npos);
    }
}

} // namespace

TEST_CASE("verify: PostgreSQL against PostgreSQL and SQLite", "[verify][lab]") {
    check_pair(Flavour::postgresql, Flavour::postgresql);
    check_pair(Flavour::postgresql, Flavour::sqlite);
    check_pair(Flavour::sqlite, Flavour::postgresql);
    check_pair(Flavour::sqlite, Flavour::sqlite);
}

TEST_CASE("verify: every type of PostgreSQL in MySQL and MariaDB", "[verify][lab]") {
    check_pair(Flavour::postgresql, Flavour::mysql);
    check_pair(Flavour::postgresql, Flavour::mariadb);
}

TEST_CASE("verify: MySQL and MariaDB as the source", "[verify][lab]") {
    for (Flavour from : {Flavour::mysql, Flavour::mariadb})
        for (Flavour to : verify::lab::all_flavours())
            check_pair(from, to);
}

TEST_CASE("verify: SQLite against MySQL and MariaDB", "[verify][lab]") {
    check_pair(Flavour::sqlite, Flavour::mysql);
    check_pair(Flavour::sqlite, Flavour::mariadb);
}

TEST_CASE("verify: SQLite against itself tells storage classes apart", "[verify]") {
    Place source(Flavour::sqlite), target(Flavour::sqlite);
    for (Place* place : {&source, &target})
        place->script({"CREATE TABLE loose (id INTEGER PRIMARY KEY, v)",
                       "INSERT INTO loose VALUES (1, 1), (2, '1'), (3, 1.0), (4, X'31'), (5, "
                       "NULL), (6, '')"});
    CHECK(verify::lab::check(source, target).passed());
    target.sql("UPDATE loose SET v = '1' WHERE id = 1");
    target.sql("UPDATE loose SET v = '' WHERE id = 5");
    Result result = verify::lab::check(source, target);
    INFO(verify::lab::told(result));
    REQUIRE(result.changed == 2);
    CHECK(result.samples[0].text() == "loose 1: changed: v: source 1, target '1'");
    CHECK(result.samples[1].text() == "loose 5: changed: v: source NULL, target ''");
}
