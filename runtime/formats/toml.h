// TOML 1.0 text to and from Value, over toml++. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::toml_text {

/// A map. Integers are exact; a date with a time and an offset is a Timestamp, with a time only a
/// Timestamp without zone, a date or a time alone text. Throws Error{`toml`} with line and column.
Value parse(std::string_view text);

/// Throws Error{`argument`} that names the path for what TOML cannot say: null, a value that is no
/// map at the top, a secret. A decimal becomes text.
std::string dump(const Value& value);

} // namespace runbook::toml_text
