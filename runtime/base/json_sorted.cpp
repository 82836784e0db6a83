// Objects whose members have one order (contract in json_sorted.h).
#include "runtime/base/json_sorted.h"

#include <algorithm>

namespace runbook::json {

Value sorted(const Value& value) {
    if (const auto* list = value.get<List>()) {
        List items;
        for (const Value& item : *list)
            items.push_back(sorted(item));
        return items;
    }
    const auto* map = value.get<Map>();
    if (!map)
        return value;
    std::vector<std::pair<std::string, Value>> entries;
    for (const auto& [key, item] : *map)
        entries.emplace_back(key, sorted(item));
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return Map::of(std::move(entries));
}

} // namespace runbook::json
