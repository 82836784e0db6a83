// The journal's tables and how a file becomes, or is recognised as, a journal.
#pragma once

#include "runtime/journal/sqlite.h"

#include <memory>
#include <string>

namespace runbook::journal {

/// Throws Error{`journal`} where `found` is a version that this program does not know.
void refuse_newer(const std::string& name, std::int64_t found);

/// Opens the file, creates folder (0700), file (0600) and tables where needed, brings an older
/// journal up to date, sets WAL and synchronous=FULL. Throws Error{`journal`}.
std::unique_ptr<Database> open_for_writing(const std::string& path);
/// Also where neither the file nor its folder can be written. Throws Error{`journal`}.
std::unique_ptr<Database> open_for_reading(const std::string& path);

} // namespace runbook::journal
