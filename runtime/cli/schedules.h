// The schedules of playbooks, for `runbook due`: which occurrence has come, which one is started,
// and what was missed. Main thread. Each schedule has a record in the journal ("schedule.nightly"):
// its lease lets one process at a time decide, its events say what became of each occurrence. The
// run of an occurrence is named after it, so that it can be made only once.
#pragma once

#include "runtime/cli/command.h"
#include "runtime/engine/schedule.h"
#include "runtime/journal/journal.h"

#include <string>
#include <vector>

namespace runbook::cli {

struct Arguments;

/// A schedule and how it stands.
struct Scheduled {
    engine::Schedule schedule;
    std::string playbook, file, environment;
    engine::ScheduleState state;
    bool known = false;  ///< the journal has it
    std::int64_t at = 0; ///< the occurrence that has come and is not done with, else the next one
    bool due = false;    ///< whether `at` has come
    std::string blocked; ///< why it could not be started now
};

/// Those of the files, as the journal knows them; throws what loading a file raises, and
/// Error{`usage`} for a file without a schedule.
std::vector<Scheduled> schedules_of(const Context& context, const Arguments& arguments,
                                    const std::vector<std::string>& files,
                                    journal::Journal* journal);
/// Those that the journal knows.
std::vector<Scheduled> known_schedules(journal::Journal& journal,
                                       const std::vector<journal::RunRecord>& runs);

/// Starts what is due of one file. Returns the worst exit code (as `runbook due`).
int start_scheduled(const Context& context, const Arguments& arguments, const std::string& file,
                    const engine::Options& options);

/// A cron line and the units of a systemd timer that run `runbook due` for these files.
std::string timer_lines(const Arguments& arguments, const std::vector<Scheduled>& schedules);

} // namespace runbook::cli
