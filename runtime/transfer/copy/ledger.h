// The table `_runbook_copy` in the target: what a copy has made there, written in the same
// transaction as what it tells of.
// Owns: its statements for each engine. Runs on whichever connection it is given. A chunk's row is
// the first statement of the chunk's transaction, so that a second copy would wait for it.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/copy/feed.h"

#include <string>
#include <vector>

namespace runbook::copy {

inline constexpr const char* ledger_table = "_runbook_copy";

class Ledger {
  public:
    explicit Ledger(db::Connection& connection) : connection_(connection) {}

    bool exists(Cancel& cancel);
    void create(Cancel& cancel);
    void drop(Cancel& cancel);

    /// State of the newest run, without `running`.
    State read(Cancel& cancel);
    /// Tables that runs have made or begun to make.
    std::vector<std::string> tables(Cancel& cancel);

    /// Tables that were there, and that runs have filled or begun to fill.
    std::vector<std::string> existing(Cancel& cancel);

    /// Views that a run has made.
    std::vector<std::string> views(Cancel& cancel);
    /// Objects of a kind that runs have made or begun to make, by name.
    std::vector<std::string> named(const char* kind, Cancel& cancel);

    void begin_run(const std::string& run, const std::string& source, const std::string& snapshot,
                   Cancel& cancel);
    void end_run(const std::string& run, std::int64_t tables, std::int64_t rows, Cancel& cancel);
    /// `kind`: table, indexes, foreign keys…; `state`: begun, done.
    void object(const std::string& run, const std::string& kind, const std::string& table,
                const std::string& state, Cancel& cancel);
    void forget(const std::string& run, const std::string& table, Cancel& cancel);
    void begin_chunk(const std::string& run, const Part& part, int chunk, Cancel& cancel);
    void end_chunk(const std::string& run, const Part& part, int chunk, std::int64_t rows,
                   std::int64_t bytes, Cancel& cancel);

  private:
    void execute(const std::string& sql, std::vector<Value> params, Cancel& cancel);
    std::string name() const;
    db::Connection& connection_;
};

} // namespace runbook::copy
