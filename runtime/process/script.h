// Scripts for a shell from templates. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::process {

/// Replaces each `{name}` of a template by the value of that name, quoted for a POSIX shell; a list
/// becomes several words, `{{` a brace, and `${name}` stays the shell's. Throws `usage` for a name
/// without a value, a value that is never used, a `{name}` inside quotes (which would end them), a
/// secret (it would stand in the arguments of a command) and what has no text.
std::string fill_script(std::string_view text, const Map& values);

} // namespace runbook::process
