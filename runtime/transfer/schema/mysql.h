// The parts of the mapping to MySQL and MariaDB. Internal to runtime/transfer/schema.
#pragma once

#include "runtime/transfer/schema/schema.h"

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

void plan_indexes(Context& context, TargetTable& table, std::vector<std::string>& inline_keys,
                  std::vector<std::string>& later);
void plan_foreign_keys(Context& context, TargetTable& table);

/// "FROM … WHERE …": the rows of the table, as `c`, that point to no row by the key.
std::string orphans(const std::string& table, const catalog::ForeignKey& key);

} // namespace runbook::schema::mysql
