// What is compared with what: one table pair, its columns, its key, and the SELECT of each side.
// Any thread; plain data once made.
#pragma once

#include "runtime/transfer/verify/form.h"

#include <string>
#include <vector>

namespace runbook::verify {

/// Which side of the comparison.
enum class Which : std::uint8_t { source, target };

struct TablePlan {
    std::string name;                     ///< as people know it: the source's name
    std::string source_from, target_from; ///< quoted, for FROM
    std::vector<ColumnPair> columns;      ///< key columns first, in key order
    std::size_t key_columns = 0;          ///< 0: no usable key, rows are compared as a multiset
    std::int64_t estimated_rows = 0;      ///< for progress; 0 where unknown
    std::vector<std::string> omitted;     ///< columns that only one side has, each with the reason

    const Side& side(Which which, std::size_t column) const {
        return which == Which::source ? columns[column].source : columns[column].target;
    }
    const std::string& from(Which which) const {
        return which == Which::source ? source_from : target_from;
    }
    /// The SELECT of one side; ordered by the key where there is one. `where` may be empty.
    std::string select(Which which, const std::string& where = {}) const;
};

/// Fills `select`, `wire` and `order` of both sides of a pair whose names, families and types are
/// known. `key` asks for the order expression. Types are the engines' own, lower case.
struct TypedColumn {
    std::string name, quoted;
    std::string type;      ///< full type text, lower case; a domain's base type
    std::string collation; ///< MySQL: the column's
    std::string charset;   ///< MySQL: the column's
    bool json = false;     ///< MariaDB: a LONGTEXT with JSON_VALID
    bool nullable = true;
    bool user_type = false; ///< PostgreSQL: enum, composite, range, extension type
};
ColumnPair pair_columns(db::Flavour source_flavour, const TypedColumn& source,
                        db::Flavour target_flavour, const TypedColumn& target, bool key);

/// The WHERE of one side for rows with these keys (payloads that begin with the key cells), or
/// empty where a key cannot be written as a literal that surely finds its row.
std::string where_keys(const TablePlan& plan, Which which, const std::vector<std::string>& keys);

/// The text as a literal of this engine, whatever characters it holds.
std::string text_literal(db::Flavour flavour, std::string_view text);

} // namespace runbook::verify
