// Marks of all engines: what is common to them. See written.h.
#include "runtime/db/written/written.h"

#include "runtime/base/time.h"
#include "runtime/db/written/detail.h"

#include <fmt/format.h>

namespace runbook::db {
namespace written {

Counts counts_in(const Map& mark, const char* key) {
    Counts counts;
    const Value* value = mark.find(key);
    if (const Map* map = value ? value->get<Map>() : nullptr)
        for (const auto& [name, count] : *map)
            if (const auto* number = count.get<std::int64_t>())
                counts[name] = *number;
    return counts;
}

Map to_map(const Counts& counts) {
    Map map;
    for (const auto& [name, count] : counts)
        map.set(name, count);
    return map;
}

void worthless(const Connection& connection, const std::string& why) {
    throw Error(
        "db.error",
        fmt::format("{}: what was written cannot be told: {}", connection.url().masked(), why),
        "compare the data themselves, for example with verify.database");
}

} // namespace written

Map take_mark(Connection& connection, bool counted, Cancel& cancel) {
    const ServerInfo& server = connection.server();
    Map mark{{"kind", "db.mark"},
             {"engine", std::string(flavour_name(server.flavour))},
             {"identity", server.identity},
             {"database", connection.url().name},
             {"at", Timestamp{time::now_micros(), 0}}};
    switch (server.flavour) {
    case Flavour::postgresql:
        written::mark_postgres(connection, counted, mark, cancel);
        break;
    case Flavour::mysql:
    case Flavour::mariadb:
        written::mark_mysql(connection, mark, cancel);
        break;
    case Flavour::sqlite:
        written::mark_sqlite(connection, mark, cancel);
        break;
    }
    return mark;
}

Map written_since(Connection& connection, const Map& given, Cancel& cancel) {
    const ServerInfo& server = connection.server();
    // A backup's result has its mark inside, and counts of the same moment.
    Map mark = given;
    if (const Value* inner = given.find("mark"); inner && inner->get<Map>()) {
        mark = *inner->get<Map>();
        if (const Value* counts = given.find("counts"); counts && !mark.find("counts"))
            mark.set("counts", *counts);
    }
    if (mark.text("kind") != "db.mark")
        throw Error("argument", "a mark (of db.mark, or a result of backup.create) expected",
                    "a backup read back from its folder has no mark: only the run that made it");
    if (mark.text("engine") != flavour_name(server.flavour) ||
        mark.text("identity") != server.identity || mark.text("database") != connection.url().name)
        written::worthless(connection, "the mark is of another server or database (" +
                                           mark.text("engine") + ", " + mark.text("database") +
                                           ")");
    written::Changes changes;
    switch (server.flavour) {
    case Flavour::postgresql:
        changes = written::since_postgres(connection, mark, cancel);
        break;
    case Flavour::mysql:
    case Flavour::mariadb:
        changes = written::since_mysql(connection, mark, cancel);
        break;
    case Flavour::sqlite:
        changes = written::since_sqlite(connection, mark, cancel);
        break;
    }
    std::int64_t rows = 0;
    Map tables;
    for (const auto& [name, change] : changes) {
        rows += change.written + change.deleted;
        tables.set(name, Map{{"written", change.written}, {"deleted", change.deleted}});
    }
    return Map{{"rows", rows}, {"tables", std::move(tables)}, {"nothing", changes.empty()}};
}

} // namespace runbook::db
