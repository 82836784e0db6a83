// Changes of the source, applied to MySQL or MariaDB: as many as come in one transaction, whole
// transactions of the source only, with the place in the log in the same transaction.
// Owns: the session that writes to the target, and the lock that lets one follow only be at it. One
// thread. Every statement must do exactly what its change did at the source, or all is rolled back.
#pragma once

#include "runtime/transfer/follow/ledger.h"
#include "runtime/transfer/follow/rows.h"

#include <memory>
#include <string>
#include <vector>

namespace runbook::follow {

class Applier {
  public:
    /// Waits up to 20 seconds for the session of a client that was killed. Errors: `follow.refused`
    /// where another follow is at it.
    Applier(const db::Url& target, Cancel& cancel);
    ~Applier();

    db::Connection& connection() { return *connection_; }

    /// Sends the changes, opening a transaction where none is open. `source` computes values.
    /// Errors: `follow.mismatch` where the target is not what the source was, `db.*`.
    void apply(std::vector<Change>& changes, db::Connection& source, Cancel& cancel);
    /// Moves the ledger and commits.
    void commit(Lsn from, Lsn to, std::int64_t transactions, std::int64_t changes,
                std::int64_t micros, Cancel& cancel);
    void roll_back() noexcept;

  private:
    struct Statement {
        const Change* change = nullptr;
        std::int64_t rows = 0; ///< that it must insert, match or delete; -1: any number
        std::size_t begin = 0, end = 0;
    };
    void add(const Change& change);
    void add_insert(const Change& change);
    std::string where(const Change& change) const;
    void send(Cancel& cancel);
    void check(const Statement& statement);
    [[noreturn]] void fail(std::size_t number);
    [[noreturn]] void warned(Statement statement, unsigned count);
    void begin(Cancel& cancel);

    db::Url url_;
    std::unique_ptr<db::Connection> connection_;
    std::string sql_;
    std::vector<Statement> statements_;
    std::size_t most_bytes_ = 1 << 20, packet_ = 1 << 24;
    bool mysql_json_ = false;
};

} // namespace runbook::follow
