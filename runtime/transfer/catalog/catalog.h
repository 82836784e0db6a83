// What a database holds, in one form for every engine: tables, columns, keys, and the names of
// everything else.
// Owns: the structs and the set-based reads of the catalogues (a handful of queries, whatever the
// number of tables). Blocks; one thread. Never writes, never interprets: what a type or an
// expression becomes elsewhere is runtime/transfer/schema's.
#pragma once

#include "runtime/db/connection.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::catalog {

/// What a column holds, whatever its engine calls it.
enum class Type : std::uint8_t {
    boolean,
    int8, ///< one octet (TINYINT)
    int16,
    int24,
    int32,
    int64,
    numeric,
    float32,
    float64,
    money,
    character, ///< blank-padded, fixed length
    varchar,
    text, ///< without a limit worth naming
    citext,
    binary, ///< fixed length octets
    bytes,
    date,
    time,
    timetz,
    timestamp,   ///< wall clock, no zone
    timestamptz, ///< a moment (PostgreSQL timestamptz, MySQL TIMESTAMP)
    year,
    interval,
    uuid,
    json,  ///< text that is valid JSON
    jsonb, ///< parsed JSON (MySQL's JSON too)
    array, ///< `element` says of what
    enumeration,
    set,
    composite,
    hstore,
    range,
    inet,
    cidr,
    macaddr,
    bit,
    varbit,
    xml,
    tsvector,
    tsquery,
    geometry,
    oid,
    dynamic, ///< SQLite column without a declared type
    other
};
std::string_view type_name(Type type);

/// How a column gets its number by itself.
struct Identity {
    bool always = false;  ///< GENERATED ALWAYS
    std::string sequence; ///< its name where the engine has sequences
    std::int64_t start = 1, increment = 1;
    std::optional<std::int64_t> last_value; ///< last one handed out; nothing before the first
};

struct Column {
    std::string name;
    std::string engine_type; ///< as the engine prints it: "numeric(10,2)", "bigint unsigned"
    Type type = Type::other; ///< of a domain: its base type
    bool is_unsigned = false;
    std::optional<std::int64_t> length;  ///< characters, octets or bits, where declared
    std::optional<int> precision, scale; ///< numeric; fractional digits of times in `precision`
    bool nullable = true;
    std::optional<std::string> default_expression; ///< as the engine prints it
    bool default_is_literal = false; ///< MySQL: the text is the value itself, not an expression
    bool generated = false;
    std::string generation_expression;
    bool generation_stored = false;
    std::optional<Identity> identity; ///< identity, serial, AUTO_INCREMENT, INTEGER PRIMARY KEY
    bool on_update_now = false;       ///< MySQL: ON UPDATE CURRENT_TIMESTAMP
    std::string charset, collation;   ///< empty: the database's default
    Type element = Type::other;       ///< of an array
    std::string element_type;         ///< engine's name of the element
    std::vector<std::string> labels;  ///< of an enum or set, in order
    std::string domain;               ///< qualified name where the type is a domain
    std::vector<std::string> domain_checks; ///< expressions over VALUE
    std::string comment;
};

struct IndexPart {
    std::string column;     ///< empty for an expression
    std::string expression; ///< as the engine prints it
    bool descending = false;
    std::optional<std::int64_t> prefix; ///< MySQL prefix length
    std::string collation;              ///< where it differs from the column's
};

struct Index {
    std::string name;
    std::string method; ///< lower case: btree, hash, gin, gist, brin, fulltext, spatial…
    bool unique = false, primary = false, constraint = false;
    bool nulls_not_distinct = false, deferrable = false, valid = true, exclusion = false;
    std::vector<IndexPart> parts;
    std::vector<std::string> included;
    std::string predicate;  ///< of a partial index
    std::string definition; ///< the engine's own text
    std::string comment;
};

struct ForeignKey {
    std::string name;
    std::vector<std::string> columns;
    std::string to_schema, to_table;
    std::vector<std::string> to_columns;
    std::string on_update = "NO ACTION", on_delete = "NO ACTION"; ///< upper case SQL
    std::string match = "SIMPLE";
    bool deferrable = false, validated = true;
};

struct Check {
    std::string name, expression;
    bool validated = true;
};

/// One leaf of a partitioned table.
struct Partition {
    std::string schema, name;
    std::int64_t pages = 0;
};

enum class TableKind : std::uint8_t { table, partitioned, foreign };

struct Table {
    std::string schema, name;
    TableKind kind = TableKind::table;
    std::vector<Column> columns;
    std::optional<Index> primary_key;
    std::vector<Index> indexes; ///< without the primary key
    std::vector<ForeignKey> foreign_keys;
    std::vector<Check> checks;
    std::int64_t estimated_rows = 0;
    std::int64_t bytes = 0; ///< of the data, without indexes; 0 where the engine does not tell
    std::int64_t pages = 0; ///< PostgreSQL heap pages right now
    std::string comment;
    std::string engine, charset, collation;     ///< MySQL
    bool without_rowid = false, strict = false; ///< SQLite
    std::string partition_key;                  ///< as the engine prints it
    std::vector<Partition> partitions;          ///< all leaves
    std::vector<std::string> inherits;          ///< parents that are no partitioned tables
    bool row_security = false, unlogged = false;

    const Column* column(std::string_view name) const;
};

/// Anything that is not a table, named so that a report can say what became of it.
struct Object {
    std::string kind; ///< "view", "materialized view", "function", "trigger", "sequence", "type"…
    std::string schema, name;
    std::string detail; ///< what it belongs to, or why it stands here
};

struct Schema {
    std::string name;
    std::vector<Table> tables; ///< by name; partitions are part of their parent
    std::vector<Object> others;
};

struct Database {
    db::ServerInfo server;
    std::string name, encoding, charset, collation;
    std::vector<Schema> schemas;
    /// Objects outside of the schemas read: other schemas' tables, extensions.
    std::vector<Object> outside;

    const Table* table(std::string_view schema, std::string_view name) const;
};

struct Filter {
    /// PostgreSQL schemas; empty: `public`. MySQL and SQLite have one, the database itself.
    std::vector<std::string> schemas;
    /// Names of tables; empty: all. Patterns with `*` match.
    std::vector<std::string> include, exclude;

    bool takes(std::string_view table) const;
};

/// Reads everything in a handful of queries. In a PostgreSQL transaction, as of its snapshot.
/// Errors: `db.*`, `argument` for a schema that does not exist, `cancelled`, `timeout`.
Database read_catalog(db::Connection& connection, const Filter& filter, Cancel& cancel);

/// One engine each; read_catalog chooses.
Database read_postgresql(db::Connection& connection, const Filter& filter, Cancel& cancel);
Database read_mysql(db::Connection& connection, const Filter& filter, Cancel& cancel);
Database read_sqlite(db::Connection& connection, const Filter& filter, Cancel& cancel);

} // namespace runbook::catalog
