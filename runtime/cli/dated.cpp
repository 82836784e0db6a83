#include "runtime/cli/dated.h"

#include "runtime/base/time.h"

#include <algorithm>

namespace runbook::cli {

namespace {

std::string state_of(const Dated& one) {
    return one.at <= time::now_micros() ? "due" : "to come";
}

/// A message that was not sent yet, for each channel; sent or failed, it is none any more.
void follow_message(const journal::Event& event, std::vector<Dated>& open) {
    const std::string key = event.data.text("key");
    if (event.event == "notify.queued") {
        const Value* channels = event.data.find("channels");
        const List* list = channels ? channels->get<List>() : nullptr;
        for (const Value& channel : list ? *list : List{})
            open.push_back(
                {event.run, "message", key, "to " + *channel.get<std::string>(), event.micros});
        return;
    }
    const std::string to = "to " + event.data.text("channel");
    std::erase_if(open, [&](const Dated& one) {
        return one.kind == "message" && one.name == key && one.what == to;
    });
}

} // namespace

std::vector<Dated> dated_of(const std::vector<journal::Event>& events) {
    std::vector<Dated> open;
    for (const journal::Event& event : events) {
        const std::size_t dot = event.event.find('.');
        const std::string kind = event.event.substr(0, dot);
        if (event.event == "run.finished") // nobody is waited for any more
            std::erase_if(open, [](const Dated& one) { return one.kind == "reminder"; });
        if (kind == "notify")
            follow_message(event, open);
        if (kind != "notice" && kind != "reminder")
            continue;
        const std::string name = event.data.text(kind);
        std::erase_if(open, [&](const Dated& one) { return one.kind == kind && one.name == name; });
        if (event.event.substr(dot + 1) != "scheduled")
            continue;
        const auto at = time::parse(event.data.text("at"));
        open.push_back({event.run, kind, name, event.data.text("what"), at ? at->micros : 0});
    }
    std::stable_sort(open.begin(), open.end(),
                     [](const Dated& a, const Dated& b) { return a.at < b.at; });
    return open;
}

std::vector<std::vector<std::string>> dated_rows(const std::vector<Dated>& dated) {
    std::vector<std::vector<std::string>> rows = {{"due (UTC)", "", "of run", "state", ""}};
    for (const Dated& one : dated) {
        const std::string iso = time::iso_millis(one.at);
        rows.push_back({iso.substr(0, 10) + " " + iso.substr(11, 5), one.kind + ": " + one.name,
                        one.run, state_of(one), one.what});
    }
    return rows;
}

Map dated_map(const Dated& one) {
    return Map{{one.kind, one.name},
               {"what", one.what},
               {"run", one.run},
               {"due", time::iso_millis(one.at)},
               {"state", state_of(one)}};
}

} // namespace runbook::cli
