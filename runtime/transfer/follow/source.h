// The side of the source, its change stream aside: whether it can be followed, the publication, and
// the log that the slot keeps.
// Owns: the statements. Runs on the source's session that it is given; blocks.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/catalog/catalog.h"
#include "runtime/transfer/follow/tables.h"

#include <optional>
#include <string>
#include <vector>

namespace runbook::follow {

/// A session that prints values as the copy's do.
std::unique_ptr<db::Connection> open_source(const db::Url& url, Cancel& cancel);

/// Every table that is to be followed, with its types. Refuses with all that stands in the way:
/// `follow.refused` for wal_level, for slots and walsenders that are used up, for tables without
/// replica identity (all of them by name), `db.permission`.
Attributes check_source(db::Connection& source, const catalog::Database& database, Cancel& cancel);

void make_publication(db::Connection& source, const std::string& name,
                      const catalog::Database& database, Cancel& cancel);
/// Drops slot and publication where they are there; waits for a session that is leaving the slot.
/// Errors: `follow.refused` where one uses it.
void drop_all(db::Connection& source, const std::string& name, Cancel& cancel);

/// What the server says of a slot.
struct Wal {
    bool there = false, active = false;
    Lsn now = 0, confirmed = 0;
    std::int64_t kept = 0;   ///< bytes of the log that the slot keeps
    std::string status;      ///< reserved, extended, unreserved, lost; empty before version 13
    std::string bound;       ///< max_slot_wal_keep_size; "-1": none; empty before version 13
    std::int64_t micros = 0; ///< the server's clock
};
Wal wal_of(db::Connection& source, const std::string& slot, Cancel& cancel);

/// Writes a mark into the log, flushed: everything committed before it stands before it.
Lsn mark(db::Connection& source, const std::string& slot, Cancel& cancel);

/// Sessions and prepared transactions that have written in this database and not ended yet.
std::vector<std::string> open_writers(db::Connection& source, Cancel& cancel);

/// The root of a partition, as "schema.name", or nothing.
std::optional<std::string> root_of(db::Connection& source, std::uint32_t relation, Cancel& cancel);

} // namespace runbook::follow
