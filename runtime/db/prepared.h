// A statement that a session's server has parsed once, to be run many times. Owned by its session,
// used on the connection's own thread. Never includes a Lua header.
#pragma once

#include "runtime/db/connection.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace runbook::db {

class Prepared {
  public:
    virtual ~Prepared() = default;
    Prepared(const Prepared&) = delete;
    Prepared& operator=(const Prepared&) = delete;

    /// As Connection::execute. Sent once.
    virtual Executed execute(std::span<const Value> params, const StatementOptions& options,
                             Cancel& cancel) = 0;
    /// As Connection::query; the rows come in one go, so that the time limit counts from the
    /// statement's start to its last row.
    virtual std::unique_ptr<Cursor> query(std::span<const Value> params,
                                          const StatementOptions& options, Cancel& cancel) = 0;

  protected:
    Prepared() = default;
};

/// Lets the server parse `sql`; nothing runs. The session owns the result, which ends with it.
/// Parameters get the types that the server infers. Errors: those of a statement (`db.syntax`,
/// `db.permission`, `db.connection`…).
Prepared& prepare(Connection& connection, std::string_view sql, Cancel& cancel);
/// Closes it in the server, later where the session is busy; the reference is dead from here on.
void unprepare(Connection& connection, Prepared& prepared) noexcept;

} // namespace runbook::db
