// Continuous replication after a copy: PostgreSQL's change stream applied to MySQL or MariaDB, from
// the very snapshot of the copy, so that a cut-over takes seconds.
// Owns: slot and publication at the source, from the first to the last moment, and the order of
// things: publication, slot, copy at its snapshot, stream. Blocks the caller's thread. What is
// applied, and how far, is one transaction in the target: a client that is killed goes on where it
// was, nothing twice and nothing left out.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/follow/pgoutput.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace runbook::follow {

struct Options {
    copy::Options copy;
    /// Log that the slot may make the source keep: beyond it slot and publication are dropped, for
    /// the source's disk is worth more than the copy.
    std::int64_t max_wal = 10'000'000'000;
    int attempts = 5; ///< to connect anew, each time the stream or the target is lost
};

struct Status {
    std::string state; ///< absent, copying, following, drained, stopped, lost
    std::string slot;  ///< publication too
    Lsn applied = 0, source = 0;
    std::int64_t lag_bytes = 0; ///< of the source's log, everybody's
    double lag_seconds = 0;     ///< age of the oldest commit that may not be applied
    std::int64_t pending = 0;   ///< transactions received and not committed in the target yet
    std::int64_t transactions = 0, changes = 0; ///< applied since the copy
    std::int64_t wal_kept = 0, wal_limit = 0;
    std::string wal_bound; ///< the server's own max_slot_wal_keep_size; "-1": none
    bool active = false;   ///< somebody follows right now
};

struct Started {
    bool resumed = false; ///< it was following already; nothing was copied
    std::optional<copy::CopyResult> copied;
    Status status;
};

/// Makes publication and slot, copies at the slot's snapshot; does nothing where that has been
/// done. Errors: `follow.refused` with what stands in the way, `follow.wal_limit`, those of the
/// copy; whatever fails leaves no slot and no publication behind.
Started start(const db::Url& source, const db::Url& target, const Options& options,
              const ProgressPtr& progress, Cancel& cancel);

/// Applies until everything is there that was committed when it was called (`caught_up`), or for
/// ever. `told`: called a few times a second, from the same thread. A lost connection is made anew.
/// Errors: `follow.mismatch`, `follow.schema`, `follow.refused`, `follow.lost`, `follow.wal_limit`,
/// `cancelled`; nothing of the transaction that failed is in the target.
enum class Until : std::uint8_t { cancelled, caught_up };
Status run(const db::Url& source, const db::Url& target, const Options& options, Until until,
           const std::function<void(const Status&)>& told, const ProgressPtr& progress,
           Cancel& cancel);

/// For the cut-over, when nobody writes to the source any more: applies the rest, proves that
/// nothing followed and that no writer is open, sets AUTO_INCREMENT by the sequences, drops slot
/// and publication. Errors: `follow.writes` where somebody still writes; then all stays as it is.
struct Drained {
    Status status;
    std::int64_t transactions = 0, changes = 0; ///< applied by the drain
    std::int64_t numbered = 0;                  ///< tables whose AUTO_INCREMENT was set
    double seconds = 0;
};
Drained drain(const db::Url& source, const db::Url& target, const Options& options,
              const ProgressPtr& progress, Cancel& cancel);

Status status(const db::Url& source, const db::Url& target, const Options& options, Cancel& cancel);

/// Gives up: drops slot and publication; what is in the target stays. Returns whether there was
/// anything to drop.
bool stop(const db::Url& source, const db::Url& target, Cancel& cancel);

Map to_map(const Status& status);
Map to_map(const Started& started);
Map to_map(const Drained& drained);

} // namespace runbook::follow
