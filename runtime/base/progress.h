// How native work says how far it is.
// Any thread may call report(); the receiver hands it to the loop thread and drops what comes too
// fast.
#pragma once

#include "runtime/base/value.h"

#include <memory>
#include <string>

namespace runbook {

/// One report. Counts are totals since the work began, not differences. Zero `total_*` means
/// unknown.
struct ProgressReport {
    std::string item; ///< table, file or phase being worked on
    std::int64_t rows = 0, total_rows = 0;
    std::int64_t bytes = 0, total_bytes = 0;
};

class ProgressSink {
  public:
    virtual ~ProgressSink() = default;
    virtual void report(const ProgressReport& report) = 0;
    /// One line of output from the work (a child process's line, a server's notice); already
    /// redacted by no one.
    virtual void line(std::string_view stream, std::string_view text) = 0;
};

using ProgressPtr = std::shared_ptr<ProgressSink>;

} // namespace runbook
