#include "runtime/cli/dated.h"

#include "runtime/base/time.h"

#include <algorithm>

namespace runbook::cli {

namespace {

std::string state_of(const Dated& one) {
    return one.at <= time::now_micros() ? "due" : "to come";
}

} // namespace

std::vector<Dated> dated_of(const std::vector<journal::Event>& events) {
    std::vector<Dated> open;
    for (const journal::Event& event : events) {
        const std::size_t dot = event.event.find('.');
        const std::string kind = event.event.substr(0, dot);
        if (event.event == "run.finished") // nobody is waited for any more
            std::erase_if(open, [](const Dated& one) { return one.kind == "reminder"; });
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
