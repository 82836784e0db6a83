// How fast a piece of work is, from the counts it reports. Loop thread, no clock of its own.
#pragma once

#include "runtime/base/progress.h"

#include <cstdint>
#include <deque>

namespace runbook::view {

class RateMeter {
  public:
    /// Speeds look back over this long, so that they follow a change but do not flicker.
    static constexpr double look_back_s = 10;

    void add(std::int64_t micros, const ProgressReport& report);
    double rows_per_s() const;
    double bytes_per_s() const;
    /// Seconds until `total_rows` (or else `total_bytes`) are done; negative where it cannot be
    /// known.
    double eta_s() const;
    /// 0 to 1; negative where no total is known.
    double fraction() const;
    const ProgressReport& latest() const { return latest_; }

  private:
    struct Sample {
        std::int64_t micros, rows, bytes;
    };
    double speed(std::int64_t Sample::*count) const;
    std::deque<Sample> samples_;
    ProgressReport latest_;
};

} // namespace runbook::view
