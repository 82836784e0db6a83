// A playbook's parameters on the command line.
// Main thread; loads the file for its declarations and runs nothing.
#pragma once

#include "runtime/cli/command.h"

#include <string>
#include <utility>
#include <vector>

namespace runbook::cli {

/// What `runbook exec FILE --help` prints. Throws what loading the file raises.
std::string playbook_help(const Context& context, const std::string& file);

/// Sorts `rest` by what the playbook declares. Where the file does not load, everything is taken as
/// it stands: the engine then says why.
std::vector<std::pair<std::string, std::string>>
parameters_of(const Context& context, const Command& command, const std::string& file,
              const std::vector<std::string>& rest);

/// "--app-dir" for app_dir.
std::string option_name(const std::string& parameter);

} // namespace runbook::cli
