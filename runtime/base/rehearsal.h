// A process that tests playbooks instead of running them (`runbook test`): its clock stands still
// and is moved by whoever tests, and no binding reaches the world. Set once, before any run; any
// thread reads.
#pragma once

#include <atomic>
#include <cstdint>

namespace runbook::rehearsal {

/// Micros since the epoch; 0: the clock is the system's.
inline std::atomic<std::int64_t> stopped_at{0};

/// Whether bindings refuse everything that would leave the process.
inline bool active() {
    return stopped_at.load(std::memory_order_relaxed) != 0;
}

} // namespace runbook::rehearsal
