// Rules of a copy from the command line: a Lua file, and the options that say the common ones.
// Owns: the Lua state that the file runs in: no library that could touch anything. Main thread.
#pragma once

#include "runtime/cli/arguments.h"
#include "runtime/transfer/rules/rules.h"

namespace runbook::cli {

/// --rules, --rename, --omit and --where as one list. Throws Error{`usage`} for a malformed option,
/// Error{`load`} or Error{`argument`} for what the file says wrong.
rules::Rules rules_of(const Arguments& arguments);

} // namespace runbook::cli
