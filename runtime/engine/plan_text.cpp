#include "runtime/engine/plan_text.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/engine/lists.h"

#include <fmt/format.h>

#include <array>
#include <vector>

namespace runbook::engine {

namespace {

std::string duration_or_blank(const Map& map, const char* key) {
    return map.contains(key) ? text::duration(map.number(key)) : "";
}

std::string pad(std::string text, std::size_t width) {
    const std::size_t shown = text::display_width(text);
    if (shown < width)
        text.append(width - shown, ' ');
    return text;
}

std::string words_of(const Map& item) {
    const std::string kind = item.text("kind");
    if (kind == "gate")
        return "gate" + (item.contains("ask") ? ": " + item.text("ask") : std::string());
    if (kind == "checkpoint")
        return item.text("on") == "rollback" ? "checkpoint, met on the way back" : "checkpoint";
    if (kind == "checklist")
        return "checklist";
    std::string words =
        item.text("way_back") == "none" ? "changes nothing" : "way back: " + item.text("way_back");
    if (item.contains("beside"))
        words += ", beside the steps up to \"" + item.text("beside") + "\"";
    return words;
}

std::string window_sentence(const Map& plan) {
    const Value* value = plan.find("window");
    const Map* window = value ? value->get<Map>() : nullptr;
    if (!window)
        return "";
    return fmt::format(
        "window \"{}\" to \"{}\": planned {} (target {}), with every answer late {}, maximum {}; "
        "rollback within {}",
        window->text("from"), window->text("to"), text::duration(window->number("planned_s")),
        text::duration(window->number("target_s")), text::duration(window->number("worst_s")),
        text::duration(window->number("max_s")), text::duration(plan.number("rollback_within_s")));
}

std::string as_text(const Map& plan) {
    std::string out = fmt::format("{} · {}\n", plan.text("name"), plan.text("summary"));
    if (const std::string window = window_sentence(plan); !window.empty())
        out += window + "\n";
    out += "\n";
    double clock = 0;
    for (const Value& value : list_at(plan, "items")) {
        const Map& item = *value.get<Map>();
        if (item.text("kind") == "phase") {
            out += fmt::format("\n{}\n", item.text("name"));
            continue;
        }
        const bool apart = item.contains("beside") || item.text("on") == "rollback";
        out +=
            fmt::format("  {}  {}  {}  {}  {}\n", pad(apart ? "" : "T+" + text::clock(clock), 8),
                        pad(text::ellipsize(item.text("name"), 26), 26), pad(item.text("owner"), 8),
                        pad(duration_or_blank(item, "takes_s"), 5), words_of(item));
        if (!apart)
            clock += item.number("takes_s");
    }
    out += "\nway back, from the end:\n";
    for (const Value& value : list_at(plan, "way_back_order")) {
        const Map& item = *value.get<Map>();
        out += fmt::format("  {}  {}\n", pad(text::ellipsize(item.text("name"), 26), 26),
                           item.text("how"));
    }
    if (const Value* value = plan.find("reach")) {
        const Map& reach = *value->get<Map>();
        out += "\nmay touch:\n";
        for (const char* kind : {"shell", "http", "files"}) {
            std::vector<std::string> entries;
            for (const Value& entry : list_at(reach, kind))
                if (const auto* text = entry.get<std::string>())
                    entries.push_back(*text);
            out += fmt::format("  {:<6} {}\n", kind,
                               entries.empty() ? "nothing" : text::join(entries, ", "));
        }
        for (const Value& entry : list_at(plan, "parameters"))
            if (const Map& parameter = *entry.get<Map>(); parameter.text("type") == "database")
                out += fmt::format("  {:<6} {} ({})\n", "db", parameter.text("name"),
                                   parameter.text("access"));
    }
    return out;
}

std::string as_markdown(const Map& plan) {
    std::string out = fmt::format("# {}\n\n{}\n\n", plan.text("name"), plan.text("summary"));
    if (const std::string window = window_sentence(plan); !window.empty())
        out += window + "\n\n";
    out += "| T | step | owner | estimate | what |\n|---|---|---|---|---|\n";
    double clock = 0;
    for (const Value& value : list_at(plan, "items")) {
        const Map& item = *value.get<Map>();
        const bool apart = item.contains("beside") || item.text("on") == "rollback";
        if (item.text("kind") == "phase") {
            out += fmt::format("| | **{}** | | | |\n", item.text("name"));
            continue;
        }
        out += fmt::format("| {} | {} | {} | {} | {} |\n", apart ? "" : "T+" + text::clock(clock),
                           item.text("name"),
                           item.contains("owner_title") ? item.text("owner_title")
                                                        : item.text("owner"),
                           duration_or_blank(item, "takes_s"), words_of(item));
        if (!apart)
            clock += item.number("takes_s");
    }
    out += "\n## Way back, from the end\n\n";
    for (const Value& value : list_at(plan, "way_back_order"))
        out += fmt::format("1. {}: {}\n", value.get<Map>()->text("name"),
                           value.get<Map>()->text("how"));
    return out;
}

std::string mermaid_text(std::string text) {
    for (char& c : text)
        if (c == '"')
            c = '\'';
    return text;
}

std::string as_mermaid(const Map& plan) {
    std::string out = "flowchart TD\n";
    std::size_t number = 0;
    std::string before;
    for (const Value& value : list_at(plan, "items")) {
        const Map& item = *value.get<Map>();
        const std::string kind = item.text("kind");
        if (kind == "phase" || item.text("on") == "rollback")
            continue;
        const std::string id = fmt::format("n{}", ++number);
        const std::string label = mermaid_text(item.text("name"));
        const bool decision = kind == "checkpoint" || kind == "gate" || kind == "checklist";
        out += decision ? fmt::format("  {}{{\"{}\"}}\n", id, label)
                        : fmt::format("  {}[\"{}\"]\n", id, label);
        if (!before.empty())
            out += fmt::format("  {} --> {}\n", before, id);
        if (decision)
            out += fmt::format("  {} -. not passed .-> back([\"way back\"])\n", id);
        before = id;
    }
    return out;
}

} // namespace

std::string format_plan(const Map& plan, const std::string& format) {
    if (format == "text")
        return as_text(plan);
    if (format == "md")
        return as_markdown(plan);
    if (format == "mermaid")
        return as_mermaid(plan);
    if (format == "json")
        return json::dump(plan, 2) + "\n";
    static const std::array<std::string, 4> known = {"text", "md", "mermaid", "json"};
    throw Error("usage",
                fmt::format("unknown format '{}'{}", format, text::did_you_mean(format, known)));
}

} // namespace runbook::engine
