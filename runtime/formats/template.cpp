// Texts with places to fill in (contract in template.h).
#include "runtime/formats/template.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/markup.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::templates {
namespace {

[[noreturn]] void fail(std::string_view text, std::size_t at, const std::string& why,
                       const std::string& hint = {}) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    throw Error("template", fmt::format("line {}: {}", line, why), hint);
}

/// Inside of double quotes in a unit file (systemd.syntax(7), systemd.unit(5) on specifiers).
std::string systemd(const std::string& text) {
    std::string out;
    for (char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Error("template", "a control character has no place in a unit file");
        if (c == '\\' || c == '"')
            out += '\\';
        if (c == '%')
            out += '%';
        out += c;
    }
    return out;
}

/// Everything but unreserved characters as %XX (RFC 3986).
std::string url(const std::string& text) {
    std::string out;
    for (char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

/// The value under a dotted path; null where a part is missing, whose siblings are then in `names`.
const Value* find(const Map& values, const std::string& path, std::vector<std::string>& names) {
    const Map* map = &values;
    const Value* value = nullptr;
    for (const std::string& part : text::split(path, '.')) {
        if (!map)
            return nullptr;
        value = map->find(part);
        if (!value) {
            for (const auto& entry : *map)
                names.push_back(entry.first);
            return nullptr;
        }
        map = value->get<Map>();
    }
    return value;
}

std::string shown(const Value& value) {
    if (const auto* text = value.get<std::string>())
        return *text;
    if (const auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    if (const auto* decimal = value.get<Decimal>())
        return decimal->text;
    if (const auto* when = value.get<Timestamp>())
        return time::iso(*when);
    return json::dump(value);
}

std::string written(const Value& value, Escape escape) {
    switch (escape) {
    case Escape::html:
        return markup::escaped(shown(value));
    case Escape::shell:
        return text::shell_quote(shown(value));
    case Escape::json:
        return json::dump(value.get<SecretPtr>() ? Value(shown(value)) : value);
    case Escape::systemd:
        return systemd(shown(value));
    case Escape::url:
        return url(shown(value));
    case Escape::none:
        break;
    }
    return shown(value);
}

} // namespace

Escape parse_escape(const std::string& word) {
    if (word.empty() || word == "none")
        return Escape::none;
    if (word == "html")
        return Escape::html;
    if (word == "shell")
        return Escape::shell;
    if (word == "json")
        return Escape::json;
    if (word == "url")
        return Escape::url;
    if (word == "systemd")
        return Escape::systemd;
    throw Error("usage", fmt::format("escape '{}' is not known", word),
                "none, html, shell, json, systemd or url");
}

Rendered render(std::string_view text, const Map& values, Escape escape) {
    Rendered result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
            result.text += c;
            ++at;
            continue;
        }
        if (c == '}')
            fail(text, at, "'}' closes nothing; write '}}' for a brace");
        if (c != '{') {
            result.text += c;
            continue;
        }
        const std::size_t end = text.find('}', at);
        if (end == std::string_view::npos)
            fail(text, at, "'{' is never closed; write '{{' for a brace");
        const std::string name = text::trim(text.substr(at + 1, end - at - 1));
        if (name.empty() || name.find_first_of("{\n\"':") != std::string::npos)
            fail(text, at,
                 fmt::format("'{{{}}}' is no name; write '{{{{' for a brace", name.substr(0, 40)));
        std::vector<std::string> names;
        const Value* value = find(values, name, names);
        if (!value)
            fail(text, at,
                 fmt::format("'{}' has no value{}", name,
                             text::did_you_mean(name.substr(name.rfind('.') + 1), names)));
        if (escape != Escape::json &&
            (value->is_null() || value->get<Map>() || value->get<List>() || value->get<Opaque>()))
            fail(
                text, at,
                fmt::format("'{}' is {}", name, value->is_null() ? "null" : "no text but a table"));
        result.has_secret |= value->get<SecretPtr>() != nullptr;
        result.text += written(*value, escape);
        at = end;
    }
    return result;
}

} // namespace runbook::templates
