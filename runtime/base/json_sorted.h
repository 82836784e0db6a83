// One text for equal values: objects whose members have one order. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

namespace runbook::json {

/// The same value with the members of every object in the order of their names' bytes.
Value sorted(const Value& value);

} // namespace runbook::json
