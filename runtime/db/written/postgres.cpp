// PostgreSQL: every row version names the transaction that wrote it. A mark is the next transaction
// number and those that are running; while the number stands still nothing was written on the whole
// server, and once it has moved the rows of later numbers are what was inserted or changed. Deleted
// rows show in the counts.
#include "runtime/base/text.h"
#include "runtime/db/written/detail.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::db::written {
namespace {

/// As backups name them: without the schema in public, a partition's rows with its parent.
constexpr const char* table_query = R"(
select case when n.nspname = 'public' then c.relname::text else n.nspname || '.' || c.relname end as name,
       case when c.relkind = 'r' then 'only ' else '' end
       || quote_ident(n.nspname) || '.' || quote_ident(c.relname) as source
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relname !~ '^_runbook_'
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass
                  and d.objid = c.oid and d.deptype = 'e')
order by 1)";

struct Moment {
    std::string next;                 ///< 64 bits
    std::vector<std::string> running; ///< 64 bits each
};

Moment moment(Connection& connection, Cancel& cancel) {
    const Map row =
        ask_one(connection, "select pg_catalog.pg_current_snapshot()::text as s", {}, cancel);
    const std::vector<std::string> parts = text::split(row.text("s"), ':');
    Moment now;
    now.next = parts.at(1);
    if (parts.size() > 2 && !parts[2].empty())
        now.running = text::split(parts[2], ',');
    return now;
}

/// The 32 bits that a row carries.
std::uint32_t short_number(const std::string& number) {
    return static_cast<std::uint32_t>(std::stoull(number));
}

} // namespace

void mark_postgres(Connection& connection, bool counted, Map& mark, Cancel& cancel) {
    if (connection.server().major < 13)
        throw Error("db.unsupported", connection.url().masked() +
                                          ": PostgreSQL 13 or newer is needed to tell what was "
                                          "written since a moment");
    const Moment now = moment(connection, cancel);
    mark.set("next", now.next);
    List running;
    for (const std::string& one : now.running)
        running.emplace_back(one);
    mark.set("running", std::move(running));
    if (!counted)
        return;
    Map counts;
    for (const Map& table : ask(connection, table_query, cancel))
        counts.set(
            table.text("name"),
            ask_one(connection, "select count(*) as n from " + table.text("source"), {}, cancel)
                .integer("n"));
    mark.set("counts", std::move(counts));
}

Changes since_postgres(Connection& connection, const Map& mark, Cancel& cancel) {
    const Moment now = moment(connection, cancel);
    const std::string then = mark.text("next");
    List running;
    if (const Value* given = mark.find("running"); given && given->get<List>())
        running = *given->get<List>();
    if (then.empty())
        worthless(connection, "the mark has no transaction number");
    Changes changes;
    if (now.next == then && running.size() == now.running.size())
        return changes;
    std::string condition = fmt::format("age(xmin) <= age('{}'::xid)", short_number(then));
    for (const Value& one : running)
        if (const auto* number = one.get<std::string>())
            condition += fmt::format(" or xmin = '{}'::xid", short_number(*number));
    const Counts before = counts_in(mark, "counts");
    const bool counted = mark.find("counts") != nullptr;
    std::map<std::string, bool> there;
    for (const Map& table : ask(connection, table_query, cancel)) {
        const std::string name = table.text("name");
        there[name] = true;
        const Map row = ask_one(connection,
                                fmt::format("select count(*) as n, count(*) filter (where {}) as w "
                                            "from {}",
                                            condition, table.text("source")),
                                {}, cancel);
        Change change;
        change.written = row.integer("w");
        if (auto old = before.find(name); old != before.end())
            change.deleted = std::max<std::int64_t>(0, old->second - row.integer("n"));
        if (change.written > 0 || change.deleted > 0)
            changes[name] = change;
    }
    for (const auto& [name, count] : before)
        if (counted && !there.contains(name))
            changes[name] = {0, count}; // dropped, or renamed
    return changes;
}

} // namespace runbook::db::written
