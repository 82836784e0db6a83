// The ledger's rows of parts and chunks: what a resume goes by (see ledger.h).
#include "runtime/transfer/copy/ledger.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {
namespace {

/// How long a lock is waited for before it is said that one is.
constexpr int patience_s = 2;

Map part_map(const Part& part) {
    return Map{{"from", part.from},     {"where", part.where}, {"order", part.order},
               {"layout", part.layout}, {"bytes", part.bytes}, {"rows", part.rows}};
}

Part read_part(const std::string& text, int number) {
    const Value value = json::parse(text);
    const Map* map = value.get<Map>();
    Part part;
    if (!map)
        return part;
    part.number = number;
    part.from = map->text("from");
    part.where = map->text("where");
    part.order = map->text("order");
    part.layout = map->text("layout");
    part.bytes = map->integer("bytes");
    part.rows = map->integer("rows");
    return part;
}

} // namespace

bool Recorded::complete() const {
    return !digest.empty() && std::all_of(parts.begin(), parts.end(),
                                          [](const RecordedPart& part) { return part.complete; });
}

std::string Recorded::key(const std::string& kind, const std::string& table, int number) {
    return fmt::format("{}\n{}\n{}", kind, table, number);
}

void Ledger::continue_run(const std::string& run, const std::string& source,
                          const std::string& snapshot, const std::string& fence, Cancel& cancel) {
    execute("UPDATE " + name() + " SET detail = ? WHERE run = ? AND kind = 'run'",
            {source + "\n" + snapshot + "\n" + fence, run}, cancel);
}

void Ledger::plan(const std::string& run, const std::string& digest, const std::vector<Part>& parts,
                  Cancel& cancel) {
    connection_.begin(cancel);
    try {
        for (const Part& part : parts)
            execute("INSERT INTO " + name() +
                        " (run, kind, object, part, chunk, state, loaded, bytes, detail) "
                        "VALUES (?, 'part', ?, ?, 0, 'begun', 0, 0, ?)",
                    {run, part.table->name, part.number, json::dump(part_map(part))}, cancel);
        execute("INSERT INTO " + name() +
                    " (run, kind, object, part, chunk, state, loaded, bytes, detail) "
                    "VALUES (?, 'plan', '', 0, 0, 'done', 0, 0, ?)",
                {run, digest}, cancel);
        connection_.commit(cancel);
    } catch (...) {
        Cancel unstoppable;
        if (connection_.alive() && connection_.in_transaction())
            connection_.rollback(unstoppable);
        throw;
    }
}

Recorded Ledger::recorded(const std::string& run, Cancel& cancel) {
    cancel.check("the copy");
    Recorded out;
    std::map<std::pair<std::string, std::int64_t>, std::size_t> places;
    const std::vector<Value> params = {run};
    for (const Map& row :
         db::fetch_all(connection_,
                       "SELECT kind, object, part, state, detail FROM " + name() +
                           " WHERE run = ? AND kind <> 'chunk' ORDER BY kind, object, part",
                       params)) {
        const std::string kind = row.text("kind"), detail = row.text("detail");
        const auto number = static_cast<int>(row.integer("part"));
        if (kind == "run") {
            const std::size_t cut = detail.rfind('\n');
            out.fence = cut == detail.find('\n') ? "" : detail.substr(cut + 1);
        } else if (kind == "plan") {
            out.digest = detail;
        } else if (kind == "part") {
            RecordedPart part;
            part.table = row.text("object");
            part.part = read_part(detail, number);
            part.complete = row.text("state") == "done";
            places[{part.table, number}] = out.parts.size();
            out.parts.push_back(std::move(part));
        } else if (kind != "table") {
            out.finished[Recorded::key(kind, row.text("object"), number)] = row.text("state");
        }
    }
    for (const Map& row :
         db::fetch_all(connection_,
                       "SELECT object, part, chunk, loaded, bytes, detail FROM " + name() +
                           " WHERE run = ? AND kind = 'chunk' ORDER BY object, part, chunk",
                       params)) {
        auto found = places.find({row.text("object"), row.integer("part")});
        if (found == places.end())
            throw Error("copy.mismatch", "the ledger holds a chunk of no part: " +
                                             row.text("object") + "; begin anew");
        RecordedPart& part = out.parts[found->second];
        part.rows += row.integer("loaded");
        part.bytes += row.integer("bytes");
        part.chunks += 1;
        part.part.after = row.text("detail");
        part.part.first_chunk = static_cast<int>(row.integer("chunk")) + 1;
    }
    return out;
}

