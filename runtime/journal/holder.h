// Who holds a lease: this process, as others can recognise it, and whether another one still lives.
// Any thread, no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
/// Unknown for another host, or another namespace of process ids on this one. A holder of another
/// boot is gone where all of them are on `one_machine`; else it may be another machine that bears
/// the same name.
Life life_of(const Holder& holder, bool one_machine);

/// Who else on this machine has one of the files locked for writing, as "process 4711 (sqlite3)";
/// empty where none is seen. Reads /proc/locks: opening a locked file and closing it again would
/// drop this process's own locks on it.
std::string who_locks(const std::vector<std::string>& paths);

} // namespace runbook::journal
