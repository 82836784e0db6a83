// The catalogues of MySQL, MariaDB and SQLite, read from real databases.
#include "runtime/transfer/catalog/catalog.h"
#include "tests/unit/verify_support.h"

using namespace runbook;
using catalog::Type;
using db::Flavour;
using verify::lab::Place;

namespace {

catalog::Database read(Place& place, const catalog::Filter& filter = {}) {
    Cancel cancel;
    return catalog::read_catalog(*place, filter, cancel);
}

std::string parts_of(const catalog::Index& index) {
    std::string out;
    for (const catalog::IndexPart& part : index.parts)
        out += (out.empty() ? "" : ",") +
               (part.column.empty() ? "(" + part.expression + ")" : part.column) +
               (part.descending ? " desc" : "") +
               (part.prefix ? ":" + std::to_string(*part.prefix) : "");
    return out;
}

} // namespace

TEST_CASE("catalogue: tables, columns and keys of MySQL and MariaDB", "[verify][catalog][lab]") {
    for (Flavour flavour : {Flavour::mysql, Flavour::mariadb}) {
        Place place(flavour);
        if (!place)
            continue;
        const bool mariadb = flavour == Flavour::mariadb;
        INFO(place.name());
        place.script({
            "CREATE TABLE parent (a int, b varchar(10) COLLATE utf8mb4_bin, PRIMARY KEY (b, a)) "
            "COMMENT 'the parent'",
            "CREATE TABLE child (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, a int NOT NULL "
            "DEFAULT 7, "
            "b varchar(10) COLLATE utf8mb4_bin DEFAULT 'it''s', flag tinyint(1), price "
            "decimal(12,4), bits bit(5), "
            "mood enum('sad','it''s') NOT NULL, doc json, at timestamp(3) NULL DEFAULT "
            "CURRENT_TIMESTAMP(3) "
            "ON UPDATE CURRENT_TIMESTAMP(3), twice decimal(12,4) AS (price * 2) STORED, body "
            "longtext, "
            "UNIQUE KEY by_mood (mood, body(20)), KEY by_at (at DESC), "
            "CONSTRAINT to_parent FOREIGN KEY (b, a) REFERENCES parent (b, a) ON DELETE CASCADE, "
            "CONSTRAINT positive CHECK (a > 0))",
            "INSERT INTO parent VALUES (7, 'x')",
            "INSERT INTO child (a, b, mood) VALUES (7, 'x', 'sad'), (7, 'x', 'it''s')",
            "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
            "CREATE VIEW seen AS SELECT 1 AS one",
            "CREATE TRIGGER watch BEFORE INSERT ON parent FOR EACH ROW SET NEW.a = NEW.a",
        });
        catalog::Database database = read(place);
        CHECK(database.name == place.url().name);
        CHECK(database.charset == "utf8mb4");
        REQUIRE(database.schemas.size() == 1);
        REQUIRE(database.schemas[0].tables.size() == 3);

        const catalog::Table* child = database.table("", "child");
        REQUIRE(child);
        REQUIRE(child->columns.size() == 11);
        CHECK(child->column("id")->type == Type::int64);
        CHECK(child->column("id")->is_unsigned);
        CHECK(child->column("id")->identity->last_value == 2);
        CHECK(!child->column("a")->nullable);
        CHECK(*child->column("a")->default_expression == "7");
        CHECK(*child->column("b")->default_expression == (mariadb ? "'it''s'" : "it's"));
        CHECK(child->column("b")->default_is_literal != mariadb);
        CHECK(child->column("b")->collation == "utf8mb4_bin");
        CHECK(child->column("b")->length == 10);
        CHECK(child->column("flag")->type == Type::boolean);
        CHECK(!child->column("flag")->default_expression);
        CHECK(child->column("price")->precision == 12);
        CHECK(child->column("price")->scale == 4);
        CHECK(child->column("bits")->length == 5);
        CHECK(child->column("mood")->labels == std::vector<std::string>{"sad", "it's"});
        CHECK(child->column("doc")->type == (mariadb ? Type::json : Type::jsonb));
        CHECK(child->column("at")->on_update_now);
        CHECK(child->column("at")->precision == 3);
        CHECK(!child->column("at")->default_is_literal);
        CHECK(child->column("twice")->generated);
        CHECK(child->column("twice")->generation_stored);
        CHECK(child->column("twice")->generation_expression.find("* 2") != std::string::npos);
        REQUIRE(child->primary_key);
        CHECK(parts_of(*child->primary_key) == "id");
        REQUIRE(child->indexes.size() == 3); // the foreign key has one of its own
        auto index = [&](const std::string& name) {
            for (const catalog::Index& each : child->indexes)
                if (each.name == name)
                    return each;
            FAIL("no index " << name);
            return catalog::Index{};
        };
        CHECK(index("by_mood").unique);
        CHECK(parts_of(index("by_mood")) == "mood,body:20");
        CHECK(parts_of(index("by_at")) == "at desc");
        REQUIRE(child->foreign_keys.size() == 1);
        CHECK(child->foreign_keys[0].name == "to_parent");
        CHECK(child->foreign_keys[0].columns == std::vector<std::string>{"b", "a"});
        CHECK(child->foreign_keys[0].to_columns == std::vector<std::string>{"b", "a"});
        CHECK(child->foreign_keys[0].on_delete == "CASCADE");
        REQUIRE(child->checks.size() == 1); // MariaDB's check of the JSON column is the type
        CHECK(child->checks[0].name == "positive");
        CHECK(database.table("", "parent")->comment == "the parent");
        CHECK(database.table("", "parted")->partitions.size() == 3);
        REQUIRE(database.schemas[0].others.size() == 2);
        CHECK(database.schemas[0].others[0].kind == "view");
        CHECK(database.schemas[0].others[1].detail == "on parent");

        catalog::Filter filter;
        filter.exclude = {"par*"};
        CHECK(read(place, filter).schemas[0].tables.size() == 1);
        place.sql("DROP TABLE child");
    }
}

