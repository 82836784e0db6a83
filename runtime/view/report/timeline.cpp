// The timeline of the HTML report, as one SVG picture (contract in html_parts.h). An outline is
// what was planned, a filled bar what was; both begin where the item began.
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

constexpr double width = 1072, left = 214, right = 996, row_height = 26, top = 40;
constexpr std::size_t name_columns = 27;

/// The run's time over the width of the picture.
struct Scale {
    double from, to;
    double at(double micros) const {
        return left + std::clamp((micros - from) / (to - from), 0.0, 1.0) * (right - left);
    }
    double at(std::int64_t micros) const { return at(static_cast<double>(micros)); }
    double seconds() const { return (to - from) / 1e6; }
};

/// Seconds between ticks, so that there are at most eight.
double tick_distance(double seconds) {
    constexpr std::array<double, 22> steps = {0.05, 0.1,  0.25,  0.5,   1,     2,     5,   10,
                                              15,   30,   60,    120,   300,   600,   900, 1800,
                                              3600, 7200, 14400, 43200, 86400, 604800};
    for (double step : steps)
        if (seconds / step <= 8)
            return step;
    return seconds / 8;
}

std::string line(double x, double y1, double y2, std::string_view css) {
    return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" "
                       "y2=\"{:.1f}\"></line>\n",
                       css, x, x, y1, y2);
}

std::string words(double x, double y, std::string_view css, std::string_view text) {
    return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", css, x, y,
                       escaped(text));
}

std::string box(double x, double to, double y, double height, std::string_view css,
                std::string_view title) {
    return fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
                       "height=\"{:.1f}\" rx=\"3\"><title>{}</title></rect>\n",
                       css, x, y, std::max(2.5, to - x), height, escaped(title));
}

std::string diamond(double x, double y, std::string_view css, std::string_view title) {
    return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l7 7l-7 7l-7-7z\"><title>{}</title>"
                       "</path>\n",
                       css, x, y - 7, escaped(title));
}

std::string tick_label(double at, double step) {
    return step < 1 ? fmt::format("{:g} s", at) : text::clock(at);
}

std::string ticks(const Scale& scale, double bottom) {
    std::string out;
    const double step = tick_distance(scale.seconds());
    for (int i = 0; i * step <= scale.seconds(); ++i) {
        const double x = scale.at(scale.from + i * step * 1e6);
        out += line(x, top - 6, bottom, "grid");
        if (x < right - 24)
            out += words(x, top - 12, i ? "tick" : "tick first", tick_label(i * step, step));
    }
    return out;
}

/// Where traffic was closed, with the limits that fall into the picture.
std::string window(const Model& model, const Scale& scale, double bottom) {
    const Item* from = model.find(model.window_from);
    const std::int64_t opened = model.window_opened() && from->ended ? from->ended : 0;
    if (!opened)
        return {};
    const std::int64_t closed = model.window_closed() ? model.window_closed() : model.last;
    std::string out = box(scale.at(opened), scale.at(closed), top - 4, bottom - top + 4, "closed",
                          "traffic closed for " + text::clock(model.downtime_s()));
    const std::array<std::pair<double, const char*>, 2> limits = {
        {{model.window_target_s, "target "}, {model.window_max_s, "maximum "}}};
    for (const auto& [limit, name] : limits) {
        const double at = static_cast<double>(opened) + limit * 1e6;
        if (limit > 0 && at < scale.to) {
            out += line(scale.at(at), top - 6, bottom, "limit");
            out += words(scale.at(at) + 4, bottom + 14, "tick first", name + text::duration(limit));
        }
    }
    return out;
}

std::string planned_words(const Item& item) {
    return item.takes_s > 0 ? ", planned " + text::duration(item.takes_s) : "";
}

