// Notices and reminders of a run, by their dates: what is still to come, from its events. Main
// thread.
#pragma once

#include "runtime/journal/journal.h"

#include <string>
#include <vector>

namespace runbook::cli {

/// A notice or a reminder of a run, on its date; or a message that could not be sent yet.
struct Dated {
    std::string run, kind, name, what; ///< kind: notice, reminder, message; what: whom for
    std::int64_t at = 0;               ///< micros
};

/// Those that were neither posted nor given up, by their dates.
std::vector<Dated> dated_of(const std::vector<journal::Event>& events);
/// A table for people, with its head.
std::vector<std::vector<std::string>> dated_rows(const std::vector<Dated>& dated);
/// {notice or reminder, what, run, due, state}.
Map dated_map(const Dated& one);

} // namespace runbook::cli
