// The report as one HTML file (contract in report.h).
#include "runtime/base/json.h"
#include "runtime/base/markup.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/html_parts.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::report {

using view::Item;
using view::Model;
using view::Status;

std::string escaped(std::string_view text) {
    return markup::escaped(text, ' ');
}

std::string element(std::string_view tag, std::string_view text, std::string_view css) {
    std::string out = "<" + std::string(tag);
    if (!css.empty())
        out.append(" class=\"").append(css).append("\"");
    return out + ">" + escaped(text) + "</" + std::string(tag) + ">";
}

std::string_view tone(const Item& item) {
    switch (item.status) {
    case Status::done:
        return "good";
    case Status::failed:
        return "bad";
    case Status::in_doubt:
    case Status::running:
        return "warn";
    default:
        return "soft";
    }
}

std::string_view tone(const Model& model) {
    if (model.outcome == "succeeded")
        return "good";
    if (model.outcome == "rolled_back" || model.outcome == "held")
        return "warn";
    return model.outcome.empty() ? "calm" : "bad";
}

std::string_view mark(const Item& item) {
    switch (item.status) {
    case Status::done:
        return "✓";
    case Status::failed:
        return "✗";
    case Status::in_doubt:
        return "?";
    case Status::running:
        return "▸";
    default:
        return "–";
    }
}

