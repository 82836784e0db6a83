// PostgreSQL's catalogue, read from a real server.
#include "tests/unit/catch.h"
#include "tests/unit/copy_support.h"

#include "runtime/transfer/catalog/catalog.h"

using namespace runbook;
using catalog::Type;

TEST_CASE("catalogue: tables, columns and keys of PostgreSQL", "[copy]") {
    test::PostgresDatabase source;
    if (!source.there())
        return;
    source.script(R"(
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE TABLE parent (id bigserial PRIMARY KEY, code varchar(12) UNIQUE);
        CREATE TABLE child (
            id int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 2) PRIMARY KEY,
            parent_id bigint REFERENCES parent ON DELETE CASCADE,
            feeling mood DEFAULT 'ok', amount numeric(12,4), n positive, tags text[],
            doubled int GENERATED ALWAYS AS (2 + 2) STORED,
            at timestamptz(3), CONSTRAINT big CHECK (amount > 1));
        INSERT INTO child (parent_id) VALUES (NULL), (NULL);
        CREATE INDEX child_lower ON child (lower(tags[1]), at DESC) INCLUDE (n) WHERE n > 3;
        CREATE TABLE parted (a int NOT NULL, b int) PARTITION BY RANGE (a);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
        CREATE INDEX parted_1_b ON parted_1 (b);
        CREATE VIEW v AS SELECT 1;
        CREATE SEQUENCE lonely;
        CREATE SCHEMA other CREATE TABLE away (a int);)");
    Cancel cancel;
    auto connection = source.open();
    catalog::Database database = catalog::read_catalog(*connection, {}, cancel);
    REQUIRE(database.schemas.size() == 1);
    REQUIRE(database.schemas[0].tables.size() == 3);

    const catalog::Table* child = database.table("public", "child");
    REQUIRE(child);
    REQUIRE(child->columns.size() == 8);
    CHECK(child->columns[0].identity->always);
    CHECK(child->columns[0].identity->increment == 2);
    CHECK(child->columns[0].identity->last_value == 12);
    CHECK(child->columns[2].labels == std::vector<std::string>{"sad", "ok"});
    CHECK(*child->columns[2].default_expression == "'ok'::mood");
    CHECK(child->columns[3].precision == 12);
    CHECK(child->columns[3].scale == 4);
    CHECK(child->columns[4].type == Type::int32);
    CHECK(child->columns[4].domain == "public.positive");
    CHECK(child->columns[4].domain_checks == std::vector<std::string>{"(VALUE > 0)"});
    CHECK(child->columns[5].element == Type::text);
    CHECK(child->columns[6].generated);
    CHECK(child->columns[6].generation_expression == "(2 + 2)");
    CHECK(child->columns[7].precision == 3);
    REQUIRE(child->foreign_keys.size() == 1);
    CHECK(child->foreign_keys[0].on_delete == "CASCADE");
    CHECK(child->foreign_keys[0].to_columns == std::vector<std::string>{"id"});
    REQUIRE(child->checks.size() == 1);
    CHECK(child->checks[0].expression == "(amount > (1)::numeric)");
    REQUIRE(child->indexes.size() == 1);
    CHECK(child->indexes[0].parts[0].expression == "lower(tags[1])");
    CHECK(child->indexes[0].parts[1].descending);
    CHECK(child->indexes[0].included == std::vector<std::string>{"n"});
    CHECK(child->indexes[0].predicate == "((n)::integer > 3)");

    const catalog::Table* parent = database.table("", "parent");
    CHECK(parent->columns[0].identity->sequence == "parent_id_seq");
    CHECK_FALSE(parent->columns[0].identity->last_value);
    CHECK(parent->primary_key->parts[0].column == "id");
    CHECK(parent->indexes[0].unique);

    const catalog::Table* parted = database.table("", "parted");
    CHECK(parted->partitions.size() == 2);
    CHECK(parted->indexes.size() == 1);

    std::vector<std::string> others;
    for (const auto& object : database.schemas[0].others)
        others.push_back(object.kind + " " + object.name);
    CHECK(others == std::vector<std::string>{"domain positive", "enum type mood", "sequence lonely",
                                             "view v"});
    REQUIRE(database.outside.size() == 1);
    CHECK(database.outside[0].name == "away");
}

TEST_CASE("catalogue: a filter takes names and patterns", "[copy]") {
    catalog::Filter filter;
    CHECK(filter.takes("anything"));
    filter.include = {"order*", "users"};
    filter.exclude = {"*_old"};
    CHECK(filter.takes("orders"));
    CHECK(filter.takes("users"));
    CHECK_FALSE(filter.takes("orders_old"));
    CHECK_FALSE(filter.takes("user"));
}
