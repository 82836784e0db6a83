// Numbers with a unit, as thresholds are written and samples are shown. Any thread, no state.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace runbook::quantity {

/// What a number counts in: "ratio" (0 to 1), "seconds", "bytes", "per_second" or "count".
struct Quantity {
    double number;
    std::string_view unit;
};

/// "5 %", "200ms", "10 GB", "10/min"; nothing where the text has no unit, or is none of these.
std::optional<Quantity> parse(std::string_view text);

/// For people: "0.04 %", "180ms", "1.2 GB", "12.5/s"; as many digits as separate a value from its
/// limit. Of a unit that is not known, the number alone.
std::string shown(double number, std::string_view unit);

/// Whether `unit` is one of the five.
bool known(std::string_view unit);

} // namespace runbook::quantity