TEST_CASE("catalogue: tables, columns and keys of SQLite", "[verify][catalog]") {
    Place place(Flavour::sqlite);
    place.script({
        "CREATE TABLE parent (a INTEGER, b VARCHAR(10) NOT NULL, PRIMARY KEY (b, a)) WITHOUT ROWID",
        "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, a INT DEFAULT 7, b TEXT DEFAULT "
        "'it''s -- CHECK (x)', "
        "flag BOOLEAN, price DECIMAL(12,4), at DATETIME, loose, "
        "twice INT GENERATED ALWAYS AS (a * (2)) STORED, body BLOB, "
        "CHECK (a > 0 AND b <> ')'), UNIQUE (b, flag), FOREIGN KEY (b, a) REFERENCES parent ON "
        "DELETE CASCADE)",
        "CREATE INDEX by_at ON child (at DESC, lower(b)) WHERE a > 3",
        "CREATE VIEW seen AS SELECT 1",
        "INSERT INTO child (id, b) VALUES (41, NULL)",
        "CREATE TABLE plain (id INTEGER PRIMARY KEY, v ANY) STRICT",
    });
    catalog::Database database = read(place);
    REQUIRE(database.schemas[0].tables.size() == 3);
    const catalog::Table* child = database.table("", "child");
    REQUIRE(child);
    REQUIRE(child->columns.size() == 9);
    CHECK(child->column("id")->identity->last_value == 41);
    CHECK(!child->column("id")->nullable);
    CHECK(*child->column("b")->default_expression == "'it''s -- CHECK (x)'");
    CHECK(child->column("flag")->type == Type::boolean);
    CHECK(child->column("price")->type == Type::numeric);
    CHECK(child->column("price")->precision == 12);
    CHECK(child->column("price")->scale == 4);
    CHECK(child->column("at")->type == Type::timestamp);
    CHECK(child->column("loose")->type == Type::dynamic);
    CHECK(child->column("twice")->generated);
    CHECK(child->column("twice")->generation_stored);
    CHECK(child->column("twice")->generation_expression == "a * (2)");
    REQUIRE(child->checks.size() == 1);
    CHECK(child->checks[0].expression == "a > 0 AND b <> ')'");
    REQUIRE(child->indexes.size() == 2);
    CHECK(parts_of(child->indexes[0]) == "b,flag");
    CHECK(child->indexes[0].constraint);
    CHECK(child->indexes[1].predicate == "a > 3");
    CHECK(child->indexes[1].parts[0].descending);
    REQUIRE(child->foreign_keys.size() == 1);
    CHECK(child->foreign_keys[0].to_columns == std::vector<std::string>{"b", "a"});
    CHECK(child->foreign_keys[0].on_delete == "CASCADE");
    const catalog::Table* parent = database.table("", "parent");
    CHECK(parent->without_rowid);
    CHECK(parts_of(*parent->primary_key) == "b,a");
    CHECK(!parent->column("a")->nullable);
    CHECK(parent->column("b")->length == 10);
    CHECK(database.table("", "plain")->strict);
    REQUIRE(database.schemas[0].others.size() == 1);
    CHECK(database.schemas[0].others[0].kind == "view");
}
