// From two URLs to a plan, or a refusal (see run.h). Runs on the thread of the copy.
#include "runtime/transfer/copy/run.h"

#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/transfer/copy/existing.h"
#include "runtime/transfer/copy/governor.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/mysql_source.h"
#include "runtime/transfer/copy/mysql_target.h"
#include "runtime/transfer/copy/postgres_source.h"
#include "runtime/transfer/copy/postgres_target.h"
#include "runtime/transfer/copy/resume.h"
#include "runtime/transfer/copy/sqlite_ends.h"

#include <algorithm>

namespace runbook::copy {
namespace {

void add_refusals(Prepared& prepared) {
    for (const schema::Refusal& refusal : prepared.plan.refusals) {
        auto rows = prepared.scan.table_rows.find(refusal.table);
        std::int64_t count = rows == prepared.scan.table_rows.end() ? 0 : rows->second;
        prepared.findings.push_back(
            {refusal.table, refusal.column, refusal.reason, count, {}, true});
    }
}

// Rows that the target will refuse stand in nobody's way while they are within the budget.
void allow_rejects(Prepared& prepared, std::int64_t budget) {
    std::int64_t rows = 0;
    for (const Finding& finding : prepared.findings)
        rows += finding.by_row ? finding.count : 0;
    for (Finding& finding : prepared.findings)
        if (finding.by_row) {
            finding.blocking = rows > budget;
            finding.problem += rows > budget ? "; more than may be rejected" : "; to be rejected";
        }
}

// A name that matches nothing is a mistake, and a copy of nothing no success.
void need_tables(const db::Url& url, const catalog::Database& database, const Options& options) {
    std::vector<std::string> names;
    for (const catalog::Schema& schema : database.schemas)
        for (const catalog::Table& table : schema.tables)
            names.push_back(table.name);
    for (const std::string& wanted : options.include) {
        catalog::Filter filter;
        filter.include = {wanted};
        if (std::none_of(names.begin(), names.end(),
                         [&](const std::string& name) { return filter.takes(name); }))
            throw Error("argument", url.masked() + ": there is no table '" + wanted + "'");
    }
    if (names.empty())
        throw Error("copy.refused", url.masked() + ": there is no table to copy");
}

// MySQL's 0000-00-00 and days like 2024-00-10 are read as NULL.
void zero_dates_to_null(Prepared& prepared) {
    rules::Transform transform;
    transform.name = "zero-dates-to-null";
    for (schema::TargetTable& table : prepared.plan.tables)
        for (schema::TargetColumn& column : table.columns) {
            const catalog::Column* from = table.source->column(column.source);
            if (from &&
                (from->type == catalog::Type::date || from->type == catalog::Type::timestamp ||
                 from->type == catalog::Type::timestamptz))
                column.select = rules::transformed(
                    transform, *from, prepared.source->database().server.flavour, column.select);
        }
}

void begin_anew(Prepared& prepared, const Options& options, std::string why) {
    if (options.resume == Resume::always)
        throw Error("copy.refused",
                    prepared.target->control().url().masked() + ": the unfinished copy " +
                        prepared.unfinished + " cannot be gone on with: " + why,
                    "with resume = false (--anew) its tables are dropped and the copy begins anew");
    prepared.why_anew = std::move(why);
    prepared.goes_on.reset();
}

// The truth about the chunks is there once no session of the dead process is left.
void look_for_resume(Prepared& prepared, const Options& options, bool dry,
                     const ProgressPtr& progress, Cancel& cancel) {
    if (prepared.unfinished.empty())
        return;
    Ledger ledger(prepared.target->control());
    if (!dry)
        ledger.settle(
            prepared.unfinished,
            [&](const std::string& text) {
                if (progress)
                    progress->line("stdout", text);
            },
            cancel);
    Recorded recorded = ledger.recorded(prepared.unfinished, cancel);
    if (options.resume == Resume::never) {
        prepared.why_anew = "it was asked for";
    } else if (recorded.digest.empty()) {
        prepared.why_anew = "no row had been loaded";
    } else if (std::string why = why_not(recorded, prepared.fence, *prepared.source);
               !why.empty()) {
        begin_anew(prepared, options, std::move(why));
    } else {
        prepared.goes_on = std::move(recorded);
    }
}

} // namespace

void Target::make(const schema::Before& object, Cancel&) {
    throw Error("internal", "the target makes no " + object.kind);
}

std::string select_list(const std::vector<schema::TargetColumn>& columns) {
    std::string list;
    for (const schema::TargetColumn& column : columns)
        list += (list.empty() ? "" : ", ") + column.select;
    return list;
}

std::unique_ptr<Source> open_source(const db::Url& url, const SourceOptions& options,
                                    Cancel& cancel) {
    if (url.engine == db::Engine::postgresql)
        return open_postgres_source(url, options, cancel);
    if (url.engine == db::Engine::sqlite)
        return open_sqlite_source(url, options, cancel);
    return open_mysql_source(url, options, cancel);
}

std::unique_ptr<Target> open_target(const db::Url& url, const Options& options, Cancel& cancel) {
    if (url.engine == db::Engine::mysql)
        return open_mysql_target(url, options, cancel);
    if (url.engine == db::Engine::sqlite)
        return open_sqlite_target(url, options, cancel);
    return open_postgres_target(url, options, cancel);
}

Prepared prepare(const db::Url& source, const db::Url& target, const Options& options, bool dry,
                 const ProgressPtr& progress, Cancel& cancel) {
    double begun = time::monotonic();
    if (source.engine == db::Engine::mysql && target.engine == db::Engine::mysql &&
        !(options.collation.empty() && options.charset.empty()))
        throw Error("argument", "options 'charset' and 'collation': a table of MySQL or MariaDB "
                                "keeps its own there");
    Prepared out;
    out.target = open_target(target, options, cancel);
    out.target->expect(source.engine);
    SourceOptions source_options;
    if (!options.schema.empty())
        source_options.filter.schemas = {options.schema};
    source_options.filter.include = options.include;
    source_options.filter.exclude = options.exclude;
    // Of an earlier copy into what is the source now; it tells nothing of this one.
    source_options.filter.exclude.emplace_back(ledger_table);
    schema::Target description = out.target->description();
    source_options.target = description.server.flavour;
    // What cannot be asked now would never hold anything back.
    for (const db::Url& replica : options.replicas)
        lag_s(*db::connect(replica, {}, cancel), cancel);
    source_options.streams = dry ? 1 : options.streams;
    source_options.snapshot = options.snapshot;
    out.snapshot_at = time::monotonic();
    out.source = open_source(source, source_options, cancel);
    need_tables(source, out.source->database(), options);
    if (options.data_only &&
        (source.engine != db::Engine::postgresql || target.engine != db::Engine::mysql))
        throw Error("db.unsupported", "copying " + source.masked() + " into " + target.masked() +
                                          ": data_only is for PostgreSQL into MySQL or MariaDB");
    if (!options.rules.empty() &&
        (source.engine != db::Engine::postgresql || target.engine != db::Engine::mysql))
        throw Error("db.unsupported", "copying " + source.masked() + " into " + target.masked() +
                                          ": rules are for PostgreSQL into MySQL or MariaDB");
    out.rules = rules::resolve(options.rules, out.source->database());
    need_tables(source, out.rules.database, {});
    if (source.engine == db::Engine::postgresql && target.engine == db::Engine::mysql)
        expect_tables(out, options);
    out.unfinished = out.target->make_ready(out.source->identity(), dry, cancel);
    out.fence = fence_since(options, cancel);
    look_for_resume(out, options, dry, progress, cancel);
    read_existing(out, cancel);
    out.scan =
        source.engine == db::Engine::sqlite
            ? scan_sqlite(*out.source, description, options, progress, cancel)
        : source.engine == db::Engine::mysql
            ? scan_mysql(*out.source, description, options, progress, cancel)
            : scan_postgresql(*out.source, out.rules, description, options, progress, cancel);
    schema::Options schema_options{options.charset, options.collation, options.schema, &out.rules};
    const bool to_mysql = target.engine == db::Engine::mysql;
    out.plan =
        source.engine == db::Engine::sqlite && target.engine == db::Engine::sqlite
            ? plan_sqlite_to_sqlite(*out.source, cancel)
        : to_mysql && source.engine == db::Engine::mysql
            ? plan_mysql_to_mysql(*out.source, description)
        : source.engine == db::Engine::postgresql && target.engine == source.engine
            ? plan_postgres_to_postgres(*out.source, cancel)
            : schema::make_plan(out.rules.database, out.scan.profile, schema_options, description);
    use_existing(out, options);
    if (options.zero_dates_to_null && source.engine == db::Engine::mysql)
        zero_dates_to_null(out);
    if (out.goes_on && out.goes_on->digest != digest_of(out.plan))
        begin_anew(out, options, "tables, columns or options are not those that it was begun with");
    out.findings = out.scan.findings;
    if (options.rejects > 0)
        allow_rejects(out, options.rejects);
    add_refusals(out);
    if (out.plan.refusals.empty() && target.engine == db::Engine::mysql) {
        auto collisions = find_collisions(*out.source, *out.target, out.plan, options, cancel);
        out.findings.insert(out.findings.end(), collisions.begin(), collisions.end());
    }
    for (const schema::ReportEntry& entry : out.plan.report)
        out.report.push_back({entry.object, entry.kind, entry.outcome, entry.reason});
    out.seconds = time::monotonic() - begun;
    return out;
}

} // namespace runbook::copy
