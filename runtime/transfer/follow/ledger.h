// The table `_runbook_follow` in the target: how far the change stream is applied, written in the
// transaction that applied it, and the mapping of the tables.
// Owns: its statements. Runs on whichever connection to the target it is given.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/follow/tables.h"

#include <string>
#include <vector>

namespace runbook::follow {

struct Progress {
    std::string state; ///< absent, copying, following, drained, stopped, lost
    std::string slot, source, snapshot;
    Lsn applied = 0;
    std::int64_t transactions = 0, changes = 0;
    std::int64_t micros = 0; ///< the source's clock when everything up to then was applied
};

class Ledger {
  public:
    explicit Ledger(db::Connection& connection) : connection_(connection) {}

    Progress read(Cancel& cancel);
    std::vector<Table> tables(Cancel& cancel);
    /// Replaces whatever it held.
    void begin(const Progress& progress, const std::vector<Table>& tables, Cancel& cancel);
    void set_state(const std::string& state, Cancel& cancel);
    /// The statement that moves it from one place to the next; changes one row, or somebody else
    /// has been there.
    static std::string advance(Lsn from, Lsn to, std::int64_t transactions, std::int64_t changes,
                               std::int64_t micros);

  private:
    bool exists(Cancel& cancel);
    db::Connection& connection_;
};

} // namespace runbook::follow
