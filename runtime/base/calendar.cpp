// Timestamps in patterns and zones (contract in calendar.h).
#include "runtime/base/calendar.h"

#include "runtime/base/error.h"

#include <clocale>
#include <ctime>
#include <vector>

namespace runbook::time {
namespace {

locale_t english() {
    static const locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
    return locale;
}

std::int64_t seconds_of(const Timestamp& timestamp) {
    const std::int64_t rest = timestamp.micros % 1'000'000;
    return (timestamp.micros - (rest < 0 ? rest + 1'000'000 : rest)) / 1'000'000;
}

std::tm tm_of(const Timestamp& timestamp) {
    const Civil at = civil_of(timestamp);
    std::tm parts{};
    parts.tm_year = static_cast<int>(at.year - 1900);
    parts.tm_mon = static_cast<int>(at.month) - 1;
    parts.tm_mday = static_cast<int>(at.day);
    parts.tm_hour = static_cast<int>(at.hour);
    parts.tm_min = static_cast<int>(at.minute);
    parts.tm_sec = static_cast<int>(at.second);
    parts.tm_wday = static_cast<int>(at.weekday);
    Civil first;
    first.year = at.year;
    parts.tm_yday = static_cast<int>((time::seconds_of(at) - time::seconds_of(first)) / 86'400);
    parts.tm_gmtoff = timestamp.offset.value_or(0);
    parts.tm_zone = timestamp.offset == 0 ? "UTC" : "";
    return parts;
}

} // namespace

Timestamp in_zone(const Timestamp& timestamp, const std::string& zone) {
    const std::int64_t offset = Zone::find(zone).offset_at(seconds_of(timestamp));
    return {timestamp.micros, static_cast<std::int32_t>(offset)};
}

Timestamp from_zone(const Timestamp& wall_clock, const std::string& zone) {
    const std::int64_t seconds = seconds_of(wall_clock);
    const Zone found = Zone::find(zone);
    const std::int64_t instant = found.instant_of(time::civil_of(seconds));
    return {wall_clock.micros + (instant - seconds) * 1'000'000,
            static_cast<std::int32_t>(found.offset_at(instant))};
}

Civil civil_of(const Timestamp& timestamp) {
    return civil_of(seconds_of(timestamp) + timestamp.offset.value_or(0));
}

std::string format(const Timestamp& timestamp, const std::string& pattern) {
    const std::tm parts = tm_of(timestamp);
    // %s would ask the process's own zone.
    std::string own;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '%' && i + 1 < pattern.size() && pattern[i + 1] == 's') {
            own += std::to_string(seconds_of(timestamp));
            ++i;
        } else {
            own += pattern[i];
            if (pattern[i] == '%' && i + 1 < pattern.size())
                own += pattern[++i];
        }
    }
    std::vector<char> text(own.size() * 8 + 256);
    const std::size_t size = ::strftime_l(text.data(), text.size(), own.c_str(), &parts, english());
    return {text.data(), size};
}

std::optional<Timestamp> parse(const std::string& text, const std::string& pattern) {
    constexpr long no_offset = -1'000'000;
    std::tm parts{};
    parts.tm_mday = 1;
    parts.tm_year = 70;
    parts.tm_gmtoff = no_offset;
    const char* end = ::strptime_l(text.c_str(), pattern.c_str(), &parts, english());
    if (!end || *end != '\0')
        return {};
    const Civil at = civil_of(parts);
    if (!exists(at))
        return {};
    Timestamp found{time::seconds_of(at) * 1'000'000, {}};
    if (parts.tm_gmtoff != no_offset) {
        found.offset = static_cast<std::int32_t>(parts.tm_gmtoff);
        found.micros -= std::int64_t{*found.offset} * 1'000'000;
    }
    return found;
}

} // namespace runbook::time
