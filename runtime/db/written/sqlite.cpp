// SQLite: a file keeps no record of who wrote what, so a mark is a digest of every table, and the
// question reads the file once more.
#include "runtime/base/digest.h"
#include "runtime/db/written/detail.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace runbook::db::written {
namespace {

struct Content {
    std::string digest;
    std::int64_t rows = 0;
};

std::map<std::string, Content> contents(Connection& connection, Cancel& cancel) {
    std::map<std::string, Content> all;
    for (const Map& table :
         ask(connection,
             "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' "
             "escape '\\' and name not like '\\_runbook\\_%' escape '\\' order by name",
             cancel)) {
        const std::string name = table.text("name");
        std::string columns;
        for (const Map& column :
             ask(connection, "select name from pragma_table_info(?)", {name}, cancel))
            columns += (columns.empty() ? "" : " || ',' || ") + std::string("quote(") +
                       connection.quote_name(column.text("name")) + ")";
        digest::Sha256 hash;
        Content content;
        auto cursor = connection.query(
            fmt::format("select {} from {}", columns, connection.quote_name(name)), {}, {}, cancel);
        while (BatchPtr batch = cursor->next(cancel)) {
            for (std::size_t row = 0; row < batch->rows(); ++row) {
                hash.update(batch->cell(row, 0).text);
                hash.update("\n");
            }
            content.rows += static_cast<std::int64_t>(batch->rows());
        }
        content.digest = hash.hex();
        all[name] = std::move(content);
    }
    return all;
}

} // namespace

void mark_sqlite(Connection& connection, Map& mark, Cancel& cancel) {
    Map digests;
    Counts counts;
    for (const auto& [name, content] : contents(connection, cancel)) {
        digests.set(name, content.digest);
        counts[name] = content.rows;
    }
    mark.set("digests", std::move(digests));
    mark.set("counts", to_map(counts));
}

Changes since_sqlite(Connection& connection, const Map& mark, Cancel& cancel) {
    const Value* given = mark.find("digests");
    const Map digests = given && given->get<Map>() ? *given->get<Map>() : Map{};
    const Counts before = counts_in(mark, "counts");
    auto now = contents(connection, cancel);
    Changes changes;
    for (const auto& [name, content] : now) {
        auto old = before.find(name);
        const std::int64_t had = old == before.end() ? 0 : old->second;
        if (digests.text(name) == content.digest || (old == before.end() && content.rows == 0))
            continue;
        // A changed row looks like any other: at least one was.
        Change& change = changes[name];
        change.written = std::max<std::int64_t>(content.rows - had, 0);
        change.deleted = std::max<std::int64_t>(had - content.rows, 0);
        if (change.written == 0 && change.deleted == 0)
            change.written = 1;
    }
    for (const auto& [name, rows] : before)
        if (!now.contains(name))
            changes[name].deleted = rows;
    return changes;
}

} // namespace runbook::db::written
