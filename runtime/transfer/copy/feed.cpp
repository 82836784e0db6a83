// Chunks, rate and progress (see feed.h).
#include "runtime/transfer/copy/feed.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <thread>

namespace runbook::copy {
namespace {

constexpr std::int64_t report_every_ms = 200;
constexpr std::int64_t tell_every_rows = 1000;
constexpr std::int64_t tell_every_bytes = 1 << 20;

} // namespace

void Shared::sent(const std::string& item, std::int64_t rows, std::int64_t bytes) {
    std::int64_t all_rows = rows_ += rows, all_bytes = bytes_ += bytes;
    Item of_item;
    {
        std::lock_guard lock(mutex_);
        Item& counted = items_[item];
        counted.rows += rows;
        counted.bytes += bytes;
        of_item = counted;
    }
    auto elapsed = Clock::now() - begun_;
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
    std::int64_t due = next_report_.load();
    if (progress_ && ms >= due && next_report_.compare_exchange_strong(due, ms + report_every_ms))
        progress_->report(
            {of_item.total > 0
                 ? fmt::format("{} {} %", item,
                               std::min<std::int64_t>(100, of_item.rows * 100 / of_item.total))
                 : item,
             all_rows, std::max(total_rows_, all_rows), all_bytes,
             std::max(total_bytes_, all_bytes)});
    if (rate_ <= 0)
        return;
    auto allowed_at =
        begun_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                     static_cast<double>(all_bytes - before_bytes_) / rate_));
    while (Clock::now() < allowed_at && !stop.load() && !cancel.requested())
        std::this_thread::sleep_for(
            std::min<Clock::duration>(allowed_at - Clock::now(), std::chrono::milliseconds(50)));
}

void Shared::taken_back(const std::string& item, std::int64_t rows, std::int64_t bytes) {
    rows_ -= rows;
    bytes_ -= bytes;
    std::lock_guard lock(mutex_);
    items_[item].rows -= rows;
    items_[item].bytes -= bytes;
}

void Shared::loaded(const std::string& item, double seconds) {
    Item done;
    {
        std::lock_guard lock(mutex_);
        Item& counted = items_[item];
        // Several streams share a table: the one that brings the last row says so.
        if (counted.told || counted.rows < counted.total)
            return;
        counted.told = true;
        done = counted;
    }
    say(fmt::format("{}: {} rows, {} in {} ({} rows/s)", item, text::grouped(done.rows),
                    text::bytes(done.bytes), text::clock(seconds),
                    text::grouped(seconds > 0 ? static_cast<std::int64_t>(
                                                    static_cast<double>(done.rows) / seconds)
                                              : done.rows)));
}

void Shared::expect(const std::string& item, std::int64_t rows, std::int64_t there) {
    std::lock_guard lock(mutex_);
    items_[item].total = rows;
    items_[item].rows += there;
}

void Shared::there_already(std::int64_t rows, std::int64_t bytes) {
    rows_ += rows;
    bytes_ += bytes;
    before_bytes_ += bytes;
}

void Shared::say(const std::string& text) const {
    if (progress_)
        progress_->line("stdout", text);
}

void Shared::hold(const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (held_.empty() == reason.empty()) {
        held_ = reason;
        return;
    }
    const double now = time::monotonic();
    if (reason.empty())
        held_s_ += now - held_since_;
    held_since_ = now;
    held_ = reason;
    say(reason.empty() ? "going on" : "holding the copy back: " + reason);
}

void Shared::wait_while_held() {
    while (!stop.load() && !cancel.requested()) {
        {
            std::lock_guard lock(mutex_);
            if (held_.empty())
                return;
            if (progress_)
                progress_->report({"held back: " + held_, rows_.load(),
                                   std::max(total_rows_, rows_.load()), bytes_.load(),
                                   std::max(total_bytes_, bytes_.load())});
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(report_every_ms));
    }
}

void Shared::end(std::exception_ptr error) {
    {
        std::lock_guard lock(mutex_);
        if (!error_)
            error_ = std::move(error);
    }
    stop = true;
}

std::exception_ptr Shared::error() const {
    std::lock_guard lock(mutex_);
    return error_;
}

double Shared::held_s() const {
    std::lock_guard lock(mutex_);
    return held_s_ + (held_.empty() ? 0 : time::monotonic() - held_since_);
}

bool Feed::begin_chunk() {
    shared_.wait_while_held();
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

void Feed::take_back() {
    shared_.taken_back(part_.table->name, told_rows_, told_bytes_);
    told_rows_ = told_bytes_ = 0;
}

void Feed::flush() {
    if (rows_ == told_rows_)
        return;
    shared_.sent(part_.table->name, rows_ - told_rows_, bytes_ - told_bytes_);
    told_rows_ = rows_;
    told_bytes_ = bytes_;
}

} // namespace runbook::copy
