// The prompt: SQL and Lua on named connections.
// Owns: the loop that reads lines, runs them and shows what came. Main thread, which is also the
// loop thread. Never decides what may be written: the servers of read-only sessions do.
#pragma once

#include "runtime/engine/engine.h"

#include <string>
#include <utility>
#include <vector>

namespace runbook::repl {

struct Options {
    std::vector<std::pair<std::string, std::string>> connect; ///< name, URL
    bool read_write = false;
    std::string file; ///< Lua that runs before the first line
};

/// Reads lines until the end of input or :quit. With a terminal on standard input and output it
/// edits lines and asks; otherwise it is a script: no prompt, the first error ends it with 1.
/// Throws Error before the first line: a connection that cannot be opened, a FILE that fails.
int run(engine::RegisterBindings register_bindings, const Options& options);

} // namespace runbook::repl
