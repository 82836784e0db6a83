// A log file that grows: what was added to it since the last look. Any thread, no state; reads
// only.
#pragma once

#include "runtime/base/cancel.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace runbook::host {

/// How far a file was read: the file itself (it may be renamed), and the end of the last whole
/// line.
struct LogMark {
    std::int64_t device = 0, inode = 0, offset = 0;
};

struct LogScan {
    LogMark mark;                   ///< where the next look goes on
    std::int64_t lines = 0;         ///< whole lines that were added
    std::int64_t matches = 0;       ///< of them, those that count
    std::vector<std::string> first; ///< the first five of those, at most 300 bytes each
    bool lost = false;              ///< the file was replaced, and the rest of the old one is gone
};

/// Looks at what was added to `path` since `from`; without it, marks the end and counts nothing. A
/// line counts that contains one of `texts` (any line where there are none) and none of `but`. A
/// file that was renamed to PATH.1 is read to its end first. A last line that is not ended yet is
/// left for the next look. Throws `fs`.
LogScan scan_log(const std::string& path, const std::optional<LogMark>& from,
                 const std::vector<std::string>& texts, const std::vector<std::string>& but,
                 Cancel& cancel);

} // namespace runbook::host
