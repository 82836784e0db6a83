// How runs stand, as data and as metrics. Plain data; any thread.
#pragma once

#include "runtime/serve/backups.h"
#include "runtime/serve/overview.h"

namespace runbook::serve {

/// {checked, journal, running, held, interrupted, runs: […]}, newest first.
Map status_of(const std::vector<Seen>& runs, const std::string& journal);

/// Prometheus' text. `runs` is null where the journal could not be read: then nothing is said of
/// runs but that.
std::string metrics_of(const std::vector<Seen>* runs, const std::vector<BackupState>& backups);

} // namespace runbook::serve
