// The journal's texts and hashes (contract in chain.h).
#include "runtime/journal/chain.h"

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"

namespace runbook::journal {
namespace {

/// Redacted, but with secrets as such: their tagged form is the origin, which a resume needs.
Value cleaned(const Value& value) {
    if (value.get<SecretPtr>())
        return value;
    if (const auto* list = value.get<List>()) {
        List out;
        for (const Value& item : *list)
            out.push_back(cleaned(item));
        return out;
    }
    if (const auto* map = value.get<Map>()) {
        Map out;
        for (const auto& [key, item] : *map)
            out.set(redact(key), cleaned(item));
        return out;
    }
    return redact(value);
}

} // namespace

std::string stored(const Map& data) {
    return json::dump_tagged(cleaned(data));
}

Map restored(const std::string& text) {
    Value value = json::parse_tagged(text);
    Map* map = value.get<Map>();
    return map ? std::move(*map) : Map{};
}

std::string genesis(const std::string& run, const std::string& playbook, const std::string& file,
                    std::int64_t started, const std::string& pinned) {
    return digest::sha256_hex(json::dump_tagged(Map{{"run", run},
                                                    {"playbook", playbook},
                                                    {"file", file},
                                                    {"started", started},
                                                    {"pinned", pinned}}));
}

std::string link(const std::string& previous, const Event& event, const std::string& data) {
    return digest::sha256_hex(previous + "\n" +
                              json::dump_tagged(Map{{"run", event.run},
                                                    {"seq", event.seq},
                                                    {"micros", event.micros},
                                                    {"event", event.event},
                                                    {"step", event.step},
                                                    {"data", data}}));
}

} // namespace runbook::journal
