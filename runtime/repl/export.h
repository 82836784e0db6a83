// What was done at the prompt, as the skeleton of a playbook. Loop thread.
#pragma once

#include <string>

namespace runbook::repl {

class Session;

/// Writes the file and says so. Throws Error{`usage`} where nothing was done yet or the file exists
/// already, Error{`fs`} where it cannot be written.
std::string export_playbook(Session& session, const std::string& file);

} // namespace runbook::repl
