// What the engines of runtime/db/written share. Internal.
#pragma once

#include "runtime/db/ask.h"
#include "runtime/db/written/written.h"

#include <map>
#include <string>

namespace runbook::db::written {

/// Rows written and deleted by table.
struct Change {
    std::int64_t written = 0, deleted = 0;
};
using Changes = std::map<std::string, Change>;
using Counts = std::map<std::string, std::int64_t>;

void mark_postgres(Connection& connection, bool counted, Map& mark, Cancel& cancel);
Changes since_postgres(Connection& connection, const Map& mark, Cancel& cancel);
void mark_mysql(Connection& connection, Map& mark, Cancel& cancel);
Changes since_mysql(Connection& connection, const Map& mark, Cancel& cancel);
void mark_sqlite(Connection& connection, Map& mark, Cancel& cancel);
Changes since_sqlite(Connection& connection, const Map& mark, Cancel& cancel);

/// {name = n} as a map, without "$type"; empty where the mark has none.
Counts counts_in(const Map& mark, const char* key);
Map to_map(const Counts& counts);

/// The mark cannot answer any more.
[[noreturn]] void worthless(const Connection& connection, const std::string& why);

} // namespace runbook::db::written
