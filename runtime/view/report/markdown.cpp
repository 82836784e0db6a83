// The report as Markdown (contract in report.h).
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/facts.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::report {
namespace {

using view::Item;
using view::Model;

/// Text that stays text: no table cell, emphasis, link, tag or code begins in it.
std::string esc(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\n' || c == '\r' || c == '\t') {
            out += ' ';
            continue;
        }
        if (std::string_view("\\`*_[]<>|#~&").find(c) != std::string_view::npos)
            out += '\\';
        out += c;
    }
    return out;
}

/// Inline code; a fence longer than any run of backticks inside.
std::string code(std::string_view text) {
    std::string fence = "`";
    while (text.find(fence) != std::string_view::npos)
        fence += '`';
    std::string inner;
    for (char c : text)
        inner += c == '\n' || c == '\r' ? ' ' : c;
    const std::string gap = fence.size() > 1 ? " " : "";
    for (std::size_t at = 0; (at = inner.find('|', at)) != std::string::npos; at += 2)
        inner.insert(at, "\\");
    return fence + gap + inner + gap + fence;
}

void line(std::string& out, const std::vector<std::string>& cells) {
    out += "|";
    for (const std::string& cell : cells)
        out += " " + cell + " |";
    out += "\n";
}

void head(std::string& out, const std::vector<std::string>& cells) {
    line(out, cells);
    out += "|";
    for (std::size_t i = 0; i < cells.size(); ++i)
        out += "---|";
    out += "\n";
}

void list(std::string& out, const std::string& title, const std::vector<std::string>& items) {
    if (items.empty())
        return;
    out += "\n**" + title + "**\n\n";
    for (const std::string& item : items)
        out += "- " + esc(item) + "\n";
}

void steps(std::string& out, const Model& model) {
    out += "\n## Steps\n\n";
    head(out, {"", "Name", "Kind", "Owner", "Planned", "Took", "Result", "Way back"});
    for (const Item& item : model.items) {
        if (item.kind == "phase")
            continue;
        const bool ended = item.ended != 0;
        std::string result = item.status == view::Status::failed ||
                                     item.status == view::Status::skipped ||
                                     item.status == view::Status::in_doubt
                                 ? item.why
                                 : view::detail_of(item);
        if (result.empty() && !item.error.empty())
            result = view::error_words(item.error);
        if (item.attempts > 1)
            result += (result.empty() ? "" : ", ") + fmt::format("{} attempts", item.attempts);
        line(out, {status_word(item), esc(item.name), esc(item.kind), esc(item.owner),
                   item.takes_s > 0 ? text::duration(item.takes_s) : "",
                   ended ? text::clock(item.elapsed_s) : "", esc(result), esc(way_words(item))});
    }
}

void problems(std::string& out, const Model& model) {
    std::string body;
    for (const Item& item : model.items) {
        if (item.error.empty() && item.verdict.empty() && item.error.file.empty())
            continue;
        if (item.status == view::Status::done && item.undo != view::Undo::failed)
            continue;
        body += "\n- **" + esc(item.name) + "**";
        if (!item.verdict.empty())
            body += ": " + esc(item.verdict) + (item.why.empty() ? "" : ", " + esc(item.why));
        if (!item.error.message.empty())
            body += ": " + esc(view::error_words(item.error));
        if (!item.error.where().empty())
            body += " (" + esc(item.error.where()) + ")";
        body += "\n";
        if (!text::trim(item.error.source).empty())
            body += "  " + code(text::trim(item.error.source)) + "\n";
        if (const std::string detail = view::detail_of(item); !detail.empty())
            body += "  " + esc(detail) + "\n";
        if (!item.error.hint.empty())
            body += "  Hint: " + esc(item.error.hint) + "\n";
    }
    if (!body.empty())
        out += "\n## What went wrong\n" + body;
}

void results(std::string& out, const Model& model) {
    for (const Item& item : model.items)
        for (const Table& table : tables_of(item.result)) {
            out += "\n## " + esc(item.name) + ": " + esc(table.title) + "\n\n";
            std::vector<std::string> columns;
            for (const std::string& column : table.columns)
                columns.push_back(esc(column));
            head(out, columns);
            for (const auto& row : table.rows) {
                std::vector<std::string> cells;
                for (const std::string& cell : row)
                    cells.push_back(esc(cell));
                line(out, cells);
            }
        }
}

