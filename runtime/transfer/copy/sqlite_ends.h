// SQLite as a source and as a target. Internal to runtime/transfer/copy.
// Between two SQLite databases the rows keep their storage classes and travel as cells of their
// own; towards other engines they travel as COPY text.
#pragma once

#include "runtime/transfer/copy/ends.h"

namespace runbook::copy {

std::unique_ptr<Source> open_sqlite_source(const db::Url& url, const SourceOptions& options,
                                           Cancel& cancel);
std::unique_ptr<Target> open_sqlite_target(const db::Url& url, const Options& options,
                                           Cancel& cancel);

/// The plan between two SQLite databases: the source's own statements.
schema::Plan plan_sqlite_to_sqlite(Source& source, Cancel& cancel);
/// Values that do not fit what their column was declared as; nothing between two SQLite databases.
Scan scan_sqlite(Source& source, const schema::Target& target, const Options& options,
                 const ProgressPtr& progress, Cancel& cancel);

/// Tags of a cell between two SQLite databases: n, i (8 octets), r (8), t and b (8 and the octets).
inline constexpr std::size_t cell_head = 9;

} // namespace runbook::copy
