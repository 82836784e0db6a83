// What this host is doing now: processors, memory, load, as /proc tells it. Any thread, no state;
// reads only.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::host {

/// {cpus, busy_s, total_s, memory_total, memory_available, memory_used, load1, load5, load15}:
/// busy_s and total_s are seconds of all processors since the host started (the share between two
/// readings is how busy they were; waiting for a disk is not busy), memory is in bytes,
/// memory_used is the share that is not available. Throws `system` where /proc does not say it.
Map usage();

/// The same of the texts of /proc/stat, /proc/meminfo and /proc/loadavg.
Map usage_of(std::string_view stat, std::string_view memory, std::string_view load, double tick);

} // namespace runbook::host
