// Wall clock and ISO 8601 (contract in time.h). Any thread, no locale, no TZ; no state but the
// clock of a test.
#include "runtime/base/time.h"

#include "runtime/base/rehearsal.h"

#include <chrono>
#include <cstdlib>
#include <fmt/format.h>

namespace runbook::time {
namespace {

constexpr std::int64_t second = 1'000'000, day = 86'400 * second;

struct Parts {
    std::int64_t year;
    unsigned month, day, hour, minute, second, micros;
};

Parts split(std::int64_t micros) {
    std::int64_t days = micros / day, rest = micros % day;
    if (rest < 0) {
        rest += day;
        --days;
    }
    // Proleptic Gregorian calendar, by 400-year eras; std::chrono::year would end at 32767.
    const std::int64_t shifted = days + 719'468;
    const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
    const auto of_era = static_cast<unsigned>(shifted - era * 146'097);
    const unsigned year_of_era =
        (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
    const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned from_march = (5 * of_year + 2) / 153;
    const unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;
    const auto seconds = static_cast<unsigned>(rest / second);
    return {year_of_era + era * 400 + (month <= 2 ? 1 : 0),
            month,
            of_year - (153 * from_march + 2) / 5 + 1,
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            static_cast<unsigned>(rest % second)};
}

std::int64_t days_of(std::int64_t year, unsigned month, unsigned day_of_month) {
    year -= month <= 2;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const auto year_of_era = static_cast<unsigned>(year - era * 400);
    const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day_of_month - 1;
    return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year -
           719'468;
}

unsigned days_in(std::int64_t year, unsigned month) {
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2                                              ? (leap ? 29 : 28)
           : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                   : 31;
}

std::string date(std::int64_t year, unsigned month, unsigned day_of_month) {
    std::string text = year > 9999 ? fmt::format("+{}", year)
                       : year < 0  ? fmt::format("-{:04}", -year)
                                   : fmt::format("{:04}", year);
    return text + fmt::format("-{:02}-{:02}", month, day_of_month);
}

std::string zone(std::int32_t offset) {
    if (offset == 0)
        return "Z";
    const int size = std::abs(offset);
    std::string text =
        fmt::format("{}{:02}:{:02}", offset < 0 ? '-' : '+', size / 3600, size / 60 % 60);
    if (size % 60)
        text += fmt::format(":{:02}", size % 60);
    return text;
}

/// Reads a text from left to right; every function says whether it found what it wanted.
class Scanner {
  public:
    explicit Scanner(std::string_view text) : left_(text) {}
    bool done() const { return left_.empty(); }
    bool skip(char c) {
        if (left_.empty() || left_.front() != c)
            return false;
        left_.remove_prefix(1);
        return true;
    }
    bool digits(std::size_t least, std::size_t most, std::int64_t& number,
                std::size_t* count = nullptr) {
        std::size_t have = 0;
        number = 0;
        while (have < most && have < left_.size() && left_[have] >= '0' && left_[have] <= '9')
            number = number * 10 + (left_[have++] - '0');
        if (have < least)
            return false;
        left_.remove_prefix(have);
        if (count)
            *count = have;
        return true;
    }

  private:
    std::string_view left_;
};

bool scan_fraction(Scanner& scan, std::int64_t& micros) {
    micros = 0;
    if (!scan.skip('.') && !scan.skip(','))
        return true;
    std::size_t count = 0;
    if (!scan.digits(1, 9, micros, &count))
        return false;
    for (; count < 6; ++count)
        micros *= 10;
    for (; count > 6; --count)
        micros /= 10;
    return true;
}

bool scan_zone(Scanner& scan, std::optional<std::int32_t>& offset) {
    scan.skip(' ');
    if (scan.skip('Z') || scan.skip('z')) {
        offset = 0;
        return true;
    }
    const bool west = scan.skip('-');
    if (!west && !scan.skip('+'))
        return scan.done();
    std::int64_t hours = 0, minutes = 0, seconds = 0;
    if (!scan.digits(2, 2, hours))
        return false;
    if (!scan.done()) {
        const bool colon = scan.skip(':');
        if (!scan.digits(2, 2, minutes))
            return false;
        if (colon && scan.skip(':') && !scan.digits(2, 2, seconds))
            return false;
    }
    if (hours > 15 || minutes > 59 || seconds > 59)
        return false;
    const std::int64_t size = hours * 3600 + minutes * 60 + seconds;
    offset = static_cast<std::int32_t>(west ? -size : size);
    return true;
}

} // namespace

std::int64_t now_micros() {
    if (const std::int64_t stopped = rehearsal::stopped_at.load(std::memory_order_relaxed))
        return stopped;
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

double monotonic() {
    if (const std::int64_t stopped = rehearsal::stopped_at.load(std::memory_order_relaxed))
        return static_cast<double>(stopped % (1000 * day)) / second;
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::string iso(const Timestamp& timestamp) {
    const Parts at = split(timestamp.micros + timestamp.offset.value_or(0) * second);
    std::string text = date(at.year, at.month, at.day) +
                       fmt::format("T{:02}:{:02}:{:02}", at.hour, at.minute, at.second);
    if (at.micros) {
        text += fmt::format(".{:06}", at.micros);
        text.erase(text.find_last_not_of('0') + 1);
    }
    return timestamp.offset ? text + zone(*timestamp.offset) : text;
}

std::string iso_millis(std::int64_t micros) {
    const Parts at = split(micros);
    return date(at.year, at.month, at.day) + fmt::format("T{:02}:{:02}:{:02}.{:03}Z", at.hour,
                                                         at.minute, at.second, at.micros / 1000);
}

std::string clock_utc(std::int64_t micros) {
    const Parts at = split(micros);
    return fmt::format("{:02}:{:02}:{:02}", at.hour, at.minute, at.second);
}

std::optional<Timestamp> parse(std::string_view text) {
    Scanner scan(text);
    std::int64_t year = 0, month = 0, day_of_month = 0, hour = 0, minute = 0, seconds = 0,
                 micros = 0;
    const bool negative = scan.skip('-');
    if (!negative)
        scan.skip('+');
    if (!scan.digits(4, 6, year) || !scan.skip('-') || !scan.digits(2, 2, month) ||
        !scan.skip('-') || !scan.digits(2, 2, day_of_month))
        return {};
    if (negative)
        year = -year;
    if (month < 1 || month > 12 || day_of_month < 1 ||
        day_of_month > days_in(year, static_cast<unsigned>(month)))
        return {};
    Timestamp out;
    if (!scan.done()) {
        if (!scan.skip('T') && !scan.skip('t') && !scan.skip(' '))
            return {};
        if (!scan.digits(2, 2, hour) || !scan.skip(':') || !scan.digits(2, 2, minute))
            return {};
        if (scan.skip(':') && (!scan.digits(2, 2, seconds) || !scan_fraction(scan, micros)))
            return {};
        if (!scan_zone(scan, out.offset) || !scan.done())
            return {};
        const bool midnight = hour == 24 && minute == 0 && seconds == 0 && micros == 0;
        if ((hour > 23 && !midnight) || minute > 59 || seconds > 60)
            return {};
    }
    out.micros =
        days_of(year, static_cast<unsigned>(month), static_cast<unsigned>(day_of_month)) * day +
        (hour * 3600 + minute * 60 + seconds - out.offset.value_or(0)) * second + micros;
    return out;
}

} // namespace runbook::time
