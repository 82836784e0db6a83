#include "runtime/engine/plan_text.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/engine/lists.h"
#include "runtime/engine/plan_around.h"
#include "runtime/view/words.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <vector>

namespace runbook::engine {

namespace {

constexpr std::size_t columns = 80, name_columns = 26;

std::string estimate(const Map& item) {
    return item.contains("takes_s") ? text::duration(item.number("takes_s")) : "";
}

std::string offset(const Map& item) {
    return item.contains("at_s") ? "T+" + text::clock(item.number("at_s")) : "";
}

std::string wrapped(const std::string& text, std::string_view indent) {
    std::string out;
    for (const std::string& line : view::wrap(text, columns, indent))
        out += line + "\n";
    return out;
}

const Map* window_of(const Map& plan) {
    const Value* value = plan.find("window");
    return value ? value->get<Map>() : nullptr;
}

/// "of 30m (target)", or nothing where there is no such limit.
std::string against(const Map& window, const char* key, std::string_view name) {
    const double limit = window.number(key);
    return limit > 0 ? fmt::format(" of {} ({})", text::duration(limit), name) : "";
}

std::vector<std::string> window_sentences(const Map& plan) {
    std::vector<std::string> out;
    const Value* start = plan.find("start");
    if (const Map* T = start ? start->get<Map>() : nullptr)
        out.push_back(fmt::format("T is {} ({})", minute(T->text("at")), T->text("text")));
    out.push_back("all steps as planned: " + text::duration(plan.number("total_s")));
    if (const Map* window = window_of(plan)) {
        out.push_back(fmt::format(
            "traffic closed from \"{}\" to \"{}\": {}{}", window->text("from"), window->text("to"),
            text::duration(window->number("planned_s")), against(*window, "target_s", "target")));
        out.push_back(fmt::format("with every answer late: {}{}",
                                  text::duration(window->number("worst_s")),
                                  against(*window, "max_s", "maximum")));
        if (window->number("escalated_s") > window->number("worst_s"))
            out.push_back(fmt::format("with every question passed on to the last who is asked, and "
                                      "each item that may ask doing so: {}",
                                      text::duration(window->number("escalated_s"))));
        if (window->number("max_s") > 0)
            out.push_back(fmt::format(
                "latest moment to choose rollback: {} after traffic was closed",
                text::clock(window->number("max_s") - plan.number("rollback_within_s"))));
    }
    if (plan.number("rollback_within_s") > 0)
        out.push_back("rollback within " + text::duration(plan.number("rollback_within_s")));
    return out;
}

std::string item_text(const Map& item) {
    const std::string name = text::ellipsize(item.text("name"), name_columns);
    std::string line = "  " + view::pad(offset(item), 9) + view::pad_left(estimate(item), 6) +
                       "  " + view::pad(text::ellipsize(item.text("owner"), 9), 9) + " " +
                       view::pad(name, name_columns);
    if (item.contains("beside"))
        line[0] = '|';
    const std::string notes = text::join(texts_at(item, "notes"), "; ");
    if (text::display_width(line) + 2 + text::display_width(notes) <= columns)
        line += notes.empty() ? "" : "  " + notes;
    else
        return line.substr(0, line.find_last_not_of(' ') + 1) + "\n" +
               wrapped(notes,
                       std::string(item.contains("beside") ? "|" : " ") + std::string(18, ' '));
    return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

/// Few playbooks use the others.
bool always_told(std::string_view kind) {
    return kind == "shell" || kind == "http" || kind == "files";
}

/// What a permission to run commands means for the others: said where it is granted.
std::string outside(const Map& reach, std::string_view kind) {
    if (texts_at(reach, std::string(kind).c_str()).empty())
        return {};
    const Value* confine = reach.find("confine");
    if (kind == "ssh")
        return "commands there can do whatever their user may";
    if (kind != "shell")
        return {};
    return confine && *confine->get<bool>()
               ? "the kernel confines these commands to the files below; http does not bind them"
               : "these commands can do whatever their user may: http and files do not bind them";
}

std::string around_text(const Map& plan) {
    std::string out;
    for (const Section& section : sections(plan)) {
        out += "\n" + section.title + ":\n";
        for (const auto& [when, name, what] : section.rows)
            out += wrapped("  " + when + (name.empty() ? "" : "  " + name) +
                               (what.empty() ? "" : "  (" + what + ")"),
                           "      ");
    }
    return out;
}

std::string reach_text(const Map& plan) {
    const Value* value = plan.find("reach");
    const Map* reach = value ? value->get<Map>() : nullptr;
    if (!reach)
        return {};
    std::string out = "\nmay touch:\n";
    for (const char* kind : {"shell", "ssh", "http", "files", "net", "redis"}) {
        const auto entries = texts_at(*reach, kind);
        if (entries.empty() && !always_told(kind))
            continue;
        std::string line = entries.empty() ? "nothing" : text::join(entries, ", ");
        out += fmt::format("  {:<6} ", kind) +
               wrapped(line, "         ").substr(9); // the first line stands beside the kind
        if (const std::string note = outside(*reach, kind); !note.empty())
            out += wrapped(note, "         ");
    }
    for (const Value& entry : list_at(plan, "parameters"))
        if (const Map& parameter = *entry.get<Map>(); parameter.text("type") == "database")
            out += fmt::format("  {:<6} {}: {} ({})\n", "db", parameter.text("name"),
                               parameter.text("value", "<" + parameter.text("name") + ">"),
                               parameter.text("access", "read"));
    return out;
}

std::string as_text(const Map& plan) {
    std::string out = wrapped(
        plan.text("name") + (plan.text("summary").empty() ? "" : " · " + plan.text("summary")), "");
    for (const std::string& line : window_sentences(plan))
        out += wrapped(line, "  ");
    out += "\n";
    bool lanes = false;
    for (const Value& value : list_at(plan, "items")) {
        const Map& item = *value.get<Map>();
        if (item.text("kind") == "phase")
            out += fmt::format("\n{}\n", item.text("name"));
        else if (item.text("on") != "rollback")
            out += item_text(item);
        lanes |= item.contains("beside");
    }
    if (lanes)
        out += "\n| runs beside the steps after it\n";
    out += "\nway back, from the end:\n";
    const List back = list_at(plan, "way_back_order");
    if (back.empty())
        out += "  nothing to undo\n";
    for (const Value& value : back) {
        const Map& item = *value.get<Map>();
        std::string line =
            "  " + view::pad(text::ellipsize(item.text("name"), name_columns), name_columns) + "  ";
        if (text::display_width(line) + text::display_width(item.text("how")) <= columns)
            out += line + item.text("how") + "\n";
        else
            out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n" +
                   wrapped(item.text("how"), "      ");
    }
    return out + around_text(plan) + reach_text(plan);
}

/// Text that stays text in a cell.
std::string cell(const std::string& text) {
    std::string out;
    for (char c : text) {
        if (std::string_view("\\|<>*_`[]").find(c) != std::string_view::npos)
            out += '\\';
        out += c == '\n' ? ' ' : c;
    }
    return out;
}

std::string as_markdown(const Map& plan) {
    std::string out = "# " + cell(plan.text("name")) + "\n\n";
    if (!plan.text("summary").empty())
        out += cell(plan.text("summary")) + "\n\n";
    for (const std::string& line : window_sentences(plan))
        out += "- " + cell(line) + "\n";
    out += "\n| T | Step | Owner | Estimate | What |\n|---|---|---|---|---|\n";
    for (const Value& value : list_at(plan, "items")) {
        const Map& item = *value.get<Map>();
        if (item.text("kind") == "phase")
            out += fmt::format("| | **{}** | | | |\n", cell(item.text("name")));
        else if (item.text("on") != "rollback")
            out += fmt::format(
                "| {} | {} | {} | {} | {} |\n", offset(item), cell(item.text("name")),
                cell(item.contains("owner_title") ? item.text("owner_title") : item.text("owner")),
                estimate(item), cell(text::join(texts_at(item, "notes"), "; ")));
    }
    out += "\n## Way back, from the end\n\n";
    for (const Value& value : list_at(plan, "way_back_order"))
        out += fmt::format("1. {}: {}\n", cell(value.get<Map>()->text("name")),
                           cell(value.get<Map>()->text("how")));
    if (list_at(plan, "way_back_order").empty())
        out += "Nothing to undo.\n";
    for (const Section& section : sections(plan)) {
        std::string title = section.title;
        title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
        out += fmt::format("\n## {}\n\n| When | Name | What |\n|---|---|---|\n", title);
        for (const auto& [when, name, what] : section.rows)
            out += fmt::format("| {} | {} | {} |\n", cell(when), cell(name), cell(what));
    }
    out += "\n## May touch\n\n";
    if (const Value* value = plan.find("reach"))
        if (const Map* reach = value->get<Map>())
            for (const char* kind : {"shell", "ssh", "http", "files", "net", "redis"}) {
                const auto entries = texts_at(*reach, kind);
                if (entries.empty() && !always_told(kind))
                    continue;
                const std::string note = outside(*reach, kind);
                out += fmt::format("- {}: {}{}\n", kind,
                                   entries.empty() ? "nothing" : cell(text::join(entries, ", ")),
                                   note.empty() ? "" : " (" + note + ")");
            }
    for (const Value& entry : list_at(plan, "parameters"))
        if (const Map& parameter = *entry.get<Map>(); parameter.text("type") == "database")
            out += fmt::format("- db: {} ({})\n", cell(parameter.text("name")),
                               parameter.text("access", "read"));
    return out;
}

/// Text for a quoted label: Mermaid's own entities.
std::string label(const std::string& text) {
    std::string out;
    for (char c : text) {
        if (c == '"')
            out += "#quot;";
        else if (c == '#')
            out += "#35;";
        else if (c == '<')
            out += "#lt;";
        else if (c == '>')
            out += "#gt;";
        else
            out += c == '\n' ? ' ' : c;
    }
    return out;
}

/// The flow of the plan: lanes beside leave where they begin and come back where they are joined.
class Flow {
  public:
    std::string draw(const Map& plan) {
        for (const Value& value : list_at(plan, "items"))
            item(*value.get<Map>());
        end_phase();
        const std::string done = "done";
        out_ += "  done([\"succeeded\"])\n";
        arrive(done, "");
        way_back(plan);
        around(plan);
        return "flowchart TD\n" + out_;
    }

  private:
    void item(const Map& one) {
        const std::string kind = one.text("kind");
        if (kind == "phase") {
            end_phase();
            out_ += fmt::format("  subgraph p{}[\"{}\"]\n", ++phases_, label(one.text("name")));
            in_phase_ = true;
            return;
        }
        if (one.text("on") == "rollback")
            return;
        const std::string id = fmt::format("n{}", ++number_);
        std::vector<std::string> about;
        for (const std::string& part : {offset(one), one.text("owner"), estimate(one)})
            if (!part.empty())
                about.push_back(part);
        const std::string text = label(one.text("name")) +
                                 (about.empty() ? "" : "<br/>" + label(text::join(about, " · ")));
        const bool decides = kind == "checkpoint" || kind == "gate" || kind == "checklist";
        out_ +=
            fmt::format(fmt::runtime(decides ? "  {}{{\"{}\"}}\n" : "  {}[\"{}\"]\n"), id, text);
        arrive(id, one.text("name"));
        if (one.contains("beside"))
            lanes_.emplace_back(one.text("beside"), id);
        else
            before_ = id;
        passed_ = decides ? (kind == "gate" ? "approved" : "passes") : "";
        if (!decides)
            return;
        for (const std::string& verdict : texts_at(one, "decisions"))
            edges_.push_back({id, verdict});
        if (kind == "gate")
            edges_.push_back({id, "declined"});
        if (kind == "gate" && !one.text("otherwise").empty())
            edges_.push_back({id, "no answer: " + one.text("otherwise")});
    }

    /// Edges into a node: from the one before, and from the lanes that are joined here.
    void arrive(const std::string& id, const std::string& name) {
        if (!before_.empty())
            out_ += passed_.empty() ? fmt::format("  {} --> {}\n", before_, id)
                                    : fmt::format("  {} -->|{}| {}\n", before_, passed_, id);
        for (auto lane = lanes_.begin(); lane != lanes_.end();)
            if (name.empty() || lane->first == name) {
                out_ += fmt::format("  {} --> {}\n", lane->second, id);
                lane = lanes_.erase(lane);
            } else {
                ++lane;
            }
    }

    void end_phase() {
        if (in_phase_)
            out_ += "  end\n";
        in_phase_ = false;
    }

    /// What has a date of its own stands beside the flow, a box a kind.
    void around(const Map& plan) {
        std::size_t boxes = 0;
        for (const Section& section : sections(plan)) {
            const std::size_t box = ++boxes;
            out_ += fmt::format("  subgraph t{}[\"{}\"]\n", box, label(section.title));
            for (std::size_t i = 0; i < section.rows.size(); ++i) {
                std::vector<std::string> about;
                for (const std::string& part : section.rows[i])
                    if (!part.empty())
                        about.push_back(label(part));
                out_ += fmt::format("  t{}_{}[\"{}\"]\n", box, i, text::join(about, "<br/>"));
            }
            out_ += "  end\n";
        }
    }

    void way_back(const Map& plan) {
        const List back = list_at(plan, "way_back_order");
        std::string first = "b0", previous;
        out_ += "  subgraph back[\"way back\"]\n";
        if (back.empty())
            out_ += "  b0[\"nothing to undo\"]\n";
        for (std::size_t i = 0; i < back.size(); ++i) {
            const Map& one = *back[i].get<Map>();
            const std::string id = fmt::format("b{}", i);
            out_ += fmt::format("  {}[\"{}<br/>{}\"]\n", id, label(one.text("name")),
                                label(one.text("how")));
            if (!previous.empty())
                out_ += fmt::format("  {} --> {}\n", previous, id);
            previous = id;
        }
        out_ += "  end\n";
        bool held = false;
        for (const Edge& edge : edges_) {
            const bool stops = edge.verdict.find("hold") != std::string::npos &&
                               edge.verdict.find("rollback") == std::string::npos;
            held |= stops;
            out_ += fmt::format("  {} -.->|\"{}\"| {}\n", edge.from, label(edge.verdict),
                                stops ? std::string("held") : first);
        }
        if (held)
            out_ += "  held([\"held: resumable\"])\n";
    }

    struct Edge {
        std::string from, verdict;
    };
    std::string out_, before_, passed_;
    std::vector<std::pair<std::string, std::string>> lanes_;
    std::vector<Edge> edges_;
    std::size_t number_ = 0, phases_ = 0;
    bool in_phase_ = false;
};

} // namespace

std::string format_plan(const Map& plan, const std::string& format) {
    if (format == "text")
        return as_text(plan);
    if (format == "md")
        return as_markdown(plan);
    if (format == "mermaid")
        return Flow().draw(plan);
    if (format == "json")
        return json::dump(plan, 2) + "\n";
    static const std::array<std::string, 4> known = {"text", "md", "mermaid", "json"};
    throw Error("usage",
                fmt::format("unknown format '{}'{}", format, text::did_you_mean(format, known)));
}

} // namespace runbook::engine
