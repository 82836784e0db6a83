// The manifest beside a backup: read and written whole. Any thread; no state.
#pragma once

#include "runtime/backup/backup.h"

#include <string>

namespace runbook::backup {

/// Reads a manifest by its own path. Throws `backup.unverified` where it is none, `fs`.
Backup parse_manifest(const std::string& path);
/// The manifest of one copy, by the backup's path; a moved copy keeps it, and then names itself.
/// Throws `fs` where the file is gone, `backup.unverified` where there is no manifest.
Backup read_manifest(const std::string& file);
/// Writes it beside `backup.file`, or beside `beside`.
void save_manifest(const Backup& backup, const std::string& beside = {});

} // namespace runbook::backup
