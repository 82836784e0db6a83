// The ledger's statements (see ledger.h).
#include "runtime/transfer/copy/ledger.h"

#include <fmt/format.h>

namespace runbook::copy {
namespace {

const char* exists_query(const db::Connection& connection) {
    switch (connection.server().flavour) {
    case db::Flavour::postgresql:
        return "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND "
               "tablename = '_runbook_copy'";
    case db::Flavour::sqlite:
        return "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = "
               "'_runbook_copy'";
    default:
        return "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND "
               "table_name = '_runbook_copy'";
    }
}

} // namespace

bool Ledger::is_mysql() const {
    return connection_.server().flavour == db::Flavour::mysql ||
           connection_.server().flavour == db::Flavour::mariadb;
}

std::string Ledger::name() const {
    return connection_.quote_name(ledger_table);
}

void Ledger::execute(const std::string& sql, std::vector<Value> params, Cancel& cancel) {
    connection_.execute(sql, params, {}, cancel);
}

bool Ledger::exists(Cancel&) {
    Value count = db::fetch_value(connection_, exists_query(connection_));
    const auto* number = count.get<std::int64_t>();
    return number && *number > 0;
}

void Ledger::create(Cancel& cancel) {
    bool mysql = is_mysql();
    const char* text = mysql ? "VARCHAR(190)" : "TEXT";
    const char* at = mysql ? "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"
                           : "TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP";
    execute(fmt::format("CREATE TABLE IF NOT EXISTS {0} (run {1} NOT NULL, kind {1} NOT NULL, "
                        "object {1} NOT NULL, part INTEGER NOT NULL, chunk INTEGER NOT NULL, "
                        "state {1} NOT NULL, loaded BIGINT NOT NULL, bytes BIGINT NOT NULL, "
                        "detail TEXT, at {2}, PRIMARY KEY (run, kind, object, part, chunk)){3}",
                        name(), text, at,
                        mysql ? " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin" : ""),
            {}, cancel);
}

void Ledger::drop(Cancel& cancel) {
    execute("DROP TABLE IF EXISTS " + name(), {}, cancel);
}

State Ledger::read(Cancel& cancel) {
    State out;
    out.state = "absent";
    if (!exists(cancel))
        return out;
    auto runs = db::fetch_all(connection_, "SELECT run, state, loaded, detail FROM " + name() +
                                               " WHERE kind = 'run' ORDER BY at DESC, run DESC");
    if (runs.empty())
        return out;
    out.run = runs[0].text("run");
    out.state = runs[0].text("state") == "done" ? "done" : "partial";
    std::string detail = runs[0].text("detail");
    std::size_t cut = detail.find('\n');
    out.source = detail.substr(0, cut);
    out.snapshot = cut == std::string::npos ? "" : detail.substr(cut + 1);
    out.snapshot = out.snapshot.substr(0, out.snapshot.find('\n'));
    const std::vector<Value> params = {out.run};
    auto totals =
        db::fetch_all(connection_,
                      "SELECT count(DISTINCT CASE WHEN kind = 'table' THEN object END) AS tables, "
                      "CAST(coalesce(sum(CASE WHEN kind = 'chunk' THEN loaded ELSE 0 END), 0) AS " +
                          std::string(is_mysql() ? "SIGNED" : "BIGINT") + ") AS total FROM " +
                          name() + " WHERE run = ?",
                      params);
    out.tables = totals[0].integer("tables");
    out.rows = totals[0].integer("total");
    return out;
}

std::vector<std::string> Ledger::named(const char* kind, Cancel& cancel) {
    std::vector<std::string> names;
    if (!exists(cancel))
        return names;
    const std::vector<Value> params = {kind};
    for (const Map& row : db::fetch_all(
             connection_,
             "SELECT DISTINCT object FROM " + name() + " WHERE kind = ? ORDER BY object", params))
        names.push_back(row.text("object"));
    return names;
}

std::vector<std::string> Ledger::tables(Cancel& cancel) {
    return named("table", cancel);
}

std::vector<std::string> Ledger::existing(Cancel& cancel) {
    return named("existing", cancel);
}

std::vector<std::string> Ledger::views(Cancel& cancel) {
    return named("view", cancel);
}

void Ledger::begin_run(const std::string& run, const std::string& source,
                       const std::string& snapshot, const std::string& fence, Cancel& cancel) {
    execute("INSERT INTO " + name() +
                " (run, kind, object, part, chunk, state, loaded, bytes, detail) "
                "VALUES (?, 'run', '', 0, 0, 'begun', 0, 0, ?)",
            {run, source + "\n" + snapshot + "\n" + fence}, cancel);
}

void Ledger::end_run(const std::string& run, std::int64_t tables, std::int64_t rows,
                     Cancel& cancel) {
    execute("UPDATE " + name() +
                " SET state = 'done', loaded = ?, chunk = 0 WHERE run = ? AND "
                "kind = 'run'",
            {rows, run}, cancel);
    (void)tables;
}

void Ledger::object(const std::string& run, const std::string& kind, const std::string& table,
                    const std::string& state, Cancel& cancel, int number) {
    if (state == "begun")
        execute("INSERT INTO " + name() +
                    " (run, kind, object, part, chunk, state, loaded, bytes) "
                    "VALUES (?, ?, ?, ?, 0, 'begun', 0, 0)",
                {run, kind, table, number}, cancel);
    else
        execute("UPDATE " + name() +
                    " SET state = ? WHERE run = ? AND kind = ? AND object = ? AND part = ?",
                {state, run, kind, table, number}, cancel);
}

void Ledger::forget(const std::string& run, const std::string& table, Cancel& cancel) {
    execute("DELETE FROM " + name() + " WHERE run = ? AND kind = 'table' AND object = ?",
            {run, table}, cancel);
}

} // namespace runbook::copy
