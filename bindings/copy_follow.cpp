// copy.follow and what it is made of. Loop thread; the work runs on the pool and, between the
// calls, on a thread of runtime/transfer/follow.
#include "bindings/copy_follow.h"

#include "bindings/db.h"
#include "bindings/db_fence.h"
#include "bindings/db_internal.h"
#include "runtime/transfer/follow/background.h"

namespace runbook::bindings {
namespace {

using follow::Background;

struct FollowOptions {
    int streams = 4;
    std::vector<std::string> tables, exclude;
    std::string charset, collation, schema;
    double rate = 0;
    std::int64_t max_wal = 10'000'000'000;
};

follow::Options native_options(const FollowOptions& from) {
    follow::Options to;
    if (from.streams < 1 || from.streams > 64)
        throw Error("argument",
                    "option 'streams': 1 to 64 expected, got " + std::to_string(from.streams));
    if (from.max_wal < 1'000'000)
        throw Error("argument", "option 'max_wal': at least 1000000 (bytes) expected");
    to.max_wal = from.max_wal;
    to.copy.streams = from.streams;
    if (!(from.tables.size() == 1 && from.tables[0] == "all"))
        to.copy.include = from.tables;
    to.copy.exclude = from.exclude;
    to.copy.charset = from.charset;
    to.copy.collation = from.collation;
    to.copy.schema = from.schema;
    to.copy.rate_bytes_s = from.rate;
    return to;
}

/// A follow changes both ends: slot and publication here, rows there.
void need_both(const HandlePtr& source, const HandlePtr& target) {
    for (const HandlePtr& end : {source, target})
        if (end->access() == db::Access::read)
            throw Error("db.read_only",
                        end->url().masked() + ": the connection is declared access = \"read\"",
                        "following makes a publication and a replication slot at the source and "
                        "writes to the target: declare access = \"write\" for both");
}

/// The background's first word may take a moment.
follow::Status look(const db::Url& from, const db::Url& to, const follow::Options& options,
                    Cancel& cancel) {
    follow::Status now = follow::status(from, to, options, cancel);
    if (now.state != "following")
        return now;
    Background::instance().ensure(from, to, options);
    if (auto latest = Background::instance().latest(from, to))
        return *latest;
    return now;
}

const std::vector<std::string> kinds = {
    "follow.refused", "follow.mismatch", "follow.schema", "follow.lost",  "follow.wal_limit",
    "follow.writes",  "copy.refused",    "copy.mismatch", "db.not_empty", "db.connection",
    "db.auth",        "db.permission",   "db.error",      "db.deadlock",  "db.unsupported",
    "db.read_only",   "argument",        "cancelled",     "timeout"};
constexpr const char* source_doc =
    "a PostgreSQL connection with access write, as the role that owns the tables and may replicate";
constexpr const char* target_doc = "a MySQL or MariaDB connection with access write";
constexpr const char* options_doc = "what to copy, how, and how much the source may have to keep";
constexpr const char* lag_doc =
    "{state, bytes, seconds, pending, transactions, changes, wal_kept, wal_limit, wal_bound, "
    "applied, source, slot, active}: bytes of the source's log and seconds that the target is "
    "behind, pending transactions, what was applied since the copy, bytes of the log that the slot "
    "keeps and may keep";

/// What is written in a playbook, and what any two connections of another engine get.
std::string example(const std::string& usage, const std::string& function) {
    return "-- " + usage +
           "\nlocal file = db.connect('sqlite:file.db', { access = 'write' })\n"
           "local ok, why = pcall(copy." +
           function + ", file, file)\nassert(not ok and why.kind == 'db.unsupported')";
}

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
using runbook::bindings::FollowOptions;
template <>
struct Describe<FollowOptions> {
    static const std::vector<Field<FollowOptions>>& fields() {
        using O = FollowOptions;
        static const std::vector<Field<O>> all = {
            field("streams", &O::streams, "parallel streams of the copy, 1 to 64 (default 4)"),
            field("tables", &O::tables, "only these tables; `*` matches (default \"all\")"),
            field("exclude", &O::exclude, "tables left out on purpose"),
            field("charset", &O::charset, "character set of the target (default utf8mb4)"),
            field("collation", &O::collation,
                  "collation of the target (default: the engine's exact one)"),
            field("schema", &O::schema, "PostgreSQL schema (default public)"),
            field("rate", &O::rate, "bytes a second of the copy (default: no limit)"),
            field("max_wal", &O::max_wal,
                  "bytes of its log that the source may have to keep; beyond it slot and "
                  "publication are dropped (default 10000000000)")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_copy_follow(bind::Area& area) {
    area.def("follow_on", "Copies, and follows the source from the copy's snapshot on, beside "
                          "everything else; copy.follow makes a step of it.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", options_doc)
        .returns("table", "as from copy.database, where it copied; resumed: true where it had been "
                          "copied before; follow: as from copy.follow_lag")
        .raises(kinds)
        .writes()
        .example(example("local copied = copy.follow_on(p.source, p.target, { streams = 4 })",
                         "follow_on"))
        .native([](bind::Call& call, HandlePtr source, HandlePtr target,
                   FollowOptions options) -> bind::Job<Map> {
            need_both(source, target);
            return {[from = source->url(), to = target->url(), native = native_options(options),
                     progress = call.progress()](Cancel& cancel) {
                Background::instance().end(from, to);
                const follow::Started started = follow::start(from, to, native, progress, cancel);
                Background::instance().ensure(from, to, native);
                return follow::to_map(started);
            }};
        });
    area.def("follow_off",
             "Ends following for good: drops slot and publication at the source. What "
             "is in the target stays.")
        .param("source", source_doc)
        .param("target", target_doc)
        .returns("boolean", "whether there was a slot")
        .raises(kinds)
        .writes()
        .example(example("copy.follow_off(p.source, p.target)", "follow_off"))
        .native([](bind::Call&, HandlePtr source, HandlePtr target) -> bind::Job<bool> {
            need_both(source, target);
            return {[from = source->url(), to = target->url()](Cancel& cancel) {
                Background::instance().end(from, to);
                return follow::stop(from, to, cancel);
            }};
        });
    area.def("follow_state", "What the ledger in the target says about following.")
        .param("source", "a PostgreSQL connection")
        .param("target", "a MySQL or MariaDB connection")
        .returns("string", "\"on\", \"between\" while it copies, \"drained\", or \"off\"")
        .raises(kinds)
        .reads()
        .example(example("assert(copy.follow_state(p.source, p.target) == 'on')", "follow_state"))
        .native([](bind::Call&, HandlePtr source, HandlePtr target) -> bind::Job<std::string> {
            return {[from = source->url(), to = target->url()](Cancel& cancel) -> std::string {
                const std::string state = follow::status(from, to, {}, cancel).state;
                return state == "following" ? "on"
                       : state == "copying" ? "between"
                       : state == "drained" ? "drained"
                                            : "off";
            }};
        });
    area.def("follow_lag",
             "How far the target is behind, and what the source keeps for it. Goes on "
             "following where this process does not do so yet, as after a resume.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", options_doc)
        .returns("table", lag_doc)
        .raises(kinds)
        .reads()
        .example(example("assert(copy.follow_lag(p.source, p.target).seconds < 5)", "follow_lag"))
        .native([](bind::Call&, HandlePtr source, HandlePtr target,
                   FollowOptions options) -> bind::Job<Map> {
            need_both(source, target);
            return {[from = source->url(), to = target->url(), native = native_options(options)](
                        Cancel& cancel) { return follow::to_map(look(from, to, native, cancel)); }};
        });
    area.def("follow_drain",
             "The end of following, when nobody writes to the source any more: applies the rest, "
             "proves that nothing followed and no writer is open, sets AUTO_INCREMENT by the "
             "sequences, drops slot and publication.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", options_doc)
        .returns("table", "as from copy.follow_lag, and {drained_transactions, drained_changes, "
                          "numbered, drain_s, mark}: mark is for copy.written_since")
        .raises(kinds)
        .writes()
        .example(example("copy.follow_drain(p.source, p.target)", "follow_drain"))
        .native([](bind::Call& call, HandlePtr source, HandlePtr target,
                   FollowOptions options) -> bind::Job<Map> {
            need_both(source, target);
            return {[from = source->url(), to = target->url(), native = native_options(options),
                     progress = call.progress()](Cancel& cancel) {
                Background::instance().end(from, to);
                Map out = follow::to_map(follow::drain(from, to, native, progress, cancel));
                if (const std::optional<Map> mark = mark_of(to, cancel))
                    out.set("mark", *mark);
                return out;
            }};
        });
    area.def("follow", "A toggle that copies and keeps the copy up to date, from the copy's own "
                       "snapshot on, until the cut-over.")
        .param("source", "connection", source_doc)
        .param("target", "connection", target_doc)
        .param("options", "table", "see copy.follow_on", true)
        .returns("table", "{on, off, drain, state, lag}: on, off and drain are actions for steps; "
                          "lag() is as from copy.follow_lag")
        .example("-- local follow = copy.follow(p.source, p.target, { streams = 4 })\n"
                 "-- step \"copy\"  { follow.on, owner = \"dba\" }\n"
                 "-- step \"drain\" { follow.drain, owner = \"dba\" }")
        .lua();
}

} // namespace runbook::bindings
