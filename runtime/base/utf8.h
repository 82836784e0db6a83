// Whether bytes are text. Any thread, no state.
#pragma once

#include <cstddef>
#include <string_view>

namespace runbook {

/// Length of the well-formed UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates);
/// 0 where there is none.
std::size_t utf8_sequence(std::string_view text, std::size_t at);
/// Whether all of it is well-formed UTF-8.
bool valid_utf8(std::string_view text);

} // namespace runbook
