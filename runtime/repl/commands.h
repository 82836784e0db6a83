// The prompt's own commands, `:word` and psql's `\d`. Loop thread.
#pragma once

#include "runtime/repl/table.h"

#include <string>
#include <vector>

namespace runbook::repl {

class Session;

/// What the prompt remembers between lines.
struct View {
    Style style;
    bool timing = true;
    bool expanded = false;
    bool quit = false;
};

/// Runs one command; returns what it shows. Throws Error{`usage`} for an unknown one (the nearest
/// is named) or wrong arguments, and what the database raises.
std::string run_command(Session& session, View& view, const std::string& line);

/// Names without the colon.
std::vector<std::string> command_names();

/// The rows, or how many were changed, and how long it took.
struct Outcome;
std::string show_outcome(const Outcome& outcome, const View& view);

} // namespace runbook::repl
