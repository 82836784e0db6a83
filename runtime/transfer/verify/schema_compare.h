// What of one database's structure another one lacks: tables, columns, keys, indexes, foreign keys,
// checks. Reads both catalogues with sessions of its own and writes nothing. Blocks the caller's
// thread. Names are compared without regard to case, an index by its columns and not by its name.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"
#include "runtime/db/url.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace runbook::verify {

struct SchemaOptions {
    std::vector<std::string> tables;           ///< source names; empty: all
    std::vector<std::string> exclude;          ///< source names left out on purpose
    std::map<std::string, std::string> rename; ///< source table → target table
    std::string schema; ///< PostgreSQL schema on either side; empty: `public`
};

/// One thing of the source, and what is said about it.
struct SchemaItem {
    std::string
        kind; ///< table, column, primary key, unique index, index, foreign key, check, view…
    std::string table, name, detail;
    std::string create = {}; ///< the target's statement for a missing index of plain columns
};

struct TargetIndex {
    std::string table, name;
    bool unique = false;
    std::vector<std::string> columns; ///< an expression stands as its text
};

struct SchemaResult {
    std::vector<SchemaItem> missing;   ///< the target lacks it
    std::vector<SchemaItem> different; ///< there, but not the same (a column that lost NOT NULL)
    std::vector<SchemaItem> omitted;   ///< has no counterpart on the target's engine
    std::vector<SchemaItem> others;    ///< of the source: views, functions, triggers; not compared
    std::vector<TargetIndex> indexes;  ///< of the target's compared tables, primary keys among them
    std::vector<std::string> collations; ///< of their text columns (JSON is none), each once
    std::int64_t duplicates =
        0; ///< groups of rows that break a unique key of the source which the target lacks
    std::int64_t tables = 0; ///< compared
    /// True where something is missing and all of it is plain or unique indexes.
    bool only_missing_indexes() const;
    bool passed() const {
        return tables > 0 && missing.empty() && different.empty() && duplicates == 0;
    }
};

/// Errors: `db.*`, `argument`, `cancelled`, `timeout`.
SchemaResult compare_schemas(const db::Url& source, const db::Url& target,
                             const SchemaOptions& options, Cancel& cancel);

/// {missing, different, omitted, others, only_missing_indexes, indexes, collations, duplicates,
/// tables, passed}.
Map to_map(const SchemaResult& result);

} // namespace runbook::verify
