// The descriptions of `runbook copy` and `verify`, parts of the table of commands. Constant data.
#pragma once

#include "runtime/cli/command.h"

namespace runbook::cli {

/// With what the table's commands share: --output, and what is said of URLs.
Command copy_command(const Option& output, std::string_view url_details);
Command verify_command(const Option& output, std::string_view url_details);

} // namespace runbook::cli
