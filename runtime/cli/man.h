// The man page, made from the table of commands: docs/runbook.1. Any thread, no state.
#pragma once

#include <string>

namespace runbook::cli {

/// runbook(1) as roff, with every command that is not hidden, its options, examples and exit codes.
std::string man_page();

} // namespace runbook::cli