std::string goal_words(const Model& model) {
    if (model.goals.empty())
        return {};
    const auto met = std::count_if(model.goals.begin(), model.goals.end(),
                                   [](const view::Goal& one) { return one.known && one.met; });
    return fmt::format("{} of {} met", met, model.goals.size());
}

void goals(std::string& out, const Model& model) {
    if (model.goals.empty())
        return;
    out += "\n## Goals\n\n";
    head(out, {"Goal", "Target", "Actual", ""});
    for (const view::Goal& goal : model.goals)
        line(out,
             {esc(goal.name), esc(view::shown("", goal.target)),
              goal.actual.is_null() ? "unknown" : esc(view::shown("", goal.actual)), goal.word()});
}

void monitors(std::string& out, const Model& model) {
    if (model.monitors.empty())
        return;
    out += "\n## Monitors\n\n";
    head(out, {"Monitor", "Measure", "Samples", "Lowest", "Highest", "Last", "Limit"});
    for (const view::Monitor& monitor : model.monitors)
        for (const view::Series& series : monitor.series) {
            std::vector<double> values;
            for (const auto& [micros, value] : series.samples)
                values.push_back(value);
            const auto number = [&](double value) {
                return values.empty() ? "" : series.shown(value);
            };
            line(out, {esc(monitor.name), esc(series.metric), esc(series.count_text()),
                       values.empty() ? "no data"
                                      : number(*std::min_element(values.begin(), values.end())),
                       number(values.empty() ? 0 : *std::max_element(values.begin(), values.end())),
                       number(values.empty() ? 0 : values.back()), esc(series.limits_text())});
        }
    for (const view::Monitor& monitor : model.monitors)
        for (const view::Breach& breach : monitor.breaches)
            out += "\n- **" + esc(monitor.name) + "** at " + time::clock_utc(breach.micros) +
                   " UTC" +
                   esc((breach.metric.empty() ? "" : ": " + breach.metric) +
                       (breach.why.empty() ? "" : ", " + breach.why) +
                       (breach.verdict.empty() ? "" : " – " + breach.verdict)) +
                   "\n";
}

void notifications(std::string& out, const Model& model) {
    if (model.notifications.empty() && model.queued.empty())
        return;
    out += "\n## Notifications\n\n";
    head(out, {"Time", "Channel", "Text"});
    for (const view::Notification& one : model.notifications)
        line(out, {time::clock_utc(one.micros), esc(one.channel),
                   esc(one.text + (one.error.empty() ? "" : " – not sent: " + one.error))});
    for (const view::Notification& one : model.queued)
        line(out,
             {time::clock_utc(one.micros), esc(one.channel), esc(one.text + " – not sent yet")});
}

} // namespace

std::string markdown(const std::vector<journal::Event>& events, const Options& options) {
    const Model model = model_of(events, options);
    const Facts facts = facts_of(model);
    std::string out =
        "# " + esc(model.playbook.empty() ? "Run " + model.run : model.playbook) + "\n\n";
    if (!model.summary.empty())
        out += esc(model.summary) + "\n\n";
    out += "**" + esc(headline(model)) + "**\n\n";
    head(out, {"", ""});
    const auto fact = [&](const std::string& name, const std::string& value) {
        if (!value.empty())
            line(out, {name, esc(value)});
    };
    fact("Run", model.run);
    fact("Environment", model.env);
    fact("Started",
         time::iso_millis(model.started) + " by " + view::person(model.initiator, model.host));
    fact("Took", text::clock(static_cast<double>(model.last - model.started) / 1e6));
    if (const std::string words = view::window_words(model); !words.empty())
        fact("Downtime", words.substr(std::string_view("downtime ").size()));
    fact("Goals", goal_words(model));
    fact("Steps", view::steps_words(model));
    if (model.rollback.ended)
        fact("Rollback",
             text::clock(model.rollback.elapsed_s) +
                 (model.rollback.within_s > 0 ? " of " + text::duration(model.rollback.within_s)
                                              : "") +
                 (model.rollback.met ? "" : ", limit missed"));
    fact("Exit code", model.exit < 0 ? "" : std::to_string(model.exit));
    fact("Journal", audit_words(events, options));
    list(out, "Decided", facts.decided);
    list(out, "Waived", facts.waived);
    list(out, "Kept", facts.kept);
    list(out, "Still open", facts.open);
    problems(out, model);
    goals(out, model);
    steps(out, model);
    results(out, model);
    monitors(out, model);
    notifications(out, model);
    return out;
}

} // namespace runbook::report
