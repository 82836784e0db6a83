// MySQL and MariaDB as a source. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"

namespace runbook::copy {

std::unique_ptr<Source> open_mysql_source(const db::Url& url, const SourceOptions& options,
                                          Cancel& cancel);

/// What the target would refuse or change, and what the mapping needs to know of the data.
Scan scan_mysql(Source& source, const schema::Target& target, const Options& options,
                const ProgressPtr& progress, Cancel& cancel);

/// The plan between MySQL and MariaDB, either way: the source's own statements.
schema::Plan plan_mysql_to_mysql(Source& source, const schema::Target& target);

} // namespace runbook::copy
