// Time zones, read from the system's tzdata (TZif, RFC 8536). Any thread; a zone is immutable.
// Never touches TZ or any other state of the process.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace runbook::time {

/// A day and a time as a clock on the wall shows them.
struct Civil {
    std::int64_t year = 1970;
    unsigned month = 1, day = 1, hour = 0, minute = 0, second = 0;
    unsigned weekday = 4; ///< 0 is Sunday; ignored on the way in
};

/// Seconds since the epoch of a wall clock in UTC, and back.
std::int64_t seconds_of(const Civil& civil);
Civil civil_of(std::int64_t seconds);
/// The fields of the C library's form, as they stand; the weekday is left out.
Civil civil_of(const std::tm& parts);
/// Whether the day is in the calendar and the time on the clock.
bool exists(const Civil& civil);

class Zone {
  public:
    /// "Europe/Berlin", "UTC". Throws Error{`usage`} that names the nearest, or says that tzdata is
    /// not installed. `folder` empty: $TZDIR, else /usr/share/zoneinfo.
    static Zone find(const std::string& name, const std::string& folder = {});
    /// Parses the content of a TZif file; throws Error{`usage`} with `name` where it is none.
    static Zone parse(const std::string& content, const std::string& name);

    /// Seconds east of UTC at an instant (seconds since the epoch).
    std::int64_t offset_at(std::int64_t instant) const;
    /// The instant of a wall clock's reading. One that the clock shows twice is the first; one that
    /// it skips is as much later as the clock jumps.
    std::int64_t instant_of(const Civil& civil) const;

  private:
    /// "M3.5.0/2": when the clock changes, in seconds of local time of the year.
    struct Rule {
        char kind = 'M';
        int month = 0, week = 0, day = 0;
        std::int64_t time = 7200;
    };
    std::int64_t changes_at(const Rule& rule, std::int64_t year) const;
    void read_footer(const std::string& text, const std::string& name);

    struct Change {
        std::int64_t at, offset;
    };
    std::vector<Change> changes_;
    std::int64_t first_ = 0; ///< before the first change
    bool has_footer_ = false, has_summer_ = false;
    std::int64_t standard_ = 0, summer_ = 0;
    Rule begins_, ends_;
};

} // namespace runbook::time
