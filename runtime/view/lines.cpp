// Whole lines of the terminal view (contract in lines.h).
#include "runtime/view/lines.h"

#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

namespace runbook::view {
namespace {

double seconds_between(std::int64_t from, std::int64_t to) {
    return static_cast<double>(std::max<std::int64_t>(0, to - from)) / 1e6;
}

/// What is planned to be left of an item.
double left_s(const Item& item, std::int64_t now) {
    if (item.status == Status::waiting)
        return item.on == "rollback" ? 0 : item.takes_s;
    if (item.status == Status::running)
        return std::max(0.0, item.takes_s - seconds_between(item.started, now));
    return 0;
}

std::string at_home(const std::string& path, const std::string& home) {
    return !home.empty() && path.starts_with(home + "/") ? "~" + path.substr(home.size()) : path;
}

std::string compact(double rate) {
    if (rate >= 999'500)
        return fmt::format("{:.1f}M", rate / 1e6);
    if (rate >= 9'950)
        return fmt::format("{:.0f}k", rate / 1e3);
    return rate >= 995 ? fmt::format("{:.1f}k", rate / 1e3) : fmt::format("{:.0f}", rate);
}

void add(Lines& out, const Lines& more) {
    out.insert(out.end(), more.begin(), more.end());
}

} // namespace

Layout Layout::of(const Model& model, int columns) {
    Layout out;
    out.columns = columns > 0 ? static_cast<std::size_t>(std::max(40, columns)) : 0;
    std::size_t name = 12, owner = 5;
    for (const Item& item : model.items) {
        name = std::max(name, text::display_width(item.name) + (item.planned ? 0 : 2));
        owner = std::max(owner, text::display_width(item.owner));
    }
    const bool narrow = out.columns && out.columns < 100;
    out.name = std::min<std::size_t>(name, narrow ? 22 : 34);
    out.owner = std::min<std::size_t>(owner, narrow ? 10 : 16);
    return out;
}

Lines row(const Layout& layout, std::string_view symbol, const Item& item, const std::string& took,
          const std::string& detail, bool estimate) {
    std::string line = "  " + std::string(symbol) + " ";
    line += pad((item.planned ? "" : "  ") + item.name, layout.name) + "  ";
    line += pad(item.owner.empty() ? "–" : item.owner, layout.owner) + " ";
    line += pad_left(estimate && item.takes_s > 0 ? text::duration(item.takes_s) : "", 5) + " ";
    line += pad_left(took, 7);
    const std::size_t width = text::display_width(line) + 3;
    const bool one_line = detail.find('\n') == std::string::npos;
    if (detail.empty() ||
        (one_line && (!layout.columns || width + text::display_width(detail) <= layout.columns))) {
        if (!detail.empty())
            line += "   " + detail;
        line.erase(line.find_last_not_of(' ') + 1);
        return {line};
    }
    line.erase(line.find_last_not_of(' ') + 1);
    Lines out = {line};
    add(out, wrap(detail, layout.columns, "      "));
    return out;
}

Lines header_lines(const Model& model, const Settings& settings, std::size_t columns) {
    std::vector<std::string> parts = {model.playbook.empty() ? "playbook" : model.playbook,
                                      "run " + model.run};
    if (!model.env.empty())
        parts.push_back("env " + model.env);
    if (!model.journal.empty())
        parts.push_back("journal " + at_home(model.journal, settings.home));
    const std::string clock =
        time::clock_utc(model.resumed.empty() ? model.started : model.resumed.back().micros) +
        " UTC";
    const std::string joined = wrap_parts(parts, 0, "");
    const std::size_t width = text::display_width(joined) + text::display_width(clock);
    if (columns && width + 2 <= columns)
        return {joined +
                std::string(std::min<std::size_t>(columns, 120) > width
                                ? std::min<std::size_t>(columns, 120) - width
                                : 2,
                            ' ') +
                clock};
    parts.insert(parts.begin() + 2, clock);
    return text::split(wrap_parts(parts, columns, "  "), '\n');
}

Lines window_lines(const Model& model, std::size_t columns) {
    std::vector<std::string> parts;
    if (model.window_target_s > 0)
        parts.push_back("window " + text::duration(model.window_target_s) + " (target)");
    if (model.window_max_s > 0)
        parts.push_back((parts.empty() ? "window " : "") + text::duration(model.window_max_s) +
                        " (maximum)");
    if (!parts.empty() && !model.window_from.empty())
        parts.push_back("from \"" + model.window_from + "\" to \"" + model.window_to + "\"");
    if (model.rollback_within_s > 0)
        parts.push_back("rollback within " + text::duration(model.rollback_within_s));
    if (parts.empty())
        return {};
    return text::split(wrap_parts(parts, columns, "  "), '\n');
}

Lines failure_lines(const Model& model, const Item& item, const std::deque<std::string>& output,
                    const Settings& settings, std::size_t columns) {
    const ErrorInfo& error = item.error;
    const bool judged = !item.verdict.empty();
    std::string first = error.where().empty() ? "" : error.where() + ": ";
    first += named(item);
    if (item.undo == Undo::failed)
        first += " could not be undone: " + error_words(error);
    else if (judged)
        first +=
            " did not pass: " + item.verdict + (item.why.empty() ? "" : " \"" + item.why + "\"");
    else
        first += (item.attempts > 1 ? fmt::format(" failed after {} attempts: ", item.attempts)
                                    : " failed: ") +
                 error_words(error);
    Lines out = {""};
    add(out, wrap(first, columns, ""));
    std::string source = error.source;
    if (source.empty() && error.line > 0 && settings.source)
        source = settings.source(error.file, error.line);
    if (!text::trim(source).empty())
        out.push_back(fmt::format("{:>5} | {}", error.line, source));
    if (judged) {
        if (const std::string detail = detail_of(item); !detail.empty())
            add(out, wrap(detail, columns, "  "));
        if (!error.message.empty())
            add(out, wrap("error: " + error_words(error), columns, "  "));
    }
    if (!error.hint.empty())
        add(out, wrap("hint: " + error.hint, columns, "  "));
    for (const std::string& line : output)
        out.push_back("  | " + line);
    if (settings.backtrace && !error.traceback.empty())
        add(out, wrap(error.traceback, 0, "    "));
    return out;
}

Lines rollback_lines(const Model& model, std::size_t columns, bool with_why) {
    Lines out;
    if (with_why && !model.rollback.why.empty())
        add(out, wrap("rolling back: " + model.rollback.why, columns, "  "));
    std::string way = model.rollback.way.empty() || model.rollback.way == "undo"
                          ? "way back: "
                          : "way back (" + model.rollback.way + "): ";
    way +=
        model.rollback.steps.empty() ? "nothing to undo" : text::join(model.rollback.steps, ", ");
    std::vector<std::string> kept;
    for (const Kept& one : model.rollback.kept)
        kept.push_back(one.step + (one.why.empty() ? "" : ", " + one.why));
    if (!kept.empty())
        way += "   (kept: " + text::join(kept, "; ") + ")";
    add(out, wrap(way, columns, "  "));
    if (const auto names = not_started(model); !names.empty())
        add(out, wrap("not started: " + some_of(names, 6), columns, "  "));
    return out;
}

Lines closing_lines(const Model& model, const Settings& settings, std::size_t columns) {
    std::string first = (model.playbook.empty() ? "run " + model.run : model.playbook) + ": " +
                        outcome_words(model);
    const bool back = model.outcome == "rolled_back";
    if (back && (model.rollback_s >= 0 || model.rollback.ended)) {
        first += " in " +
                 text::clock(model.rollback_s >= 0 ? model.rollback_s : model.rollback.elapsed_s);
        const double limit =
            model.rollback.within_s > 0 ? model.rollback.within_s : model.rollback_within_s;
        if (limit > 0)
            first += " (limit " + text::duration(limit) + (model.rollback.met ? ")" : ", missed)");
    } else if (model.outcome == "succeeded") {
        first += " in " + text::clock(model.elapsed_s);
    }
    if (!model.why.empty() && model.outcome != "succeeded")
        first += ": " + model.why;
    const std::string span =
        time::clock_utc(model.started) + " to " + time::clock_utc(model.last) + " UTC";
    Lines out = {""};
    add(out,
        text::split(wrap_parts({first, span, "exit " + std::to_string(model.exit)}, columns, "  "),
                    '\n'));
    add(out,
        text::split(wrap_parts({window_words(model), steps_words(model)}, columns, "  "), '\n'));
    std::vector<std::string> last = {"run " + model.run};
    last.push_back(settings.report.empty() ? "runbook report " + model.run
                                           : "report " + at_home(settings.report, settings.home));
    if (const std::string next = next_command(model); !next.empty())
        last.push_back("next: " + next);
    add(out, text::split(wrap_parts(last, columns, "  "), '\n'));
    return out;
}

std::string progress_words(const RateMeter& rate, std::size_t bar_columns) {
    const ProgressReport& now = rate.latest();
    std::vector<std::string> parts;
    if (!now.item.empty())
        parts.push_back(now.item);
    if (const double part = rate.fraction(); part >= 0) {
        const auto full = static_cast<std::size_t>(part * static_cast<double>(bar_columns));
        std::string bar;
        for (std::size_t i = 0; i < bar_columns; ++i)
            bar += i < full ? "█" : "░";
        if (!bar.empty())
            parts.push_back(bar);
        parts.push_back(fmt::format("{:>3} %", static_cast<int>(part * 100)));
    } else if (now.rows > 0) {
        parts.push_back(text::grouped(now.rows) + " rows");
    } else if (now.bytes > 0) {
        parts.push_back(text::bytes(now.bytes));
    }
    if (const double rows = rate.rows_per_s(); rows > 0)
        parts.push_back(compact(rows) + " rows/s");
    if (const double bytes = rate.bytes_per_s(); bytes > 0)
        parts.push_back(text::bytes(static_cast<std::int64_t>(bytes)) + "/s");
    if (const double eta = rate.eta_s(); eta >= 0)
        parts.push_back("ETA " + text::clock(eta + 0.999));
    return text::join(parts, "  ");
}

namespace {

/// Up to a whole minute, so that a forecast does not flicker.
std::string forecast(double seconds) {
    return text::duration(std::max(60.0, std::ceil(seconds / 60) * 60));
}

std::size_t steps_of(const Model& model) {
    return static_cast<std::size_t>(
        std::count_if(model.items.begin(), model.items.end(), [](const Item& item) {
            return item.kind == "step" || item.kind == "toggle" || item.kind.empty();
        }));
}

/// While traffic is closed: the forecast against target and maximum, and until when going back
/// fits.
std::vector<std::string> closed_words(const Model& model, std::int64_t now) {
    const Item* from = model.find(model.window_from);
    const std::int64_t opened = from->ended ? from->ended : from->started;
    const double spent = seconds_between(opened, now);
    double expected = spent;
    for (const Item& item : model.items) {
        if (item.beside.empty())
            expected += left_s(item, now);
        if (item.name == model.window_to)
            break;
    }
    std::vector<std::string> parts;
    const double limit = model.window_target_s > 0 ? model.window_target_s : model.window_max_s;
    if (model.window_max_s > 0 && expected > model.window_max_s)
        parts.push_back("LATE: " + forecast(expected) + " expected, maximum " +
                        text::duration(model.window_max_s));
    else if (limit > 0 && expected > limit)
        parts.push_back("behind: " + forecast(expected) + " expected");
    else
        parts.push_back("on track");
    parts.push_back((from->ended ? "site down for " : "closing for ") + text::clock(spent) +
                    (limit > 0 ? " of " + text::duration(limit) : ""));
    if (model.window_max_s > 0) {
        const std::int64_t latest =
            opened +
            static_cast<std::int64_t>((model.window_max_s - model.rollback_within_s) * 1e6);
        parts.push_back(
            (now <= latest ? "latest moment for rollback " : "moment for rollback passed at ") +
            time::clock_utc(latest).substr(0, 5));
    }
    return parts;
}

/// Outside the window: the time so far against the sum of the estimates.
std::vector<std::string> pace_words(const Model& model, std::int64_t now) {
    const double spent = seconds_between(model.started, now);
    double planned = 0, left = 0;
    for (const Item& item : model.items)
        if (item.on != "rollback" && item.beside.empty()) {
            planned += item.takes_s;
            left += left_s(item, now);
        }
    if (planned <= 0)
        return {"running " + text::clock(spent)};
    // a tenth of the plan, and at least a minute, is no delay
    const double late = spent + left - planned;
    return {late > std::max(60.0, planned / 10) ? "late by " + forecast(late) : "on track",
            "running " + text::clock(spent) + " of about " + text::duration(planned)};
}

} // namespace

std::string status_words(const Model& model, std::int64_t now, std::size_t columns) {
    std::vector<std::string> parts;
    if (model.rollback.ended) {
        parts = {"rolled back"};
    } else if (model.rollback.started) {
        std::string spent = text::clock(seconds_between(model.rollback.started, now));
        const double limit =
            model.rollback.within_s > 0 ? model.rollback.within_s : model.rollback_within_s;
        if (limit > 0)
            spent += " of " + text::duration(limit);
        parts = {"rolling back", spent};
    } else if (model.window_opened() && !model.window_closed()) {
        parts = closed_words(model, now);
    } else {
        parts = pace_words(model, now);
    }
    if (!model.questions.empty() && model.questions.back().answered == 0) {
        const Question& open = model.questions.back();
        parts.insert(parts.begin(),
                     "waiting for " + (open.role.empty() ? "an answer" : open.role) +
                         (open.deadline.empty() ? "" : " until " + clock_of(open.deadline)));
    }
    if (model.retried())
        parts.push_back(fmt::format("{} of {} steps retried", model.retried(), steps_of(model)));
    if (!model.paused.empty())
        parts.insert(parts.begin(), "PAUSED, runbook resume " + model.run + " goes on");
    parts.push_back("Ctrl-C asks");
    parts.push_back("`runbook tail` follows");
    // two lines at most; what matters least goes first
    std::string out = wrap_parts(parts, columns, "  ");
    while (columns && parts.size() > 1 && std::count(out.begin(), out.end(), '\n') > 1) {
        parts.pop_back();
        out = wrap_parts(parts, columns, "  ");
    }
    return out;
}

std::string outlook(const Model& model, const Item& item, std::int64_t now) {
    if (item.kind != "checkpoint")
        return {};
    double until = 0;
    for (const Item& before : model.items) {
        if (&before == &item)
            return until >= 1 ? "next checkpoint in about " + text::clock(until)
                              : "next checkpoint";
        if (before.kind == "checkpoint" && before.status == Status::waiting &&
            before.on != "rollback")
            return {};
        until += left_s(before, now);
    }
    return {};
}

std::string harmless(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    std::size_t copied = 0; // runs of what may stay are copied at once
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
        const bool c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0; // their two bytes in UTF-8
        const bool control = (byte < 0x20 && byte != '\n') || byte == 0x7F || c1;
        if (!control)
            continue;
        out.append(text.substr(copied, i - copied));
        if (byte == '\t')
            out += "    ";
        else if (byte != '\r' || next != '\n')
            out += "\xEF\xBF\xBD";
        i += c1 ? 1 : 0;
        copied = i + 1;
    }
    return out.append(text.substr(copied));
}

std::string in_ascii(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 16> symbols = {
        {{"✓", "+"},
         {"✗", "x"},
         {"▸", ">"},
         {"↩", "<"},
         {"↻", "!"},
         {"◆", "?"},
         {"‖", "="},
         {"»", ">"},
         {"–", "-"},
         {"·", "-"},
         {"█", "#"},
         {"░", "."},
         {"…", "..."},
         {"→", "->"},
         {"×", "x"},
         {"\xEF\xBF\xBD", "?"}}};
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto* symbol = symbols.end();
        if (static_cast<unsigned char>(text[i]) >= 0x80)
            symbol = std::find_if(symbols.begin(), symbols.end(), [&](const auto& one) {
                return text.substr(i).starts_with(one.first);
            });
        if (symbol == symbols.end())
            out += text[i++];
        else
            out += symbol->second, i += symbol->first.size();
    }
    return out;
}

} // namespace runbook::view
