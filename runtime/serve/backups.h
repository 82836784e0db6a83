// Whether databases have the backups that runbook.toml says they must have. Any thread; no state:
// the folders are read at each call.
#pragma once

#include "runtime/backup/retention.h"
#include "runtime/config/config.h"

#include <optional>
#include <string>
#include <vector>

namespace runbook::serve {

/// How it stands with one [backups.NAME].
struct BackupState {
    std::string name, source; ///< the source without user and password
    backup::Health health;    ///< level "unknown" where it could not be looked
    std::size_t whole = 0;    ///< how many whole ones there are
    std::optional<backup::Backup> newest;
};

/// What the backups of one entry must be of, as the catalogue names it. Throws Error{`usage`}: no
/// such connection, or no URL.
std::string source_of(const config::Config& config, const config::Backups& wanted);
/// `folder` is that of runbook.toml.
std::vector<BackupState> look_at_backups(const config::Config& config, const std::string& folder);
/// {status, checked, backups: […]}: the worst level of all; "unknown" where none is asked for.
Map backup_status(const std::vector<BackupState>& backups);

} // namespace runbook::serve
