// PostgreSQL into PostgreSQL: the same types, keys, constraints, partitions and sequences there.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

using namespace runbook;
using test::outcome;
using test::run;

namespace {

/// All that the catalogue says of tables, columns, constraints, indexes and sequences.
std::string description(const test::LabDatabase& database) {
    return database.value(R"(
        SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
          SELECT format('%s.%s %s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                        a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) AS line
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
            AND NOT a.attisdropped
          UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
          UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
          UNION ALL SELECT format('%s %s %s %s %s %s', sequencename, data_type, start_value, increment_by, cycle, last_value)
          FROM pg_sequences WHERE schemaname = 'public'
          UNION ALL SELECT format('%s %s', c.relname, pg_get_expr(c.relpartbound, c.oid)) FROM pg_class c
          WHERE c.relispartition AND c.relkind = 'r'
          UNION ALL SELECT format('%s: %s', objoid::regclass, description) FROM pg_description
          WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text !~ '^pg_'
        ) lines WHERE line !~ '_runbook_copy')");
}

} // namespace

TEST_CASE("copy: a PostgreSQL database arrives as it was", "[copy][lab]") {
    test::PostgresDatabase source, target;
    if (!source.there() || !target.there())
        return;
    source.script(R"(
        CREATE EXTENSION citext;
        CREATE TYPE mood AS ENUM ('sad', 'it''s \ fine');
        CREATE TYPE pair AS (a int, b text);
        CREATE DOMAIN percent AS int CHECK (VALUE >= 0 AND VALUE <= 100) DEFAULT 7;
        CREATE SEQUENCE apart START 100 INCREMENT 10 CYCLE MAXVALUE 1000;
        SELECT nextval('apart');
        CREATE TABLE t (
            id bigserial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3), m mood DEFAULT 'sad'::mood,
            p percent, c pair, ci citext NOT NULL, num numeric, amount money, tsz timestamptz DEFAULT now(),
            twice numeric GENERATED ALWAYS AS (num * 2) STORED, a text[] DEFAULT '{}', r int4range, x xml, v tsvector,
            bt bit(3), ip inet, y bytea, j json, jb jsonb, iv interval, f real, d double precision, by_apart int DEFAULT nextval('apart'),
            "Odd ""name" text COLLATE "C",
            CONSTRAINT "num ok" CHECK (num IS NULL OR num > -1e6), UNIQUE (ci), EXCLUDE USING gist (r WITH &&));
        COMMENT ON TABLE t IS 'what''s in it';
        COMMENT ON COLUMN t.ci IS 'without case';
        CREATE INDEX partial ON t (m) WHERE num > 0;
        CREATE INDEX over ON t (lower(ci::text), n DESC NULLS LAST) INCLUDE (m);
        CREATE INDEX words ON t USING gin (v);
        INSERT INTO t (ci, num, amount, tsz, a, r, x, v, bt, ip, y, j, jb, iv, f, d, c, p, "Odd ""name") VALUES
          ('Abc', 'NaN', '-1234.56', '0044-03-15 12:00:00+00 BC', '{"a,b",NULL,"\""}', '[1,5)', '<a/>', 'a:1 b:2', B'101',
           '10.0.0.1/24', '\x00ff', '{"b":1,"a":[1.10,  2]}', '{"n": 123456789012345678901234567890.1}', '1 mon -2 days 03:04:05.6', 0.1,
           '-Infinity', '(1,"x,y")', 55, E'tab\there\nand \\N'),
          ('abd', 12345678901234567890.0123456789012, NULL, 'infinity', '{}', 'empty', NULL, '', B'000', '::1', '', 'null', 'null', '0', '-0', '-0',
           NULL, NULL, '');
        CREATE TABLE events (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
        CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO (MAXVALUE) PARTITION BY HASH (id);
        CREATE TABLE events_new_0 PARTITION OF events_new FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE events_new_1 PARTITION OF events_new FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE INDEX ON events (at);
        INSERT INTO events SELECT i, date '2023-12-01' + i FROM generate_series(1, 90) i;
        CREATE TABLE child (t_id bigint REFERENCES t ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, note text);
        INSERT INTO child VALUES (1, 'a'), (NULL, NULL), (1, 'a');
        SET CONSTRAINTS ALL IMMEDIATE;
        ALTER TABLE child ADD CONSTRAINT later CHECK (note <> 'a') NOT VALID;
        CREATE VIEW v AS SELECT * FROM t;)");
    const copy::CopyResult result = run(source, target);
    CHECK(result.rows == 95);
    CHECK(description(target) == description(source));
    CHECK(description(source).size() > 2500);
    const char* content = "SELECT string_agg(t::text, E'\\n' ORDER BY id) FROM t";
    CHECK(target.value(content) == source.value(content));
    CHECK(target.value("SELECT count(*) FROM events_new_0") ==
          source.value("SELECT count(*) FROM events_new_0"));
    CHECK(target.value("SELECT nextval('apart')") == "130");
    CHECK(target.value("INSERT INTO t (ci) VALUES ('next') RETURNING id || ' ' || n || ' ' || p") ==
          "3 11 7");
    CHECK_THROWS_WITH(target.script("INSERT INTO t (ci) VALUES ('ABC')"),
                      Catch::Contains("duplicate key"));
    CHECK(outcome(result, "v", "view") ==
          "omitted: only tables are copied: bring it over from a dump of the schema");
    CHECK(outcome(result, "mood", "type") == "converted");
    CHECK(outcome(result, "apart", "sequence") == "converted");

    Cancel cancel;
    copy::discard(target.url(), cancel);
    CHECK(target.value("SELECT count(*) FROM pg_class WHERE relnamespace = "
                       "'public'::regnamespace") == "0");
    CHECK(target.value("SELECT count(*) FROM pg_type t WHERE typnamespace = "
                       "'public'::regnamespace AND typtype IN ('d', 'e')") == "0");
    CHECK(run(source, target).rows == 95);
    const verify::Result verified =
        verify::verify_database(source.url(), target.url(), {}, nullptr, cancel);
    CHECK(verified.mismatches() == 0);
}
