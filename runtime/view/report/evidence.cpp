// The tables of the HTML report that prove something: goals, checkpoints, monitors, the way back
// (contract in html_parts.h).
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/html_parts.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace runbook::report {
namespace {

using view::Item;
using view::Model;

std::string table_head(std::string_view title, std::initializer_list<std::string_view> columns) {
    std::string out = element("h2", title) + "\n<div class=\"panel\"><table>\n<thead><tr>";
    for (std::string_view column : columns) // '>' before the name of a column of numbers
        out += column.starts_with('>') ? element("th", column.substr(1), "num")
                                       : element("th", column);
    return out + "</tr></thead>\n<tbody>\n";
}

constexpr std::string_view table_end = "</tbody></table></div>\n";

std::string since(const Model& model, std::int64_t micros) {
    return "T+" + text::clock(static_cast<double>(micros - model.started) / 1e6);
}

/// The samples as a line that is broken where a look gave no data, the limits dashed, the breaches
/// as dots.
std::string sparkline(const view::Series& series, const std::vector<view::Breach>& breaches) {
    constexpr double width = 260, height = 40, edge = 4;
    if (series.samples.size() < 2)
        return {};
    double low = series.samples.front().second, high = low;
    for (const auto& [micros, value] : series.samples) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    for (const view::Limit& limit : series.limits) {
        low = std::min(low, limit.value);
        high = std::max(high, limit.value);
    }
    const double range = high > low ? high - low : 1;
    const auto first = static_cast<double>(series.samples.front().first);
    const double span = std::max(1.0, static_cast<double>(series.samples.back().first) - first);
    const auto x = [&](std::int64_t micros) {
        return edge + std::clamp((static_cast<double>(micros) - first) / span, 0.0, 1.0) *
                          (width - 2 * edge);
    };
    const auto y = [&](double value) {
        return height - edge - (value - low) / range * (height - 2 * edge);
    };
    std::string out = fmt::format("<svg class=\"spark\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" "
                                  "aria-label=\"its course\">",
                                  width, height);
    for (const view::Limit& limit : series.limits)
        out += fmt::format("<line class=\"limit{}\" x1=\"0\" x2=\"{:.0f}\" y1=\"{:.1f}\" "
                           "y2=\"{:.1f}\"></line>",
                           limit.severity == "critical" ? " worst" : "", width, y(limit.value),
                           y(limit.value));
    // at most 400 points: the highest of each group, so that no peak is lost
    const std::size_t group = (series.samples.size() + 399) / 400;
    std::string points;
    auto gap = series.gaps.begin();
    const auto end_line = [&] {
        if (!points.empty())
            out += "<polyline points=\"" + text::trim(points) + "\"></polyline>";
        points.clear();
    };
    for (std::size_t i = 0; i < series.samples.size(); i += group) {
        const auto before = gap;
        gap = std::find_if(gap, series.gaps.end(),
                           [&](std::int64_t at) { return at > series.samples[i].first; });
        if (gap != before)
            end_line();
        auto peak = series.samples[i];
        for (std::size_t j = i; j < std::min(i + group, series.samples.size()); ++j)
            if (series.samples[j].second > peak.second)
                peak = series.samples[j];
        points += fmt::format("{:.1f},{:.1f} ", x(peak.first), y(peak.second));
    }
    end_line();
    for (const view::Breach& breach : breaches) {
        if (!breach.metric.empty() && breach.metric != series.metric)
            continue;
        auto near = std::min_element(
            series.samples.begin(), series.samples.end(), [&](const auto& a, const auto& b) {
                return std::abs(a.first - breach.micros) < std::abs(b.first - breach.micros);
            });
        out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"></circle>", x(near->first),
                           y(near->second));
    }
    return out + "</svg>";
}

std::string series_row(const view::Monitor& monitor, const view::Series& series) {
    std::vector<double> values;
    for (const auto& [micros, value] : series.samples)
        values.push_back(value);
    std::string range = "no data";
    if (!values.empty()) {
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        range = fmt::format("{} to {}, last {}", series.shown(*low), series.shown(*high),
                            series.shown(values.back()));
    }
    return "<tr>" + element("td", monitor.name, "name") + element("td", series.metric) +
           element("td", series.count_text(), "num") + element("td", range) +
           element("td", series.limits_text(), "num") + "<td>" +
           sparkline(series, monitor.breaches) + "</td></tr>\n";
}

} // namespace

std::string took_words(double seconds) {
    if (seconds > 0 && seconds < 1)
        return fmt::format("{:.0f} ms", std::max(1.0, seconds * 1000));
    return text::clock(seconds);
}

