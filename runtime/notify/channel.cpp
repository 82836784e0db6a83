// The settings of a channel: which ones each kind has, what may stand in them. Pure; opens nothing.
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/notify/notify.h"
#include "runtime/notify/post.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::notify {
namespace {

struct Kind {
    std::string name;
    std::vector<std::string> needed, further;
    int pace_ms = 0; ///< what its provider allows
};

const std::vector<Kind>& table() {
    static const std::vector<Kind> all = {
        {"console", {}, {}},
        {"file", {"path"}, {"format"}},
        {"bell", {}, {}},
        {"webhook", {"url"}, {"format", "headers", "token", "ca"}},
        {"slack", {}, {"url", "token", "channel", "threads", "api"}, 1000},
        {"pagerduty", {"key"}, {"api"}, 500},
        {"statuspage", {"token", "page"}, {"components", "style", "api"}, 1000},
        {"smtp", {"host", "from", "to"}, {"port", "security", "user", "password", "ca", "threads"}},
        {"route", {}, {}}};
    return all;
}

const std::vector<std::string> common = {"level", "required", "attempts", "timeout", "rate"};
const std::vector<std::string> levels(level_names.begin(), level_names.end());

[[noreturn]] void refuse(const std::string& message, const std::string& hint = {}) {
    throw Error("usage", message, hint);
}

std::string text_of(const std::string& key, const Value& value) {
    const auto* text = value.get<std::string>();
    if (!text || text->empty())
        refuse(key + ": text expected");
    if (text->find_first_of("\r\n") != std::string::npos)
        refuse(key + ": one line expected");
    return *text;
}

std::vector<std::string> texts_of(const std::string& key, const Value& value) {
    std::vector<std::string> texts;
    if (const auto* list = value.get<List>()) {
        for (const Value& one : *list)
            texts.push_back(text_of(key, one));
    } else {
        texts.push_back(text_of(key, value));
    }
    if (texts.empty())
        refuse(key + ": at least one expected");
    return texts;
}

std::string word_of(const std::string& key, const Value& value,
                    const std::vector<std::string>& known) {
    std::string word = text_of(key, value);
    if (std::find(known.begin(), known.end(), word) == known.end())
        refuse(fmt::format("unknown {} '{}'{}", key, word, text::did_you_mean(word, known)),
               "known here: " + text::join(known, ", "));
    return word;
}

bool flag_of(const std::string& key, const Value& value) {
    if (!value.get<bool>())
        refuse(key + ": true or false expected");
    return *value.get<bool>();
}

std::int64_t count_of(const std::string& key, const Value& value, std::int64_t most) {
    const auto* count = value.get<std::int64_t>();
    if (!count || *count < 1 || *count > most)
        refuse(fmt::format("{}: a number from 1{} expected", key,
                           most < 100'000 ? fmt::format(" to {}", most) : ""));
    return *count;
}

/// A secret by its type: what stands in a file or a playbook as it is, everybody reads.
Value secret_of(const std::string& key, const Value& value) {
    if (!value.get<SecretPtr>())
        refuse(fmt::format("{}: a secret expected, not its text", key),
               "secret.env \"NAME\" takes it from the environment");
    return value;
}

/// Whoever knows the address of a hook may post there: its path is a secret, too.
Value url_of(const std::string& name, const Value& value) {
    if (value.get<SecretPtr>())
        return value;
    const std::string url = text_of("url", value);
    const std::size_t host = url.find("://");
    if (!url.starts_with("https://") && !url.starts_with("http://"))
        refuse("url: an address that begins with https:// or http:// expected");
    const std::size_t path = url.find('/', host + 3);
    if (path == std::string::npos || url.size() < path + 2)
        return url;
    return Value(make_secret(url, "channels." + name + ".url"));
}

std::string api_of(const Value& value) {
    std::string api = text_of("api", value);
    while (api.ends_with('/'))
        api.pop_back();
    const std::string host = api.substr(0, api.find_first_of("/:", api.find("://") + 3));
    if (!api.starts_with("https://") && host != "http://localhost" && host != "http://127.0.0.1")
        refuse("api: an address that begins with https:// expected",
               "the token would be readable on its way");
    return api;
}

/// "1/s", "30/m", "100/h": the least time between two.
std::chrono::milliseconds pace_of(const Value& value) {
    const auto* given = value.get<std::string>();
    const std::size_t slash = given ? given->find('/') : std::string::npos;
    if (slash != std::string::npos && slash > 0 && slash < 6 && given->size() == slash + 2 &&
        given->find_first_not_of("0123456789") == slash) {
        const int count = std::stoi(given->substr(0, slash));
        const char unit = given->back();
        const int seconds = unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 0;
        if (count > 0 && seconds > 0)
            return std::chrono::milliseconds(seconds * 1000 / count);
    }
    refuse("rate: how many messages in a second, minute or hour expected: 1/s, 30/m, 100/h");
}

std::chrono::milliseconds timeout_of(const Value& value) {
    const auto* words = value.get<std::string>();
    std::optional<double> seconds = words ? text::parse_duration(*words) : std::nullopt;
    if (const auto* number = value.get<double>())
        seconds = *number;
    if (const auto* number = value.get<std::int64_t>(); number && !words)
        seconds = static_cast<double>(*number);
    if (!seconds || *seconds <= 0)
        refuse("timeout: a duration such as 30s or 10m expected");
    return std::chrono::milliseconds(static_cast<std::int64_t>(*seconds * 1000));
}

std::vector<std::pair<std::string, Value>> headers_of(const Value& value) {
    std::vector<std::pair<std::string, Value>> headers;
    const auto* map = value.get<Map>();
    if (!map)
        refuse("headers: { Name = \"text\" } expected");
    for (const auto& [name, given] : *map)
        headers.emplace_back(
            name, given.get<SecretPtr>() ? given : Value(text_of("headers." + name, given)));
    return headers;
}

Level level_at(const std::string& key, const Value& value) {
    return *level_of(word_of(key, value, levels));
}

/// One of the settings that any kind may have; false: it is another.
bool set_common(Channel& channel, const std::string& key, const Value& value) {
    if (key == "level")
        channel.level = level_at(key, value);
    else if (key == "required")
        channel.required = flag_of(key, value);
    else if (key == "attempts")
        channel.retry.attempts = static_cast<int>(count_of(key, value, 1000));
    else if (key == "timeout")
        channel.timeout = timeout_of(value);
    else if (key == "rate")
        channel.pace = pace_of(value);
    else
        return false;
    return true;
}

void set_own(Channel& channel, const std::string& key, const Value& value,
             const std::string& folder) {
    if (key == "url")
        channel.url = url_of(channel.name, value);
    else if (key == "token")
        channel.token = secret_of(key, value);
    else if (key == "key")
        channel.key = secret_of(key, value);
    else if (key == "password")
        channel.password = secret_of(key, value);
    else if (key == "api")
        channel.api = api_of(value);
    else if (key == "headers")
        channel.headers = headers_of(value);
    else if (key == "format")
        channel.format = word_of(key, value,
                                 channel.kind == "file"
                                     ? std::vector<std::string>{"text", "json"}
                                     : std::vector<std::string>{"generic", "slack", "grafana"});
    else if (key == "security")
        channel.security = word_of(key, value, {"starttls", "tls", "none"});
    else if (key == "style")
        channel.style = word_of(key, value, {"maintenance", "incident"});
    else if (key == "threads")
        channel.threads = flag_of(key, value);
    else if (key == "components")
        channel.components = texts_of(key, value);
    else if (key == "to")
        channel.to = texts_of(key, value);
    else if (key == "from")
        channel.from = text_of(key, value);
    else if (key == "user")
        channel.user = text_of(key, value);
    else if (key == "ca")
        channel.tls.ca = text_of(key, value);
    else if (key == "port")
        channel.port = static_cast<int>(count_of(key, value, 65535));
    else // channel, page, path, host
        channel.place = text_of(key, value);
    for (std::string* path :
         {key == "path" ? &channel.place : nullptr, key == "ca" ? &channel.tls.ca : nullptr})
        if (path && !folder.empty() && !path->starts_with('/'))
            *path = folder + (folder.ends_with('/') ? "" : "/") + *path;
}

/// What the settings must be together.
void check_together(const Channel& channel) {
    if (channel.kind == "slack") {
        const bool bot = !channel.token.is_null();
        if (!bot && channel.url.is_null())
            refuse("url is missing", "url (an incoming webhook), or token and channel (an app)");
        if (bot && !channel.url.is_null())
            refuse("both url and token: one of them says how to get there");
        if (bot && channel.place.empty())
            refuse("channel is missing", "where the token's app posts: C0123456789 or #migration");
    }
    if (channel.kind == "smtp") {
        const bool login = !channel.user.empty();
        if (login == channel.password.is_null())
            refuse(login ? "password is missing" : "user is missing",
                   "user and password belong together");
        if (login && channel.security == "none")
            refuse("security: none would show the password to everybody on its way",
                   "starttls (port 587) or tls (port 465)");
        for (const std::string& address : channel.to)
            if (address.find('@') == std::string::npos ||
                address.find_first_of(" <>") != std::string::npos)
                refuse(fmt::format("to: '{}' is no address such as team@example.com", address));
    }
    if (channel.kind == "route" && channel.routes.empty())
        refuse("no level leads anywhere",
               "critical = [\"alerts\", \"pager\"], warning = \"monitoring\"");
}

void set_defaults(Channel& channel) {
    const auto& all = table();
    const auto kind = std::find_if(all.begin(), all.end(),
                                   [&](const Kind& one) { return one.name == channel.kind; });
    channel.pace = std::chrono::milliseconds(kind->pace_ms);
    if (channel.kind == "webhook" || channel.kind == "file")
        channel.format = channel.kind == "file" ? "text" : "generic";
    if (channel.kind == "slack")
        channel.api = "https://slack.com/api";
    if (channel.kind == "pagerduty") {
        channel.api = "https://events.pagerduty.com";
        channel.level = Level::error; // milder ones wake nobody
    }
    if (channel.kind == "statuspage")
        channel.api = "https://api.statuspage.io/v1";
}

} // namespace

std::string leads_to(const Channel& channel) {
    if (channel.kind == "route") {
        std::string ways;
        for (auto way = channel.routes.rbegin(); way != channel.routes.rend(); ++way)
            ways += fmt::format("{}{}: {}", ways.empty() ? "" : "; ", name_of(way->first),
                                text::join(way->second, ", "));
        return ways;
    }
    if (channel.kind == "smtp")
        return fmt::format("{} through {}", text::join(channel.to, ", "), channel.place);
    if (!channel.url.is_null())
        return host_of(open_value(channel.url));
    if (!channel.api.empty())
        return channel.place + (channel.place.empty() ? "" : " at ") + host_of(channel.api);
    return channel.kind == "bell"      ? "the terminal of the run"
           : channel.kind == "console" ? "the run's own output"
                                       : channel.place;
}

std::string_view name_of(Level level) {
    return level_names.at(static_cast<std::size_t>(level));
}

std::optional<Level> level_of(std::string_view word) {
    for (std::size_t i = 0; i < level_names.size(); ++i)
        if (level_names.at(i) == word)
            return static_cast<Level>(i);
    return std::nullopt;
}

std::vector<std::string> kinds() {
    std::vector<std::string> names;
    for (const Kind& kind : table())
        names.push_back(kind.name);
    return names;
}

bool is_secret_setting(std::string_view key) {
    return key == "url" || key == "token" || key == "key" || key == "password";
}

Channel channel_of(const std::string& name, const std::string& kind, const Map& settings,
                   const std::string& folder) {
    if (name.empty())
        refuse("a notification channel needs a name");
    const std::vector<std::string> known_kinds = kinds();
    const auto at = std::find(known_kinds.begin(), known_kinds.end(), kind);
    if (at == known_kinds.end())
        refuse(fmt::format("unknown type '{}'{}", kind, text::did_you_mean(kind, known_kinds)),
               "known here: " + text::join(known_kinds, ", "));
    const Kind& own = table()[static_cast<std::size_t>(at - known_kinds.begin())];
    std::vector<std::string> known = own.needed;
    known.insert(known.end(), own.further.begin(), own.further.end());
    const std::vector<std::string>& more = kind == "route" ? levels : common;
    known.insert(known.end(), more.begin(), more.end());
    Channel channel;
    channel.name = name;
    channel.kind = kind;
    set_defaults(channel);
    for (const auto& [key, value] : settings) {
        if (std::find(known.begin(), known.end(), key) == known.end())
            refuse(fmt::format("unknown key '{}'{}", key, text::did_you_mean(key, known)),
                   "known here: type, " + text::join(known, ", "));
        if (kind == "route")
            channel.routes[*level_of(key)] = texts_of(key, value);
        else if (!set_common(channel, key, value))
            set_own(channel, key, value, folder);
    }
    for (const std::string& key : own.needed)
        if (!settings.contains(key))
            refuse(key + " is missing",
                   is_secret_setting(key)
                       ? fmt::format("{} = \"env:NAME\" takes it from the environment", key)
                       : "");
    check_together(channel);
    return channel;
}

} // namespace runbook::notify
