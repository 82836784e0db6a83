// Session variables of a MySQL target that a copy lets its caller set. A pure function.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace runbook::copy {

/// Throws Error{`argument`} for a name that is none of those a copy leaves to its caller (time-outs
/// and buffers; never what keeps rows from being lost), and for a value below 1.
void check_settings(const std::map<std::string, std::int64_t>& settings);

} // namespace runbook::copy
