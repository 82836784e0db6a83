// Small text helpers (contract in text.h). Any thread, no state: no locale is consulted.
#include "runtime/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace runbook::text {
namespace {

/// Optimal string alignment: insertions, deletions, replacements and swapped neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

struct CodePoint {
    char32_t code;
    std::size_t length;
    bool valid;
};

CodePoint next_code_point(std::string_view text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t length = first < 0x80    ? 1
                               : first >= 0xF0 ? 4
                               : first >= 0xE0 ? 3
                               : first >= 0xC2 ? 2
                                               : 0;
    if (length == 0 || first > 0xF4 || at + length > text.size())
        return {first, 1, false};
    if (length == 1)
        return {first, 1, true};
    char32_t code = first & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        const auto byte = static_cast<unsigned char>(text[at + i]);
        if ((byte & 0xC0) != 0x80)
            return {first, 1, false};
        code = code << 6 | (byte & 0x3F);
    }
    return {code, length, true};
}

using Range = std::pair<char32_t, char32_t>;

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t code) {
    return std::any_of(ranges.begin(), ranges.end(), [code](const Range& range) {
        return code >= range.first && code <= range.second;
    });
}

/// Combining marks, joiners, variation selectors: no column of their own.
constexpr std::array<Range, 20> zero_width = {
    {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
     {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x0900, 0x0902}, {0x093C, 0x093C}, {0x0941, 0x0948},
     {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
     {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}}};

/// East Asian wide and full-width, and the emoji that terminals draw on two columns.
constexpr std::array<Range, 31> double_width = {
    {{0x1100, 0x115F},  {0x231A, 0x231B}, {0x2329, 0x232A}, {0x23E9, 0x23EC}, {0x23F0, 0x23F0},
     {0x23F3, 0x23F3},  {0x25FD, 0x25FE}, {0x2614, 0x2615}, {0x2648, 0x2653}, {0x26A1, 0x26A1},
     {0x26AA, 0x26AB},  {0x26BD, 0x26BE}, {0x26C4, 0x26C5}, {0x26D4, 0x26D4}, {0x2705, 0x2705},
     {0x270A, 0x270B},  {0x274C, 0x274C}, {0x2753, 0x2755}, {0x2795, 0x2797}, {0x2B50, 0x2B50},
     {0x2E80, 0x303E},  {0x3041, 0x33FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xA000, 0xA4CF},
     {0xAC00, 0xD7A3},  {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0x1F300, 0x1FAFF},
     {0x20000, 0x3FFFD}}};

std::size_t columns_of(const CodePoint& point) {
    if (!point.valid)
        return 1;
    if (point.code < 0x20 || (point.code >= 0x7F && point.code < 0xA0))
        return 0;
    if (point.code < 0x300)
        return 1;
    if (within(zero_width, point.code))
        return 0;
    return within(double_width, point.code) ? 2 : 1;
}

struct Unit {
    std::string_view name;
    double seconds;
};
/// Weeks are read, and written as days.
constexpr std::array<Unit, 6> units = {
    {{"w", 604800}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 0.001}}};

} // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
    const std::size_t limit = (word.size() + 2) / 3;
    std::size_t best = limit + 1;
    std::string found;
    for (const std::string& candidate : candidates) {
        const std::size_t far = distance(word, candidate);
        if (far < best) {
            best = far;
            found = candidate;
        }
    }
    return found;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
    const std::string found = nearest(word, candidates);
    return found.empty() ? found : " (did you mean '" + found + "'?)";
}

std::string grouped(std::int64_t number) {
    std::string digits = std::to_string(number);
    const std::size_t sign = number < 0 ? 1 : 0;
    for (std::size_t at = digits.size(); at > sign + 3;) {
        at -= 3;
        digits.insert(at, ",");
    }
    return digits;
}

std::string bytes(std::int64_t count) {
    if (count > -1000 && count < 1000)
        return fmt::format("{} B", count);
    auto amount = static_cast<double>(count);
    constexpr std::array<std::string_view, 6> names = {"kB", "MB", "GB", "TB", "PB", "EB"};
    std::size_t unit = 0;
    amount /= 1000;
    while (std::fabs(amount) >= 999.95 && unit + 1 < names.size()) {
        amount /= 1000;
        ++unit;
    }
    return fmt::format("{:.1f} {}", amount, names.at(unit));
}

