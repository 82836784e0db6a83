// The source as the rules of a copy make it: renamed, filtered, changed. Verify reads it through a
// subquery, so that everything after it (keys, order, re-checks) goes on as for a table. Blocks;
// one thread.
#pragma once

#include "runtime/transfer/rules/rules.h"
#include "runtime/transfer/verify/inventory.h"

#include <map>
#include <string>
#include <vector>

namespace runbook::verify {

struct View {
    std::map<std::string, std::string> renamed; ///< table of the source → of the target
    std::vector<std::string> left_out;          ///< tables that a rule leaves out
    std::map<std::string, std::vector<std::string>>
        columns; ///< left out, by table, with the reason
};

/// Rewrites `source` in place. Errors as from rules::resolve.
View view_by(const rules::Rules& rules, db::Connection& connection, const std::string& schema,
             Inventory& source, Cancel& cancel);

} // namespace runbook::verify
