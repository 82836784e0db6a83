// Whether a target may be filled. Internal to runtime/transfer/copy. A pure function.
#pragma once

#include "runtime/transfer/copy/copy.h"

#include <string>
#include <vector>

namespace runbook::copy {

/// `there` are the tables and views of the target without the ledger, `ours` those the ledger
/// names. Returns the run where an unfinished copy of the same source is all there is, and nothing
/// where the target is empty. Throws Error{`db.not_empty`} otherwise.
std::string check_empty(const db::Url& url, const std::vector<std::string>& there,
                        const std::vector<std::string>& ours, const State& state,
                        const std::string& source);

} // namespace runbook::copy
