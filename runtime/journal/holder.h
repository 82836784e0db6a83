// Who holds a lease: this process, as others can recognise it, and whether another one still lives.
// Any thread, no state.
#pragma once

#include <cstdint>
#include <string>

namespace runbook::journal {

/// A process id alone is not enough: ids are used again. With the start time it is one process of
/// one boot.
struct Holder {
    std::int64_t pid = 0;   ///< 0: nobody
    std::int64_t start = 0; ///< clock ticks since boot, field 22 of /proc/PID/stat
    std::string host;       ///< host name
    std::string boot;       ///< boot id and process-id namespace
};

Holder this_process();

enum class Life { alive, gone, unknown };
/// Unknown for another host, or another namespace of process ids on this one.
Life life_of(const Holder& holder);

} // namespace runbook::journal
