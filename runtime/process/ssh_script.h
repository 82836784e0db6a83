// What the other side of an ssh connection runs. Any thread, no state.
#pragma once

#include "runtime/process/process.h"

namespace runbook::process {

/// The word for ssh: reads the length of a script from standard input, then the script, and runs
/// it. Made so that any login shell, also csh and fish, passes it on unchanged.
inline constexpr char remote_loader[] =
    "exec sh -c 'read -r n && s=$(head -c \"$n\") && eval \"$s\"'";

/// The script, then `input`: all that goes over standard input. `mark` is unique to this command;
/// lines of standard error that begin with it are messages for this side:
/// `begun`, `cwd REASON`, `missing`, `exit 255`, `left PID NAME`, `ended`.
std::string remote_stream(const Command& command, const std::string& mark,
                          const std::string& input);

} // namespace runbook::process
