// Who runs this process, and from where: rule 10 of docs/playbook.md. Any thread.
#pragma once

#include <string>

namespace runbook::engine {

/// The OS user who runs this process: the real user id, never the environment or a flag.
std::string current_user();
/// From here on current_user() says `name`; empty: the real one again. Only for playbooks that are
/// tested.
void pretend_user(std::string name);
/// Where it was called: "db1 pts/3", or "db1" without a terminal.
std::string current_place();
std::string host_name();

} // namespace runbook::engine