/// What happened to one item: planned outline, bar, retries, diamond, undo.
std::string bars(const Model& model, const Scale& scale, const Item& item, double y) {
    const std::int64_t ended = item.ended ? item.ended : model.last;
    const double from = scale.at(item.started), to = scale.at(ended);
    const bool gate = item.kind == "gate" || item.kind == "checklist";
    const std::string css(tone(item));
    const std::string what = item.name + ": " + status_word(item) + " in " +
                             took_words(item.elapsed_s) + planned_words(item);
    std::string out;
    if (item.takes_s > 0)
        out += box(from, scale.at(static_cast<double>(item.started) + item.takes_s * 1e6), y + 4,
                   18, "planned", "planned " + text::duration(item.takes_s));
    if (gate)
        out += box(from, to, y + 8, 10, "bar warn", what);
    else if (item.status != view::Status::skipped)
        out += box(from, to, y + 7, 12, "bar " + css, what);
    for (std::int64_t retry : item.retries)
        out += line(scale.at(retry), y + 3, y + 23, "retry");
    if (gate || item.kind == "checkpoint" || item.status == view::Status::skipped)
        out += diamond(to, y + 13, "mark " + css, what);
    for (const view::Question& question : model.questions)
        if (question.kind == "decision" && question.step == item.name && question.answered)
            out += diamond(scale.at(question.answered), y + 13, "mark calm",
                           "decided: " + question.answer + " by " +
                               view::person(question.by, question.via));
    if (item.undo_started)
        out += box(scale.at(item.undo_started),
                   scale.at(item.undo_ended ? item.undo_ended : model.last), y + 7, 12,
                   item.undo == view::Undo::failed ? "undo bad" : "undo warn", undo_words(item));
    return out;
}

std::string lane(const Model& model, const Scale& scale, const Item& item, double y) {
    std::string out = fmt::format("<text class=\"sign {}\" x=\"16\" y=\"{:.1f}\">{}</text>\n",
                                  tone(item), y + 17.5, mark(item));
    out += words(36, y + 17.5, "name", text::ellipsize(item.name, name_columns));
    if (item.status != view::Status::skipped)
        out += words(
            width - 16, y + 17.5, "took",
            took_words(static_cast<double>((item.ended ? item.ended : model.last) - item.started) /
                       1e6));
    return out + bars(model, scale, item, y);
}

std::string legend(const Model& model) {
    const auto entry = [](std::string_view css, std::string_view text) {
        return "<span><b class=\"" + std::string(css) + "\"></b>" + escaped(text) + "</span>";
    };
    std::string out = "<p class=\"legend\">" + entry("planned", "estimate") +
                      entry("good fill", "done") +
                      "<span><b class=\"good fill turned\"></b>checkpoint, gate</span>";
    if (model.count(view::Status::failed))
        out += entry("bad fill", "failed");
    if (std::any_of(model.items.begin(), model.items.end(), [](const Item& item) {
            return item.started && (item.kind == "gate" || item.kind == "checklist");
        }))
        out += entry("warn fill", "waits for people");
    if (model.retried())
        out += entry("retry", "tried again");
    if (model.went_back())
        out += entry("warn undo", "way back");
    if (model.window_opened())
        out += entry("closed", "traffic closed");
    return out + "<span>time since " + time::clock_utc(model.started) + " UTC</span></p>";
}

} // namespace

std::string timeline(const Model& model) {
    if (!model.started || model.last <= model.started)
        return {};
    std::size_t rows = 0;
    for (const Item& item : model.items)
        rows += item.started != 0;
    if (rows == 0)
        return {};
    const double from = static_cast<double>(model.started);
    const Scale scale{from, std::max(static_cast<double>(model.last), from + 50'000)};
    const double bottom = top + static_cast<double>(rows) * row_height;
    std::string out = fmt::format(
        "<h2>Timeline</h2>\n<div class=\"panel\"><div class=\"chart\">\n<svg viewBox=\"0 0 {:.0f} "
        "{:.0f}\" role=\"img\" aria-label=\"what ran when; the table of steps says the same\">\n",
        width, bottom + 20);
    out += window(model, scale, bottom) + ticks(scale, bottom);
    if (model.went_back())
        out += line(scale.at(model.rollback.started), top - 6, bottom, "back");
    for (const journal::Event& event : model.resumed)
        out += line(scale.at(event.micros), top - 6, bottom, "back");
    out += words(width - 16, top - 12, "tick took", "took");
    double y = top;
    for (const Item& item : model.items)
        if (item.started) {
            out += lane(model, scale, item, y);
            y += row_height;
        }
    return out + "</svg>\n" + legend(model) + "</div></div>\n";
}

} // namespace runbook::report
