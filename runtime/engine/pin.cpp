#include "runtime/engine/pin.h"

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/engine/lists.h"
#include "runtime/engine/session.h"
#include "runtime/secret/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

namespace runbook::engine {

namespace {

/// Templates that are there, with their texts; those that are not, without.
List pinned_templates(const Session& session) {
    List list;
    for (const auto& [path, text] : session.templates) {
        Map one{{"path", path}};
        if (text) {
            one.set("sha256", digest::sha256_hex(*text));
            one.set("text", *text);
        }
        list.push_back(one);
    }
    return list;
}

/// A database URL loses its password before it is pinned; resume takes it from the environment
/// again.
std::string without_password(const std::string& text) {
    const std::size_t scheme = text.find("://");
    if (scheme == std::string::npos)
        return text;
    const std::size_t start = scheme + 3;
    const std::size_t at = text.find('@', start);
    const std::size_t slash = text.find('/', start);
    if (at == std::string::npos || (slash != std::string::npos && slash < at))
        return text;
    const std::size_t colon = text.find(':', start);
    if (colon == std::string::npos || colon > at)
        return text;
    return text.substr(0, colon) + text.substr(at);
}

bool is_secret(const Map& plan, std::string name) {
    std::replace(name.begin(), name.end(), '-', '_');
    for (const Value& item : list_at(plan, "parameters"))
        if (item.get<Map>()->text("name") == name)
            return item.get<Map>()->text("type") == "secret";
    return false;
}

} // namespace

std::string new_run_id() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    return fmt::format("{:04}{:02}{:02}-{:02}{:02}-{}", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, digest::hex(digest::random(2)));
}

std::vector<std::string> locks_of(const Map& plan) {
    std::vector<std::string> names;
    for (const Value& item : list_at(plan, "locks"))
        names.push_back(*item.get<std::string>());
    return names;
}

Map pin(const Session& session, const Map& plan) {
    List parameters, modules;
    for (const auto& [name, value] : session.options.parameters)
        if (!is_secret(plan, name) || secret::is_reference(value)) // where it is, not what it is
            parameters.push_back(List{name, without_password(value)});
    for (const auto& [path, text] : session.modules)
        modules.push_back(
            Map{{"path", path}, {"sha256", digest::sha256_hex(text)}, {"text", text}});
    std::error_code ignored;
    Map pinned{{"cwd", std::filesystem::current_path(ignored).string()},
               {"file", session.options.file},
               {"source", session.source},
               {"sha256", digest::sha256_hex(session.source)},
               {"modules", modules},
               {"templates", pinned_templates(session)},
               {"parameters", parameters},
               {"environment", session.options.environment},
               {"roster", session.roster.map()},
               {"initiator", session.initiator}};
    if (const FollowUp& followup = session.options.followup; !followup.parent.empty())
        pinned.set("followup", Map{{"parent", followup.parent},
                                   {"name", followup.name},
                                   {"number", followup.number},
                                   {"due", followup.due},
                                   {"missed", followup.missed}});
    return pinned;
}

std::string plan_hash(const Session& session, const Map& plan) {
    List modules, parameters;
    for (const auto& [path, text] : session.modules)
        modules.push_back(List{path, digest::sha256_hex(text)});
    for (const Value& item : list_at(plan, "parameters"))
        parameters.push_back(
            List{item.get<Map>()->text("name"), redact(item.get<Map>()->text("value"))});
    for (const auto& [path, text] : session.templates)
        if (text)
            modules.push_back(List{path, digest::sha256_hex(*text)});
    return digest::sha256_hex(json::dump(Map{{"source", digest::sha256_hex(session.source)},
                                             {"modules", modules},
                                             {"parameters", parameters},
                                             {"roster", session.roster.map()}}));
}

Map shown_plan(const Session& session, const Map& plan) {
    Map shown;
    for (const char* key : {"items", "window", "rollback_within_s", "way_back_order", "orders"})
        if (const Value* value = plan.find(key))
            shown.set(key, *value);
    shown.set("roster", session.roster.map());
    shown.set("plan_sha256", session.plan_sha256);
    return shown;
}

std::string changed_parameter(const Map& plan, const Map& started) {
    const Value* value = started.find("params");
    const Map* before = value ? value->get<Map>() : nullptr;
    for (const Value& item : list_at(plan, "parameters")) {
        const std::string name = item.get<Map>()->text("name");
        const std::string now = redact(item.get<Map>()->text("value")); // as the journal has it
        std::string option = name;
        std::replace(option.begin(), option.end(), '_', '-');
        if (before && before->contains(name) && before->text(name) != now)
            return fmt::format("parameter --{} has changed since the run started: it was '{}', "
                               "it is '{}'",
                               option, before->text(name), now);
    }
    return {};
}

std::string changed_template(const Session& session, const Map& pinned, const std::string& run) {
    for (const Value& item : list_at(pinned, "templates")) {
        const Map& before = *item.get<Map>();
        const auto found = session.templates.find(before.text("path"));
        if (found == session.templates.end())
            continue;
        const std::optional<std::string>& now = found->second;
        if (!before.contains("text")) {
            if (now)
                return fmt::format("{}: the template was not there when run {} started",
                                   found->first, run);
        } else if (!now) {
            return fmt::format("{}: the template is gone, and run {} started with it", found->first,
                               run);
        } else if (*now != before.text("text")) {
            return fmt::format("{}:{}: the template has changed since run {} started", found->first,
                               first_difference(*now, before.text("text")), run);
        }
    }
    return {};
}

std::size_t first_difference(const std::string& a, const std::string& b) {
    const auto left = text::split(a, '\n'), right = text::split(b, '\n');
    std::size_t line = 0;
    while (line < left.size() && line < right.size() && left[line] == right[line])
        ++line;
    return line + 1;
}

} // namespace runbook::engine
