// Two structures compared on real servers.
#include "runtime/transfer/verify/schema_compare.h"
#include "tests/unit/verify_support.h"

using namespace runbook;
using namespace runbook::verify;
using db::Flavour;
using verify::lab::Place;

namespace {

SchemaResult compare(Place& source, Place& target, const SchemaOptions& options = {}) {
    Cancel cancel;
    return compare_schemas(source.url(), target.url(), options, cancel);
}

std::vector<std::string> told(const std::vector<SchemaItem>& items) {
    std::vector<std::string> out;
    for (const SchemaItem& item : items)
        out.push_back(item.kind + " " + item.table + "." + item.name + ": " + item.detail);
    return out;
}

void make_source(Place& place) {
    place.script(
        {"CREATE TABLE people (id int PRIMARY KEY, email varchar(50) NOT NULL, words tsvector, "
         "CONSTRAINT adult CHECK (id > 0))",
         "CREATE UNIQUE INDEX by_email ON people (email)",
         "CREATE INDEX by_words ON people USING gin (words)",
         "CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people (id), at date)",
         "CREATE INDEX by_person_at ON notes (person, at)", "CREATE VIEW seen AS SELECT 1"});
}

} // namespace

TEST_CASE("schema.compare: complete, then without what was dropped", "[verify][lab]") {
    Place source(Flavour::postgresql);
    if (!source)
        return;
    make_source(source);
    for (Flavour flavour : {Flavour::mysql, Flavour::mariadb, Flavour::sqlite}) {
        Place target(flavour);
        if (!target)
            continue;
        INFO(target.name());
        target.script(
            {"CREATE TABLE people (id int NOT NULL PRIMARY KEY, email varchar(50) NOT NULL, "
             "CONSTRAINT adult CHECK (id > 0))",
             "CREATE UNIQUE INDEX other_name ON people (email)",
             "CREATE TABLE notes (id int NOT NULL PRIMARY KEY, person int, at date, "
             "CONSTRAINT notes_fk FOREIGN KEY (person) REFERENCES people (id))",
             "CREATE INDEX by_person_at ON notes (person, at)"});
        SchemaResult clean = compare(source, target);
        CHECK(told(clean.missing).empty());
        CHECK(told(clean.different).empty());
        CHECK(clean.passed());
        CHECK(clean.tables == 2);
        CHECK(told(clean.omitted) ==
              std::vector<std::string>{"column people.words: tsvector has no counterpart",
                                       "index people.by_words: gin index on words"});
        CHECK(told(clean.others) == std::vector<std::string>{"view .seen: "});
        if (flavour != Flavour::sqlite)
            CHECK(clean.collations == std::vector<std::string>{flavour == Flavour::mysql
                                                                   ? "utf8mb4_0900_ai_ci"
                                                                   : "utf8mb4_general_ci"});
        CHECK(!clean.only_missing_indexes());

        target.sql(flavour == Flavour::sqlite ? "DROP INDEX other_name"
                                              : "DROP INDEX other_name ON people");
        target.sql("INSERT INTO people (id, email) VALUES (1, 'a'), (2, 'a'), (3, 'b')");
        SchemaResult doubled = compare(source, target);
        CHECK(told(doubled.missing) ==
              std::vector<std::string>{"unique index people.by_email: email"});
        CHECK(doubled.duplicates == 1);
        CHECK(!doubled.only_missing_indexes());
        CHECK(!doubled.passed());
        target.sql("DELETE FROM people WHERE id = 2");
        CHECK(compare(source, target).only_missing_indexes());
    }
}

TEST_CASE("schema.compare: tables, columns, keys and NULL", "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::sqlite);
    if (!source)
        return;
    make_source(source);
    target.sql("CREATE TABLE humans (id INTEGER PRIMARY KEY, email TEXT)");
    SchemaOptions options;
    options.rename = {{"people", "humans"}};
    SchemaResult result = compare(source, target, options);
    CHECK(told(result.missing) ==
          std::vector<std::string>{"table notes.notes: ", "unique index people.by_email: email",
                                   "check people.adult: (id > 0)"});
    CHECK(told(result.different) ==
          std::vector<std::string>{
              "column people.email: NOT NULL in the source, nullable in the target"});
    options.tables = {"people", "nobody"};
    CHECK(told(compare(source, target, options).missing).front() ==
          "table nobody.nobody: not in the source either");
    options.tables = {"none"};
    CHECK(!compare(source, target, options).passed());
}
