// See insert.h.
#include "runtime/db/insert.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace runbook::db {
namespace {

constexpr std::size_t most_parameters = 30'000; ///< SQLite takes 32766, the others 65535
constexpr std::size_t most_rows = 1000;

std::vector<std::string> columns_of(const List& rows) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Map* row = rows[i].get<Map>();
        if (!row)
            throw Error("argument", fmt::format("row {}: table by column name expected, got {}",
                                                i + 1, rows[i].type_name()));
        if (row->empty())
            throw Error("argument", fmt::format("row {} names no column", i + 1));
        for (const auto& [name, value] : *row)
            names.insert(name);
    }
    return {names.begin(), names.end()};
}

void insert_all(Connection& connection, const std::string& head,
                const std::vector<std::string>& columns, const List& rows,
                const StatementOptions& options, Cancel& cancel) {
    const std::size_t at_once =
        std::clamp<std::size_t>(most_parameters / columns.size(), 1, most_rows);
    std::string marks;
    for (std::size_t i = 0; i < columns.size(); ++i)
        marks += i == 0 ? "(?" : ", ?";
    marks += ')';
    for (std::size_t from = 0; from < rows.size(); from += at_once) {
        const std::size_t until = std::min(rows.size(), from + at_once);
        std::string sql = head;
        std::vector<Value> params;
        params.reserve((until - from) * columns.size());
        for (std::size_t i = from; i < until; ++i) {
            sql += (i == from ? "" : ", ") + marks;
            for (const std::string& column : columns) {
                const Value* value = rows[i].get<Map>()->find(column);
                params.push_back(value ? *value : Value(Null{}));
            }
        }
        connection.execute(sql, params, options, cancel);
    }
}

} // namespace

std::int64_t insert_rows(Connection& connection, const std::string& table, const List& rows,
                         const StatementOptions& options, Cancel& cancel) {
    if (rows.empty())
        return 0;
    const std::vector<std::string> columns = columns_of(rows);
    std::vector<std::string> parts = text::split(table, '.'), quoted;
    for (std::string& part : parts)
        part = connection.quote_name(part);
    for (const std::string& column : columns)
        quoted.push_back(connection.quote_name(column));
    const std::string head = fmt::format("insert into {} ({}) values ", text::join(parts, "."),
                                         text::join(quoted, ", "));
    if (connection.in_transaction()) {
        insert_all(connection, head, columns, rows, options, cancel);
        return static_cast<std::int64_t>(rows.size());
    }
    connection.begin(cancel);
    try {
        insert_all(connection, head, columns, rows, options, cancel);
    } catch (...) {
        if (connection.alive() && connection.in_transaction())
            connection.rollback(cancel);
        throw;
    }
    connection.commit(cancel);
    return static_cast<std::int64_t>(rows.size());
}

} // namespace runbook::db
