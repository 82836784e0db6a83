// What the host asks the loaded program: its plan, its findings, its run. Loop thread; the
// program's table lies in the state's registry.
#pragma once

#include "runtime/engine/session.h"

#include <vector>

namespace runbook::engine {

/// The plan as data.
Value describe(Session& session);
/// Of the plan what does not grow with the playbook: name, summary, parameters, roles, locks.
Value describe_head(Session& session);
/// Contradictions that loading alone cannot see.
std::vector<Finding> program_findings(Session& session);
/// Names that are neither in the language nor defined in the file.
std::vector<Finding> undefined_names(Session& session);
/// Throws Error{`load`} with every finding that is an error.
void refuse_findings(const std::vector<Finding>& findings);
/// Puts the files of a run together; leaves main.lua's table in the registry.
void link_run(Session& session);

} // namespace runbook::engine