namespace {

std::string head(const Model& model) {
    const std::string name = model.playbook.empty() ? "run " + model.run : model.playbook;
    return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
           "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
           escaped(name + " – " + view::outcome_words(model)) + "</title>\n<style>" +
           std::string(style()) + "</style>\n</head>\n<body>\n<main>\n";
}

std::string title(const Model& model) {
    std::vector<std::string> about = {"run " + model.run,
                                      time::iso_millis(model.started).substr(0, 10)};
    if (!model.env.empty())
        about.push_back("env " + model.env);
    if (!model.initiator.empty())
        about.push_back("started by " + view::person(model.initiator, model.host));
    if (model.exit >= 0)
        about.push_back("exit code " + std::to_string(model.exit));
    std::string out = "<header>" + element("p", view::wrap_parts(about, 0, ""), "eyebrow") +
                      element("h1", model.playbook.empty() ? "run " + model.run : model.playbook);
    if (!model.summary.empty())
        out += element("p", model.summary, "summary");
    const std::string_view shade = tone(model);
    const std::string_view sign = shade == "good"                  ? "✓"
                                  : model.outcome == "rolled_back" ? "↩"
                                  : model.outcome == "held"        ? "‖"
                                  : shade == "bad"                 ? "✗"
                                                                   : "▸";
    std::string note;
    if (model.went_back())
        note = model.rollback.steps.empty()
                   ? "Nothing had to be undone."
                   : "Undone: " + text::join(model.rollback.steps, ", ") + ".";
    else if (model.outcome == "succeeded" && model.checkpoints(false) > 0)
        note = "Every checkpoint that was met has passed.";
    if (const std::string next = view::next_command(model); !next.empty())
        note += (note.empty() ? "Next: " : " Next: ") + next;
    out += "<div class=\"verdict " + std::string(shade) + "\"><span class=\"sign\">" +
           std::string(sign) + "</span><div>" + escaped(headline(model));
    if (!note.empty())
        out += element("small", note);
    return out + "</div></div></header>\n";
}

std::string card(const std::string& name, const std::string& big, const std::string& note,
                 std::string_view css = {}, const std::string& extra = {}) {
    return "<div class=\"card\">" + element("h3", name) + "<div class=\"big " + std::string(css) +
           "\">" + escaped(big) + "</div>" + extra +
           (note.empty() ? "" : element("div", note, "note")) + "</div>\n";
}

/// Spent against target and maximum, as a bar with a mark at the target.
std::string downtime_card(const Model& model) {
    const double spent = model.downtime_s();
    if (spent < 0)
        return model.window_from.empty()
                   ? ""
                   : card("Downtime", "none", "traffic was never closed", "good");
    const double target = model.window_target_s, most = std::max(model.window_max_s, target);
    const std::string open = model.window_closed() || model.window_s >= 0 ? "" : ", still closed";
    if (most <= 0)
        return card("Downtime", took_words(spent), "no target" + open);
    const double good = target > 0 ? target : most;
    const std::string_view css = spent <= good ? "good" : spent <= most ? "warn" : "bad";
    const double full = std::max(most, spent);
    const std::string meter =
        fmt::format("<div class=\"meter {}\"><i style=\"width:{:.1f}%\"></i><b "
                    "style=\"left:{:.1f}%\"></b></div>",
                    css, spent / full * 100, std::min(99.0, good / full * 100));
    std::string note = target > 0
                           ? (spent <= target ? "within the target of " : "over the target of ") +
                                 text::duration(target)
                           : "";
    if (model.window_max_s > 0)
        note +=
            (spent <= most ? (note.empty() ? "within the maximum of " : ", maximum ")
                           : (note.empty() ? "over the maximum of " : ", over the maximum of ")) +
            text::duration(model.window_max_s);
    return card("Downtime", took_words(spent), note + open, css, meter);
}

/// How long it took against the sum of the estimates of what ran.
std::string duration_card(const Model& model) {
    double planned = 0;
    for (const Item& item : model.items)
        if (item.started && item.on != "rollback")
            planned += item.takes_s;
    std::string note =
        time::clock_utc(model.started) + " to " + time::clock_utc(model.last) + " UTC";
    if (planned > 0)
        note = "planned " + text::duration(planned) + ", " + note;
    return card("Duration", took_words(static_cast<double>(model.last - model.started) / 1e6),
                note);
}

std::string goals_card(const Model& model) {
    if (model.goals.empty())
        return {};
    const auto met = std::count_if(model.goals.begin(), model.goals.end(),
                                   [](const view::Goal& one) { return one.known && one.met; });
    const auto unknown = std::count_if(model.goals.begin(), model.goals.end(),
                                       [](const view::Goal& one) { return !one.known; });
    const bool all = static_cast<std::size_t>(met) == model.goals.size();
    return card("Goals", fmt::format("{} of {}", met, model.goals.size()),
                unknown ? fmt::format("met, {} unknown", unknown) : "met", all ? "good" : "warn");
}

std::string cards(const Model& model) {
    std::string out = "<section class=\"cards\">\n" + downtime_card(model) + duration_card(model);
    if (const std::size_t all = model.checkpoints(false)) {
        const std::size_t passed = model.checkpoints(true);
        out += card("Checkpoints", fmt::format("{} of {}", passed, all), "passed",
                    passed == all ? "good" : "bad");
    }
    std::size_t effects = 0, done = 0;
    for (const Item& item : model.items)
        if (item.kind == "step" || item.kind == "toggle") {
            ++effects;
            done += item.status == Status::done;
        }
    std::string note = "done";
    if (model.retried())
        note += fmt::format(", {} retried", model.retried());
    if (model.count(Status::skipped))
        note += fmt::format(", {} skipped", model.count(Status::skipped));
    out += card("Steps", fmt::format("{} of {}", done, effects), note);
    if (model.went_back()) {
        const view::Rollback& back = model.rollback;
        out += card("Rollback", back.ended ? took_words(back.elapsed_s) : "unfinished",
                    back.within_s > 0 ? (back.met ? "within " : "over ") +
                                            ("the limit of " + text::duration(back.within_s))
                                      : "no limit",
                    back.ended && back.met ? "good" : "bad");
    }
    return out + goals_card(model) + "</section>\n";
}

std::string fact_list(const std::string& name, const std::vector<std::string>& items,
                      const std::string& none, std::string_view css = {}) {
    std::string out = "<div>" + element("h3", name, css);
    if (items.empty())
        return out + element("p", none, "soft") + "</div>\n";
    out += "<ul>";
    for (const std::string& item : items)
        out += element("li", item);
    return out + "</ul></div>\n";
}

std::string facts_html(const Facts& facts) {
    return "<section class=\"facts\">\n" +
           fact_list("Who decided what", facts.decided, "Nobody had to decide anything.") +
           fact_list("Waived", facts.waived, "Nothing was waived.") +
           fact_list("Kept", facts.kept, "Nothing was left behind on purpose.") +
           fact_list("Still open", facts.open, "Nothing is open.",
                     facts.open.empty() ? "" : "warn") +
           "</section>\n";
}

std::string problem(const Item& item) {
    std::string out = "<div class=\"problem\"><strong class=\"bad\">✗ " +
                      escaped(view::named(item)) + "</strong> ";
    if (!item.verdict.empty())
        out += escaped("did not pass: " + item.verdict +
                       (item.why.empty() ? "" : " “" + item.why + "”"));
    else if (!item.error.empty())
        out +=
            escaped((item.attempts > 1 ? fmt::format("after {} attempts: ", item.attempts) : "") +
                    view::error_words(item.error));
    else
        out += escaped(item.why);
    if (!item.error.where().empty())
        out += " " + element("span", item.error.where(), "mono soft");
    if (!text::trim(item.error.source).empty())
        out += "<div class=\"source mono\">" +
               escaped(fmt::format("{:>4} │ {}", item.error.line, item.error.source)) + "</div>";
    if (!item.verdict.empty() && !view::detail_of(item).empty())
        out += element("p", view::detail_of(item));
    if (!item.verdict.empty() && !item.error.message.empty())
        out += element("p", "error: " + view::error_words(item.error));
    if (!item.error.hint.empty())
        out += element("p", "Hint: " + item.error.hint);
    return out + "</div>\n";
}

std::string problems(const Model& model) {
    std::string body;
    for (const Item& item : model.items)
        if (item.status == Status::failed || item.undo == view::Undo::failed)
            body += problem(item);
    const std::string name = body.empty() ? "Tried again" : "What went wrong";
    for (const journal::Event& event : model.failed_attempts) {
        const Value* error = event.data.find("error");
        const Map* map = error ? error->get<Map>() : nullptr;
        body +=
            "<div class=\"problem\"><strong class=\"warn\">↻ " + escaped(event.step) +
            "</strong> " +
            escaped(
                fmt::format("attempt {} of {} failed at {} UTC: ", event.data.integer("attempt"),
                            event.data.integer("of"), time::clock_utc(event.micros)) +
                (map ? view::error_words(view::error_info(*map)) : event.data.text("error"))) +
            "</div>\n";
    }
    return body.empty() ? body : "<h2>" + name + "</h2>\n<div class=\"panel\">" + body + "</div>\n";
}

std::string values_html(const Item& item) {
    const auto values = values_of(item.result);
    if (values.empty() || !item.detail.empty())
        return escaped(view::detail_of(item));
    std::string out = "<dl class=\"values\">";
    for (const auto& [name, value] : values)
        out += "<div>" + element("dt", name) + element("dd", value) + "</div>";
    return out + "</dl>";
}

std::string began(const Model& model, std::int64_t micros) {
    return "T+" + text::clock(static_cast<double>(micros - model.started) / 1e6);
}

std::string steps(const Model& model) {
    std::string out =
        "<h2>Steps</h2>\n<div "
        "class=\"panel\"><table>\n<thead><tr><th>Status</th><th>Name</th><th>Owner</th>"
        "<th class=\"num\">Plan</th><th class=\"num\">Began</th><th class=\"num\">Estimate</th>"
        "<th class=\"num\">Took</th><th>Result</th><th>Way back</th></tr></thead>\n<tbody>\n";
    double plan = 0;
    for (const Item& item : model.items) {
        if (item.kind == "phase") {
            out += "<tr class=\"phase\"><td colspan=\"9\">" + escaped(item.name) + "</td></tr>\n";
            continue;
        }
        const bool in_order = item.planned && item.on != "rollback" && item.beside.empty();
        std::string result = values_html(item);
        if (item.status == Status::skipped || item.status == Status::in_doubt)
            result = escaped(item.why);
        else if (result.empty() && item.status == Status::failed)
            result = escaped(item.error.empty() ? item.why : view::error_words(item.error));
        if (item.attempts > 1)
            result += element("p", fmt::format("{} attempts", item.attempts), "soft");
        out +=
            "<tr><td class=\"status " + std::string(tone(item)) + "\">" + std::string(mark(item)) +
            " " + escaped(status_word(item)) + "</td><td class=\"name\">" + escaped(item.name) +
            (item.kind == "step" || item.kind.empty() ? ""
                                                      : " " + element("span", item.kind, "soft")) +
            "</td>" +
            element("td", item.owner_title.empty() ? item.owner : item.owner_title, "status") +
            element("td", in_order ? "T+" + text::clock(plan) : "", "num soft") +
            element("td", item.started ? began(model, item.started) : "", "num") +
            element("td", item.takes_s > 0 ? text::duration(item.takes_s) : "", "num soft") +
            element("td",
                    item.ended && item.status != Status::skipped ? took_words(item.elapsed_s) : "",
                    "num") +
            "<td>" + result + "</td>" +
            element("td", way_words(item), item.undo == view::Undo::none ? "soft" : "") + "</tr>\n";
        plan += in_order ? item.takes_s : 0;
    }
    return out + "</tbody></table></div>\n";
}

bool numeric(const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789.,-– ") == std::string::npos;
}

std::string tables(const Model& model) {
    std::string out;
    for (const Item& item : model.items)
        for (const Table& table : tables_of(item.result)) {
            out += "<h2>" + escaped(item.name + ": " + table.title) +
                   "</h2>\n<div class=\"panel\"><table class=\"rows\">\n<thead><tr>";
            std::vector<bool> right;
            for (std::size_t i = 0; i < table.columns.size(); ++i) {
                right.push_back(
                    std::all_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
                        return row[i].empty() || numeric(row[i]);
                    }));
                out += element("th", table.columns[i], right[i] ? "num" : "");
            }
            out += "</tr></thead>\n<tbody>\n";
            for (const auto& row : table.rows) {
                out += "<tr>";
                for (std::size_t i = 0; i < row.size(); ++i)
                    out += element("td", row[i], right[i] ? "num" : "");
                out += "</tr>\n";
            }
            out += "</tbody></table></div>\n";
        }
    return out;
}

