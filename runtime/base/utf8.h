// Whether bytes are text. Any thread, no state.
#pragma once

#include <string_view>

namespace runbook::json {

/// True for well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool valid_utf8(std::string_view text);

} // namespace runbook::json
