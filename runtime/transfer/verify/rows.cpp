// What the row sources of all engines share: the key behind a row, and opening a session.
// Runs on the reader threads.
#include "runtime/transfer/verify/rows.h"

#include <fmt/format.h>

namespace runbook::verify {

void end_row(const TablePlan& plan, std::size_t at, Batch& batch, std::string& previous) {
    Row row;
    row.at = at;
    row.payload = batch.bytes.size() - at;
    if (plan.key_columns > 0) {
        // The cells are read while the key grows behind them: make room first, so that nothing
        // moves.
        batch.bytes.grow(2 * row.payload + 16 * plan.key_columns);
        batch.bytes.truncate(at + row.payload);
        const char* cell = batch.bytes.data() + at;
        for (std::size_t i = 0; i < plan.key_columns; ++i)
            put_key(plan.columns[i].form, next_cell(cell), i + 1 == plan.key_columns, batch.bytes);
        row.key = batch.bytes.size() - at - row.payload;
        std::string_view key = batch.key(row);
        if (key < std::string_view(previous))
            throw OutOfOrder(
                "verify.error",
                fmt::format("{}: rows did not arrive in the order of their keys", plan.name));
        previous.assign(key);
    }
    batch.rows.push_back(row);
}

std::unique_ptr<RowSource> open_rows(const db::Url& url, Which which, Cancel& cancel) {
    if (url.engine == db::Engine::sqlite && (url.name.empty() || url.name == ":memory:"))
        throw Error("argument", "verify: a database in memory lives in the session that made it",
                    "verify opens sessions of its own; use a file");
    db::ConnectOptions options;
    options.access = db::Access::read;
    options.application_name = "runbook verify";
    auto connection = db::connect(url, options, cancel);
    switch (connection->server().flavour) {
    case db::Flavour::postgresql:
        return postgresql_rows(std::move(connection), which);
    case db::Flavour::mysql:
    case db::Flavour::mariadb:
        return mysql_rows(std::move(connection), which);
    case db::Flavour::sqlite:
        break;
    }
    return sqlite_rows(std::move(connection), which);
}

} // namespace runbook::verify