std::string people(const Model& model) {
    if (model.questions.empty())
        return {};
    std::string out = "<h2>Gates and decisions</h2>\n<div "
                      "class=\"panel\"><table>\n<thead><tr><th>Asked</th><th>Question</th>"
                      "<th>Of</th><th>Deadline</th><th>Answer</th></tr></thead>\n<tbody>\n";
    for (const view::Question& one : model.questions) {
        std::string answer = "no answer yet";
        if (one.expired)
            answer = "no answer in time: " + one.otherwise;
        else if (one.answered)
            answer = answer_words(one) + " by " + view::person(one.by, one.via) + " at " +
                     time::clock_utc(one.answered);
        out += "<tr>" + element("td", time::clock_utc(one.asked), "time") + "<td><strong>" +
               escaped(one.step.empty() ? one.kind : one.step) + "</strong> " + escaped(one.ask) +
               "</td>" + element("td", one.title.empty() ? one.role : one.title) +
               element("td", view::clock_of(one.deadline)) +
               element("td", answer, one.answered && !one.expired ? "" : "warn") + "</tr>\n";
    }
    return out + "</tbody></table></div>\n";
}

std::string messages(const Model& model) {
    if (model.notifications.empty() && model.queued.empty() && model.logs.empty())
        return {};
    std::vector<std::pair<std::int64_t, std::string>> rows;
    for (const view::Notification& one : model.notifications)
        rows.emplace_back(one.micros,
                          element("td", one.channel) +
                              (one.error.empty()
                                   ? element("td", one.text)
                                   : element("td", one.text + " – not sent: " + one.error, "bad")));
    for (const view::Notification& one : model.queued)
        rows.emplace_back(one.micros, element("td", one.channel) +
                                          element("td", one.text + " – not sent yet", "warn"));
    for (const journal::Event& event : model.logs)
        rows.emplace_back(event.micros,
                          element("td", "log, " + event.data.text("level", "info"), "soft") +
                              element("td", event.data.text("text")));
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string out = "<h2>Notifications and log</h2>\n<div "
                      "class=\"panel\"><table>\n<thead><tr><th>Time</th>"
                      "<th>To</th><th>Text</th></tr></thead>\n<tbody>\n";
    for (const auto& [micros, cells] : rows)
        out += "<tr>" + element("td", time::clock_utc(micros), "time") + cells + "</tr>\n";
    return out + "</tbody></table></div>\n";
}

