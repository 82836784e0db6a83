// The entry points of the copy and its results as values (see copy.h).
#include "runtime/transfer/copy/copy.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/run.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {
namespace {

std::string new_run() {
    return digest::hex(digest::random(8));
}

/// One sentence for all blocking findings: the first ones in full.
[[noreturn]] void refuse(const Prepared& prepared) {
    std::vector<std::string> texts;
    std::size_t more = 0;
    for (const Finding& finding : prepared.findings) {
        if (!finding.blocking)
            continue;
        if (texts.size() < 3)
            texts.push_back(finding.text());
        else
            ++more;
    }
    std::string message = "the source holds what the target cannot: " + text::join(texts, "; ");
    if (more > 0)
        message += fmt::format("; and {} more", more);
    throw Error("copy.refused", redact(message),
                "copy.preflight lists all of it; nothing was written");
}

/// Every foreign key holds for every row, said by the target itself.
void prove(Prepared& prepared, Cancel& cancel) {
    for (const schema::TargetTable& table : prepared.plan.tables)
        for (const schema::Proof& proof : table.proofs) {
            cancel.check("the copy");
            Value value = db::fetch_value(prepared.target->control(), proof.query);
            const auto* orphans = value.get<std::int64_t>();
            if (!orphans || *orphans != 0)
                throw Error("copy.mismatch",
                            fmt::format("{}: {} rows point to no row by {}", table.name,
                                        orphans ? text::grouped(*orphans) : "unknown", proof.name),
                            "the source holds them too, or the collation makes keys differ there");
        }
}

void make_indexes(Prepared& prepared, const ProgressPtr& progress, Cancel& cancel,
                  std::int64_t rows) {
    auto run = [&](const char* kind, std::vector<std::string> schema::TargetTable::*statements) {
        for (const schema::TargetTable& table : prepared.plan.tables)
            for (const std::string& sql : table.*statements) {
                if (progress)
                    progress->report({std::string(kind) + " of " + table.name, rows, rows, 0, 0});
                prepared.target->finish(table, kind, sql, cancel);
            }
    };
    run("indexes", &schema::TargetTable::indexes);
    run("foreign keys", &schema::TargetTable::foreign_keys);
    prove(prepared, cancel);
    run("sequences", &schema::TargetTable::after);
}

} // namespace

std::string Finding::text() const {
    std::string out = table;
    if (!column.empty())
        out += "." + column;
    out += ": ";
    if (count > 0)
        out += text::grouped(count) + (count == 1 ? " row: " : " rows: ");
    out += problem;
    if (!samples.empty())
        out += " (" + text::join(samples, "; ") + ")";
    return out;
}

std::int64_t Preflight::blocking() const {
    return std::count_if(findings.begin(), findings.end(),
                         [](const Finding& finding) { return finding.blocking; });
}

CopyResult copy_database(const db::Url& source, const db::Url& target, const Options& options,
                         const ProgressPtr& progress, Cancel& cancel) {
    double begun = time::monotonic();
    CopyResult result;
    result.run = new_run();
    Prepared prepared = prepare(source, target, options, false, progress, cancel);
    if (std::any_of(prepared.findings.begin(), prepared.findings.end(),
                    [](const Finding& finding) { return finding.blocking; }))
        refuse(prepared);
    result.findings = prepared.findings;
    result.report = prepared.report;
    result.restarted = prepared.restarts;
    result.snapshot = prepared.source->snapshot();
    result.preflight_s = prepared.seconds;

    double loading = time::monotonic();
    prepared.target->begin_run(result.run, prepared.source->identity(), result.snapshot, cancel);
    for (const schema::Before& object : prepared.plan.before)
        prepared.target->make(object, cancel);
    for (const schema::TargetTable& table : prepared.plan.tables)
        prepared.target->create(table, cancel);
    if (!options.schema_only)
        load(prepared, result.run, options, progress, cancel, result);
    result.load_s = time::monotonic() - loading;

    double indexing = time::monotonic();
    make_indexes(prepared, progress, cancel, result.rows);
    const auto tables = static_cast<std::int64_t>(prepared.plan.tables.size());
    prepared.target->end_run(tables, result.rows, cancel);
    result.index_s = time::monotonic() - indexing;
    result.seconds = time::monotonic() - begun;
    return result;
}

