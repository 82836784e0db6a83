// The fence of SQLite, which has no users: a trigger on every table refuses every writer, this run
// included, until they are dropped. One transaction each way.
#include "runtime/db/fence/detail.h"

#include <fmt/format.h>

namespace runbook::db::fence {
namespace {

constexpr const char* words[] = {"insert", "update", "delete"};

std::vector<std::string> tables(Connection& connection, Cancel& cancel) {
    std::vector<std::string> names;
    for (const Map& row :
         ask(connection,
             "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' "
             "escape '\\' and name not like '\\_runbook\\_%' escape '\\' and sql not like 'create "
             "virtual%' order by name",
             cancel))
        names.push_back(row.text("name"));
    return names;
}

std::string trigger(Connection& connection, const std::string& table, const std::string& word) {
    return connection.quote_name("_runbook_fence_" + word + "_" + table);
}

} // namespace

std::optional<std::string> leak_sqlite(Connection& connection, const FenceOptions&,
                                       Cancel& cancel) {
    for (const std::string& table : tables(connection, cancel)) {
        const Map row =
            ask_one(connection,
                    "select count(*) as n from sqlite_schema where type = 'trigger' "
                    "and tbl_name = ? and name like '\\_runbook\\_fence\\_%' escape '\\'",
                    {table}, cancel);
        if (row.integer("n") < 3)
            return "table '" + table + "' takes writes";
    }
    return std::nullopt;
}

Map close_sqlite(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    if (!options.roles.empty() || !options.except.empty())
        throw Error("db.unsupported",
                    connection.url().masked() +
                        ": SQLite has no users: its fence keeps out everybody, this run too",
                    "leave out role and except");
    std::int64_t fenced = 0;
    connection.begin(cancel);
    try {
        tell(connection,
             "create table if not exists _runbook_fence (fence text not null, object text not "
             "null, grantee text not null, statement text not null, at text not null default "
             "current_timestamp)",
             cancel);
        for (const std::string& table : tables(connection, cancel)) {
            for (const char* word : words)
                tell(connection,
                     fmt::format("create trigger if not exists {} before {} on {} begin select "
                                 "raise(abort, 'a write fence of runbook stands on this "
                                 "database'); end",
                                 trigger(connection, table, word), word,
                                 connection.quote_name(table)),
                     cancel);
            ++fenced;
        }
        set_header(connection, name_of(options), Map{{"state", "closing"}}, cancel);
        connection.commit(cancel);
    } catch (...) {
        if (connection.in_transaction())
            connection.rollback(cancel);
        throw;
    }
    return Map{{"fenced", List{"everybody"}}, {"tables", fenced}, {"ended", 0}};
}

Map open_sqlite(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    std::int64_t given = 0;
    connection.begin(cancel);
    try {
        for (const Map& row :
             ask(connection,
                 "select name from sqlite_schema where type = 'trigger' and name like "
                 "'\\_runbook\\_fence\\_%' escape '\\'",
                 cancel)) {
            tell(connection, "drop trigger " + connection.quote_name(row.text("name")), cancel);
            ++given;
        }
        forget(connection, name_of(options), cancel);
        connection.commit(cancel);
    } catch (...) {
        if (connection.in_transaction())
            connection.rollback(cancel);
        throw;
    }
    return Map{{"given_back", given / 3}, {"gone", List{}}};
}

} // namespace runbook::db::fence
