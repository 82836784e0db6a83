// Questions at the run's own terminal. Worker thread.
#pragma once

#include "runtime/base/cancel.h"

#include <optional>
#include <string>

namespace runbook::engine {

/// Writes the prompt to standard error and reads one line from standard input; nothing at its end.
/// Throws Error when cancelled.
std::optional<std::string> ask_terminal(const std::string& prompt, Cancel& cancel);

} // namespace runbook::engine
