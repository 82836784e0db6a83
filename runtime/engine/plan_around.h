// What stands around the run in time, for the plan: schedules, dates before T, updates, follow-ups,
// what people do after a rollback. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <array>
#include <string>
#include <vector>

namespace runbook::engine {

/// One kind of it: rows of {when, name, what}.
struct Section {
    std::string title;
    std::vector<std::array<std::string, 3>> rows;
};

/// Those that have rows, in the order in which they are shown. `plan` as the load phase describes
/// it.
std::vector<Section> sections(const Map& plan);
/// "2026-11-26 06:00 UTC" of an ISO date.
std::string minute(const std::string& iso);
/// The texts of a list.
std::vector<std::string> texts_at(const Map& map, const char* key);

} // namespace runbook::engine
