// What a table of one engine becomes on another: types, defaults, keys, and the DDL for it.
// Owns: the mapping and its report. Pure functions over the catalogue and over what a scan of the
// data found; never opens a connection. Any thread.
#pragma once

#include "runtime/transfer/rules/rules.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::schema {

/// What happens to a field of COPY text on its way to the target.
enum class Codec : std::uint8_t {
    as_is,
    boolean, ///< t and f → 1 and 0
    bytea,   ///< \x6162 → octets
    zone,    ///< drops the +00 of a moment in UTC
    bits,    ///< 0101 → octets, right-aligned
    point    ///< (1,2) → what MySQL keeps of POINT(1 2), without a reference system
};

struct Options {
    std::string charset, collation; ///< MySQL; empty: utf8mb4 and the engine's binary collation
    std::string schema;             ///< of a PostgreSQL target; empty: public
    const rules::Decisions* rules = nullptr; ///< outlives the plan; null: none
};

/// What a scan of the data found in a column; only what the mapping asks for is filled.
struct ColumnProfile {
    std::int64_t characters = 0; ///< longest text
    int integer_digits = 0;      ///< longest part before the decimal point
    int fraction_digits = 0;     ///< longest part after it
    std::int64_t outside = 0;    ///< values of a TINYINT(1) that are no boolean
};
/// By table, then column.
using Profile = std::map<std::string, std::map<std::string, ColumnProfile>>;

struct TargetColumn {
    std::string source, name;
    std::string type;   ///< SQL type with charset, as in CREATE TABLE
    std::string select; ///< expression of the source's select list
    Codec codec = Codec::as_is;
    bool json = false; ///< MySQL: goes through a variable and CONVERT
    bool nullable = true;
    bool auto_increment = false;
    bool generated = false;  ///< the target computes it: read, and thrown away
    bool rewritten = false;  ///< by a rule: values that differed may be equal now
    std::string default_sql; ///< empty: none
    std::string comment;
    std::string check;          ///< a check of its own (JSON_VALID, a domain's)
    bool is_text = false;       ///< compares by a collation
    std::int64_t key_bytes = 8; ///< what it takes in an index
    std::string collation;      ///< where it is not the table's
};

struct TargetIndex {
    std::string name;
    std::string sql; ///< "UNIQUE KEY `n` (`a`, `b` DESC)"
    bool unique = false;
    std::vector<std::string> columns;
    std::string where;       ///< partial: the source's condition
    bool only_there = false; ///< the source has no such key: its values may repeat
};

/// A query that counts the rows a constraint forbids; it must say 0.
struct Proof {
    std::string name, query;
};

struct TargetTable {
    const catalog::Table* source = nullptr;
    std::string name;
    std::string filter; ///< rows of the source that are wanted; empty: all
    std::vector<TargetColumn> columns;
    std::vector<TargetIndex> keys;    ///< primary key (first where there is one) and unique indexes
    std::string create;               ///< CREATE TABLE with the primary key
    std::vector<std::string> indexes; ///< statements after the load: one ALTER for MySQL
    std::vector<std::string> foreign_keys; ///< statements after all indexes
    std::vector<Proof> proofs;             ///< of the foreign keys
    std::vector<std::string> after;        ///< statements at the end: sequences, comments
};

/// What became of an object of the source.
struct ReportEntry {
    std::string object, kind;
    std::string outcome; ///< converted, changed, omitted, left out
    std::string reason;
};

/// Something that cannot be carried: found before a row is written.
struct Refusal {
    std::string table, column, reason;
};

/// A statement that makes something the tables need: a type, a sequence.
struct Before {
    std::string kind, name, sql;
};

struct Plan {
    std::vector<Before> before;
    std::vector<TargetTable> tables;
    std::vector<ReportEntry> report;
    std::vector<Refusal> refusals;
    std::string charset, collation; ///< that hold for the tables
};

/// What the target's server says and the mapping needs.
struct Target {
    db::ServerInfo server;
    bool folds_table_names = false; ///< lower_case_table_names <> 0
};

Plan make_plan(const catalog::Database& source, const Profile& profile, const Options& options,
               const Target& target);

/// True where the mapping wants the longest text, or the digits, of this column.
bool wants_length(const catalog::Table& table, const catalog::Column& column, db::Flavour target);
bool wants_digits(const catalog::Column& column, db::Flavour target);

/// True for a collation under which equal means the same bytes and blanks count.
bool is_exact(std::string_view collation);

} // namespace runbook::schema
