// Small results for the engines built on runtime/db: every row as a map, or one value, with a
// cancel that reaches the server. Runs on the connection's thread.
#pragma once

#include "runtime/base/error.h"
#include "runtime/db/connection.h"

#include <span>
#include <string_view>
#include <vector>

namespace runbook::db {

/// All rows of a statement by column name. Errors: those of Connection::query.
std::vector<Map> ask(Connection& connection, std::string_view sql, std::span<const Value> params,
                     Cancel& cancel);
inline std::vector<Map> ask(Connection& connection, std::string_view sql, Cancel& cancel) {
    return ask(connection, sql, {}, cancel);
}
inline std::vector<Map> ask(Connection& connection, std::string_view sql,
                            const std::vector<Value>& params, Cancel& cancel) {
    return ask(connection, sql, std::span<const Value>(params), cancel);
}
/// The first row, or an empty map.
Map ask_one(Connection& connection, std::string_view sql, const std::vector<Value>& params,
            Cancel& cancel);
/// A statement of the program's own, for its effect.
void tell(Connection& connection, std::string_view sql, const std::vector<Value>& params,
          Cancel& cancel);
inline void tell(Connection& connection, std::string_view sql, Cancel& cancel) {
    tell(connection, sql, {}, cancel);
}

} // namespace runbook::db
