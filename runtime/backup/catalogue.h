// Which backups there are: what the manifests in folders say, checked against the files. Any
// thread. Owns: nothing; the folders are read again at each call.
#pragma once

#include "runtime/backup/backup.h"

#include <string>
#include <vector>

namespace runbook::backup {

/// One backup of the catalogue. `backup.files` are the copies found in the folders that were read.
struct Entry {
    Backup backup;
    /// Why it does not count ("its file is gone", "12 bytes, its manifest says 4,096"); empty for a
    /// whole one. Sizes are compared; verify() reads.
    std::string problem;
    bool whole() const { return problem.empty() && backup.verified != Verified::none; }
};

/// All backups in the folders, newest first; copies of one backup (same digest, source and start)
/// are one entry. A file that is no manifest of a backup is passed over. Throws `fs` where a folder
/// cannot be read.
/// `backup.repository` where a repository cannot be opened.
std::vector<Entry> list(const std::vector<std::string>& folders, const Keys& keys = {},
                        Cancel* cancel = nullptr);

/// The newest of `entries` from `source` (source_name(), or empty for any) that is whole, or null.
const Entry* newest(const std::vector<Entry>& entries, const std::string& source);

/// Notes in the manifests of all copies that prune() must leave this backup alone, and why; an
/// empty `why` takes the note away. Throws `backup.unverified` where there is no manifest, `fs`.
void pin(const std::string& file, const std::string& why, const Keys& keys = {});

/// Copies a backup into another folder or repository, or out of one: reads the copy back, compares
/// its digest, and notes it in the manifests of all copies. Returns the new path. Throws
/// `backup.unverified`, `fs`, `cancelled`.
std::string copy_to(const std::string& file, const std::string& folder, Cancel& cancel,
                    const Keys& keys = {});

/// What does not fit the last five whole backups of the same source and kind, a sentence each: a
/// size far from theirs, tables that are gone or empty now.
std::vector<std::string> unusual(const Backup& made, const std::vector<Entry>& entries);

} // namespace runbook::backup
