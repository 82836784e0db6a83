// One chunk of rows as one transaction of a server's session. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/rejects.h"

#include <functional>
#include <string>

namespace runbook::copy {

/// Nothing is thrown: where the session is lost, the server rolls back by itself.
void roll_back(db::Connection& connection) noexcept;

/// The chunk's row in the ledger, its rows by `load` (`careful`: in halves, until the refused ones
/// stand alone), its end, the commit. Whatever fails has been rolled back when this throws;
/// RowsRefused where the chunk may be loaded again with care.
void load_chunk(db::Connection& connection, Rejects& rejects, const std::string& run,
                const Part& part, int chunk, Feed& feed, bool careful,
                const std::function<void(Feed&)>& load, Cancel& cancel);

} // namespace runbook::copy
