// Lists inside maps that come from Lua. Any thread.
#pragma once

#include "runtime/base/value.h"

namespace runbook::engine {

/// The list under `key`; an empty Lua table is a map, and so an empty list.
inline const List& list_at(const Map& map, std::string_view key) {
    static const List empty;
    const Value* value = map.find(key);
    const List* list = value ? value->get<List>() : nullptr;
    return list ? *list : empty;
}

} // namespace runbook::engine
