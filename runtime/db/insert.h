// Many rows into one table with bound parameters, whole or not at all. Runs on the connection's
// thread; blocks.
#pragma once

#include "runtime/db/connection.h"

#include <string>
#include <vector>

namespace runbook::db {

/// Inserts `rows` (maps by column name; a column that a row lacks is NULL) in statements of many
/// rows, in one transaction where none is open. `table` may be schema.table. Returns the number of
/// rows. Errors: `argument` for a row that is no map or names no column, those of execute().
std::int64_t insert_rows(Connection& connection, const std::string& table, const List& rows,
                         const StatementOptions& options, Cancel& cancel);

} // namespace runbook::db
