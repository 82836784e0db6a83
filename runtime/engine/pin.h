// What a run is pinned to, so that a resume goes on with the same: source, modules, templates,
// parameters, roster. Text in, text out; no Lua.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <vector>

namespace runbook::engine {

struct Session;

/// "20261120-2200-7f3a": sortable, and short enough to type.
std::string new_run_id();
/// Names of the locks that the plan takes, in its order.
std::vector<std::string> locks_of(const Map& plan);
/// What resume needs. Secrets from the command line are left out: resume asks for them again.
Map pin(const Session& session, const Map& plan);
/// What people agree to: the source, its modules, the values of the parameters, and who may answer.
std::string plan_hash(const Session& session, const Map& plan);
/// The parts of the plan that the journal keeps, for views and for who answers.
Map shown_plan(const Session& session, const Map& plan);
/// Name of the first parameter whose value is not the one the run started with, and both values.
std::string changed_parameter(const Map& plan, const Map& started);
/// What is wrong with the first template that is not the one that `run` started with.
std::string changed_template(const Session& session, const Map& pinned, const std::string& run);
/// The first line in which two texts differ, from 1.
std::size_t first_difference(const std::string& a, const std::string& b);

} // namespace runbook::engine
