// What a playbook says about a copy beyond the mapping: which type, table or column becomes what.
// Owns: the form of a rule, its checks, and which column it decides. Plain data and pure functions
// over the catalogue, any thread; never opens a connection. Copy and verify both read rules here:
// they say what is wanted, and each finds out by its own reads whether it came true.
#pragma once

#include "runtime/base/value.h"
#include "runtime/transfer/catalog/catalog.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runbook::rules {

/// A change of values, by name.
struct Transform {
    std::string name;        ///< empty: none
    std::string low, high;   ///< of infinity-to
    std::int64_t length = 0; ///< of truncate
    bool operator==(const Transform&) const = default;
};

/// A condition on the column: `nullable` is true, `length` > 255.
struct Guard {
    std::string property;
    std::string sign; ///< = <> < <= > >=; "is" for true, false, "none" and texts
    std::string text;
    double number = 0;
};

struct Rule {
    std::size_t number = 0;                  ///< its place in the list, from 1
    std::string schema, table, column, type; ///< what it is about; `*` matches in names
    std::string index;                       ///< an index or constraint, by name
    std::vector<Guard> when;
    bool optional = false; ///< may match nothing

    std::string to; ///< type in the target
    Transform transform;
    std::string rename, filter;
    std::vector<std::string> split; ///< names of the two columns that a range becomes
    bool drop_default = false, drop_not_null = false, exclude = false, include = false;

    /// `rule 3 (type "uuid", column "id")`.
    std::string text() const;
};
using Rules = std::vector<Rule>;

/// Checks the form: unknown options, wrong types, nothing to do, options that exclude each other.
/// Errors: `argument`, with the rule's number.
Rules parse(const Value& list);

/// What a column becomes where a rule says so.
struct ColumnDecision {
    std::string name;       ///< in the target; empty: its own
    std::string to;         ///< type in the target; empty: as the mapping says
    std::string expression; ///< SQL of the source for its values; empty: the column itself
    std::string by;         ///< the rules that decided, for messages
    Transform transform;
    std::string to_type;  ///< its type in the source's SQL where the expression has another one
    std::string bad, why; ///< rows that it would not carry: condition and problem
    bool drop_default = false;
};

struct TableDecision {
    std::string name;   ///< in the target; empty: its own
    std::string filter; ///< condition in the source's SQL; empty: all rows
    std::string by;
};

/// Something that a rule leaves out or changes, for the report.
struct Note {
    std::string object, kind, outcome, reason;
};

/// All rules applied to one source.
struct Decisions {
    catalog::Database database; ///< without what is left out; a split range is two columns
    std::map<std::string, TableDecision> tables; ///< by the name in the source
    std::map<std::pair<std::string, std::string>, ColumnDecision> columns; ///< table, column
    std::vector<Note> notes;

    const TableDecision* table(const std::string& name) const;
    const ColumnDecision* column(const std::string& table, const std::string& name) const;
    std::string table_name(const std::string& name) const;
    std::string column_name(const std::string& table, const std::string& name) const;
    /// SQL of the source for the column's values.
    std::string expression(const catalog::Table& table, const std::string& column) const;
    /// " AND (…)", " WHERE (…)", or nothing where all rows of the table are wanted.
    std::string filter(const std::string& table, const char* keyword) const;
    bool changes_nothing() const { return tables.empty() && columns.empty() && notes.empty(); }
};

/// Applies rules. Errors: `argument` for a type, table or column that is not there, `copy.refused`
/// for a rule that matches nothing, rules that contradict each other, or a change that does not
/// fit the column's type.
Decisions resolve(const Rules& rules, const catalog::Database& source);

/// SQL of the source that gives the changed value, of the same type as the column. Throws
/// Error{`copy.refused`} where the change is not one for this type.
std::string transformed(const Transform& transform, const catalog::Column& column,
                        db::Flavour source, const std::string& expression);
std::vector<std::string> transform_names();

/// Type of the two bounds of a PostgreSQL range, as a column of its own; nothing where it is a
/// range of another type.
std::optional<catalog::Column> bound_of(const catalog::Column& range);

} // namespace runbook::rules
