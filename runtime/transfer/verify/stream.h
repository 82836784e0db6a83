// One side's rows handed from its reader thread to the merging thread in recycled batches.
// Owns: the thread and a bounded queue. The consumer's thread constructs, pulls and destroys it.
#pragma once

#include "runtime/transfer/verify/rows.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace runbook::verify {

class Stream {
  public:
    /// Starts to read. `source` and `plan` must outlive the stream.
    Stream(RowSource& source, const TablePlan& plan, Cancel& cancel);
    /// Stops a reader that still runs and closes the source's statement.
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// True while there is a row; throws what the reader threw.
    bool has_row() { return row_ < rows_ || next_batch(); }
    std::string_view key() const { return batch_->key(batch_->rows[row_]); }
    std::string_view payload() const { return batch_->payload(batch_->rows[row_]); }
    void advance() {
        ++row_;
        ++count_;
    }
    std::int64_t count() const { return count_; }

  private:
    bool next_batch();
    void read();

    RowSource& source_;
    const TablePlan& plan_;
    Cancel& cancel_;
    std::unique_ptr<Batch> batch_;
    std::size_t row_ = 0, rows_ = 0;
    std::int64_t count_ = 0;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::unique_ptr<Batch>> ready_, free_;
    bool finished_ = false, abandoned_ = false;
    std::exception_ptr error_;
    std::thread thread_; // last: everything above exists when it starts
};

} // namespace runbook::verify
