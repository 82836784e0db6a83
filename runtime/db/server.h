// Facts about a server that people look at before and after a change: its disk, its archive for
// point-in-time recovery, what is not as it should be in its schema. Runs on the connection's
// thread; reads only.
#pragma once

#include "runtime/db/connection.h"

namespace runbook::db {

/// {bytes, free, total, free_ratio, folder}: size of the database, and the file system under the
/// server's data. Errors: `db.unsupported` where the server is not on this host, because no SQL
/// tells it then (MariaDB's plugin `disks` does); `db.permission`.
Map disk_of(Connection& connection, Cancel& cancel);

/// {healthy, on, why, last, failed}: whether changes are archived, so that a point in time can be
/// restored. PostgreSQL: the archiver's record; MySQL, MariaDB: the binary log. Errors:
/// `db.unsupported` for SQLite.
Map archiving_of(Connection& connection, Cancel& cancel);

/// {flavour, version, bytes, tables, unvalidated, invalid_indexes, orphans, sessions,
/// most_sessions}: orphans are rows whose foreign key points nowhere, of keys that the engine does
/// not vouch for. Errors: those of statements.
Map facts_of(Connection& connection, Cancel& cancel);

/// Tells the server to cancel the statement of another session. True where there was one. Errors:
/// `db.permission`, `db.unsupported` for SQLite.
bool cancel_statement(Connection& connection, std::int64_t session, Cancel& cancel);

} // namespace runbook::db
