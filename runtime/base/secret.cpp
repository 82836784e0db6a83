// Secrets as values (contract in redact.h): opening, joining, fetching again.
// Owns: the process-wide table of origins and their newest value. Any thread.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"

#include <fmt/format.h>

#include <mutex>
#include <unordered_map>

namespace runbook {
namespace {

constexpr std::string_view joined = "joined:";

struct Known {
    std::string value;
    bool several = false; ///< values of one origin that differ: it does not name one secret
};

struct Origins {
    std::mutex mutex;
    std::unordered_map<std::string, Known> known;
    std::function<std::string(const std::string&)> fetch;
};

/// Never destroyed, as the redactor's registry.
Origins& origins() {
    static auto* const one = new Origins;
    return *one;
}

void remember(const std::string& value, const std::string& origin) {
    if (origin.starts_with(joined))
        return; // made again from its parts
    std::lock_guard lock(origins().mutex);
    const auto [place, added] = origins().known.try_emplace(origin, Known{value, false});
    if (!added && place->second.value != value)
        place->second = {value, true};
}

/// A place from which it can be read again gives the newest value; "url" may have been any.
bool is_source(std::string_view origin) {
    for (std::string_view scheme : {"env:", "file:", "command:", "vault:", "aws:"})
        if (origin.starts_with(scheme))
            return true;
    return false;
}

std::string fetch_again(const std::string& origin) {
    if (origin.starts_with(joined)) {
        const Value parts = json::parse_tagged(std::string_view(origin).substr(joined.size()));
        std::string value;
        for (const Value& part : *parts.get<List>())
            if (const auto* secret = part.get<SecretPtr>())
                value += (*secret)->reveal();
            else
                value += *part.get<std::string>();
        return value;
    }
    std::function<std::string(const std::string&)> fetch;
    {
        std::lock_guard lock(origins().mutex);
        const auto found = origins().known.find(origin);
        if (found != origins().known.end() && (!found->second.several || is_source(origin)))
            return found->second.value;
        fetch = origins().fetch;
    }
    if (!is_source(origin) || !fetch)
        throw Error("secret.unknown",
                    fmt::format("the secret from {} cannot be fetched again", origin),
                    "take it from the parameter or from its source, not from a result");
    return fetch(origin);
}

} // namespace

Secret::Secret(std::string value, std::string origin)
    : value_(std::move(value)), origin_(std::move(origin)) {
    hide(value_);
    remember(value_, origin_);
}

const std::string& Secret::reveal() const {
    if (open_.load(std::memory_order_acquire))
        return value_;
    std::string value = fetch_again(origin_); // may take a request: not under a lock
    hide(value);
    static std::mutex opening;
    std::lock_guard lock(opening);
    if (!open_.load(std::memory_order_relaxed)) {
        value_ = std::move(value);
        open_.store(true, std::memory_order_release);
    }
    return value_;
}

SecretPtr make_secret(std::string value, std::string origin) {
    return std::make_shared<const Secret>(std::move(value), std::move(origin));
}

SecretPtr closed_secret(std::string origin) {
    return std::make_shared<const Secret>(std::move(origin));
}

SecretPtr join_secret(const List& parts) {
    List flat;
    std::string value;
    for (const Value& part : parts) {
        if (const auto* text = part.get<std::string>()) {
            value += *text;
            flat.push_back(part);
        } else if (const auto* secret = part.get<SecretPtr>()) {
            value += (*secret)->reveal();
            const std::string& origin = (*secret)->origin();
            if (!origin.starts_with(joined)) {
                flat.push_back(part);
                continue;
            }
            const Value inner = json::parse_tagged(std::string_view(origin).substr(joined.size()));
            for (const Value& item : *inner.get<List>())
                flat.push_back(item);
        } else {
            throw Error("argument",
                        fmt::format("text or a secret expected, got {}", part.type_name()));
        }
    }
    return make_secret(std::move(value), std::string(joined) + redact(json::dump_tagged(flat)));
}

void set_secret_source(std::function<std::string(const std::string& origin)> fetch) {
    std::lock_guard lock(origins().mutex);
    origins().fetch = std::move(fetch);
}

} // namespace runbook
