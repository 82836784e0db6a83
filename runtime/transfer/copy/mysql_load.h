// One LOAD DATA LOCAL statement fed from memory. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/copy/encode.h"
#include "runtime/transfer/copy/feed.h"

#include <string>
#include <vector>

namespace runbook::copy {

/// LOAD DATA LOCAL … REPLACE for the columns, file name aside.
std::string load_statement(const std::string& table,
                           const std::vector<schema::TargetColumn>& columns,
                           const std::string& file);

struct Loaded {
    std::int64_t records = 0, deleted = 0, skipped = 0, warnings = 0;
};

/// Runs it inside the caller's transaction and checks the server's counters against the rows sent.
/// Throws what the feed threw, `copy.mismatch`, or the server's error; the caller rolls back.
Loaded load_data(db::Connection& connection, const std::string& table,
                 const std::vector<schema::TargetColumn>& columns, Feed& feed);

} // namespace runbook::copy
