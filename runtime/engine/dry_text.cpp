#include "runtime/engine/dry_text.h"

#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/engine/lists.h"
#include "runtime/view/lines.h"
#include "runtime/view/words.h"

#include <fmt/format.h>

#include <array>

namespace runbook::engine {

namespace {

struct Sign {
    const char *outcome, *sign, *words;
};
constexpr std::array<Sign, 8> signs = {{{"would", "~", "would do"},
                                        {"looked", "✓", "looked"},
                                        {"unknown", "?", "unknown"},
                                        {"asks", "◆", "would ask"},
                                        {"skipped", "–", "skipped"},
                                        {"back", "↩", "way back"},
                                        {"later", "·", "later"},
                                        {"fails", "✗", "would fail"}}};

std::string wrapped(const std::string& text, std::size_t columns, std::string_view indent) {
    std::string out;
    for (const std::string& line : view::wrap(text, columns, indent))
        out += line + "\n";
    return out;
}

std::string place(const Map& map) {
    return map.contains("line") ? fmt::format("{}:{}", map.text("file"), map.integer("line")) : "";
}

std::string ending(const Map& item) {
    std::vector<std::string> parts;
    const Value* value = item.find("counts");
    const Map* counts = value ? value->get<Map>() : nullptr;
    for (const Sign& sign : signs)
        if (const auto count = counts ? counts->integer(sign.outcome) : 0; count > 0)
            parts.push_back(fmt::format("{} {}", count, sign.words));
    const auto writes = item.integer("writes");
    const auto bad = item.integer("contradictions");
    const auto guesses = item.integer("uncertain");
    return "\n" +
           wrapped(text::join(parts, " · ") +
                       fmt::format(" · {} write{} said{}, nothing was changed{}", writes,
                                   writes == 1 ? "" : "s",
                                   guesses == 0 ? "" : fmt::format(" ({} uncertain)", guesses),
                                   bad == 0 ? ""
                                            : fmt::format(" · {} contradiction{}", bad,
                                                          bad == 1 ? "" : "s")),
                   80, "");
}

std::string needs_text(const Map& item) {
    std::string out;
    for (const char* part : {"seen", "unused"}) {
        const Value* value = item.find(part);
        const Map* kinds = value ? value->get<Map>() : nullptr;
        std::vector<std::string> words;
        for (const auto& [kind, entries] : kinds ? *kinds : Map{}) {
            std::vector<std::string> all;
            for (const Value& entry : *entries.get<List>())
                all.push_back(*entry.get<std::string>());
            words.push_back(kind + " " + text::join(all, ", "));
        }
        if (!words.empty())
            out += wrapped((part == std::string_view("seen") ? "asked for: "
                                                             : "in needs, and not asked for: ") +
                               text::join(words, " · "),
                           80, "  ");
    }
    return out.empty() ? out : "\n" + out;
}

} // namespace

std::string dry_text(const Map& item, std::size_t columns) {
    const std::string kind = item.text("kind");
    if (kind == "begin")
        return wrapped("dry run of " + item.text("name") +
                           ": reads are made, writes are only said, nothing is journaled",
                       columns, "") +
               "\n";
    if (kind == "end")
        return ending(item);
    if (kind == "needs")
        return needs_text(item);
    if (kind == "phase")
        return "\n" + item.text("name") + "\n";
    const Sign* sign = &signs[6];
    for (const Sign& one : signs)
        if (item.text("outcome") == one.outcome)
            sign = &one;
    const std::string name = (kind == "step" ? "" : kind + " ") + item.text("name");
    std::string first = fmt::format("  {} {}  {}", sign->sign,
                                    view::pad(text::ellipsize(name, 26), 26), sign->words);
    if (!item.text("state").empty())
        first += ", " + item.text("state");
    std::string why = item.text("why");
    if (why.empty() && item.find("result") && item.text("outcome") == "looked") {
        view::Item looked;
        looked.result = *item.find("result");
        if (const Map* map = looked.result.get<Map>())
            looked.detail = map->text("detail");
        why = view::detail_of(looked);
    }
    std::string out;
    if (!why.empty() && why.find('\n') == std::string::npos &&
        text::display_width(first) + 2 + text::display_width(why) <= columns)
        out = first + ": " + why + "\n";
    else
        out = first + "\n" + (why.empty() ? "" : wrapped(why, columns, "      "));
    for (const Value& value : list_at(item, "writes")) {
        const Map& write = *value.get<Map>();
        std::string line = (write.boolean("reads") ? "look: " : "") + write.text("call");
        if (const std::string at = place(write); !at.empty())
            line += " (" + at + ")";
        out += wrapped(line, columns, "      ");
    }
    if (!item.text("uncertain").empty())
        out += wrapped(item.text("uncertain"), columns, "      ");
    for (const Value& value : list_at(item, "asks"))
        if (const auto* text = value.get<std::string>())
            out += wrapped(*text, columns, "      ");
    if (const Value* value = item.find("where"))
        if (const Map* where = value->get<Map>(); where && !place(*where).empty())
            out += wrapped(
                "at " + place(*where) +
                    (where->text("source").empty() ? "" : ": " + text::trim(where->text("source"))),
                columns, "      ");
    if (!item.text("hint").empty())
        out += wrapped("hint: " + item.text("hint"), columns, "      ");
    if (!item.text("says").empty() && item.text("outcome") != "skipped")
        out += wrapped("says: " + item.text("says"), columns, "      ");
    for (const Value& value : list_at(item, "notes"))
        if (const auto* text = value.get<std::string>())
            out += wrapped("log: " + *text, columns, "      ");
    return view::harmless(redact(out));
}

} // namespace runbook::engine
