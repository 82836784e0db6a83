// PostgreSQL as a source. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"

namespace runbook::copy {

/// How values are printed for the copy: SET statements. What follows the copy prints them so too.
const char* postgres_settings();

std::unique_ptr<Source> open_postgres_source(const db::Url& url, const SourceOptions& options,
                                             Cancel& cancel);

/// The plan between two PostgreSQL databases: the source's own words.
schema::Plan plan_postgres_to_postgres(Source& source, Cancel& cancel);

} // namespace runbook::copy
