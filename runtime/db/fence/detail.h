// What the engines of runtime/db/fence share. Internal.
#pragma once

#include "runtime/db/ask.h"
#include "runtime/db/fence/fence.h"

#include <optional>
#include <string>
#include <vector>

namespace runbook::db::fence {

/// The fence's name in the table: one database may have several, of different roles.
std::string name_of(const FenceOptions& options);

/// The one row about the fence itself: its object is empty, its statement holds {state, mark, …}.
std::optional<Map> header(Connection& connection, const std::string& name, Cancel& cancel);
void set_header(Connection& connection, const std::string& name, const Map& content,
                Cancel& cancel);
/// True where the table is there.
bool table_there(Connection& connection, Cancel& cancel);
/// Removes the fence's rows, and the table with its last row.
void forget(Connection& connection, const std::string& name, Cancel& cancel);

/// Why somebody whom the fence keeps out could write; nothing where nobody can.
std::optional<std::string> leak_postgres(Connection&, const FenceOptions&, Cancel&);
std::optional<std::string> leak_mysql(Connection&, const FenceOptions&, Cancel&);
std::optional<std::string> leak_sqlite(Connection&, const FenceOptions&, Cancel&);

/// Close and open without the mark, which is common.
Map close_postgres(Connection&, const FenceOptions&, Cancel&);
Map close_mysql(Connection&, const FenceOptions&, Cancel&);
Map close_sqlite(Connection&, const FenceOptions&, Cancel&);
Map open_postgres(Connection&, const FenceOptions&, Cancel&);
Map open_mysql(Connection&, const FenceOptions&, Cancel&);
Map open_sqlite(Connection&, const FenceOptions&, Cancel&);

[[noreturn]] void refuse(const Connection& connection, const std::string& why,
                         const std::string& hint);

} // namespace runbook::db::fence