Preflight preflight(const db::Url& source, const db::Url& target, const Options& options,
                    const ProgressPtr& progress, Cancel& cancel) {
    Prepared prepared = prepare(source, target, options, true, progress, cancel);
    Preflight out;
    out.findings = std::move(prepared.findings);
    out.report = std::move(prepared.report);
    out.rows = prepared.scan.rows;
    out.seconds = prepared.seconds;
    return out;
}

std::string plan(const db::Url& source, const db::Url& target, const Options& options,
                 Cancel& cancel) {
    Prepared prepared = prepare(source, target, options, true, nullptr, cancel);
    std::string out;
    for (const schema::Before& object : prepared.plan.before)
        out += object.sql + ";\n";
    for (const schema::TargetTable& table : prepared.plan.tables)
        if (!table.create.empty())
            out += table.create + ";\n\n";
    for (auto statements : {&schema::TargetTable::indexes, &schema::TargetTable::foreign_keys,
                            &schema::TargetTable::after})
        for (const schema::TargetTable& table : prepared.plan.tables)
            for (const std::string& sql : table.*statements)
                out += sql + ";\n";
    return out;
}

State state(const db::Url& target, Cancel& cancel) {
    auto end = open_target(target, {}, cancel);
    State out = Ledger(end->control()).read(cancel);
    out.running = end->running();
    return out;
}

std::vector<std::string> discard(const db::Url& target, Cancel& cancel) {
    return open_target(target, {}, cancel)->discard(cancel);
}

namespace {

List texts(const std::vector<std::string>& items) {
    return {items.begin(), items.end()};
}

List findings_list(const std::vector<Finding>& findings) {
    List list;
    for (const Finding& finding : findings)
        list.emplace_back(Map{{"table", finding.table},
                              {"column", finding.column},
                              {"problem", finding.problem},
                              {"count", finding.count},
                              {"samples", texts(finding.samples)},
                              {"blocking", finding.blocking},
                              {"text", finding.text()}});
    return list;
}

List report_list(const std::vector<ReportEntry>& report) {
    List list;
    for (const ReportEntry& entry : report)
        list.emplace_back(Map{{"object", entry.object},
                              {"kind", entry.kind},
                              {"outcome", entry.outcome},
                              {"reason", entry.reason}});
    return list;
}

} // namespace

Map to_map(const CopyResult& result) {
    List tables;
    for (const TableCopied& table : result.tables)
        tables.emplace_back(Map{{"table", table.table},
                                {"rows", table.rows},
                                {"bytes", table.bytes},
                                {"chunks", table.chunks},
                                {"seconds", table.seconds}});
    return Map{{"run", result.run},
               {"tables", static_cast<std::int64_t>(result.tables.size())},
               {"rows", result.rows},
               {"bytes", result.bytes},
               {"seconds", result.seconds},
               {"preflight_s", result.preflight_s},
               {"load_s", result.load_s},
               {"index_s", result.index_s},
               {"streams", result.streams},
               {"snapshot", result.snapshot},
               {"restarted", result.restarted},
               {"per_table", tables},
               {"detail", std::to_string(result.tables.size()) +
                              (result.tables.size() == 1 ? " table  " : " tables  ") +
                              text::grouped(result.rows) + " rows  " + text::bytes(result.bytes)},
               {"report", report_list(result.report)},
               {"findings", findings_list(result.findings)}};
}

Map to_map(const Preflight& result) {
    std::vector<std::string> blocking;
    for (const Finding& finding : result.findings)
        if (finding.blocking)
            blocking.push_back(finding.text());
    return Map{{"blocking", result.blocking()},
               {"detail", blocking.empty() ? text::grouped(result.rows) + " rows, none in the way"
                                           : text::join(blocking, "; ")},
               {"findings", findings_list(result.findings)},
               {"report", report_list(result.report)},
               {"rows", result.rows},
               {"seconds", result.seconds}};
}

Map to_map(const State& state) {
    return Map{{"state", state.state},       {"run", state.run},       {"source", state.source},
               {"snapshot", state.snapshot}, {"tables", state.tables}, {"rows", state.rows},
               {"running", state.running}};
}

} // namespace runbook::copy
