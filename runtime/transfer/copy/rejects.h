// Rows that the target does not take, where the copy may leave some behind: the chunk that failed
// is loaded again by halves until the row stands alone, which goes into the table
// `_runbook_rejects` of the target with its reason, in the transaction of its chunk. Internal to
// runtime/transfer/copy. Owns: the budget, which all sessions share. Each session uses it on its
// own thread.
#pragma once

#include "runtime/base/error.h"
#include "runtime/db/connection.h"
#include "runtime/transfer/copy/feed.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace runbook::copy {

inline constexpr const char* rejects_table = "_runbook_rejects";

/// Thrown where a chunk failed by its rows and may be loaded again with care.
struct RowsRefused {
    std::string why;
};

class Rejects {
  public:
    /// `budget` 0: no row may be rejected, and everything below is not called.
    explicit Rejects(std::int64_t budget) : budget_(budget) {}
    bool collects() const { return budget_ > 0; }

    /// Makes the table where it is missing, and counts what earlier processes of the run rejected.
    void open(db::Connection& connection, const std::string& run, Cancel& cancel);
    /// True for an error of the rows, not of the server or the session.
    static bool is_of_rows(const Error& error);

    /// The rows of the feed's chunk by `load`, in the session's transaction; returns how many were
    /// rejected. Throws Error{`copy.rejects`} beyond the budget.
    std::int64_t load(db::Connection& connection, const std::string& run, const Part& part,
                      Feed& feed, const std::function<void(Feed&)>& load, Cancel& cancel);
    /// The transaction was rolled back, and so many rejected rows with it.
    void take_back(std::int64_t rows) { rejected_ -= rows; }

    /// Rejected rows by table, of one run.
    static std::int64_t count(db::Connection& connection, const std::string& run,
                              const std::string& table);
    /// One JSON object a line: table, reason, row. Throws Error{`fs`}.
    static void write_file(db::Connection& connection, const std::string& run,
                           const std::string& path, Cancel& cancel);

  private:
    class Batch;
    std::int64_t budget_;
    std::atomic<std::int64_t> rejected_{0};
};

} // namespace runbook::copy
