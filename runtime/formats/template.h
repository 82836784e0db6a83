// Texts with places to fill in: {name}, {server.port}; {{ and }} are braces. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::templates {

/// How a value is written into the text around it.
enum class Escape { none, html, shell, json, systemd, url };
/// Throws Error{`usage`} for another word than none, html, shell, json, systemd, url.
Escape parse_escape(const std::string& word);

struct Rendered {
    std::string text;
    bool has_secret = false; ///< a secret was filled in, opened
};

/// Throws Error{`template`} with the line for a name that `values` does not have (the nearest is
/// named), a value that is null or a table (json: written as JSON), a brace without its partner.
Rendered render(std::string_view text, const Map& values, Escape escape);

} // namespace runbook::templates
