// What the commands that act on a live run share. Main thread.
#pragma once

#include "runtime/cli/command.h"
#include "runtime/journal/journal.h"

#include <string>

namespace runbook::cli {

/// Whether a process runs it now, as far as this host can tell.
bool is_live(const journal::RunRecord& run);
/// `resume` of a live run: lets a paused one go on. Throws Error{`usage`} where it is not paused.
int continue_live(journal::Journal& journal, const journal::RunRecord& run);
/// `rollback` of a live run: orders it and shows it until it has ended; its exit code.
int rollback_live(journal::Journal& journal, const journal::RunRecord& run,
                  const Arguments& arguments);
/// The run of `retry RUN STEP`. Throws Error{`usage`} where it may not be retried.
std::string retried_run(const Arguments& arguments);

} // namespace runbook::cli
