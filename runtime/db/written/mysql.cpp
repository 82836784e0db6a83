// MySQL and MariaDB: rows carry no trace of their transaction. performance_schema counts the rows
// written to each table since the server started; where it is off, the binary log says which tables
// were written. One of the two is needed.
#include "runtime/base/text.h"
#include "runtime/db/written/detail.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::db::written {
namespace {

constexpr std::int64_t page = 5000;

/// Whether the server counts rows by table. MariaDB ships with that off.
bool counts_rows(Connection& connection, Cancel& cancel) {
    const Map row = ask_one(connection, "select @@performance_schema as p", {}, cancel);
    return row.integer("p") != 0;
}

Counts counters(Connection& connection, Cancel& cancel) {
    Counts counts;
    for (const Map& row :
         ask(connection,
             "select convert(object_name using utf8mb4) as name, cast(count_insert + count_update "
             "+ count_delete as signed) as n from "
             "performance_schema.table_io_waits_summary_by_table where object_schema = database() "
             "and object_name not like '\\_runbook\\_%'",
             cancel))
        counts[row.text("name")] = row.integer("n");
    return counts;
}

std::int64_t started(Connection& connection, Cancel& cancel) {
    const Map row = ask_one(
        connection,
        "select cast(unix_timestamp() as signed) - cast(variable_value as signed) as s from "
        "performance_schema.global_status where variable_name = 'Uptime'",
        {}, cancel);
    return row.integer("s");
}

/// Where the binary log stands: {file, position}, empty where there is none or it may not be seen.
Map log_place(Connection& connection, Cancel& cancel) {
    const bool newer = connection.server().flavour == Flavour::mysql &&
                       (connection.server().major > 8 ||
                        (connection.server().major == 8 && connection.server().minor >= 4));
    try {
        const Map row = ask_one(connection, newer ? "show binary log status" : "show master status",
                                {}, cancel);
        if (row.text("File").empty())
            return {};
        return Map{{"file", row.text("File")}, {"position", row.integer("Position")}};
    } catch (const Error& error) {
        if (error.kind() != "db.permission" && error.kind() != "db.error")
            throw;
        return {};
    }
}

/// The name behind "table_id: 92 (shop.orders)", unquoted; empty where it is of another database.
std::string mapped_table(const std::string& info, const std::string& database) {
    const auto open = info.find('('), close = info.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open)
        return {};
    std::string name = info.substr(open + 1, close - open - 1);
    if (!name.starts_with(database + "."))
        return {};
    return name.substr(database.size() + 1);
}

/// Reads the log from the mark to its end. Rows events are counted one by one, so the number is the
/// least that was written; a statement of the log that names no table counts under its first words.
Changes read_log(Connection& connection, const Map& place, Cancel& cancel) {
    Changes changes;
    const std::string database = connection.url().name;
    std::vector<std::string> files;
    for (const Map& row : ask(connection, "show binary logs", cancel))
        if (row.text("Log_name") >= place.text("file"))
            files.push_back(row.text("Log_name"));
    if (files.empty() || files.front() != place.text("file"))
        worthless(connection,
                  "the binary log " + place.text("file") + " of that moment is not there any more");
    for (const std::string& file : files) {
        std::int64_t position = file == place.text("file") ? place.integer("position") : 4;
        std::string mapped, used;
        while (true) {
            std::vector<Map> events = ask(
                connection,
                fmt::format("show binlog events in '{}' from {} limit {}", file, position, page),
                cancel);
            for (const Map& event : events) {
                const std::string kind = event.text("Event_type"), info = event.text("Info");
                position = event.integer("End_log_pos");
                if (kind == "Table_map") {
                    mapped = mapped_table(info, database);
                } else if (kind.starts_with("Write_rows") || kind.starts_with("Update_rows")) {
                    if (!mapped.empty() && !mapped.starts_with("_runbook_"))
                        ++changes[mapped].written;
                } else if (kind.starts_with("Delete_rows")) {
                    if (!mapped.empty() && !mapped.starts_with("_runbook_"))
                        ++changes[mapped].deleted;
                } else if (kind == "Query" && info.starts_with("use `" + database + "`; ") &&
                           info.find("_runbook_") == std::string::npos) {
                    std::string words = info.substr(database.size() + 9);
                    ++changes["(" + words.substr(0, std::min<std::size_t>(40, words.find('('))) +
                              ")"]
                          .written;
                }
            }
            if (events.size() < static_cast<std::size_t>(page))
                break;
        }
    }
    return changes;
}

} // namespace

void mark_mysql(Connection& connection, Map& mark, Cancel& cancel) {
    const Map place = log_place(connection, cancel);
    if (!place.empty())
        mark.set("log", place);
    if (counts_rows(connection, cancel)) {
        try {
            mark.set("started", started(connection, cancel));
            mark.set("counters", to_map(counters(connection, cancel)));
        } catch (const Error& error) {
            if (error.kind() != "db.permission")
                throw;
        }
    }
    if (!mark.find("counters") && place.empty())
        throw Error("db.unsupported",
                    connection.url().masked() +
                        ": the server offers nothing to tell by what was written",
                    "grant the user SELECT on performance_schema, or turn on the binary log and "
                    "grant REPLICATION CLIENT");
}

Changes since_mysql(Connection& connection, const Map& mark, Cancel& cancel) {
    const Value* log = mark.find("log");
    const Map place = log && log->get<Map>() ? *log->get<Map>() : Map{};
    if (!place.empty() && log_place(connection, cancel) == place)
        return {};
    // Ten seconds: the clock and Uptime are read apart from each other, in whole seconds.
    if (mark.find("counters") &&
        std::abs(started(connection, cancel) - mark.integer("started")) <= 10) {
        const Counts before = counts_in(mark, "counters");
        Changes changes;
        for (const auto& [name, count] : counters(connection, cancel)) {
            auto old = before.find(name);
            const std::int64_t more = count - (old == before.end() ? 0 : old->second);
            if (more > 0)
                changes[name].written = more;
            else if (more < 0)
                worthless(connection, "the counters of performance_schema were reset");
        }
        return changes;
    }
    if (place.empty())
        worthless(connection, "the server was started anew since then");
    return read_log(connection, place, cancel);
}

} // namespace runbook::db::written
