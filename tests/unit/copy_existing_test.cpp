// Copies into tables that are there already, schema alone and data alone, on real servers.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"

#include <algorithm>

using namespace runbook;
using test::outcome;
using test::run;

namespace {

template <class Fn>
void on_both(Fn fn) {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::PostgresDatabase source;
        test::MysqlDatabase target(mariadb);
        if (source.there() && target.there())
            fn(source, target);
    }
}

std::vector<std::string> findings(const test::LabDatabase& source, const test::LabDatabase& target,
                                  const copy::Options& options = {}) {
    Cancel cancel;
    std::vector<std::string> texts;
    for (const copy::Finding& finding :
         copy::preflight(source.url(), target.url(), options, nullptr, cancel).findings)
        texts.push_back(finding.text());
    return texts;
}

constexpr const char* shop = R"(
    CREATE TABLE people (id serial PRIMARY KEY, email varchar(40) NOT NULL UNIQUE, born date,
        settings jsonb, key uuid, at timestamp);
    CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people (id), body text);
    CREATE INDEX notes_person ON notes (person);
    INSERT INTO people (email, born, settings, key, at) VALUES
        ('a@x', '2000-01-01', '{"a": 1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-01-01 10:00'),
        ('b@x', NULL, NULL, NULL, NULL);
    INSERT INTO notes VALUES (1, 2, 'one'), (2, 1, NULL);)";

} // namespace

TEST_CASE("copy: the schema first, the data later", "[copy][existing][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(shop);
        copy::Options schema, data;
        schema.schema_only = true;
        data.data_only = true;
        CHECK(run(source, target, schema).rows == 0);
        CHECK(target.value("SELECT COUNT(*) FROM people") == "0");
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.referential_constraints WHERE "
                           "constraint_schema = DATABASE()") == "1");
        Cancel cancel;
        CHECK(copy::state(target.url(), cancel).state == "done");
        CHECK(copy::plan(source.url(), target.url(), data, cancel) ==
              "ALTER TABLE `people` AUTO_INCREMENT = 3;\n");
        copy::CopyResult result = run(source, target, data);
        CHECK(result.rows == 4);
        CHECK(target.value("SELECT GROUP_CONCAT(CONCAT(id, email, COALESCE(`key`, '-')) ORDER BY "
                           "id) FROM people") == "1a@xa0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,2b@x-");
        CHECK(target.value("SELECT GROUP_CONCAT(CONCAT(id, person) ORDER BY id) FROM notes") ==
              "12,21");
        CHECK(outcome(result.report, "people", "table") ==
              "converted: it was there already, and is filled");
        CHECK(outcome(result.report, "notes.notes_person", "index") ==
              "converted: it is there already");
        // A third time there are rows.
        try {
            run(source, target, data);
            CHECK(false);
        } catch (const Error& error) {
            CHECK(error.kind() == "db.not_empty");
            CHECK(error.message() ==
                  target.url().masked() + " is not empty: it holds notes, people");
        }
        // What a copy has made is dropped, as ever.
        CHECK(copy::discard(target.url(), cancel) == std::vector<std::string>{"notes", "people"});
    });
}

TEST_CASE("copy: tables made by others are filled where they hold every value",
          "[copy][existing][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(shop);
        target.script(
            "CREATE TABLE people (id bigint PRIMARY KEY AUTO_INCREMENT, email varchar(255) "
            "COLLATE utf8mb4_unicode_ci NOT NULL, born date, settings longtext, `key` binary(16), "
            "at datetime, extra int DEFAULT 7, UNIQUE KEY (email));"
            "CREATE TABLE notes (id int PRIMARY KEY, person bigint, body text, FOREIGN KEY "
            "(person) REFERENCES people (id));"
            "CREATE TABLE schema_migrations (version int); INSERT INTO schema_migrations VALUES "
            "(1)");
        copy::Options data;
        data.data_only = true;
        copy::CopyResult result = run(source, target, data);
        CHECK(result.rows == 4);
        CHECK(target.value("SELECT CONCAT(HEX(`key`), CAST(at AS CHAR), extra) FROM people WHERE "
                           "id = 1") == "A0EEBC999C0B4EF8BB6D6BB9BD380A112024-01-01 10:00:007");
        CHECK(target.value("SELECT settings FROM people WHERE id = 1") == "{\"a\": 1}");
        CHECK(target.value("SELECT COUNT(*) FROM schema_migrations") == "1");
        CHECK(outcome(result.report, "notes.notes_person", "index") ==
              "converted: it is there already");
        // The tables were there before: they are emptied, and stay.
        Cancel cancel;
        copy::discard(target.url(), cancel);
        CHECK(target.value("SELECT COUNT(*) FROM people") == "0");
        CHECK(target.value("SELECT COUNT(*) FROM schema_migrations") == "1");
    });
}

