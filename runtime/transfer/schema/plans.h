// One planner for each kind of target. Internal to runtime/transfer/schema.
#pragma once

#include "runtime/transfer/schema/schema.h"

namespace runbook::schema {

Plan plan_mysql(const catalog::Database& source, const Profile& profile, const Options& options,
                const Target& target);
Plan plan_postgresql(const catalog::Database& source);

} // namespace runbook::schema
