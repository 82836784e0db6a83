// Wall clock and ISO 8601. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::time {

/// Microseconds since the epoch, UTC.
std::int64_t now_micros();
/// Monotonic seconds, for durations.
double monotonic();
/// "2026-11-20T22:00:04.123456Z", "…+02:00"; without a zone for a Timestamp without one. Trailing
/// zeros of the fraction are dropped.
std::string iso(const Timestamp& timestamp);
/// "2026-11-20T22:00:04.123Z" in UTC, always three digits: the form of events.
std::string iso_millis(std::int64_t micros);
/// "22:00:04" in UTC.
std::string clock_utc(std::int64_t micros);
/// ISO 8601 or SQL text (blank or T, optional fraction, optional zone ±hh[:mm] or Z); nothing if it
/// is none.
std::optional<Timestamp> parse(std::string_view text);

} // namespace runbook::time
