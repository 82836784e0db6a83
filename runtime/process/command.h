// Between process.cpp and command.cpp. Any thread, no state.
#pragma once

#include "runtime/process/process.h"

namespace runbook::process {

/// Throws `usage`: see run().
void check(const Command& command);
/// What the helper reads first (child_helper.h).
std::string specification(const Command& command);

} // namespace runbook::process
