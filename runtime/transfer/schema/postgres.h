// The parts of the mapping to PostgreSQL. Internal to runtime/transfer/schema.
#pragma once

#include "runtime/transfer/schema/schema.h"

#include <optional>
#include <set>
#include <string>

namespace runbook::schema::postgresql {

/// What holds for the whole plan.
struct Context {
    const catalog::Database& source;
    const Profile& profile;
    Plan& plan;
    bool from_mysql = false;
    std::set<std::string> names{}; ///< of tables and indexes: one schema has each once

    void report(const catalog::Table& table, const std::string& what, const std::string& kind,
                const std::string& outcome, const std::string& reason) const;
    /// `wanted` as a name of the source's dialect.
    std::string quoted(const std::string& name) const;
};

/// Type, select list and check of a column; false where it is refused or left out.
bool map_column(const Context& context, const catalog::Table& table, const catalog::Column& column,
                TargetColumn& out);
/// The default in PostgreSQL's words; nothing where it has none that surely means the same.
std::optional<std::string> map_default(const Context& context, const catalog::Column& column,
                                       const TargetColumn& out);

/// A check of MySQL over numbers alone; nothing for any other: strings compare by collations there.
std::optional<std::string> translate_mysql_check(const catalog::Table& table,
                                                 const TargetTable& target,
                                                 const std::string& expression);

} // namespace runbook::schema::postgresql
