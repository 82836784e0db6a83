// How a run stands, in the words that lists, pages and metrics share. Any thread, no state.
#pragma once

#include "runtime/journal/journal.h"

#include <string>
#include <vector>

namespace runbook::view {

/// "running", "interrupted" (its process is gone), "held", or the outcome as the journal has it:
/// "succeeded", "rolled_back", "person_needed"…
std::string state_name(const journal::RunRecord& run);
/// The same for people: "rolled back", "a person is needed".
std::string state_of(const journal::RunRecord& run);
/// Also that it is paused, and why, which only its events tell.
std::string state_of(const journal::RunRecord& run, const std::vector<journal::Event>& events);

/// Whether a record of the journal is that of a schedule, not of a run.
bool is_schedule(const journal::RunRecord& record);
/// The outcome that makes it one.
constexpr const char* scheduled = "scheduled";

} // namespace runbook::view
