// What a loaded playbook reaches by its text, against what its `needs` and the operator allow.
// Loop thread, no state.
#pragma once

#include "runtime/engine/engine.h"

#include <vector>

namespace runbook::engine {

struct Session;

/// {needs, missing, unknown}: the needs that the text shows, and the places that are not declared
/// or not known before the run. Of a loaded session, its parameters as they are.
Map reach_of(Session& session);

/// What is certainly reached and not allowed: each place with what to add. A run that would come to
/// one is refused before it begins.
std::vector<Finding> undeclared_needs(Session& session);

} // namespace runbook::engine
