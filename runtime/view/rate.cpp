// How fast a piece of work is (contract in rate.h).
#include "runtime/view/rate.h"

#include <algorithm>

namespace runbook::view {

void RateMeter::add(std::int64_t micros, const ProgressReport& report) {
    const bool begun_again =
        !samples_.empty() && (report.rows < latest_.rows || report.bytes < latest_.bytes);
    if (begun_again)
        samples_.clear();
    latest_ = report;
    // A report that follows at once replaces the last one: a thousand reports a second stay a
    // handful of samples.
    constexpr std::int64_t apart = 100'000;
    if (samples_.size() > 1 && micros - samples_[samples_.size() - 2].micros < apart)
        samples_.pop_back();
    samples_.push_back({micros, report.rows, report.bytes});
    const auto oldest = micros - static_cast<std::int64_t>(look_back_s * 1e6);
    while (samples_.size() > 2 && samples_.front().micros < oldest)
        samples_.pop_front();
}

double RateMeter::speed(std::int64_t Sample::*count) const {
    if (samples_.size() < 2)
        return 0;
    const double seconds =
        static_cast<double>(samples_.back().micros - samples_.front().micros) / 1e6;
    const auto done = static_cast<double>(samples_.back().*count - samples_.front().*count);
    constexpr double too_short = 0.3;
    return seconds < too_short ? 0 : done / seconds;
}

double RateMeter::rows_per_s() const {
    return speed(&Sample::rows);
}
double RateMeter::bytes_per_s() const {
    return speed(&Sample::bytes);
}

double RateMeter::eta_s() const {
    const double rows = rows_per_s(), bytes = bytes_per_s();
    if (latest_.total_rows > 0)
        return rows > 0 ? static_cast<double>(
                              std::max<std::int64_t>(0, latest_.total_rows - latest_.rows)) /
                              rows
                        : -1;
    if (latest_.total_bytes > 0 && bytes > 0)
        return static_cast<double>(std::max<std::int64_t>(0, latest_.total_bytes - latest_.bytes)) /
               bytes;
    return -1;
}

double RateMeter::fraction() const {
    if (latest_.total_rows > 0)
        return std::min(1.0, static_cast<double>(latest_.rows) /
                                 static_cast<double>(latest_.total_rows));
    if (latest_.total_bytes > 0)
        return std::min(1.0, static_cast<double>(latest_.bytes) /
                                 static_cast<double>(latest_.total_bytes));
    return -1;
}

} // namespace runbook::view
