// The ledger's statements (see ledger.h), for MySQL and MariaDB.
#include "runtime/transfer/follow/ledger.h"

#include "runtime/base/json.h"

#include <fmt/format.h>

namespace runbook::follow {

bool Ledger::exists(Cancel&) {
    Value count = db::fetch_value(connection_,
                                  "SELECT count(*) FROM information_schema.tables WHERE "
                                  "table_schema = DATABASE() AND table_name = '_runbook_follow'");
    const auto* number = count.get<std::int64_t>();
    return number && *number > 0;
}

Progress Ledger::read(Cancel& cancel) {
    Progress out;
    out.state = "absent";
    if (!exists(cancel))
        return out;
    auto rows = db::fetch_all(connection_, "SELECT state, lsn, transactions, changes, micros, "
                                           "detail FROM _runbook_follow WHERE object = ''");
    if (rows.empty())
        return out;
    const Map& row = rows[0];
    out.state = row.text("state");
    out.applied = static_cast<Lsn>(row.integer("lsn"));
    out.transactions = row.integer("transactions");
    out.changes = row.integer("changes");
    out.micros = row.integer("micros");
    Value detail = json::parse(row.text("detail"));
    if (const Map* map = detail.get<Map>()) {
        out.slot = map->text("slot");
        out.source = map->text("source");
        out.snapshot = map->text("snapshot");
    }
    return out;
}

std::vector<Table> Ledger::tables(Cancel&) {
    std::vector<Table> out;
    for (const Map& row :
         db::fetch_all(connection_,
                       "SELECT detail FROM _runbook_follow WHERE object <> '' ORDER BY object")) {
        Value detail = json::parse(row.text("detail"));
        if (const Map* map = detail.get<Map>())
            out.push_back(from_map(*map));
    }
    return out;
}

void Ledger::begin(const Progress& progress, const std::vector<Table>& tables, Cancel& cancel) {
    connection_.execute("DROP TABLE IF EXISTS _runbook_follow", {}, {}, cancel);
    connection_.execute(
        "CREATE TABLE _runbook_follow (object VARCHAR(190) NOT NULL PRIMARY KEY, state "
        "VARCHAR(40) NOT NULL, lsn BIGINT NOT NULL, transactions BIGINT NOT NULL, changes BIGINT "
        "NOT NULL, micros BIGINT NOT NULL, detail LONGTEXT NOT NULL) ENGINE=InnoDB DEFAULT "
        "CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        {}, {}, cancel);
    connection_.begin(cancel);
    const std::string insert = "INSERT INTO _runbook_follow (object, state, lsn, transactions, "
                               "changes, micros, detail) VALUES (?, ?, ?, 0, 0, ?, ?)";
    Map detail{
        {"slot", progress.slot}, {"source", progress.source}, {"snapshot", progress.snapshot}};
    const std::vector<Value> head = {"", progress.state,
                                     static_cast<std::int64_t>(progress.applied), progress.micros,
                                     json::dump(detail)};
    connection_.execute(insert, head, {}, cancel);
    for (std::size_t i = 0; i < tables.size(); ++i) {
        const std::vector<Value> row = {fmt::format("table {}", i + 1), "", 0, 0,
                                        json::dump(to_map(tables[i]))};
        connection_.execute(insert, row, {}, cancel);
    }
    connection_.commit(cancel);
}

void Ledger::set_state(const std::string& state, Cancel& cancel) {
    const std::vector<Value> params = {state};
    connection_.execute("UPDATE _runbook_follow SET state = ? WHERE object = ''", params, {},
                        cancel);
}

std::string Ledger::advance(Lsn from, Lsn to, std::int64_t transactions, std::int64_t changes,
                            std::int64_t micros) {
    return fmt::format("UPDATE _runbook_follow SET lsn = {}, transactions = transactions + {}, "
                       "changes = changes + {}, micros = {} WHERE object = '' AND lsn = {} AND "
                       "state = 'following'",
                       to, transactions, changes, micros, from);
}

} // namespace runbook::follow
