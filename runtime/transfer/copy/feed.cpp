// Chunks, rate and progress (see feed.h).
#include "runtime/transfer/copy/feed.h"

#include "runtime/base/error.h"

#include <thread>

namespace runbook::copy {
namespace {

constexpr std::int64_t report_every_ms = 200;
constexpr std::int64_t tell_every_rows = 1000;
constexpr std::int64_t tell_every_bytes = 1 << 20;

} // namespace

void Shared::sent(const std::string& item, std::int64_t rows, std::int64_t bytes) {
    std::int64_t all_rows = rows_ += rows, all_bytes = bytes_ += bytes;
    auto elapsed = Clock::now() - begun_;
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
    std::int64_t due = next_report_.load();
    if (progress_ && ms >= due && next_report_.compare_exchange_strong(due, ms + report_every_ms))
        progress_->report({item, all_rows, std::max(total_rows_, all_rows), all_bytes,
                           std::max(total_bytes_, all_bytes)});
    if (rate_ <= 0)
        return;
    auto allowed_at =
        begun_ + std::chrono::duration_cast<Clock::duration>(
                     std::chrono::duration<double>(static_cast<double>(all_bytes) / rate_));
    while (Clock::now() < allowed_at && !stop.load() && !cancel.requested())
        std::this_thread::sleep_for(
            std::min<Clock::duration>(allowed_at - Clock::now(), std::chrono::milliseconds(50)));
}

void Shared::taken_back(std::int64_t rows, std::int64_t bytes) {
    rows_ -= rows;
    bytes_ -= bytes;
}

bool Feed::begin_chunk() {
    rows_ = bytes_ = told_rows_ = told_bytes_ = 0;
    if (!has_ahead_ && !ended_) {
        has_ahead_ = source_.next(ahead_);
        ended_ = !has_ahead_;
    }
    return has_ahead_;
}

bool Feed::next(std::string_view& row) {
    if (ended_ && !has_ahead_)
        return false;
    if (rows_ > 0 && (rows_ >= chunk_rows_ || bytes_ >= chunk_bytes_))
        return false;
    if (shared_.stop.load(std::memory_order_relaxed))
        throw Error("cancelled", "another stream of the copy failed");
    shared_.cancel.check("the copy");
    if (has_ahead_) {
        row = ahead_;
        has_ahead_ = false;
    } else if (!source_.next(row)) {
        ended_ = true;
        return false;
    }
    ++rows_;
    bytes_ += static_cast<std::int64_t>(row.size());
    if (rows_ - told_rows_ >= tell_every_rows || bytes_ - told_bytes_ >= tell_every_bytes)
        flush();
    return true;
}

void Feed::flush() {
    if (rows_ == told_rows_)
        return;
    shared_.sent(part_.table->name, rows_ - told_rows_, bytes_ - told_bytes_);
    told_rows_ = rows_;
    told_bytes_ = bytes_;
}

} // namespace runbook::copy
