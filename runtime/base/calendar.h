// Timestamps as patterns of strftime(3) and strptime(3) write them, in English whatever the locale,
// and in time zones. Any thread, no state.
#pragma once

#include "runtime/base/value.h"
#include "runtime/base/zone.h"

#include <optional>
#include <string>

namespace runbook::time {

/// The same instant with the offset that the zone has then. Throws Error{`usage`} for a zone that
/// is not known.
Timestamp in_zone(const Timestamp& timestamp, const std::string& zone);
/// The instant at which a clock in that zone shows what the timestamp without a zone says.
Timestamp from_zone(const Timestamp& wall_clock, const std::string& zone);
/// What a clock shows at the timestamp's own offset, or in UTC.
Civil civil_of(const Timestamp& timestamp);
/// As strftime(3); %z and %s are right for the timestamp, %Z is not known.
std::string format(const Timestamp& timestamp, const std::string& pattern);
/// As strptime(3), the whole text; with %z it has an offset, else none. Nothing where it does not
/// fit, or is no day of the calendar.
std::optional<Timestamp> parse(const std::string& text, const std::string& pattern);

} // namespace runbook::time
