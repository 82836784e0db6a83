// The timeline of the HTML report (contract in html_parts.h).
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/html_parts.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace runbook::report {
namespace {

using view::Item;
using view::Model;

/// The run's time as 0 to 100 %.
struct Scale {
    double from, to;
    double at(double micros) const {
        return std::clamp((micros - from) / (to - from) * 100, 0.0, 100.0);
    }
    double at(std::int64_t micros) const { return at(static_cast<double>(micros)); }
    double seconds() const { return (to - from) / 1e6; }
};

/// Seconds between ticks, so that there are at most eight.
double tick_distance(double seconds) {
    constexpr std::array<double, 18> steps = {
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800};
    for (double step : steps)
        if (seconds / step <= 8)
            return step;
    return seconds / 8;
}

std::string ticks(const Scale& scale, bool labels) {
    std::string out;
    const double step = tick_distance(scale.seconds());
    for (double at = 0; at <= scale.seconds(); at += step) {
        const double left = scale.at(scale.from + at * 1e6);
        if (labels && left < 97)
            out += fmt::format("<span style=\"left:{:.2f}%\">{}</span>", left, text::clock(at));
        else if (!labels && at > 0)
            out += fmt::format("<i style=\"left:{:.2f}%\"></i>", left);
    }
    return out;
}

std::string window(const Model& model, const Scale& scale) {
    const std::int64_t opened = model.window_opened();
    if (!opened)
        return {};
    const std::int64_t closed = model.window_closed() ? model.window_closed() : model.last;
    std::string out =
        fmt::format("<div class=\"window\" style=\"left:{:.2f}%;width:{:.2f}%\"></div>",
                    scale.at(opened), scale.at(closed) - scale.at(opened));
    for (double limit : {model.window_target_s, model.window_max_s}) {
        const double at = static_cast<double>(opened) + limit * 1e6;
        if (limit > 0 && at < scale.to)
            out += fmt::format("<div class=\"limit\" style=\"left:{:.2f}%\"></div>", scale.at(at));
    }
    return out;
}

std::string bar(const Scale& scale, std::int64_t from, std::int64_t to, std::string_view css,
                const std::string& title) {
    return fmt::format(
        "<div class=\"bar {}\" style=\"left:{:.2f}%;width:{:.2f}%\" title=\"{}\"></div>", css,
        scale.at(from), std::max(0.0, scale.at(to) - scale.at(from)), escaped(title));
}

std::string lane(const Model& model, const Scale& scale, const Item& item) {
    std::string bars = ticks(scale, false) + window(model, scale);
    std::string took;
    const std::string what = item.name + ": " + status_word(item);
    if (item.started) {
        const std::int64_t ended = item.ended ? item.ended : model.last;
        took = text::clock(static_cast<double>(ended - item.started) / 1e6);
        if (item.kind == "gate")
            bars += bar(scale, item.started, ended, "warn", what);
        const std::string css = std::string(tone(item));
        if (item.kind == "gate" || (item.kind == "checkpoint" && ended - item.started < 2'000'000))
            bars += bar(scale, ended, ended, css + " diamond", what);
        else
            bars += bar(scale, item.started, ended, css, what);
    }
    return "<div class=\"lane\"><span title=\"" + escaped(item.name) + "\"><span class=\"" +
           std::string(tone(item)) + "\">" + std::string(mark(item)) + "</span> " +
           escaped(item.name) + "</span><div class=\"track\">" + bars +
           "</div><span class=\"num soft\">" + took + "</span></div>\n";
}

std::string undo_lanes(const Model& model, const Scale& scale) {
    if (!model.went_back())
        return {};
    const std::int64_t ended = model.rollback.ended ? model.rollback.ended : model.last;
    return "<div class=\"lane\"><span><span class=\"warn\">↩</span> way back</span><div "
           "class=\"track\">" +
           ticks(scale, false) + window(model, scale) +
           bar(scale, model.rollback.started, ended, "warn undo", "way back") +
           "</div><span class=\"num soft\">" +
           text::clock(static_cast<double>(ended - model.rollback.started) / 1e6) +
           "</span></div>\n";
}

} // namespace

std::string timeline(const Model& model) {
    if (!model.started || model.last <= model.started)
        return {};
    const double from = static_cast<double>(model.started);
    const Scale scale{from, std::max(static_cast<double>(model.last), from + 1e6)};
    std::string out = "<h2>Timeline</h2>\n<div class=\"panel\"><div class=\"line\">\n";
    out += "<div class=\"lane axis\"><span></span><div class=\"track\">" + ticks(scale, true) +
           "</div><span class=\"num\">took</span></div>\n";
    for (const Item& item : model.items)
        if (item.started)
            out += lane(model, scale, item);
    out += undo_lanes(model, scale);
    out += "<p class=\"legend\"><span><b class=\"good\" "
           "style=\"background:currentColor\"></b>done</span>"
           "<span><b class=\"bad\" style=\"background:currentColor\"></b>failed</span>"
           "<span><b class=\"warn\" style=\"background:currentColor\"></b>waiting for people, or "
           "the way back</span>";
    if (model.window_opened())
        out += "<span><b style=\"background:var(--calm-fill)\"></b>window</span>";
    out += "<span>time since " + time::clock_utc(model.started) + " UTC</span></p></div></div>\n";
    return out;
}

} // namespace runbook::report