std::string parameters(const Model& model) {
    if (model.params.empty())
        return {};
    std::string out = "<h2>Parameters</h2>\n<div class=\"panel\"><table>\n<tbody>\n";
    for (const auto& [name, value] : model.params)
        out += "<tr>" + element("td", name, "name") +
               element("td", view::shown(name, value), "mono") + "</tr>\n";
    return out + "</tbody></table></div>\n";
}

std::string event_list(const std::vector<journal::Event>& events) {
    std::string out = fmt::format(
        "<details><summary>All {} events</summary>\n<div class=\"panel\"><table>\n<thead><tr>"
        "<th class=\"num\">No.</th><th "
        "class=\"num\">Time</th><th>Event</th><th>Step</th><th>Data</th>"
        "<th>Hash</th></tr></thead>\n<tbody>\n",
        events.size());
    for (const journal::Event& event : events)
        out +=
            "<tr>" + element("td", std::to_string(event.seq), "num") +
            element("td", time::iso_millis(event.micros).substr(11, 12), "num") +
            element("td", event.event) + element("td", redact(event.step)) +
            element("td", event.data.empty() ? "" : json::dump(redact(Value(event.data))), "mono") +
            element("td", event.hash.substr(0, 8), "mono soft") + "</tr>\n";
    return out + "</tbody></table></div></details>\n";
}

} // namespace

std::string html(const std::vector<journal::Event>& events, const Options& options) {
    const Model model = model_of(events, options);
    std::string foot =
        view::wrap_parts({model.version.empty() ? "" : "runbook " + model.version, model.file,
                          "journal " + model.journal, audit_words(events, options)},
                         0, "");
    return head(model) + title(model) + cards(model) + facts_html(facts_of(model)) +
           timeline(model) + problems(model) + goals(model) + checkpoints(model) + tables(model) +
           way_back(model) + steps(model) + people(model) + monitors(model) + messages(model) +
           parameters(model) + event_list(events) + "<footer>" + escaped(foot) +
           "</footer>\n</main>\n</body>\n</html>\n";
}

} // namespace runbook::report
