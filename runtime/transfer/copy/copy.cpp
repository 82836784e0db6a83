// The entry points of the copy and its results as values (see copy.h).
#include "runtime/transfer/copy/copy.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/rejects.h"
#include "runtime/transfer/copy/resume.h"
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

/// The run, its tables and its parts stand in the ledger: new ones, or those of the run that is
/// gone on with.
void begin(Prepared& prepared, const Options& options, const ProgressPtr& progress, Cancel& cancel,
           CopyResult& result) {
    Target& target = *prepared.target;
    auto say = [&](const std::string& text) {
        if (progress)
            progress->line("stdout", text);
    };
    if (prepared.goes_on) {
        result.run = prepared.unfinished;
        result.resumed = true;
        for (const RecordedPart& part : prepared.goes_on->parts)
            result.resumed_rows += part.rows;
        say(fmt::format("going on with the copy {}: {} rows are there", result.run,
                        text::grouped(result.resumed_rows)));
        target.continue_run(result.run, cancel);
        if (!prepared.goes_on->complete())
            Ledger(target.control())
                .continue_run(result.run, prepared.source->identity(), result.snapshot,
                              prepared.fence, cancel);
        return;
    }
    if (!prepared.unfinished.empty()) {
        result.restarted = prepared.unfinished;
        result.why_restarted = prepared.why_anew;
        say(fmt::format("dropping the unfinished copy {} and beginning anew: {}",
                        prepared.unfinished, prepared.why_anew));
        target.begin_anew(cancel);
    }
    target.begin_run(result.run, prepared.source->identity(), result.snapshot, prepared.fence,
                     cancel);
    for (const schema::Before& object : prepared.plan.before)
        target.make(object, cancel);
    for (const schema::TargetTable& table : prepared.plan.tables)
        target.create(table, cancel);
    const int streams = std::clamp(options.streams, 1, prepared.source->most_streams());
    std::vector<Part> parts;
    for (const schema::TargetTable& table : prepared.plan.tables)
        for (Part& part : prepared.source->parts(table, streams))
            parts.push_back(std::move(part));
    Ledger ledger(target.control());
    ledger.plan(result.run, digest_of(prepared.plan), parts, cancel);
    prepared.goes_on = ledger.recorded(result.run, cancel);
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
    result.snapshot = prepared.source->snapshot();
    result.preflight_s = prepared.seconds;

    double loading = time::monotonic();
    if (options.planned)
        options.planned(prepared.plan, result.snapshot);
    if (options.on_begin)
        options.on_begin();
    begin(prepared, options, progress, cancel, result);
    if (!options.schema_only)
        load(prepared, result.run, options, progress, cancel, result);
    result.load_s = time::monotonic() - loading;

    double indexing = time::monotonic();
    finish(prepared, options, progress, cancel, result.rows);
    const auto tables = static_cast<std::int64_t>(prepared.plan.tables.size());
    prepared.target->end_run(tables, result.rows, cancel);
    if (!options.reject_file.empty())
        Rejects::write_file(prepared.target->control(), result.run, options.reject_file, cancel);
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
                                {"rejected", table.rejected},
                                {"seconds", table.seconds}});
    return Map{
        {"run", result.run},
        {"tables", static_cast<std::int64_t>(result.tables.size())},
        {"rows", result.rows},
        {"bytes", result.bytes},
        {"rejected", result.rejected},
        {"seconds", result.seconds},
        {"preflight_s", result.preflight_s},
        {"load_s", result.load_s},
        {"index_s", result.index_s},
        {"streams", result.streams},
        {"snapshot", result.snapshot},
        {"restarted", result.restarted},
        {"why_restarted", result.why_restarted},
        {"held_s", result.held_s},
        {"resumed", result.resumed},
        {"resumed_rows", result.resumed_rows},
        {"per_table", tables},
        {"detail",
         std::to_string(result.tables.size()) +
             (result.tables.size() == 1 ? " table  " : " tables  ") + text::grouped(result.rows) +
             " rows  " + text::bytes(result.bytes) +
             (result.rejected > 0 ? "  " + text::grouped(result.rejected) + " rejected" : "")},
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
