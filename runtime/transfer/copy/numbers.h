// Which numbers of a JSON text survive a parser that keeps 64-bit integers and doubles. A pure
// function.
#pragma once

#include <string>
#include <string_view>

namespace runbook::copy {

/// The first number outside of -2^63 … 2^64-1, or whose fraction a double does not carry exactly;
/// empty where there is none. Zeros at the end of a fraction are no loss.
std::string first_lossy_number(std::string_view json);

} // namespace runbook::copy
