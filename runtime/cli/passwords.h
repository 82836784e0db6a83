// Passwords on the command line. Main thread, no state.
#pragma once

#include "runtime/db/url.h"

#include <string>
#include <utility>
#include <vector>

namespace runbook::cli {

/// Says once on standard error that a password inside a URL is visible to other users, naming the
/// first of `urls` (name, URL) that has one as `prefix` and its name.
void warn_of_passwords(const std::vector<std::pair<std::string, std::string>>& urls,
                       const std::string& prefix);

/// The database that the argument `shown` ("SOURCE") names; its password may stand in the variable
/// of `name`. Throws Error{`usage`} that begins with `shown`.
db::Url database_argument(const std::string& text, const std::string& name, const char* shown);

} // namespace runbook::cli
