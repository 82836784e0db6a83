// The wording that the views share (contract in words.h).
#include "runtime/view/words.h"

#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <cmath>
#include <fmt/format.h>

namespace runbook::view {

std::string shown(std::string_view key, const Value& value) {
    const auto* integer = value.get<std::int64_t>();
    const auto* number = value.get<double>();
    if (key.ends_with("_s") && (integer || number))
        return text::duration(integer ? static_cast<double>(*integer) : *number);
    if ((key == "bytes" || key.ends_with("_bytes")) && (integer || number))
        return text::bytes(integer ? *integer : static_cast<std::int64_t>(*number));
    if (integer)
        return text::grouped(*integer);
    if (number && *number == std::floor(*number) && std::fabs(*number) < 1e15)
        return text::grouped(static_cast<std::int64_t>(*number));
    if (number)
        return fmt::format("{:.6g}", *number);
    if (const auto* flag = value.get<bool>())
        return *flag ? "yes" : "no";
    if (const auto* words = value.get<std::string>())
        return *words;
    if (value.is_null())
        return "–";
    if (const auto* list = value.get<List>())
        return fmt::format("{} entries", list->size());
    if (const auto* map = value.get<Map>())
        return fmt::format("{} entries", map->size());
    const std::string plain = json::dump(value);
    return plain.size() > 1 && plain.front() == '"' ? plain.substr(1, plain.size() - 2) : plain;
}

std::string detail_of(const Item& item) {
    if (!item.detail.empty())
        return item.detail;
    const Map* map = item.result.get<Map>();
    if (!map)
        return item.result.is_null() || item.result.get<List>() ? "" : shown("", item.result);
    std::vector<std::string> parts;
    for (const auto& [key, value] : *map) {
        if (value.get<List>() || value.get<Map>() || value.is_null() || parts.size() == 4)
            continue;
        std::string one = shown(key, value);
        if (one.size() > 40)
            one = text::ellipsize(one, 16);
        std::string label = key.ends_with("_s") ? key.substr(0, key.size() - 2) : key;
        parts.push_back(key == "file" || key == "bytes" ? one : label + " " + one);
    }
    return text::join(parts, "  ");
}

std::string outcome_words(const Model& model) {
    if (model.outcome == "rolled_back")
        return "rolled back";
    if (model.outcome == "person_needed")
        return "a person is needed";
    return model.outcome.empty() ? "unfinished" : model.outcome;
}

std::string clock_of(const std::string& iso) {
    const auto at = time::parse(iso);
    return at ? time::clock_utc(at->micros) : iso;
}

std::string person(const std::string& by, const std::string& via) {
    const std::string who = by.empty() ? "nobody" : by;
    return via.empty() ? who : who + " (" + via + ")";
}

std::string people_words(const journal::Event& event) {
    const Map& data = event.data;
    const std::string item = data.text("item").empty() ? "" : data.text("item") + ": ";
    const std::string by = person(data.text("by"), data.text("via"));
    if (event.event == "approval.given")
        return item + "approved by " + by + ", " + data.text("progress");
    if (event.event == "answer.refused")
        return item + "does not count, " + data.text("answer") + " by " + by + ": " +
               data.text("why");
    if (event.event == "gate.escalated")
        return item + "no answer, passed on to " + data.text("role") + " until " +
               clock_of(data.text("deadline")) + " UTC";
    if (event.event == "gate.extended")
        return "extended by " + by + " until " + clock_of(data.text("deadline")) + " UTC";
    if (event.event == "confirmation.expired")
        return item + "the confirmation by " + by + " is too old, asked again";
    if (event.event == "item.waived")
        return item + "waived by " + by + ": " + data.text("why");
    if (event.event == "approvals.voided")
        return "approvals no longer count: " + data.text("why");
    if (event.event == "needs.widened") {
        std::vector<std::string> all;
        if (const Value* value = data.find("allow"); value && value->get<List>())
            for (const Value& one : *value->get<List>())
                if (const Map* grant = one.get<Map>())
                    all.push_back(grant->text("kind") + " " + grant->text("what"));
        return "allowed by " + by + " beyond needs: " + text::join(all, ", ");
    }
    if (event.event == "plan.changed")
        return "the plan was changed, accepted by " + by;
    return {};
}

std::string error_words(const ErrorInfo& error) {
    std::string out = error.message.empty() ? "no message" : error.message;
    if (!error.kind.empty())
        out += " (" + error.kind + (error.sqlstate.empty() ? "" : ", " + error.sqlstate) + ")";
    return out;
}

std::string named(const Item& item) {
    return (item.kind.empty() ? "step" : item.kind) + " \"" + item.name + "\"";
}

std::string window_words(const Model& model) {
    const double spent = model.downtime_s();
    if (spent < 0)
        return {};
    std::string out = "downtime " + text::clock(spent);
    if (model.window_target_s <= 0 && model.window_max_s <= 0)
        return out;
    const double wanted = model.window_target_s > 0 ? model.window_target_s : model.window_max_s;
    out += " of " + text::duration(wanted);
    if (model.window_max_s > 0 && spent > model.window_max_s)
        return out + " (over the maximum of " + text::duration(model.window_max_s) + ")";
    if (spent > wanted)
        return out + " (missed)";
    // going back early is no merit
    return model.outcome == "succeeded" && model.window_target_s > 0 ? out + " (met)" : out;
}

std::string steps_words(const Model& model) {
    std::size_t steps = 0, done = 0;
    for (const Item& one : model.items)
        if (one.kind != "checkpoint" && one.kind != "gate" && one.kind != "phase" &&
            one.kind != "checklist" && one.kind != "monitor") {
            ++steps;
            done += one.status == Status::done;
        }
    std::string out = done == steps ? fmt::format("{} {}", steps, steps == 1 ? "step" : "steps")
                                    : fmt::format("{} of {} steps", done, steps);
    if (model.retried())
        out += fmt::format(", {} retried", model.retried());
    if (model.count(Status::skipped))
        out += fmt::format(", {} skipped", model.count(Status::skipped));
    if (const std::size_t all = model.checkpoints(false))
        out += fmt::format(" · {} of {} {} passed", model.checkpoints(true), all,
                           all == 1 ? "checkpoint" : "checkpoints");
    return out;
}

std::string goal_words(const Goal& goal) {
    return "goal " + goal.name + " " + goal.word() + ": " +
           (goal.actual.is_null() ? "no figure" : shown("", goal.actual)) +
           (goal.target.is_null() ? "" : ", target " + shown("", goal.target));
}

std::string_view goal_sign(const Goal& goal) {
    return !goal.known ? "?" : goal.met ? "✓" : "✗";
}

std::string breach_words(const journal::Event& event) {
    const Map& data = event.data;
    std::string out = event.step.empty() ? data.text("monitor", data.text("name")) : event.step;
    const std::string metric = data.text("metric", data.text("rule"));
    const std::string why = data.text("why", data.text("detail"));
    if (why.starts_with("monitor "))
        out = why; // it names both already
    else if (!metric.empty() || !why.empty())
        out += ": " + metric + (metric.empty() || why.empty() ? "" : ", ") + why;
    const std::string verdict = data.text("verdict");
    return verdict.empty() ? out : out + " – " + verdict;
}

std::string next_command(const Model& model) {
    if (model.outcome == "held")
        return model.resume.empty() ? "runbook resume " + model.run : model.resume;
    if (model.outcome == "person_needed")
        return "runbook show " + model.run;
    return {};
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
    if (names.size() <= most)
        return text::join(names, ", ");
    return text::join(std::span(names).first(most), ", ") +
           fmt::format(" and {} more", names.size() - most);
}

std::vector<std::string> not_started(const Model& model) {
    std::vector<std::string> out;
    for (const Item& one : model.items)
        if (one.status == Status::waiting && one.on != "rollback" && one.kind != "phase")
            out.push_back(one.name);
    return out;
}

std::string wrap_parts(const std::vector<std::string>& parts, std::size_t columns,
                       std::string_view indent) {
    constexpr std::string_view between = " · ";
    std::string out;
    std::size_t used = 0;
    for (const std::string& part : parts) {
        if (part.empty())
            continue;
        const std::size_t width = text::display_width(part);
        if (used && columns && used + 3 + width > columns) {
            out.append("\n").append(indent);
            used = indent.size();
        } else if (used) {
            out += between;
            used += 3;
        }
        out += part;
        used += width;
    }
    return out;
}

std::vector<std::string> wrap(std::string_view text, std::size_t columns, std::string_view indent) {
    std::vector<std::string> out;
    for (const std::string& line : text::split(text, '\n')) {
        std::string current(indent);
        bool empty = true;
        for (const std::string& word : text::split(line, ' ')) {
            if (!empty && columns &&
                text::display_width(current) + 1 + text::display_width(word) > columns) {
                out.push_back(std::exchange(current, std::string(indent)));
                empty = true;
            }
            current += (empty ? "" : " ") + word;
            empty = false;
        }
        out.push_back(std::move(current));
    }
    return out;
}

std::string pad(std::string text, std::size_t columns) {
    const std::size_t width = text::display_width(text);
    return width < columns ? text.append(columns - width, ' ') : text;
}

std::string pad_left(std::string text, std::size_t columns) {
    const std::size_t width = text::display_width(text);
    return width < columns ? text.insert(0, columns - width, ' ') : text;
}

std::string part_words(const journal::Event& event) {
    const Map& data = event.data;
    const std::string& name = event.event;
    if (name == "overdue.reached")
        return "still at work after " + text::duration(data.number("after_s"));
    if (name == "sleep.started")
        return "sleeps until " + clock_of(data.text("till")) + " UTC";
    if (!name.starts_with("substep."))
        return {};
    std::string out = data.text("name");
    const Value* error = data.find("error");
    if (const Map* map = error ? error->get<Map>() : nullptr)
        return out + (name == "substep.retried" ? ": tried again after " : ": failed: ") +
               error_words(error_info(*map));
    if (name == "substep.started")
        return out + (data.integer("attempt") > 1
                          ? ", attempt " + std::to_string(data.integer("attempt"))
                          : "");
    if (name == "substep.finished")
        return out + ": done in " + text::clock(data.number("elapsed_s"));
    if (name == "substep.in_doubt")
        return out + ": in doubt: " + data.text("state") + ", " + data.text("why");
    if (name == "substep.undone")
        return out + ": undone in " + text::clock(data.number("elapsed_s"));
    if (name == "substep.kept")
        return out + ": kept: " + data.text("why");
    return out;
}

} // namespace runbook::view
