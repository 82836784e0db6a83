// Between process.cpp and command.cpp. Any thread, no state.
#pragma once

#include "runtime/base/error.h"
#include "runtime/process/process.h"

namespace runbook::process {

/// Throws `usage`: see run().
void check(const Command& command);
/// What is wrong with the status that the command ended with, by what it was expected to be.
std::optional<Error> status_error(const Command& command, const Result& result);
/// The value of an environment variable; opens a secret. Throws `usage` for what has no text.
std::string env_text(const std::string& name, const Value& value);
/// What goes to standard input; opens a secret. Throws `usage` for what has no text.
std::string input_text(const Value& value);
/// What the helper reads first (child_helper.h).
std::string specification(const Command& command);

} // namespace runbook::process
