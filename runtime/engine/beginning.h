// What a run's log begins with, and what is written outside of its Lua task. Loop thread.
#pragma once

#include "runtime/engine/needs.h"
#include "runtime/engine/session.h"

#include <string>
#include <vector>

namespace runbook::engine {

/// Appends from the loop thread, outside the Lua task (first and last events).
void append(Session& session, const std::string& event, const Map& data);
/// What the operator allowed beyond `needs`.
void append_widened(Session& session, const std::vector<Grant>& grants);
/// Called by begin(): from here on the run exists.
void start(Session& session, const Map& plan);
/// Completes the events of a run that is continued with what came after them, and, where its first
/// process died before it had written who started it and what it will do, with that, written now:
/// gates are answered by it.
void complete_history(Session& session, std::vector<journal::Event>& history);

} // namespace runbook::engine
