// Between the files of `backup`. Loop thread.
#pragma once

#include "bindings/core/declare.h"
#include "runtime/backup/backup.h"
#include "runtime/db/handle.h"

namespace runbook::bindings {

using HandlePtr = std::shared_ptr<db::Handle>;

/// What a playbook sees of a backup.
Value backup_value(const backup::Backup& backup);
/// The file of a backup: its path, or what backup.create returned. Throws `argument`.
std::string backup_file(const Value& value, const char* function);
/// Throws Error{`permission`} for a folder, repository or backup outside the needs.
void check_place(const bind::Call& call, const std::string& place);
void check_folders(bind::Call& call, const std::vector<std::string>& folders);

/// What backup.repository was told in this state. Loop thread; jobs take a copy.
using KeysPtr = std::shared_ptr<backup::Keys>;

void register_backup_catalogue(bind::Area& area, const KeysPtr& keys);

} // namespace runbook::bindings
