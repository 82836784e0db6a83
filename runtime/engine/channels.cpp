// The channels of runbook.toml, handed to whatever binding sends messages. Loop thread, while a
// playbook loads. Never sends.
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/config/config.h"
#include "runtime/engine/session.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

namespace runbook::engine {

namespace {

const std::vector<std::string> types = {"console", "slack", "webhook"};
const std::vector<std::string> keys = {"attempts", "required", "timeout", "url"};

/// What the binding's `add` takes, from one table of runbook.toml. Throws `load` with its line.
Map channel_map(const config::Channel& channel, const config::Config& config,
                const std::string& folder, std::string& problem) {
    const auto refuse = [&](const std::string& message, const std::string& hint = {}) {
        throw Error(
            "load",
            fmt::format("{}:{}: channels.{}: {}", config.file, channel.line, channel.name, message),
            hint);
    };
    if (std::find(types.begin(), types.end(), channel.type) == types.end())
        refuse(fmt::format("unknown type '{}'{}", channel.type,
                           text::did_you_mean(channel.type, types)),
               "known here: " + text::join(types, ", "));
    Map map{{"name", channel.name},
            {"kind", channel.type == "console" ? "console" : "webhook"},
            {"format", channel.type == "slack" ? "slack" : "generic"}};
    for (const auto& [key, value] : channel.settings) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end())
            refuse(fmt::format("unknown key '{}'{}", key, text::did_you_mean(key, keys)),
                   "known here: type, " + text::join(keys, ", "));
        const auto* words = value.get<std::string>();
        if (key == "url") {
            if (!words)
                refuse("url: text expected");
            if (!config::is_reference(*words)) {
                map.set("url", *words);
                continue;
            }
            try {
                map.set("url", Value(config::open_secret(*words, folder)));
            } catch (const Error& error) {
                problem = error.message(); // matters only to a playbook that posts there
                map.set("url", "unset:");
            }
        } else if (key == "timeout") {
            const auto seconds = words ? text::parse_duration(*words) : std::nullopt;
            if (!seconds || *seconds <= 0)
                refuse("timeout: a duration such as 30s or 10m expected");
            map.set("timeout", *seconds);
        } else if (key == "attempts") {
            const auto* count = value.get<std::int64_t>();
            if (!count || *count < 1)
                refuse("attempts: a number from 1 expected");
            map.set("attempts", *count);
        } else if (key == "required") {
            const auto* flag = value.get<bool>();
            if (!flag)
                refuse("required: true or false expected");
            map.set("required", *flag);
        }
    }
    if (channel.type != "console" && !map.contains("url"))
        refuse("url is missing", "url = \"env:NAME\" takes it from the environment");
    return map;
}

} // namespace

Map add_channels(Session& session) {
    Map known{{"console", Map{{"required", false}}}};
    lua_State* L = session.state->L();
    for (const config::Channel& channel : session.settings.channels) {
        std::string problem;
        const Map map = channel_map(channel, session.settings, session.folder, problem);
        Map entry{{"required", map.boolean("required")}};
        if (!problem.empty())
            entry.set("problem", fmt::format("{}:{}: channels.{}: url: {}", session.settings.file,
                                             channel.line, channel.name, problem));
        known.set(channel.name, entry);
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.messages");
        if (!lua_istable(L, -1) || !problem.empty()) {
            lua_pop(L, 1);
            continue;
        }
        lua_getfield(L, -1, "add");
        vm::push_value(L, map);
        if (lua_pcall(L, 1, 0, 0) != 0)
            throw vm::to_error(L, -1);
        lua_pop(L, 1);
    }
    return known;
}

} // namespace runbook::engine
