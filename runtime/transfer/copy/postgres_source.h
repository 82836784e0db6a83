// PostgreSQL as a source. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"

namespace runbook::copy {

std::unique_ptr<Source> open_postgres_source(const db::Url& url, const SourceOptions& options,
                                             Cancel& cancel);

} // namespace runbook::copy
