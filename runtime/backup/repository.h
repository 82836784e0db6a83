// A restic repository as a place for backups: encrypted, deduplicated, off-site. Every backup is
// one snapshot that holds the dump, its digest and its manifest; what changes (proof, pin) and what
// a list shows stands in the snapshot's tags. Each snapshot is whole in itself: none is an
// increment of another, so that removing one orphans nothing.
//
// Owns: nothing between calls. Worker threads. The password reaches restic as a file in memory
// (/dev/fd/3), the location and the store's keys in its environment: never in an argument list.
#pragma once

#include "runtime/backup/backup.h"
#include "runtime/process/process.h"

namespace runbook::backup {

/// "restic:LOCATION", and behind '#' the name of a backup in it.
struct Place {
    std::string repository, name;
};
bool in_repository(std::string_view place);
/// Throws `usage`.
Place parse_place(const std::string& place);

class Repository {
  public:
    /// Throws `backup.tool` where restic is missing, `usage` for a location that cannot be.
    explicit Repository(const std::string& place, const Keys& keys);

    void init(Cancel& cancel) const;

    struct Snapshot {
        std::string id;
        Backup backup;     ///< without counts and objects
        bool ended = true; ///< false: left by an upload that did not end
    };
    /// Throws `backup.repository` that says which: unreachable, not there, wrong password; so does
    /// everything below, and where the repository is locked.
    std::vector<Snapshot> list(Cancel& cancel) const;
    /// With counts and objects. Throws `fs` where there is none of that name.
    Snapshot find(const std::string& name, Cancel& cancel) const;
    /// Stores the dump at `path` with the manifest and digest beside it, reads it back, compares.
    /// Returns its place. The caller has seen that the name is free.
    std::string add(const std::string& path, const Backup& backup, Cancel& cancel) const;
    /// Writes the dump, its manifest and digest into the folder.
    void fetch(const Snapshot& snapshot, const std::string& folder, Cancel& cancel) const;
    /// Reads every byte of the repository. Throws `backup.unverified`.
    void check(Cancel& cancel) const;
    /// Replaces what the tags say; by id, so that nobody else's change is overwritten.
    void note(const Snapshot& snapshot, Cancel& cancel) const;
    /// Removes snapshots and what only they used. One that was changed meanwhile stays.
    void forget(const std::vector<std::string>& ids, Cancel& cancel) const;

    std::string place_of(const std::string& name) const { return place_ + "#" + name; }

  private:
    /// Tries again after `restic unlock`, which takes away the locks of processes that are gone.
    process::Result run(const std::vector<std::string>& words, Cancel& cancel,
                        const std::string& cwd = {}, bool reads = true, int output = -1,
                        double seconds = 0) const;
    process::Result once(const std::vector<std::string>& words, Cancel& cancel,
                         const std::string& cwd, bool reads, int output, double seconds) const;
    [[noreturn]] void fail(const std::string& action, const process::Result& result) const;
    std::string digest(const std::string& id, const std::string& name, Cancel& cancel) const;

    std::string place_, location_, tool_;
    Credentials credentials_;
};

} // namespace runbook::backup
