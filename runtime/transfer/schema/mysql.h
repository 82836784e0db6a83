// The parts of the mapping to MySQL and MariaDB. Internal to runtime/transfer/schema.
#pragma once

#include "runtime/transfer/schema/schema.h"
#include "runtime/transfer/schema/text.h"

#include <map>
#include <set>
#include <string>

namespace runbook::schema::mysql {

/// What holds for the whole plan.
struct Context {
    const catalog::Database& source;
    const Profile& profile;
    const Target& target;
    std::string charset, collation; ///< of the tables
    std::string exact_collation;    ///< bytes compare, blanks count: enums, checks
    bool mariadb = false;
    Plan& plan;
    std::set<std::string> names;      ///< constraint names in use; they are unique in a schema
    std::set<std::string> referenced; ///< schema, table and column that a foreign key points to
    std::map<std::string, std::size_t> tables; ///< schema and table → place in the plan
    const rules::Decisions* rules = nullptr;   ///< never null

    /// Names in the target: by a rule, and at most 64 characters.
    std::string table_name(const std::string& table) const;
    std::string column_name(const std::string& table, const std::string& column) const;
    /// SQL of the source for the column's values.
    std::string value(const catalog::Table& table, const catalog::Column& column) const;
    Names names_of(const catalog::Table& table) const;

    void report(const catalog::Table& table, const std::string& column, const std::string& kind,
                const std::string& outcome, const std::string& reason) const;
    /// `wanted`, cut to 64 characters, made unique with the table's name.
    std::string constraint_name(const catalog::Table& table, const std::string& wanted);
};

/// Bytes that InnoDB takes in one key.
inline constexpr std::int64_t key_limit = 3072;

/// Where a column stands in keys: what decides between VARCHAR and LONGTEXT.
struct KeyUse {
    bool indexed = false; ///< in a plain index: a prefix would do
    bool whole = false;   ///< in a primary key, a unique index or a foreign key
};

/// False where the column is left out (named in the report) or refused.
bool map_column(const Context& context, const catalog::Table& table, const catalog::Column& column,
                KeyUse use, TargetColumn& out);
void map_default(const Context& context, const catalog::Table& table, const catalog::Column& column,
                 TargetColumn& out);

/// `referenced` as in Context.
KeyUse key_use(const std::set<std::string>& referenced, const catalog::Table& table,
               const catalog::Column& column);
std::string place(const std::string& schema, const std::string& table,
                  const std::string& column = {});
/// True where an index of this kind becomes one there at all.
bool is_plain_index(const catalog::Index& index);

/// A partial unique index or one over an expression: a functional index on MySQL, an invisible
/// generated column with an index on MariaDB. False where it is not one, or cannot be made so
/// (`why_not` says why, to follow "over an expression").
bool plan_functional_index(Context& context, TargetTable& table, const catalog::Index& index,
                           bool descending, std::vector<std::string>& later, std::string& why_not);
/// At most `limit` characters.
std::string cut_comment(const std::string& text, std::size_t limit);
/// Moves what a row cannot hold out of it (VARCHAR to LONGTEXT), or refuses the table.
void fit_row(Context& context, TargetTable& table);

void plan_indexes(Context& context, TargetTable& table, std::vector<std::string>& inline_keys,
                  std::vector<std::string>& later);
void plan_foreign_keys(Context& context, TargetTable& table);

/// "FROM … WHERE …": the rows of the table, as `c`, that point to no row by the key.
std::string orphans(const std::string& table, const catalog::ForeignKey& key);

} // namespace runbook::schema::mysql