void Ledger::settle(const std::string& run, const std::function<void(const std::string&)>& say,
                    Cancel& cancel) {
    const db::Flavour flavour = connection_.server().flavour;
    if (flavour == db::Flavour::sqlite)
        return; // a dead process leaves nothing behind that the next opening does not roll back
    for (int waited = 0;; waited += patience_s) {
        cancel.check("the copy");
        try {
            if (is_mysql())
                connection_.script(
                    fmt::format("SET SESSION innodb_lock_wait_timeout = {}", patience_s), cancel);
            connection_.begin(cancel);
            if (is_mysql()) {
                const std::vector<Value> params = {run};
                db::fetch_all(connection_,
                              "SELECT chunk FROM " + name() + " WHERE run = ? FOR UPDATE", params);
            } else {
                execute(fmt::format("SET LOCAL lock_timeout = '{}s'", patience_s), {}, cancel);
                execute("LOCK TABLE " + name() + " IN SHARE MODE", {}, cancel);
            }
            connection_.commit(cancel);
            break;
        } catch (const Error& error) {
            if (connection_.alive() && connection_.in_transaction())
                connection_.rollback(cancel);
            if (error.kind() != "db.lock_timeout")
                throw;
            say(fmt::format("waiting for the rollback of a session that died in the middle of a "
                            "chunk, {} s so far",
                            waited + patience_s));
        }
    }
    if (is_mysql())
        connection_.script("SET SESSION innodb_lock_wait_timeout = DEFAULT", cancel);
}

void Ledger::begin_chunk(const std::string& run, const Part& part, int chunk,
                         const std::function<void(const std::string&)>& say, Cancel& cancel) {
    const bool waits = connection_.server().flavour != db::Flavour::sqlite;
    auto patience = [&](bool short_one) {
        if (is_mysql())
            connection_.script(
                short_one ? fmt::format("SET SESSION innodb_lock_wait_timeout = {}", patience_s)
                          : "SET SESSION innodb_lock_wait_timeout = DEFAULT",
                cancel);
        else if (waits)
            execute(fmt::format("SET LOCAL lock_timeout = {}", short_one ? patience_s * 1000 : 0),
                    {}, cancel);
    };
    for (int waited = 0;; waited += patience_s) {
        try {
            patience(true);
            execute("INSERT INTO " + name() +
                        " (run, kind, object, part, chunk, state, loaded, bytes) "
                        "VALUES (?, 'chunk', ?, ?, ?, 'begun', 0, 0)",
                    {run, part.table->name, part.number, chunk}, cancel);
            patience(false);
            return;
        } catch (const Error& error) {
            if (error.sqlstate() == "23505" || error.sqlstate() == "23000")
                throw ChunkIsThere{};
            if (error.kind() != "db.lock_timeout" || !waits)
                throw;
            // The server may have rolled back more than the statement.
            connection_.rollback(cancel);
            connection_.begin(cancel);
            say(fmt::format("{}: another session has begun the same chunk: waiting for its end, {} "
                            "s so far",
                            part.table->name, waited + patience_s));
        }
    }
}

void Ledger::end_chunk(const std::string& run, const Part& part, int chunk, const Feed& feed,
                       std::int64_t rejected, Cancel& cancel) {
    execute("UPDATE " + name() +
                " SET state = 'done', loaded = ?, bytes = ?, detail = ? WHERE run = ? AND kind = "
                "'chunk' AND object = ? AND part = ? AND chunk = ?",
            {feed.rows() - rejected, feed.bytes(), feed.place(), run, part.table->name, part.number,
             chunk},
            cancel);
    if (feed.ended())
        end_part(run, part, cancel);
}

void Ledger::end_part(const std::string& run, const Part& part, Cancel& cancel) {
    execute("UPDATE " + name() +
                " SET state = 'done' WHERE run = ? AND kind = 'part' AND object = ? AND part = ?",
            {run, part.table->name, part.number}, cancel);
}

RecordedPart Ledger::progress(const std::string& run, const Part& part, Cancel& cancel) {
    for (RecordedPart& one : recorded(run, cancel).parts)
        if (one.table == part.table->name && one.part.number == part.number) {
            one.part.table = part.table;
            return one;
        }
    throw Error("copy.mismatch", part.table->name + ": the ledger has lost a part");
}

} // namespace runbook::copy
