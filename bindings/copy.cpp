// copy.database, copy.table, copy.preflight, copy.plan, copy.rules, copy.state, copy.discard. Loop
// thread; the work runs on the pool, with sessions of its own.
#include "bindings/copy.h"

#include "bindings/copy_follow.h"
#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "bindings/db_fence.h"
#include "bindings/db_internal.h"
#include "runtime/db/written/written.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/copy/settings.h"

#include <algorithm>
#include <charconv>

namespace runbook::bindings {
namespace {

using HandlePtr = std::shared_ptr<db::Handle>;

struct CopyOptions {
    int streams = 4;
    std::vector<std::string> tables, exclude;
    std::string charset, collation, schema;
    double rate = 0;
    std::int64_t chunk_bytes = 64'000'000, rejects = 0, samples = 5;
    Value rules;
    Map settings;
    std::string zero_dates;
    bool schema_only = false, data_only = false;
    std::string reject = "fail", reject_file;
    std::optional<bool> resume;
    FenceRef fence;
    bind::Duration snapshot_age{12 * 3600}, lag_limit{60};
    std::vector<HandlePtr> replicas;
    int load_limit = 0;
};

/// { net_read_timeout = 120 }; a number in quotes is one too.
std::map<std::string, std::int64_t> settings_of(const Map& given) {
    std::map<std::string, std::int64_t> settings;
    for (const auto& [name, value] : given) {
        const auto* number = value.get<std::int64_t>();
        const auto* text = value.get<std::string>();
        std::int64_t parsed = 0;
        if (text) {
            const auto [end, error] =
                std::from_chars(text->data(), text->data() + text->size(), parsed);
            if (error == std::errc() && end == text->data() + text->size())
                number = &parsed;
        }
        if (!number)
            throw Error("argument",
                        "option 'settings': " + name + ": a whole number expected, got " +
                            (text ? "\"" + *text + "\"" : std::string(value.type_name())));
        settings[name] = *number;
    }
    copy::check_settings(settings);
    return settings;
}

copy::Options native_options(const CopyOptions& from) {
    copy::Options to;
    if (from.streams < 1 || from.streams > 64)
        throw Error("argument",
                    "option 'streams': 1 to 64 expected, got " + std::to_string(from.streams));
    const bool collects = from.reject == "collect";
    if (!collects && from.reject != "fail")
        throw Error("argument", "option 'reject': \"fail\" or \"collect\" expected, got \"" +
                                    from.reject + "\"");
    if (collects && from.rejects < 1)
        throw Error("argument", "option 'rejects': with reject = \"collect\", say how many rows "
                                "may be rejected");
    if (!collects && (from.rejects != 0 || !from.reject_file.empty()))
        throw Error("argument", "options 'rejects' and 'reject_file': they need reject = "
                                "\"collect\": a copy loses no row otherwise");
    to.rejects = from.rejects;
    to.reject_file = from.reject_file;
    if (from.chunk_bytes < 1'000'000)
        throw Error("argument", "option 'chunk_bytes': at least 1000000 expected");
    to.streams = from.streams;
    if (!(from.tables.size() == 1 && from.tables[0] == "all"))
        to.include = from.tables;
    to.exclude = from.exclude;
    to.charset = from.charset;
    to.collation = from.collation;
    to.schema = from.schema;
    to.rate_bytes_s = from.rate;
    to.chunk_bytes = from.chunk_bytes;
    to.samples = static_cast<std::size_t>(std::max<std::int64_t>(from.samples, 0));
    if (!from.rules.is_null())
        to.rules = rules::parse(from.rules);
    to.settings = settings_of(from.settings);
    if (!from.zero_dates.empty() && from.zero_dates != "null")
        throw Error("argument",
                    "option 'zero_dates': \"null\" expected, got \"" + from.zero_dates + "\"");
    to.zero_dates_to_null = from.zero_dates == "null";
    if (from.schema_only && from.data_only)
        throw Error("argument", "options 'schema_only' and 'data_only' exclude each other");
    to.schema_only = from.schema_only;
    to.data_only = from.data_only;
    if (from.snapshot_age.seconds < 0 || from.lag_limit.seconds <= 0 || from.load_limit < 0 ||
        from.rate < 0)
        throw Error("argument", "options 'snapshot_age', 'lag_limit', 'load_limit' and 'rate': "
                                "nothing below zero, and a 'lag_limit' above it, expected");
    to.snapshot_age_s = from.snapshot_age.seconds;
    to.lag_limit_s = from.lag_limit.seconds;
    to.load_limit = from.load_limit;
    for (const HandlePtr& replica : from.replicas)
        to.replicas.push_back(replica->url());
    if (from.resume)
        to.resume = *from.resume ? copy::Resume::always : copy::Resume::never;
    if (from.fence.handle)
        to.fence = copy::Fence{from.fence.handle->url(), fence_options(from.fence.options)};
    return to;
}

void need_write(const HandlePtr& target) {
    if (target->access() == db::Access::read)
        throw Error("db.read_only",
                    target->url().masked() + ": the connection is declared access = \"read\"",
                    "declare access = \"write\" for a database that is copied into");
}

bind::Job<Map> copy_job(bind::Call& call, const HandlePtr& source, const HandlePtr& target,
                        copy::Options options) {
    need_write(target);
    bind::Job<Map> job;
    job.work = [from = source->url(), to = target->url(), options = std::move(options),
                progress = call.progress()](Cancel& cancel) {
        Map made = copy::to_map(copy::copy_database(from, to, options, progress, cancel));
        if (const std::optional<Map> mark = mark_of(to, cancel)) // after the last row of the copy
            made.set("mark", *mark);
        return made;
    };
    return job;
}

const std::vector<std::string> kinds = {"copy.refused",  "copy.mismatch", "copy.snapshot_age",
                                        "copy.rejects",  "db.disk_full",  "db.not_empty",
                                        "db.connection", "db.auth",       "db.permission",
                                        "db.error",      "argument",      "cancelled",
                                        "timeout"};
constexpr const char* source_doc = "a connection; read under one snapshot";
constexpr const char* target_doc = "a connection with access write; its database must be empty";
constexpr const char* result_doc =
    "{tables, rows, bytes, rejected, seconds, preflight_s, load_s, index_s, streams, snapshot, "
    "run, "
    "resumed, resumed_rows, held_s, restarted, why_restarted, per_table, report, findings, mark}: "
    "mark is "
    "for copy.written_since; per_table "
    "lists {table, rows, bytes, chunks, "
    "seconds}; report says of every object {object, kind, outcome, reason}";
constexpr const char* example =
    R"lua(local source = db.connect('sqlite:copy_a.db', { access = 'write' })
local target = db.connect('sqlite:copy_b.db', { access = 'write' })
db.script(source, "drop table if exists t; create table t (id integer primary key, v text); insert into t values (7, 'a')")
copy.discard(target)
)lua";

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
using runbook::bindings::CopyOptions;
template <>
struct Describe<CopyOptions> {
    static const std::vector<Field<CopyOptions>>& fields() {
        using O = CopyOptions;
        static const std::vector<Field<O>> all = {
            field("streams", &O::streams, "parallel streams, 1 to 64 (default 4)"),
            field("tables", &O::tables, "only these tables; `*` matches (default \"all\")"),
            field("exclude", &O::exclude, "tables left out on purpose"),
            field("charset", &O::charset, "character set of a MySQL target (default utf8mb4)"),
            field("collation", &O::collation,
                  "collation of a MySQL target (default: the engine's exact one, under which "
                  "nothing collides)"),
            field("schema", &O::schema, "PostgreSQL schema (default public)"),
            field("rate", &O::rate, "bytes a second, all streams together (default: no limit)"),
            field("chunk_bytes", &O::chunk_bytes, "one transaction (default 64000000)"),
            field("rules", &O::rules,
                  "what becomes of types, tables and columns beyond the mapping: a list, see "
                  "copy.rules"),
            field("zero_dates", &O::zero_dates,
                  "\"null\": MySQL's 0000-00-00 becomes NULL (PostgreSQL holds none)"),
            field("settings", &O::settings,
                  "session variables of a MySQL target, as { net_read_timeout = 120 }"),
            field("schema_only", &O::schema_only, "tables, indexes and keys, without rows"),
            field("data_only", &O::data_only,
                  "rows into tables that are there: empty, and fit to hold them"),
            field("reject", &O::reject,
                  "what becomes of a row that the target refuses: \"fail\" (default) ends the "
                  "copy, \"collect\" leaves it out, in the table _runbook_rejects there with its "
                  "reason"),
            field("rejects", &O::rejects, "how many rows may be rejected (default 0)"),
            field("reject_file", &O::reject_file,
                  "gets the rejected rows too, as JSON lines, when the copy is done"),
            field("samples", &O::samples, "sample keys a finding shows (default 5)"),
            field("resume", &O::resume,
                  "of a copy of the same source that was cut off: true goes on with it or is "
                  "refused, false begins anew (default: goes on where the fence proves that the "
                  "source is as it was, else begins anew)"),
            field("fence", &O::fence,
                  "what db.write_fence returned: closed before the copy begins, it lets a copy "
                  "that was cut off be gone on with"),
            field("snapshot_age", &O::snapshot_age,
                  "the copy ends where its snapshot gets older: it holds back the source's "
                  "clean-up (default 12h; 0: no limit)"),
            field("replicas", &O::replicas,
                  "connections to replicas of the target, by whose lag the copy is slowed down; "
                  "a PostgreSQL target knows its own"),
            field("lag_limit", &O::lag_limit,
                  "no chunk begins while a replica is further behind, or does not replicate "
                  "(default 60s)"),
            field("load_limit", &O::load_limit,
                  "no chunk begins while either end has more active sessions of others (default: "
                  "no limit)")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

void register_copying(bind::Area& area) {
    area.def("database",
             "Copies all tables of a database into an empty one, of another engine or the same: "
             "schema, rows, indexes, foreign keys, sequences. Nothing is dropped, cut or rounded: "
             "what the target cannot hold is refused before a row is written.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", "what to copy, and how")
        .returns("table", result_doc)
        .raises(kinds)
        .writes()
        .example(std::string(example) +
                 "local c = copy.database(source, target)\nassert(c.tables == 1 and c.rows == 1)\n"
                 "assert(db.value(target, 'select v from t') == 'a')")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, CopyOptions options) {
            return copy_job(call, source, target, native_options(options));
        });
    area.def("table", "Copies one table into an empty database.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("name", "the table's name in the source")
        .param("options", "as for copy.database")
        .returns("table", "as from copy.database")
        .raises(kinds)
        .writes()
        .example(std::string(example) + "assert(copy.table(source, target, 't').rows == 1)")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, std::string name,
                   CopyOptions options) {
            copy::Options native = native_options(options);
            native.include = {std::move(name)};
            return copy_job(call, source, target, std::move(native));
        });
}

void register_looking(bind::Area& area) {
    area.def("preflight",
             "Scans the source's data and says what a copy would meet: every value that the target "
             "would refuse or change, with table, column, count and sample keys. The target is not "
             "touched, a temporary table aside.")
        .param("source", source_doc)
        .param("target", "a connection; empty, as for the copy")
        .param("options", "as for copy.database")
        .returns("table", "{blocking, findings, report, rows, seconds}: blocking counts the "
                          "findings that would stop a copy; findings lists {table, column, "
                          "problem, count, samples, blocking, text}")
        .raises(kinds)
        .reads()
        .example(std::string(example) +
                 "local found = copy.preflight(source, target)\nassert(found.blocking == 0)")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target,
                   CopyOptions options) -> bind::Job<Map> {
            return {[from = source->url(), to = target->url(), native = native_options(options),
                     progress = call.progress()](Cancel& cancel) {
                return copy::to_map(copy::preflight(from, to, native, progress, cancel));
            }};
        });
    area.def("plan", "The statements that would make the schema in the target, in their order.")
        .param("source", source_doc)
        .param("target", "a connection; empty, as for the copy")
        .param("options", "as for copy.database")
        .returns("string", "SQL")
        .raises(kinds)
        .reads()
        .example(std::string(example) + "assert(copy.plan(source, target):find 'CREATE TABLE t')")
        .native([](bind::Call&, HandlePtr source, HandlePtr target,
                   CopyOptions options) -> bind::Job<std::string> {
            return {[from = source->url(), to = target->url(), native = native_options(options)](
                        Cancel& cancel) { return copy::plan(from, to, native, cancel); }};
        });
}

