// JSON text to and from Value.
// Any thread. `plain` is JSON as others expect it; `tagged` keeps every type through the journal:
// {"$decimal":"1.50"}, {"$timestamp":[micros, offset]}, {"$bytes":"base64"}, {"$opaque":"function
// run"},
// {"$secret":"env:X"} (the origin, never the value).
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::json {

/// Throws Error{`json`} with position. Integers outside int64 and numbers that a double cannot
/// carry exactly (more than 17 significant digits) become Decimal. Objects keep their order; a
/// duplicate key keeps the last.
Value parse(std::string_view text);
Value parse_tagged(std::string_view text);

/// Compact, UTF-8, invalid UTF-8 replaced by U+FFFD. Plain: Decimal as a string, Timestamp as ISO
/// 8601, Bytes as base64, Secret as "***", Opaque as its text. `indent` > 0 pretty-prints.
std::string dump(const Value& value, int indent = 0);
std::string dump_tagged(const Value& value);

} // namespace runbook::json
