// See ask.h.
#include "runtime/db/ask.h"

namespace runbook::db {

std::vector<Map> ask(Connection& connection, std::string_view sql, std::span<const Value> params,
                     Cancel& cancel) {
    std::vector<Map> rows;
    auto cursor = connection.query(sql, params, {}, cancel);
    while (BatchPtr batch = cursor->next(cancel)) {
        const auto& columns = batch->columns();
        for (std::size_t row = 0; row < batch->rows(); ++row) {
            Map map;
            for (std::size_t column = 0; column < columns.size(); ++column)
                map.set(columns[column].name, batch->value(row, column));
            rows.push_back(std::move(map));
        }
    }
    return rows;
}

Map ask_one(Connection& connection, std::string_view sql, const std::vector<Value>& params,
            Cancel& cancel) {
    std::vector<Map> rows = ask(connection, sql, std::span<const Value>(params), cancel);
    return rows.empty() ? Map{} : std::move(rows.front());
}

void tell(Connection& connection, std::string_view sql, const std::vector<Value>& params,
          Cancel& cancel) {
    connection.execute(sql, params, {}, cancel);
}

} // namespace runbook::db
