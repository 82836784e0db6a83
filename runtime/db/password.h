// Where the password of a named database comes from when its URL has none. Any thread, no state.
#pragma once

#include "runtime/db/url.h"

#include <string>
#include <string_view>

namespace runbook::db {

/// "RUNBOOK_TARGET_PASSWORD" for "target".
std::string password_variable(std::string_view name);

/// Parses the URL; without a password in it, the variable above gives one where it is set. Throws
/// as Url::parse does.
Url parse_named(std::string_view text, const std::string& name);

} // namespace runbook::db
