// The conditions of a resume (see resume.h).
#include "runtime/transfer/copy/resume.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/db/fence/fence.h"

#include <fmt/format.h>

namespace runbook::copy {
namespace {

/// Without the number that AUTO_INCREMENT goes on from: sequences move without a row being written.
std::string without_counter(std::string sql) {
    constexpr std::string_view word = " AUTO_INCREMENT=";
    const std::size_t at = sql.rfind(word);
    if (at == std::string::npos)
        return sql;
    std::size_t end = at + word.size();
    while (end < sql.size() && sql[end] >= '0' && sql[end] <= '9')
        ++end;
    return sql.erase(at, end - at);
}

} // namespace

std::string fence_since(const Options& options, Cancel& cancel) {
    if (!options.fence)
        return {};
    db::ConnectOptions connect;
    connect.application_name = "runbook copy";
    auto session = db::connect(options.fence->url, connect, cancel);
    const Map held = db::fence_held(*session, options.fence->options, cancel);
    if (!held.boolean("held"))
        throw Error("copy.refused",
                    options.fence->url.masked() +
                        ": the write fence does not hold: " + held.text("why"),
                    "close it before the copy begins, and keep it closed until it is done");
    const Value* since = held.find("since");
    const auto* at = since ? since->get<Timestamp>() : nullptr;
    return at ? time::iso(*at) : std::string();
}

std::string why_not(const Recorded& recorded, const std::string& fence, const Source& source) {
    if (recorded.complete())
        return {}; // nothing is read any more
    if (recorded.fence.empty())
        return "it was begun without a write fence, and its snapshot has died with it: what is "
               "read now is another moment of the source";
    if (fence.empty())
        return "no write fence is given that proves that the source has not changed since its "
               "snapshot, which has died with it";
    if (fence != recorded.fence)
        return fmt::format("the write fence was opened meanwhile: it stood since {}, now since {}",
                           recorded.fence, fence);
    for (const RecordedPart& part : recorded.parts) {
        if (part.complete || part.chunks == 0)
            continue;
        if (part.part.order.empty() || part.part.after.empty())
            return part.table +
                   " was cut off in the middle, and its rows have no order to go on in";
    }
    for (const RecordedPart& part : recorded.parts)
        if (source.layout(part.part) != part.part.layout)
            return part.table +
                   " was written anew meanwhile (VACUUM FULL or CLUSTER): its rows lie "
                   "elsewhere";
    return {};
}

std::string digest_of(const schema::Plan& plan) {
    digest::Sha256 hash;
    for (const schema::TargetTable& table : plan.tables) {
        hash.update(without_counter(table.create) + "\n" + table.filter + "\n");
        for (const schema::TargetColumn& column : table.columns)
            hash.update(fmt::format("{}\n{}\n{}\n{}\n", column.source, column.name, column.select,
                                    static_cast<int>(column.codec)));
        for (const auto* list : {&table.indexes, &table.foreign_keys})
            for (const std::string& sql : *list)
                hash.update(sql + "\n");
    }
    return hash.hex();
}

} // namespace runbook::copy
