// Which backups stay, and whether the newest is young enough. Any thread; no state.
#pragma once

#include "runtime/backup/catalogue.h"

#include <string>
#include <vector>

namespace runbook::backup {

constexpr double second = 1, hour = 3600, day = 24 * hour, week = 7 * day; ///< seconds

/// What stays. A backup that any rule keeps stays; the others go.
struct Keep {
    int last = 0;      ///< whole backups of each source that always stay; at least 1
    double within = 0; ///< seconds: every backup younger than that
    double hourly = 0; ///< seconds: the newest of each hour, as long as it is younger than that
    double daily = 0;  ///< the same for each day (UTC)
    double weekly = 0; ///< the same for each week (ISO 8601: from Monday, UTC)
};

/// What becomes of one backup, and by which rule.
struct Decision {
    Entry entry;
    bool stays = true;
    std::string
        why; ///< "among the last 3", "newest of its week", "pinned: audit", "older than every rule"
};

/// Decides for each entry, in the same order. Pinned backups, broken ones (a person should look)
/// and those dated after `now` (micros since the epoch) always stay, and count for no rule but
/// their own. Throws `usage` where `keep.last` is below 1, or a span is negative.
std::vector<Decision> retain(const std::vector<Entry>& entries, const Keep& keep, std::int64_t now);

/// retain() over the folders, for one source or (empty) for each; where `remove` is set, what does
/// not stay is removed: dump, digest, manifest, in this order, so that a crash leaves at most an
/// entry "its file is gone", which the next call clears away. Looks again right before: a backup
/// pinned meanwhile stays. From a repository goes exactly what the decision names, by its id, never
/// by a rule of restic's own; then what only those used. Throws `usage`, `fs`.
std::vector<Decision> prune(const std::vector<std::string>& folders, const std::string& source,
                            const Keep& keep, bool remove, const Keys& keys = {},
                            Cancel* cancel = nullptr);

/// What must hold of the backups of one source.
struct Policy {
    double every = day; ///< seconds between backups
    double grace = 0;   ///< seconds a backup may be late; 0: a tenth of `every`
    int keep = 1;       ///< whole backups that must be there
    double restored =
        0;          ///< seconds: the newest test-restored one is younger than that; 0: not asked
    double rto = 0; ///< seconds: the newest test restore took no longer than that; 0: not asked
    double shrink =
        0.5; ///< a backup smaller than this share of the one before is suspicious; 0: not asked
};

struct Health {
    bool met = false;
    std::string level; ///< "ok"; "warning": one backup missed, or another rule broken; "critical":
                       ///< two or none
    int missed = 0;    ///< backups in a row that should have been there
    double age = -1;   ///< seconds since the newest whole one was started; -1: there is none
    std::vector<std::string> why; ///< what is broken, a sentence each
};

Health health(const std::vector<Entry>& entries, const std::string& source, const Policy& policy,
              std::int64_t now);

} // namespace runbook::backup
