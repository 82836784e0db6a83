// The channels of runbook.toml, handed to whatever binding sends messages. Loop thread, while a
// playbook loads. Never sends; what a kind of channel may say is checked by that binding.
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/config/config.h"
#include "runtime/engine/session.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

namespace runbook::engine {

namespace {

/// The binding's `add`, called with `map`; its result. The table of the binding is on top.
Map call_add(lua_State* L, const Map& map) {
    lua_getfield(L, -1, "add");
    vm::push_value(L, map);
    if (lua_pcall(L, 1, 1, 0) != 0) {
        const Error error = vm::to_error(L, -1);
        lua_pop(L, 1);
        throw error;
    }
    const Value result = vm::to_value(L, -1);
    lua_pop(L, 1);
    return *result.get<Map>();
}

bool in(const Map& known, const List& names, std::string& missing) {
    for (const Value& name : names) {
        missing = *name.get<std::string>();
        const Value* entry = known.find(missing);
        if (!entry || !entry->get<Map>() || entry->get<Map>()->contains("leads_to"))
            return false;
    }
    return true;
}

} // namespace

Map add_channels(Session& session) {
    Map known{{"console", Map{{"required", false}}}};
    lua_State* L = session.state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.messages");
    const bool sends = lua_istable(L, -1);
    const auto refuse = [&](const config::Channel& channel, const Error& error) {
        lua_pop(L, 1);
        throw Error("load",
                    fmt::format("{}:{}: channels.{}: {}", session.settings.file, channel.line,
                                channel.name, error.message()),
                    error.hint());
    };
    for (const config::Channel& channel : session.settings.channels) {
        std::string problem;
        Map about{{"required", false}};
        try {
            Map settings = config::open_settings(channel, session.folder, problem);
            if (sends)
                about = call_add(L, Map{{"name", channel.name},
                                        {"kind", channel.type},
                                        {"settings", std::move(settings)},
                                        {"folder", session.folder},
                                        {"only_check", !problem.empty()}});
        } catch (const Error& error) {
            refuse(channel, error);
        }
        Map entry{{"required", about.boolean("required")}};
        if (!problem.empty())
            entry.set("problem", fmt::format("{}:{}: channels.{}: {}", session.settings.file,
                                             channel.line, channel.name, problem));
        if (const Value* to = about.find("leads_to"); to && !to->get<List>()->empty())
            entry.set("leads_to", *to);
        known.set(channel.name, entry);
    }
    for (const config::Channel& channel : session.settings.channels) { // where routes lead
        const Map& entry = *known.find(channel.name)->get<Map>();
        const Value* to = entry.find("leads_to");
        std::string missing;
        if (to && !in(known, *to->get<List>(), missing)) {
            std::vector<std::string> names;
            for (const auto& [name, one] : known)
                if (!one.get<Map>()->contains("leads_to"))
                    names.push_back(name);
            const bool route = known.contains(missing);
            refuse(channel, Error("load",
                                  route ? fmt::format("'{}' is a route itself", missing)
                                        : fmt::format("no channel '{}'{}", missing,
                                                      text::did_you_mean(missing, names)),
                                  "channels here: " + text::join(names, ", ")));
        }
    }
    lua_pop(L, 1);
    return known;
}

} // namespace runbook::engine