std::string goals(const Model& model) {
    if (model.goals.empty())
        return {};
    std::string out = table_head("Goals", {"Goal", "Target", "Actual", ""});
    for (const view::Goal& goal : model.goals) {
        const std::string word = goal.word();
        const std::string_view css = !goal.known ? "warn" : goal.met ? "good" : "bad";
        const std::string_view sign = !goal.known ? "?" : goal.met ? "✓" : "✗";
        out += "<tr>" + element("td", goal.name, "name") +
               element("td", view::shown("", goal.target)) +
               element("td", goal.actual.is_null() ? "unknown" : view::shown("", goal.actual)) +
               element("td", std::string(sign) + " " + word, "status " + std::string(css)) +
               "</tr>\n";
    }
    return out + std::string(table_end);
}

std::string checkpoints(const Model& model) {
    std::string rows;
    for (const Item& item : model.items) {
        if (item.kind != "checkpoint" && item.kind != "checklist")
            continue;
        std::string seen = view::detail_of(item);
        if (!item.error.message.empty())
            seen += (seen.empty() ? "" : " – ") + view::error_words(item.error);
        const std::string verdict =
            item.verdict.empty() ? "" : item.verdict + (item.why.empty() ? "" : ": " + item.why);
        rows +=
            "<tr><td class=\"status " + std::string(tone(item)) + "\">" + std::string(mark(item)) +
            " " + escaped(status_word(item)) + "</td>" + element("td", item.name, "name") +
            element("td", item.owner_title.empty() ? item.owner : item.owner_title, "status") +
            element("td", item.ended ? since(model, item.ended) : "", "num") + element("td", seen) +
            element("td", verdict, verdict.empty() ? "soft" : "bad") + "</tr>\n";
    }
    if (rows.empty())
        return {};
    return table_head("Checkpoints", {"Status", "Checkpoint", "Owner", ">At", "Seen", "Led to"}) +
           rows + std::string(table_end);
}

std::string way_back(const Model& model) {
    if (!model.went_back())
        return {};
    std::string out = table_head("Way back", {"Status", "Step", ">At", ">Took", ""});
    for (auto item = model.items.rbegin(); item != model.items.rend(); ++item) {
        const bool check = item->on == "rollback" && item->started;
        if (item->undo == view::Undo::none && !check)
            continue;
        const bool failed =
            item->undo == view::Undo::failed || (check && item->status == view::Status::failed);
        const std::string_view css = failed ? "bad" : "good";
        const bool kept = item->undo == view::Undo::kept;
        out += "<tr><td class=\"status " + std::string(kept ? "soft" : css) + "\">" +
               (failed  ? "✗ failed"
                : kept  ? "· kept"
                : check ? "✓ passed"
                        : "✓ undone") +
               "</td>" + element("td", item->name, "name") +
               element("td",
                       check                ? since(model, item->started)
                       : item->undo_started ? since(model, item->undo_started)
                                            : "",
                       "num") +
               element("td",
                       check              ? took_words(item->elapsed_s)
                       : item->undo_ended ? took_words(item->undo_s)
                                          : "",
                       "num") +
               element("td", check ? view::detail_of(*item) : item->undo_why) + "</tr>\n";
    }
    return out + std::string(table_end);
}

std::string monitors(const Model& model) {
    if (model.monitors.empty())
        return {};
    std::string out =
        table_head("Monitors", {"Monitor", "Measure", ">Samples", "Range", ">Limit", "Course"});
    std::string breaches;
    for (const view::Monitor& monitor : model.monitors) {
        for (const view::Series& series : monitor.series)
            out += series_row(monitor, series);
        if (monitor.series.empty())
            out += "<tr>" + element("td", monitor.name, "name") +
                   "<td colspan=\"5\" class=\"soft\">no samples</td></tr>\n";
        for (const view::Breach& breach : monitor.breaches)
            breaches += "<div class=\"problem\"><strong class=\"bad\">✗ " + escaped(monitor.name) +
                        "</strong> " +
                        escaped("at " + time::clock_utc(breach.micros) + " UTC" +
                                (breach.metric.empty() ? "" : ": " + breach.metric) +
                                (breach.why.empty() ? "" : ", " + breach.why) +
                                (breach.verdict.empty() ? "" : " – " + breach.verdict)) +
                        "</div>\n";
    }
    out += table_end;
    if (!breaches.empty())
        out += "<div class=\"panel below\">" + breaches + "</div>\n";
    return out;
}

} // namespace runbook::report
