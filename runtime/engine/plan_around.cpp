#include "runtime/engine/plan_around.h"

#include "runtime/base/text.h"
#include "runtime/engine/lists.h"

#include <fmt/format.h>

namespace runbook::engine {

std::vector<std::string> texts_at(const Map& map, const char* key) {
    std::vector<std::string> out;
    for (const Value& entry : list_at(map, key))
        if (const auto* text = entry.get<std::string>())
            out.push_back(*text);
    return out;
}

std::string minute(const std::string& iso) {
    return iso.size() < 16 ? iso : iso.substr(0, 10) + " " + iso.substr(11, 5) + " UTC";
}

namespace {

std::string when_of(const Map& one) {
    return one.text("when") + (one.contains("at") ? " " + minute(one.text("at")) : "");
}

std::string with_owner(const Map& one, const std::string& what) {
    const std::string owner =
        one.contains("owner_title") ? one.text("owner_title") : one.text("owner");
    return owner.empty() ? what : owner + (what.empty() ? "" : ": " + what);
}

} // namespace

std::vector<Section> sections(const Map& plan) {
    Section ahead{"dates, counted from T", {}}, updates{"told meanwhile", {}},
        after{"afterwards", {}}, back{"after a rollback", {}}, schedule{"started by itself", {}};
    for (const Value& value : list_at(plan, "ahead")) {
        const Map& one = *value.get<Map>();
        ahead.rows.push_back(
            {when_of(one), one.text("name"),
             one.text("kind") + (one.text("kind") == "notice" ? " " : ": ") + one.text("what")});
    }
    const Value* found = plan.find("updates");
    if (const Map* one = found ? found->get<Map>() : nullptr) {
        std::string what = "to " + text::join(texts_at(*one, "to"), ", ");
        if (const Value* also = one->find("also"); also && also->get<Map>())
            for (const auto& [event, channels] : *also->get<Map>())
                if (const List* names = channels.get<List>())
                    for (const Value& name : *names)
                        what += fmt::format("; {} also to {}", event, *name.get<std::string>());
        if (one->contains("in_rollback"))
            what += "; every " + one->text("in_rollback") + " in a rollback";
        updates.rows.push_back(
            {one->contains("every") ? "every " + one->text("every") : "start and end", "updates",
             what});
    }
    for (const Value& value : list_at(plan, "followups")) {
        const Map& one = *value.get<Map>();
        after.rows.push_back(
            {one.text("when"), one.text("name"), with_owner(one, one.text("what"))});
    }
    for (const Value& value : list_at(plan, "after_rollback")) {
        const Map& one = *value.get<Map>();
        back.rows.push_back({one.contains("by") ? "within " + one.text("by") : "", one.text("text"),
                             with_owner(one, "")});
    }
    for (const Value& value : list_at(plan, "schedules")) {
        const Map& one = *value.get<Map>();
        std::string what = one.text("missed") == "skip" ? "missed where it is later than " +
                                                              text::duration(one.number("late_s"))
                                                        : "after a downtime the newest is run once";
        for (const Value& pair : list_at(one, "parameters"))
            what += fmt::format("; --{} {}", *(*pair.get<List>())[0].get<std::string>(),
                                *(*pair.get<List>())[1].get<std::string>());
        schedule.rows.push_back({one.text("text"), one.text("name"), what});
    }
    std::vector<Section> all;
    for (Section* section : {&schedule, &ahead, &updates, &after, &back})
        if (!section->rows.empty())
            all.push_back(std::move(*section));
    return all;
}

} // namespace runbook::engine
