// The page of runs: one self-contained file of HTML that asks for itself again every few seconds.
// Plain data; any thread. Every text in it is escaped.
#pragma once

#include "runtime/serve/overview.h"

#include <string>
#include <vector>

namespace runbook::serve {

std::string page_of(const std::vector<Seen>& runs, const std::string& journal);

} // namespace runbook::serve
