// What was written to a database since a moment: a mark is taken, and asked about later.
// Owns: nothing; a mark is plain data that survives the journal. Runs on the connection's thread.
// PostgreSQL: transaction numbers, exact by row. MySQL and MariaDB: performance_schema's counters
// or the binary log. SQLite: a digest of every table. The program's own tables (_runbook_…) are
// left out.
#pragma once

#include "runtime/db/connection.h"

namespace runbook::db {

/// This moment: {engine, identity, at, …}. `counted` also counts every table, without which rows
/// deleted from PostgreSQL are not seen. Errors: those of statements, and `db.unsupported` where
/// the server offers nothing to compare with.
Map take_mark(Connection& connection, bool counted, Cancel& cancel);

/// {rows, tables = {name = {written, deleted}}, nothing}: rows inserted, changed or deleted since
/// the mark by anybody, at least; `nothing` where it is certain that nothing was. Errors:
/// `argument` for what is no mark, `db.error` for a mark of another server or one that a restart
/// made worthless.
Map written_since(Connection& connection, const Map& mark, Cancel& cancel);

} // namespace runbook::db
