// The fence's table, its moment, its proof: what all engines have in common. See fence.h.
#include "runtime/db/fence/fence.h"

#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/db/fence/detail.h"
#include "runtime/db/written/written.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::db {
namespace fence {

std::string name_of(const FenceOptions& options) {
    if (options.roles.empty())
        return "everybody";
    std::vector<std::string> sorted = options.roles;
    std::sort(sorted.begin(), sorted.end());
    return text::join(sorted, ", ");
}

bool table_there(Connection& connection, Cancel& cancel) {
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return ask_one(connection, "select to_regclass('_runbook_fence') is not null as t", {},
                       cancel)
            .boolean("t");
    case Flavour::sqlite:
        return !ask(connection, "select 1 from sqlite_schema where name = '_runbook_fence'", cancel)
                    .empty();
    default:
        return !ask(connection,
                    "select 1 from information_schema.tables where table_schema = database() and "
                    "table_name = '_runbook_fence'",
                    cancel)
                    .empty();
    }
}

std::optional<Map> header(Connection& connection, const std::string& name, Cancel& cancel) {
    if (!table_there(connection, cancel))
        return std::nullopt;
    const Map row =
        ask_one(connection, "select statement from _runbook_fence where fence = ? and object = ''",
                {name}, cancel);
    if (row.empty())
        return std::nullopt;
    const Value content = json::parse_tagged(row.text("statement"));
    const Map* map = content.get<Map>();
    return map ? *map : Map{};
}

void set_header(Connection& connection, const std::string& name, const Map& content,
                Cancel& cancel) {
    const std::string text = json::dump_tagged(content);
    const Map row =
        ask_one(connection, "select 1 as n from _runbook_fence where fence = ? and object = ''",
                {name}, cancel);
    if (row.empty())
        tell(connection,
             "insert into _runbook_fence (fence, object, grantee, statement) values (?, '', '', ?)",
             {name, text}, cancel);
    else
        tell(connection, "update _runbook_fence set statement = ? where fence = ? and object = ''",
             {text, name}, cancel);
}

void forget(Connection& connection, const std::string& name, Cancel& cancel) {
    tell(connection, "delete from _runbook_fence where fence = ?", {name}, cancel);
    if (ask(connection, "select 1 from _runbook_fence limit 1", cancel).empty())
        tell(connection, "drop table _runbook_fence", cancel);
}

void refuse(const Connection& connection, const std::string& why, const std::string& hint) {
    throw Error("db.fence", connection.url().masked() + ": " + why, hint);
}

namespace {

std::optional<std::string> leak(Connection& connection, const FenceOptions& options,
                                Cancel& cancel) {
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return leak_postgres(connection, options, cancel);
    case Flavour::sqlite:
        return leak_sqlite(connection, options, cancel);
    default:
        return leak_mysql(connection, options, cancel);
    }
}

/// From here on whatever is written is a breach. On PostgreSQL the row that keeps the mark is a
/// transaction of its own, whose number the mark must not take for somebody else's: it is taken
/// inside, when the transaction has its number, and counts from the number behind it.
void set_moment(Connection& connection, const FenceOptions& options, Map content, Cancel& cancel) {
    const std::string name = name_of(options);
    const bool numbered = connection.server().flavour == Flavour::postgresql;
    Map mark = take_mark(connection, options.counted, cancel);
    if (numbered) {
        connection.begin(cancel);
        const Map own =
            ask_one(connection, "select (pg_current_xact_id()::text::numeric + 1)::text as next",
                    {}, cancel);
        // Somebody wrote between the count and here: the count is of no use then.
        const bool still =
            mark.text("next") ==
            ask_one(connection, "select pg_current_xact_id()::text as n", {}, cancel).text("n");
        if (still)
            mark.set("next", own.text("next"));
    }
    content.set("state", "on");
    content.set("mark", std::move(mark));
    set_header(connection, name, content, cancel);
    if (numbered)
        connection.commit(cancel);
}

} // namespace
} // namespace fence

Map fence_on(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    const std::string name = fence::name_of(options);
    auto header = fence::header(connection, name, cancel);
    if (header && header->text("state") == "on")
        return Map{{"fenced", List{}}, {"tables", 0}, {"ended", 0}, {"already", true}};
    Map done;
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        done = fence::close_postgres(connection, options, cancel);
        break;
    case Flavour::sqlite:
        done = fence::close_sqlite(connection, options, cancel);
        break;
    default:
        done = fence::close_mysql(connection, options, cancel);
        break;
    }
    fence::set_moment(connection, options, Map{}, cancel);
    return done;
}

Map fence_off(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    if (!fence::header(connection, fence::name_of(options), cancel))
        return Map{{"given_back", 0}, {"gone", List{}}};
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return fence::open_postgres(connection, options, cancel);
    case Flavour::sqlite:
        return fence::open_sqlite(connection, options, cancel);
    default:
        return fence::open_mysql(connection, options, cancel);
    }
}

std::string fence_state(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    auto header = fence::header(connection, fence::name_of(options), cancel);
    if (!header)
        return "off";
    return header->text("state") == "on" ? "on" : "between";
}

Map fence_held(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    auto header = fence::header(connection, fence::name_of(options), cancel);
    Map out{{"held", false}, {"rows", 0}, {"tables", Map{}}};
    if (!header || header->text("state") != "on") {
        out.set("why", header ? "the fence was interrupted while it closed or opened"
                              : "the fence is not closed");
        return out;
    }
    const Value* kept = header->find("mark");
    if (!kept || !kept->get<Map>()) {
        out.set("why", "the fence's record has lost its moment");
        return out;
    }
    const Map& mark = *kept->get<Map>();
    if (const Value* at = mark.find("at"))
        out.set("since", *at);
    const Map written = written_since(connection, mark, cancel);
    out.set("rows", *written.find("rows"));
    out.set("tables", *written.find("tables"));
    if (auto hole = fence::leak(connection, options, cancel)) {
        out.set("why", *hole);
        return out;
    }
    if (!written.boolean("nothing")) {
        std::vector<std::string> names;
        for (const auto& [table, change] : *written.find("tables")->get<Map>())
            names.push_back(table);
        out.set("why", "written meanwhile: " + text::join(names, ", "));
        return out;
    }
    out.set("held", true);
    return out;
}

} // namespace runbook::db
