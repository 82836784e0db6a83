// verify.database, verify.table, verify.counts. Loop thread; comparing runs on the pool, with
// sessions of its own.
#include "bindings/verify.h"

#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "bindings/db_fence.h"
#include "bindings/value_types.h"
#include "runtime/transfer/verify/repair_file.h"
#include "runtime/transfer/verify/verify.h"

namespace runbook::bindings {
namespace {

using HandlePtr = std::shared_ptr<db::Handle>;

struct VerifyOptions {
    std::string mode = "full";
    std::vector<std::string> tables, exclude, omit_columns;
    Map rename;
    Value rules;
    std::string schema, snapshot, zero_dates;
    std::int64_t sample = 1000, samples = 20;
    int recheck = 3;
    bind::Duration recheck_delay{0.25};
    bool values = true;
    FenceRef fence;
};

verify::Options native_options(const VerifyOptions& from) {
    verify::Options to;
    to.mode = verify::parse_mode(from.mode);
    to.tables = from.tables;
    to.exclude = from.exclude;
    to.omit_columns = from.omit_columns;
    for (const auto& [name, other] : from.rename)
        to.rename[name] = from.rename.text(name);
    if (!from.rules.is_null())
        to.rules = rules::parse(from.rules);
    to.schema = from.schema;
    to.shared_snapshot = from.snapshot;
    to.sample = from.sample;
    to.samples = static_cast<std::size_t>(from.samples);
    to.recheck_rounds = from.recheck;
    to.recheck_delay = from.recheck_delay.seconds;
    to.show_values = from.values;
    if (!from.zero_dates.empty() && from.zero_dates != "null")
        throw Error("argument",
                    "option 'zero_dates': \"null\" expected, got \"" + from.zero_dates + "\"");
    to.zero_date_is_null = from.zero_dates == "null";
    return to;
}

bind::Job<Map> verify_job(bind::Call& call, const HandlePtr& source, const HandlePtr& target,
                          verify::Options options, const FenceRef& fence) {
    bind::Job<Map> job;
    job.work = [from = source->url(), to = target->url(), options = std::move(options),
                fence = fence.handle, fenced = fence_options(fence.options),
                progress = call.progress()](Cancel& cancel) {
        const verify::Result result = verify::verify_database(from, to, options, progress, cancel);
        Map out = verify::to_map(result);
        Map seen{{"$type", "verify.names"}};
        for (const verify::TableResult& table : result.tables)
            seen.set(table.table, true);
        out.set("tables_seen", std::move(seen));
        if (fence) {
            auto session = db::connect(fence->url(), {}, cancel);
            const Map held = db::fence_held(*session, fenced, cancel);
            out.set("fence_held", held.boolean("held"));
            if (!held.boolean("held"))
                out.set("fence_why", held.text("why"));
        }
        return out;
    };
    return job;
}

constexpr const char* names_methods = R"(
local methods = {}
-- True if every name of the list (or the one name) is there.
function methods.includes(seen, names)
  for _, name in ipairs(type(names) == "table" and names or { names }) do
    if not rawget(seen, name) then return false end
  end
  return true
end
return { __index = methods }
)";

const std::vector<std::string> kinds = {"db.connection", "db.auth",   "db.permission", "db.error",
                                        "argument",      "cancelled", "timeout"};
constexpr const char* result_doc =
    "{coverage, mismatches, missing, extra, changed, unsettled, unchecked, rows, tables, samples, "
    "tables_seen, "
    "omitted_columns, only_in_target, match_ratio, passed, seconds}: coverage is 1 only if every "
    "row of every table was "
    "compared; unchecked lists {table, reason}; samples lists {table, key, kind, columns, text}; "
    "tables_seen:includes(names) asks for tables by name; fence_held (and fence_why) with the "
    "option "
    "fence";
constexpr const char* source_doc = "a connection; the side that is believed";
constexpr const char* target_doc = "a connection; the side that is judged";
constexpr const char* example =
    R"lua(local source = db.connect('sqlite:verify_a.db', { access = 'write' })
local target = db.connect('sqlite:verify_b.db', { access = 'write' })
for _, side in ipairs { source, target } do
  db.script(side, "drop table if exists t; create table t (id integer primary key, v text); insert into t values (7, 'a')")
end
)lua";

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
using runbook::bindings::VerifyOptions;
template <>
struct Describe<VerifyOptions> {
    static const std::vector<Field<VerifyOptions>>& fields() {
        using O = VerifyOptions;
        static const std::vector<Field<O>> all = {
            field("mode", &O::mode,
                  "\"full\" (every row), \"counts\" or \"sample\"; the last two never reach "
                  "coverage 1"),
            field("tables", &O::tables,
                  "only these tables; one that the source lacks is unchecked"),
            field("exclude", &O::exclude, "tables left out on purpose"),
            field("omit_columns", &O::omit_columns,
                  "`table.column` that the target lacks on purpose"),
            field("rename", &O::rename, "{ [source table] = \"target table\" }"),
            field("rules", &O::rules,
                  "those of the copy that is judged: the source is read as they say (renamed, "
                  "filtered, changed)"),
            field("schema", &O::schema, "PostgreSQL schema on either side (default public)"),
            field("snapshot", &O::snapshot,
                  "an exported PostgreSQL snapshot to read the source at; no re-check then"),
            field("zero_dates", &O::zero_dates, "\"null\": MySQL's 0000-00-00 counts as NULL"),
            field("sample", &O::sample, "rows a table in mode sample (default 1000)"),
            field("samples", &O::samples, "differing rows that are shown (default 20)"),
            field("recheck", &O::recheck, "how often differing rows are read again (default 3)"),
            field("recheck_delay", &O::recheck_delay,
                  "before the first re-check, three times as long before each further one (default "
                  "250ms)"),
            field("values", &O::values, "false: name differing columns without their values"),
            field("fence", &O::fence,
                  "what db.write_fence returned: fence_held says whether anything was written "
                  "since it was closed, until the comparison had ended")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_verify(vm::State& state, vm::Registry& registry) {
    install_value_type(state, "verify.names", names_methods);
    bind::Area area(state, registry, "verify",
                    "Two databases of any engine compared row by row, with reads and rules of its "
                    "own. What cannot be "
                    "compared is reported as unchecked, never as a pass.");
    area.def("database", "Compares two databases table by table, row by row.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", "what to compare, and how")
        .returns("table", result_doc)
        .raises(kinds)
        .reads()
        .example(std::string(example) +
                 "local v = verify.database(source, target)\nassert(v.coverage == 1 and "
                 "v.mismatches == 0 and v.passed)\n"
                 "assert(v.tables_seen:includes { 't' })\n"
                 "db.execute(target, \"update t set v = 'b'\")\n"
                 "local changed = verify.database(source, target, { recheck = 0 })\n"
                 "assert(changed.samples[1].text == \"t 7: changed: v: source 'a', target 'b'\")")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, VerifyOptions options) {
            return verify_job(call, source, target, native_options(options), options.fence);
        });
    area.def("table", "Compares one table row by row.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("name", "the table's name in the source")
        .param("options", "as for verify.database")
        .returns("table", "as from verify.database")
        .raises(kinds)
        .reads()
        .example(std::string(example) + "assert(verify.table(source, target, 't').rows == 1)")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, std::string name,
                   VerifyOptions options) {
            verify::Options native = native_options(options);
            native.tables = {std::move(name)};
            return verify_job(call, source, target, std::move(native), options.fence);
        });
    area.def("repair",
             "Compares as verify.database does, and writes the statements that would make the "
             "target equal into a file of mode 0600. Nothing runs them. A table without a key gets "
             "none.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("file", "its path; one that is there already is refused")
        .param("options", "as for verify.database")
        .returns("table", "as from verify.database; repairs is the number of statements, "
                          "not_repaired that of differences without one")
        .raises({"file.exists", "file.error", "db.connection", "db.auth", "db.permission",
                 "db.error", "argument", "cancelled", "timeout"})
        .writes()
        .example(
            std::string(example) +
            "db.execute(target, \"update t set v = 'b'\")\n"
            "assert(verify.repair(source, target, 'repair.sql', { recheck = 0 }).repairs == 1)")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, std::string file,
                   VerifyOptions options) {
            call.permissions().check_file(file);
            auto out = std::make_shared<std::unique_ptr<verify::RepairFile>>();
            verify::Options native = native_options(options);
            native.repair = [out](const std::string& sql) { (*out)->write(sql); };
            bind::Job<Map> job = verify_job(call, source, target, std::move(native), options.fence);
            job.work = [compare = std::move(job.work), out, file, from = source->url(),
                        to = target->url()](Cancel& cancel) {
                *out = std::make_unique<verify::RepairFile>(file, from, to);
                Map result = compare(cancel);
                (*out)->end(result.integer("repairs"), result.integer("not_repaired"));
                return result;
            };
            return job;
        });
    area.def("counts", "Compares numbers of rows only; coverage stays 0, so it never stands for a "
                       "verification.")
        .param("source", source_doc)
        .param("target", target_doc)
        .param("options", "as for verify.database")
        .returns("table", "as from verify.database")
        .raises(kinds)
        .reads()
        .example(std::string(example) +
                 "local c = verify.counts(source, target)\nassert(c.mismatches == 0 and c.coverage "
                 "== 0 and not c.passed)")
        .native([](bind::Call& call, HandlePtr source, HandlePtr target, VerifyOptions options) {
            verify::Options native = native_options(options);
            native.mode = verify::Mode::counts;
            return verify_job(call, source, target, std::move(native), options.fence);
        });
}

} // namespace runbook::bindings
