// Servers that are too old to be copied from or into. Internal to runtime/transfer/copy. A pure
// function.
#pragma once

#include "runtime/db/connection.h"

namespace runbook::copy {

/// Throws Error{`copy.refused`} where the server is older than PostgreSQL 12, MySQL 8.0 or MariaDB
/// 10.5.
void check_version(const db::ServerInfo& server, const db::Url& url);

} // namespace runbook::copy
