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
#include <exception>
#include <map>
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
    /// In whose ascending order the rows arrive: a column, or `ctid`; empty where a stream that was
    /// cut off cannot be gone on with in the middle of the part.
    std::string order;
    std::string layout; ///< the source's word for where the rows lie, while `order` means it
    std::string after;  ///< only rows behind this place, as RowSource::place() said it
    int first_chunk = 0;
};

/// Rows as COPY text, one at a time, each with its newline.
class RowSource {
  public:
    virtual ~RowSource() = default;
    /// False at the end. The view lives until the next call. Throws Error.
    virtual bool next(std::string_view& row) = 0;
    /// Where the last row stands in the part's order, for Part::after; empty where that is unknown.
    virtual std::string place() const { return {}; }
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

    /// A table's rows in all and those that are there; before the streams begin.
    void expect(const std::string& item, std::int64_t rows, std::int64_t there);
    /// A line about the table, once all of its rows are there.
    void loaded(const std::string& item, double seconds);
    /// Counts rows sent; waits where the rate is exceeded.
    void sent(const std::string& item, std::int64_t rows, std::int64_t bytes);
    /// A failed chunk's rows are not there after all.
    void taken_back(const std::string& item, std::int64_t rows, std::int64_t bytes);
    /// Rows of an earlier process: part of the totals, not of the rate.
    void there_already(std::int64_t rows, std::int64_t bytes);
    /// A line for people, for example that something is waited for.
    void say(const std::string& text) const;
    /// No chunk begins while there is a reason; an empty one lets them begin again.
    void hold(const std::string& reason);
    /// Between two chunks: returns once none holds, or where the copy is to end.
    void wait_while_held();
    /// Ends all streams; what the copy throws then.
    void end(std::exception_ptr error);
    std::exception_ptr error() const;
    /// Seconds during which chunks were held.
    double held_s() const;

  private:
    using Clock = std::chrono::steady_clock;
    ProgressPtr progress_;
    double rate_;
    std::int64_t total_rows_, total_bytes_;
    std::int64_t before_bytes_ = 0;
    Clock::time_point begun_;
    std::atomic<std::int64_t> rows_{0}, bytes_{0};
    std::atomic<std::int64_t> next_report_{0}; ///< ms since begun_
    mutable std::mutex mutex_;
    struct Item {
        std::int64_t rows = 0, total = 0, bytes = 0;
        bool told = false;
    };
    std::map<std::string, Item> items_;
    std::string held_; ///< why; empty: nothing is
    double held_since_ = 0, held_s_ = 0;
    std::exception_ptr error_;
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
    /// The chunk was rolled back: what was reported of it is not there.
    void take_back();
    void say(const std::string& text) const { shared_.say(text); }
    /// No row is left in the part; known once next() has said false.
    bool ended() const { return ended_; }
    /// Of the chunk's last row, once next() has said false.
    std::string place() const { return source_.place(); }
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
