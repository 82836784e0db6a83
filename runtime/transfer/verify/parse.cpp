// Text in a pair's form: MySQL's text protocol, SQLite's text, PostgreSQL's casts to text.
// Pure functions, without allocation on the paths a row takes.
#include "runtime/transfer/verify/form.h"

#include <charconv>
#include <cmath>

namespace runbook::verify {
namespace {

constexpr std::int64_t day_micros = 86'400'000'000;

bool digit(char c) {
    return c >= '0' && c <= '9';
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant's civil-day arithmetic).
std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
    year -= month <= 2;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const auto of_era = static_cast<unsigned>(year - era * 400);
    const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const unsigned day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + static_cast<std::int64_t>(day_of_era) - 719468;
}

/// Reads digits into `value`; false where there are fewer than `least` or more than `most`.
bool number(std::string_view& text, int least, int most, std::int64_t& value) {
    value = 0;
    int count = 0;
    while (count < most && count < static_cast<int>(text.size()) && digit(text[count]))
        value = value * 10 + (text[count++] - '0');
    if (count < least)
        return false;
    text.remove_prefix(static_cast<std::size_t>(count));
    return true;
}

bool eat(std::string_view& text, char c) {
    if (text.empty() || text.front() != c)
        return false;
    text.remove_prefix(1);
    return true;
}

bool parse_date(std::string_view& text, std::int64_t& days) {
    std::int64_t year = 0, month = 0, day = 0;
    if (!number(text, 4, 7, year) || !eat(text, '-') || !number(text, 2, 2, month) ||
        !eat(text, '-') || !number(text, 2, 2, day))
        return false;
    static constexpr int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1 || day > lengths[month - 1])
        return false;
    if (month == 2 && day == 29 && !(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
        return false;
    days = days_from_civil(year, static_cast<unsigned>(month), static_cast<unsigned>(day));
    return true;
}

/// `.123456`; more than six digits are no microseconds unless the rest is zeros.
bool parse_fraction(std::string_view& text, std::int64_t& micros) {
    micros = 0;
    if (!eat(text, '.'))
        return true;
    int count = 0;
    while (!text.empty() && digit(text.front())) {
        if (count < 6)
            micros = micros * 10 + (text.front() - '0');
        else if (text.front() != '0')
            return false;
        ++count;
        text.remove_prefix(1);
    }
    for (int i = count; i < 6; ++i)
        micros *= 10;
    return true;
}

bool parse_clock(std::string_view& text, std::int64_t& micros, int hour_digits = 2) {
    std::int64_t hour = 0, minute = 0, second = 0, fraction = 0;
    if (!number(text, 1, hour_digits, hour) || !eat(text, ':') || !number(text, 2, 2, minute))
        return false;
    if (eat(text, ':') && (!number(text, 2, 2, second) || !parse_fraction(text, fraction)))
        return false;
    if (minute > 59 || second > 60)
        return false;
    micros = ((hour * 60 + minute) * 60 + second) * 1'000'000 + fraction;
    return true;
}

/// `Z`, `+02`, `+02:00`, `-0330`; nothing means UTC.
bool parse_zone(std::string_view& text, std::int64_t& seconds) {
    seconds = 0;
    if (text.empty() || eat(text, 'Z') || eat(text, 'z'))
        return true;
    bool west = text.front() == '-';
    if (!eat(text, '+') && !eat(text, '-'))
        return false;
    std::int64_t hours = 0, minutes = 0, rest = 0;
    if (!number(text, 2, 2, hours))
        return false;
    if (!text.empty()) {
        eat(text, ':');
        if (!number(text, 2, 2, minutes))
            return false;
    }
    if (eat(text, ':') && !number(text, 2, 2, rest))
        return false;
    seconds = (hours * 60 + minutes) * 60 + rest;
    if (west)
        seconds = -seconds;
    return true;
}

bool parse_timestamp(std::string_view text, std::int64_t& micros) {
    std::int64_t days = 0, clock = 0, zone = 0;
    if (!parse_date(text, days))
        return false;
    if (eat(text, ' ') || eat(text, 'T')) {
        if (!parse_clock(text, clock) || !parse_zone(text, zone))
            return false;
    }
    micros = days * day_micros + clock - zone * 1'000'000;
    return text.empty();
}

bool parse_time(std::string_view text, std::int64_t& micros) {
    bool negative = eat(text, '-');
    if (!parse_clock(text, micros, 4) || !text.empty())
        return false;
    if (negative)
        micros = -micros;
    return true;
}

bool parse_uuid(std::string_view text, char (&out)[16]) {
    if (text.size() == 16) { // BINARY(16)
        std::memcpy(out, text.data(), 16);
        return true;
    }
    if (text.size() >= 2 && text.front() == '{' && text.back() == '}')
        text = text.substr(1, text.size() - 2);
    int half = 0;
    for (char c : text) {
        if (c == '-')
            continue;
        int value = digit(c)                             ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (value < 0 || half >= 32)
            return false;
        if (half % 2 == 0)
            out[half / 2] = static_cast<char>(value << 4);
        else
            out[half / 2] = static_cast<char>(out[half / 2] | value);
        ++half;
    }
    return half == 32;
}

/// ISO 8601 (`P1Y2M3DT4H5M6.5S`), each part with its own sign.
bool parse_interval(std::string_view text, char (&out)[24]) {
    std::int64_t months = 0, days = 0, micros = 0;
    if (!eat(text, 'P') || text.empty())
        return false;
    bool clock = false;
    while (!text.empty()) {
        if (eat(text, 'T')) {
            clock = true;
            continue;
        }
        bool negative = eat(text, '-');
        std::int64_t amount = 0, fraction = 0;
        if (!number(text, 1, 18, amount) || !parse_fraction(text, fraction) || text.empty())
            return false;
        std::int64_t sign = negative ? -1 : 1;
        char unit = text.front();
        text.remove_prefix(1);
        if (fraction && unit != 'S')
            return false;
        if (!clock && unit == 'Y')
            months += sign * amount * 12;
        else if (!clock && unit == 'M')
            months += sign * amount;
        else if (!clock && unit == 'W')
            days += sign * amount * 7;
        else if (!clock && unit == 'D')
            days += sign * amount;
        else if (clock && unit == 'H')
            micros += sign * amount * 3'600'000'000;
        else if (clock && unit == 'M')
            micros += sign * amount * 60'000'000;
        else if (clock && unit == 'S')
            micros += sign * (amount * 1'000'000 + fraction);
        else
            return false;
    }
    std::memcpy(out, &months, 8);
    std::memcpy(out + 8, &days, 8);
    std::memcpy(out + 16, &micros, 8);
    return true;
}

bool parse_integer(std::string_view text, std::int64_t& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size())
        return true;
    if (text == "t" || text == "true" || text == "TRUE") {
        value = 1;
        return true;
    }
    if (text == "f" || text == "false" || text == "FALSE") {
        value = 0;
        return true;
    }
    return false;
}

bool parse_real(std::string_view text, double& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

bool all_bits(std::string_view text) {
    return text.find_first_not_of("01") == std::string_view::npos;
}

void put_time_like(const ColumnPair& pair, std::string_view text, Buffer& out) {
    std::int64_t value = 0;
    bool good = false;
    if (pair.form == Form::date) {
        std::string_view rest = text;
        good =
            parse_date(rest, value) && (rest.empty() || rest == " 00:00:00" || rest == "T00:00:00");
    } else if (pair.form == Form::timestamp) {
        good = parse_timestamp(text, value);
    } else {
        good = parse_time(text, value);
    }
    if (good)
        return put_fixed(out, value);
    if (text.starts_with("0000-00-00") && pair.zero_date_is_null)
        return put_null(out);
    if (text == "infinity")
        return put_fixed(out, INT64_MAX);
    if (text == "-infinity")
        return put_fixed(out, INT64_MIN);
    put_var(out, text, Tag::invalid);
}

} // namespace

void put_real(const ColumnPair& pair, double value, Buffer& out) {
    if (pair.form == Form::real32)
        value = static_cast<double>(static_cast<float>(value));
    if (std::isnan(value))
        value = std::numeric_limits<double>::quiet_NaN();
    if (value == 0 && !pair.signed_zero)
        value = 0;
    std::int64_t bits = 0;
    std::memcpy(&bits, &value, 8);
    put_fixed(out, bits);
}

void put_parsed(const ColumnPair& pair, std::string_view text, Buffer& out) {
    switch (pair.form) {
    case Form::integer: {
        std::int64_t value = 0;
        if (parse_integer(text, value))
            return put_fixed(out, value);
        break;
    }
    case Form::decimal: {
        thread_local std::string number;
        number.clear();
        if (canonical_decimal(text, number))
            return put_var(out, number);
        break;
    }
    case Form::real32:
    case Form::real64: {
        double value = 0;
        if (parse_real(text, value))
            return put_real(pair, value, out);
        break;
    }
    case Form::text:
        if (pair.trim_blanks)
            text = text.substr(0, text.find_last_not_of(' ') + 1);
        return put_var(out, text);
    case Form::bytes:
    case Form::json:
        return put_var(out, text);
    case Form::uuid: {
        char octets[16];
        if (parse_uuid(text, octets))
            return put_var(out, {octets, 16});
        break;
    }
    case Form::date:
    case Form::timestamp:
    case Form::time:
        return put_time_like(pair, text, out);
    case Form::interval: {
        char parts[24];
        if (parse_interval(text, parts))
            return put_var(out, {parts, 24});
        break;
    }
    case Form::bits:
        if (all_bits(text))
            return put_var(out, text);
        break;
    case Form::dynamic:
        return put_var(out, text);
    }
    put_var(out, text, Tag::invalid);
}

void put_mysql(const ColumnPair& pair, const Side& side, std::string_view data, Buffer& out) {
    if (side.wire != Wire::my_bits)
        return put_parsed(pair, data, out);
    if (pair.form == Form::integer && data.size() <= 8) {
        std::uint64_t value = 0;
        for (char c : data)
            value = value << 8 | static_cast<unsigned char>(c);
        return put_fixed(out, static_cast<std::int64_t>(value));
    }
    char text[64];
    int width = side.bits > 0 && side.bits <= 64 ? side.bits : static_cast<int>(data.size()) * 8;
    for (int i = 0; i < width && i < 64; ++i) {
        std::size_t back = static_cast<std::size_t>(width - 1 - i);
        std::size_t octet = data.size() - 1 - back / 8;
        text[i] =
            static_cast<char>('0' + (static_cast<unsigned char>(data[octet]) >> back % 8 & 1));
    }
    put_parsed(pair, {text, static_cast<std::size_t>(width)}, out);
}

} // namespace runbook::verify
