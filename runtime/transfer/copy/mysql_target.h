// MySQL and MariaDB as a target. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"

namespace runbook::copy {

std::unique_ptr<Target> open_mysql_target(const db::Url& url, const Options& options,
                                          Cancel& cancel);

} // namespace runbook::copy
