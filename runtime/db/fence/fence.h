// A write fence: keeps other people's writers out of a database while reading goes on, and proves
// that nothing was written meanwhile.
// Owns: the table _runbook_fence in the fenced database, which says what was taken away and since
// when; nothing in the process, so that any run can ask, or open the fence again. Runs on the
// connection's thread; blocks.
//
// PostgreSQL: under a lock that lets every open transaction of a writer end first, the privileges
// to write are revoked, in the transaction that records them. MySQL and MariaDB: privileges to
// write are recorded and revoked, and the users' sessions are ended, because an open session keeps
// what it had. SQLite: a trigger on every table. Superusers pass every fence but SQLite's: the
// proof sees them.
#pragma once

#include "runtime/db/connection.h"

#include <chrono>
#include <string>
#include <vector>

namespace runbook::db {

struct FenceOptions {
    std::vector<std::string> roles;  ///< keeps these out; empty: everybody but the connection's own
    std::vector<std::string> except; ///< with empty `roles`: these may go on writing
    std::chrono::milliseconds within{30'000}; ///< for open transactions to end
    bool counted = true; ///< counts every table, so that the proof sees deleted rows on PostgreSQL
};

/// Closes the fence; {fenced = [names], tables, ended} (sessions that were ended). Nothing changes
/// where it is closed already. Errors: `db.fence` where somebody could still write,
/// `db.lock_timeout` where a transaction does not end, `db.permission`.
Map fence_on(Connection& connection, const FenceOptions& options, Cancel& cancel);

/// Gives back exactly what was taken; {given_back, gone = [tables and users that are not there any
/// more]}. Nothing happens where no fence stands.
Map fence_off(Connection& connection, const FenceOptions& options, Cancel& cancel);

/// "on", "off", or "between": it was interrupted while it closed or opened.
std::string fence_state(Connection& connection, const FenceOptions& options, Cancel& cancel);

/// The proof: {held, why, rows, tables, since} from the moment at which the fence was closed until
/// now. `held` is true only if the fence stands, nobody whom it keeps out can write, and no row was
/// written by anybody.
Map fence_held(Connection& connection, const FenceOptions& options, Cancel& cancel);

} // namespace runbook::db