std::string clock(double seconds) {
    if (!std::isfinite(seconds))
        return "–";
    const auto whole = static_cast<std::int64_t>(std::max(0.0, seconds) + 1e-9);
    const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
    return hours ? fmt::format("{}:{:02}:{:02}", hours, minutes, rest)
                 : fmt::format("{}:{:02}", minutes, rest);
}

std::string duration(double seconds) {
    if (!std::isfinite(seconds))
        return "–";
    if (seconds < 0)
        return "-" + duration(-seconds);
    const auto millis = static_cast<std::int64_t>(std::llround(seconds * 1000));
    if (millis == 0)
        return "0s";
    if (millis < 1000)
        return fmt::format("{}ms", millis);
    // Up to two minutes seconds read better than "1m30s", and may have a fraction.
    if (millis < 120'000 && millis % 60'000 != 0) {
        std::string text = fmt::format("{}", millis / 1000);
        if (const std::int64_t part = millis % 1000) {
            text += fmt::format(".{:03}", part);
            text.erase(text.find_last_not_of('0') + 1);
        }
        return text + "s";
    }
    std::int64_t left = (millis + 500) / 1000;
    std::string out;
    for (const Unit& unit : std::span(units).subspan(1)) {
        const auto size = static_cast<std::int64_t>(unit.seconds);
        if (size == 0)
            break;
        if (const std::int64_t count = left / size)
            out += fmt::format("{}{}", count, unit.name);
        left %= size;
    }
    return out;
}

std::optional<double> parse_duration(std::string_view text) {
    double total = 0, previous = HUGE_VAL;
    const char *at = text.data(), *end = at + text.size();
    if (at == end)
        return {};
    while (at != end) {
        double amount = 0;
        if (*at < '0' || *at > '9')
            return {};
        const auto [stop, problem] = std::from_chars(at, end, amount, std::chars_format::fixed);
        if (problem != std::errc{})
            return {};
        const char* word_end = std::find_if(stop, end, [](char c) { return c < 'a' || c > 'z'; });
        const std::string_view name(stop, static_cast<std::size_t>(word_end - stop));
        const auto* unit = std::find_if(units.begin(), units.end(),
                                        [&](const Unit& one) { return one.name == name; });
        if (unit == units.end() || unit->seconds >= previous)
            return {};
        previous = unit->seconds;
        total += amount * unit->seconds;
        at = word_end;
    }
    return total;
}

std::string shell_quote(std::string_view word) {
    constexpr std::string_view safe =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "_-./:=@%+,";
    if (!word.empty() && word.find_first_not_of(safe) == std::string_view::npos)
        return std::string(word);
    std::string out = "'";
    for (char c : word) {
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    }
    return out + "'";
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> out;
    for (std::size_t begin = 0;;) {
        const std::size_t end = text.find(separator, begin);
        out.emplace_back(text.substr(begin, end - begin));
        if (end == std::string_view::npos)
            return out;
        begin = end + 1;
    }
}

std::string join(std::span<const std::string> words, std::string_view separator) {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i)
            out += separator;
        out += words[i];
    }
    return out;
}

std::string trim(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n\v\f";
    const std::size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos)
        return {};
    return std::string(text.substr(begin, text.find_last_not_of(blanks) - begin + 1));
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = next_code_point(text, at);
        columns += columns_of(point);
        at += point.length;
    }
    return columns;
}

std::string ellipsize(std::string_view text, std::size_t columns) {
    if (display_width(text) <= columns)
        return std::string(text);
    if (columns == 0)
        return {};
    std::size_t used = 0, at = 0;
    while (at < text.size()) {
        const CodePoint point = next_code_point(text, at);
        if (used + columns_of(point) > columns - 1)
            break;
        used += columns_of(point);
        at += point.length;
    }
    return std::string(text.substr(0, at)) + "…";
}

} // namespace runbook::text
