// See reach.h; the text is read by needs.cpp.
#include "runtime/engine/reach.h"

#include "runtime/base/text.h"
#include "runtime/engine/lists.h"
#include "runtime/engine/needs.h"
#include "runtime/engine/program.h"
#include "runtime/engine/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace runbook::engine {
namespace {

struct Reached {
    std::vector<Touch> touches;
    std::map<std::string, std::string> values; ///< of the parameters; empty: not given
};

Reached read(Session& session) {
    Reached reached;
    std::vector<Grant> parameters; // name and type
    const Map plan = *describe_head(session).get<Map>();
    for (const Value& item : list_at(plan, "parameters")) {
        const Map& one = *item.get<Map>();
        parameters.emplace_back(one.text("name"), one.text("type"));
        reached.values[one.text("name")] = one.text("value");
    }
    reached.touches = touches_of(session.options.file, session.source, parameters);
    for (const auto& [path, text] : session.modules)
        for (Touch& touch : touches_of(path, text, parameters))
            reached.touches.push_back(std::move(touch));
    return reached;
}

/// What is asked for when the run comes there; empty where that is not known.
std::string asked_for(const Reached& reached, const Touch& touch) {
    if (touch.kind == "ssh" && touch.what.starts_with('-'))
        return {}; // no host: the call says so
    if (touch.kind == "files")
        if (const auto value = reached.values.find(touch.what); value != reached.values.end())
            return value->second;
    return touch.what;
}

/// Without scheme, user, port and path.
std::string host_alone(std::string address) {
    if (const std::size_t scheme = address.find("://"); scheme != std::string::npos)
        address.erase(0, scheme + 3);
    address = address.substr(0, address.find_first_of("/?#"));
    address.erase(0, address.rfind('@') + 1);
    return address.substr(0, address.rfind(':'));
}

/// A call fills in a port that its text leaves out (6379 of Redis): there the host decides.
bool port_is_open(const vm::Permissions& permissions, const Touch& asked) {
    if (asked.kind != "net" && asked.kind != "redis")
        return false;
    vm::Permissions hosts;
    for (const char* kind : {asked.kind.c_str(), "http"})
        for (const std::string& entry : entries_of(permissions, kind))
            hosts.http.push_back(host_alone(entry));
    return allowed(hosts, {"http", host_alone(asked.what), "", "", 0, true});
}

} // namespace

Map reach_of(Session& session) {
    const Reached reached = read(session);
    Map needs;
    List missing, unknown;
    for (const std::string& kind : need_kinds()) {
        List entries;
        for (const Touch& touch : reached.touches) {
            if (touch.kind != kind)
                continue;
            Map place{{"kind", kind},
                      {"what", touch.what},
                      {"call", touch.call},
                      {"file", touch.file},
                      {"line", touch.line}};
            if (touch.what.empty()) {
                unknown.push_back(place);
                continue;
            }
            if (std::find(entries.begin(), entries.end(), Value(touch.what)) == entries.end())
                entries.push_back(touch.what);
            Touch asked = touch;
            asked.what = asked_for(reached, touch);
            if (!asked.what.empty() && !allowed(session.host().allowed, asked))
                missing.push_back(place);
        }
        if (!entries.empty())
            needs.set(kind, entries);
    }
    return Map{{"needs", needs}, {"missing", missing}, {"unknown", unknown}};
}

std::vector<Finding> undeclared_needs(Session& session) {
    std::vector<Finding> findings;
    const vm::Permissions& permissions = session.host().allowed;
    const Reached reached = read(session);
    for (const Touch& touch : reached.touches) {
        Touch asked = touch;
        asked.what = asked_for(reached, touch);
        if (!touch.certain || asked.what.empty() || allowed(permissions, asked) ||
            port_is_open(permissions, asked))
            continue;
        const auto& entries = entries_of(permissions, touch.kind);
        const std::string at =
            permissions.declared_at.empty() ? "" : fmt::format(" ({})", permissions.declared_at);
        findings.push_back(
            {touch.file, touch.line,
             fmt::format("{0}: needs.{1} {2}{3}, not {4}: add \"{4}\" to it, or allow it for one "
                         "run with --allow-{1} {4}",
                         touch.call, touch.kind,
                         entries.empty() ? "declares none" : "allows " + text::join(entries, ", "),
                         at, asked.what),
             true});
    }
    return findings;
}

} // namespace runbook::engine
