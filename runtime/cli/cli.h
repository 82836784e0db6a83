// The program's command line: finds the command, runs it, prints what went wrong.
// Main thread. Never knows a binding: these come in from main.
#pragma once

#include "runtime/engine/engine.h"

namespace runbook::cli {

/// Runs one command; returns the exit code (docs/commands.md). Errors go to standard error as
/// `error: …` and `hint: …`.
int run(int argc, char** argv, engine::RegisterBindings register_bindings);

} // namespace runbook::cli
