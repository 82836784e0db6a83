// The rows of one part on their way from a source to a target, cut into chunks.
// Owns: the interfaces of both ends, the chunk's limits, rate and progress. A feed is used by its
// stream's thread only; `Shared` by all streams.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/transfer/schema/schema.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace runbook::copy {

/// A range of one table's rows that a stream reads in one statement.
struct Part {
    const schema::TargetTable* table = nullptr;
    int number = 0;
    std::string from;                 ///< FROM clause in the source's SQL
    std::string where;                ///< empty: all rows
    std::int64_t bytes = 0, rows = 0; ///< estimates
};

/// Rows as COPY text, one at a time, each with its newline.
class RowSource {
  public:
    virtual ~RowSource() = default;
    /// False at the end. The view lives until the next call. Throws Error.
    virtual bool next(std::string_view& row) = 0;
};

/// What all streams share: limits, totals, and the flag that ends them.
class Shared {
  public:
    Shared(ProgressPtr progress, Cancel& cancel, double rate, std::int64_t total_rows,
           std::int64_t total_bytes)
        : cancel(cancel), progress_(std::move(progress)), rate_(rate), total_rows_(total_rows),
          total_bytes_(total_bytes), begun_(Clock::now()) {}

    Cancel& cancel;
    std::atomic<bool> stop{false}; ///< another stream has failed

    /// Counts rows sent; waits where the rate is exceeded.
    void sent(const std::string& item, std::int64_t rows, std::int64_t bytes);
    /// A failed chunk's rows are not there after all.
    void taken_back(std::int64_t rows, std::int64_t bytes);

  private:
    using Clock = std::chrono::steady_clock;
    ProgressPtr progress_;
    double rate_;
    std::int64_t total_rows_, total_bytes_;
    Clock::time_point begun_;
    std::atomic<std::int64_t> rows_{0}, bytes_{0};
    std::atomic<std::int64_t> next_report_{0}; ///< ms since begun_
};

class Feed {
  public:
    Feed(RowSource& source, Shared& shared, const Part& part, std::int64_t chunk_bytes,
         std::int64_t chunk_rows)
        : source_(source), shared_(shared), part_(part), chunk_bytes_(chunk_bytes),
          chunk_rows_(chunk_rows) {}

    /// Begins the next chunk: false where no row is left.
    bool begin_chunk();
    /// The chunk's next row: false at its end. Throws Error, also where the copy is to end.
    bool next(std::string_view& row);
    /// Reports what has not been reported yet; at the end of a chunk.
    void flush();
    std::int64_t rows() const { return rows_; }
    std::int64_t bytes() const { return bytes_; }

  private:
    RowSource& source_;
    Shared& shared_;
    const Part& part_;
    std::int64_t chunk_bytes_, chunk_rows_;
    std::string_view ahead_; ///< first row of the next chunk
    bool has_ahead_ = false, ended_ = false;
    std::int64_t rows_ = 0, bytes_ = 0, told_rows_ = 0, told_bytes_ = 0;
};

} // namespace runbook::copy