TEST_CASE("copy: tables that would not hold the values are refused with the differences",
          "[copy][existing][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(shop);
        source.script("INSERT INTO people (email, at) VALUES ('A@x', '2024-01-01 10:00:00.5'), "
                      "('a-long-address@example.org', NULL)");
        // born has another type, key is missing, filled is filled by nothing.
        target.script(
            "CREATE TABLE people (id smallint PRIMARY KEY, email varchar(20) COLLATE "
            "utf8mb4_unicode_ci, born int, settings json NOT NULL, at datetime, filled int NOT "
            "NULL, UNIQUE KEY by_email (email), UNIQUE KEY by_born (at));"
            "CREATE TABLE notes (id int PRIMARY KEY, person int, body text CHARACTER SET latin1);"
            "CREATE TRIGGER changes BEFORE INSERT ON notes FOR EACH ROW SET NEW.body = 'x'");
        CHECK(findings(source, target) ==
              std::vector<std::string>{
                  "people.email: 1 row: longer than 20 characters (4)",
                  "people.settings: 3 rows: NULL, and the column there is NOT NULL (2; 3; 4)",
                  "people.at: 1 row: rounded by DATETIME (3)",
                  "people.born: 4 rows: the table that is there: date cannot become INT: it "
                  "becomes DATE, DATETIME or a text",
                  "notes.body: 2 rows: its character set there is latin1, utf8mb4 is needed",
                  "notes: 2 rows: the trigger changes there would run for each row",
                  "people.key: 4 rows: the table there has no column key",
                  "people: 4 rows: column filled there is NOT NULL without a default, and nothing "
                  "fills it"});
        target.script("DROP TABLE notes");
        copy::Options data;
        data.data_only = true;
        std::vector<std::string> texts = findings(source, target, data);
        CHECK(std::count(texts.begin(), texts.end(),
                         "notes: 2 rows: there is no table notes in the target") == 1);
        CHECK(target.value("SELECT COUNT(*) FROM people") == "0");
    });
}

TEST_CASE("copy: unique keys that only the target has are judged before a row is written",
          "[copy][existing][lab]") {
    on_both([](auto& source, auto& target) {
        source.script("CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t VALUES "
                      "(1, 5, 'x'), (2, 5, 'X'), (3, 6, 'y')");
        target.script("CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b varchar(9) COLLATE "
                      "utf8mb4_unicode_ci UNIQUE)");
        CHECK(findings(source, target) ==
              std::vector<std::string>{
                  "t.a: 2 rows: values that repeat, and are unique there by a (5 = 5)",
                  "t.b: 2 rows: values that repeat, and are unique there by b (X = x)"});
    });
}

TEST_CASE("copy: data alone that failed half-way begins anew in the same tables",
          "[copy][existing][lab]") {
    on_both([](auto& source, auto& target) {
        source.script("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, x "
                      "int); INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 9)");
        target.script("CREATE TABLE a (id int PRIMARY KEY, extra int DEFAULT 7); CREATE TABLE b "
                      "(id int PRIMARY KEY, x int, CONSTRAINT small CHECK (x < 5))");
        copy::Options data;
        data.data_only = true;
        data.streams = 1;
        CHECK_THROWS_AS(run(source, target, data), Error);
        Cancel cancel;
        CHECK(copy::state(target.url(), cancel).state == "partial");
        target.script("ALTER TABLE b DROP CONSTRAINT small");
        CHECK(run(source, target, data).rows == 3);
        CHECK(target.value("SELECT COUNT(*) FROM a WHERE extra = 7") == "2");
        CHECK(target.value("SELECT x FROM b") == "9");
        CHECK(copy::state(target.url(), cancel).state == "done");
    });
}
