// One planner for each kind of target. Internal to runtime/transfer/schema.
#pragma once

#include "runtime/transfer/schema/schema.h"

namespace runbook::schema {

Plan plan_mysql(const catalog::Database& source, const Profile& profile, const Options& options,
                const Target& target);
Plan plan_postgresql(const catalog::Database& source, const Profile& profile);

Plan plan_sqlite(const catalog::Database& source);
/// `definitions`: by table, what SHOW CREATE TABLE says.
Plan plan_mysql_to_mysql(const catalog::Database& source,
                         const std::map<std::string, std::string>& definitions,
                         const Target& target);

/// What becomes of everything that is no table; `same`: the target is of the source's kind.
void report_others(const catalog::Database& source, Plan& plan, bool same = false);

/// True where BIGINT UNSIGNED becomes a bigint and not a numeric(20): it counts, or is one end of a
/// foreign key.
bool wants_bigint(const catalog::Database& source, const catalog::Table& table,
                  const catalog::Column& column);

} // namespace runbook::schema