void register_rules(bind::Area& area) {
    area.def("rules",
             "A list of rules, checked where it is declared: what a type, table or column becomes "
             "in a copy beyond the mapping. A rule names what it is about (type, schema, table, "
             "column, index; `*` matches in names), conditions (when), and what to do (to, using, "
             "rename, where, exclude, include, drop_default, drop_not_null, split). See "
             "docs/copy-and-verify.md.")
        .param("list", "rules, as { { type = \"uuid\", to = \"binary(16)\" } }")
        .returns("table", "the list, for the option rules of copy.database and verify.database")
        .raises({"argument"})
        .example("local rules = copy.rules { { type = 'uuid', to = 'binary(16)' },\n"
                 "  { table = 'users', column = 'mail', rename = 'email' } }\nassert(#rules == 2)")
        .native([](bind::Call&, Value list) -> Value {
            rules::parse(list);
            return list;
        });
}

void register_ledger(bind::Area& area) {
    area.def("state", "What the ledger in the target says about the last copy: the observe of a "
                      "step that copies.")
        .param("target", "the connection copied into (or the source, with the target after it)")
        .param("other", "the connection copied into, where the first one is the source")
        .returns("string", "\"done\", \"partial\" or \"absent\"; as a second value {run, tables, "
                           "rows, source, snapshot, running}")
        .raises({"db.connection", "db.auth", "db.error", "cancelled", "timeout"})
        .reads()
        .example(std::string(example) + "assert(copy.state(target) == 'absent')\n"
                                        "copy.database(source, target)\nlocal state, copied = "
                                        "copy.state(target)\nassert(state == 'done' and "
                                        "copied.rows == 1)")
        .native(
            [](bind::Call&, HandlePtr target, std::optional<HandlePtr> other) -> bind::Job<Map> {
                bind::Job<Map> job;
                job.work = [to = (other ? *other : target)->url()](Cancel& cancel) {
                    return copy::to_map(copy::state(to, cancel));
                };
                job.push = [](lua_State* L, Map& state) {
                    std::string word = state.text("state");
                    int pushed = bind::Push<std::string>::push(L, word);
                    return pushed + bind::Push<Map>::push(L, state);
                };
                return job;
            });
    area.def("written_since", "How many rows were written to a copy since it was made, by anybody: "
                              "what going back to its source would lose.")
        .param("target", "the connection copied into")
        .param("copied", "the result of copy.database")
        .returns("table", "as from db.written_since: {rows, tables, nothing}")
        .raises({"db.connection", "db.auth", "db.permission", "db.timeout", "db.error", "argument"})
        .reads()
        .example(std::string(example) +
                 "local copied = copy.database(source, target)\ndb.execute(target, \"insert into t "
                 "values (8, 'b')\")\nassert(copy.written_since(target, copied).rows == 1)")
        .native([](bind::Call& call, HandlePtr target, Map copied) {
            return on_session<Map>(
                call, target,
                [copied = std::move(copied)](db::Connection& connection, Cancel& cancel) {
                    return db::written_since(connection, copied, cancel);
                });
        });
    area.def("discard", "Drops the tables that a copy made in the target, by its ledger, and the "
                        "ledger; nothing else.")
        .param("target", "the connection copied into")
        .returns("string[]", "names of the dropped tables")
        .raises({"copy.refused", "db.connection", "db.auth", "db.error", "cancelled", "timeout"})
        .writes()
        .example(std::string(example) +
                 "copy.database(source, target)\nassert(copy.discard(target)[1] == 't')")
        .native([](bind::Call&, HandlePtr target) -> bind::Job<std::vector<std::string>> {
            need_write(target);
            return {[to = target->url()](Cancel& cancel) { return copy::discard(to, cancel); }};
        });
}

} // namespace

void register_copy(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "copy",
                    "Whole databases from one engine to another, refused before the first row or "
                    "complete.");
    register_copying(area);
    register_looking(area);
    register_rules(area);
    register_ledger(area);
    register_copy_follow(area);
}

} // namespace runbook::bindings
