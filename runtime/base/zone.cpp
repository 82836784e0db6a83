// TZif files and the rule at their end (contract in zone.h).
#include "runtime/base/zone.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace runbook::time {

namespace {

constexpr std::int64_t day_s = 86'400;

std::chrono::year_month_day date_of(const Civil& civil) {
    return std::chrono::year_month_day{std::chrono::year(static_cast<int>(civil.year)),
                                       std::chrono::month(civil.month),
                                       std::chrono::day(civil.day)};
}

/// Reads numbers of a TZif file, the most significant byte first.
class Bytes {
  public:
    Bytes(const std::string& text, const std::string& zone) : text_(text), zone_(zone) {}
    std::int64_t number(int size) {
        need(static_cast<std::size_t>(size));
        std::uint64_t value = (static_cast<unsigned char>(text_[at_]) & 0x80U) != 0 ? ~0ULL : 0;
        for (int i = 0; i < size; ++i)
            value = value << 8U | static_cast<unsigned char>(text_[at_++]);
        return static_cast<std::int64_t>(value);
    }
    void skip(std::int64_t size) {
        need(static_cast<std::size_t>(size));
        at_ += static_cast<std::size_t>(size);
    }
    std::string rest() const { return text_.substr(at_); }
    [[noreturn]] void broken() const {
        throw Error("usage", fmt::format("time zone '{}': its file is not one of tzdata", zone_));
    }

  private:
    void need(std::size_t size) const {
        if (size > text_.size() - at_)
            broken();
    }
    const std::string& text_;
    const std::string& zone_;
    std::size_t at_ = 0;
};

struct Counts {
    std::int64_t utc = 0, standard = 0, leaps = 0, times = 0, types = 0, letters = 0;
};

Counts read_header(Bytes& bytes) {
    if (bytes.number(4) != 0x545A6966) // "TZif"
        bytes.broken();
    bytes.skip(16);
    Counts counts;
    counts.utc = bytes.number(4);
    counts.standard = bytes.number(4);
    counts.leaps = bytes.number(4);
    counts.times = bytes.number(4);
    counts.types = bytes.number(4);
    counts.letters = bytes.number(4);
    for (const std::int64_t one :
         {counts.utc, counts.standard, counts.leaps, counts.times, counts.types, counts.letters})
        if (one < 0 || one > 1'000'000)
            bytes.broken();
    return counts;
}

/// The POSIX TZ text at the end of a file, from left to right.
struct Footer {
    const char* at;
    bool fine = true;

    void name() {
        if (*at == '<')
            while (*at != '\0' && *at++ != '>') {
            }
        else
            while (std::isalpha(static_cast<unsigned char>(*at)) != 0)
                ++at;
    }
    int number() {
        if (std::isdigit(static_cast<unsigned char>(*at)) == 0)
            fine = false;
        int value = 0;
        while (std::isdigit(static_cast<unsigned char>(*at)) != 0 && value < 100'000)
            value = value * 10 + (*at++ - '0');
        return value;
    }
    std::int64_t clock() {
        const int sign = *at == '-' ? -1 : 1;
        if (*at == '-' || *at == '+')
            ++at;
        std::int64_t seconds = number() * 3600LL;
        if (*at == ':')
            ++at, seconds += number() * 60LL;
        if (*at == ':')
            ++at, seconds += number();
        return sign * seconds;
    }
    bool take(char c) {
        if (*at != c)
            return false;
        ++at;
        return true;
    }
};

std::string default_folder() {
    const char* folder = std::getenv("TZDIR");
    return folder && *folder ? folder : "/usr/share/zoneinfo";
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    const std::filesystem::path root(folder);
    for (auto it = std::filesystem::recursive_directory_iterator(root, ignored);
         it != std::filesystem::recursive_directory_iterator(); it.increment(ignored)) {
        std::string name = it->path().lexically_relative(root).string();
        if (!name.starts_with("posix") && !name.starts_with("right") &&
            name.find('.') == std::string::npos && it->is_regular_file(ignored))
            names.push_back(std::move(name));
    }
    return names;
}

} // namespace

std::int64_t seconds_of(const Civil& civil) {
    const auto days = std::chrono::sys_days(date_of(civil)).time_since_epoch().count();
    return days * day_s + civil.hour * 3600LL + civil.minute * 60LL + civil.second;
}

Civil civil_of(const std::tm& parts) {
    Civil civil;
    civil.year = parts.tm_year + 1900;
    civil.month = static_cast<unsigned>(parts.tm_mon + 1);
    civil.day = static_cast<unsigned>(parts.tm_mday);
    civil.hour = static_cast<unsigned>(parts.tm_hour);
    civil.minute = static_cast<unsigned>(parts.tm_min);
    civil.second = static_cast<unsigned>(parts.tm_sec);
    return civil;
}

Civil civil_of(std::int64_t seconds) {
    std::int64_t days = seconds / day_s, rest = seconds % day_s;
    if (rest < 0) {
        rest += day_s;
        --days;
    }
    const std::chrono::sys_days date{std::chrono::days(days)};
    const std::chrono::year_month_day parts(date);
    return {static_cast<int>(parts.year()),         static_cast<unsigned>(parts.month()),
            static_cast<unsigned>(parts.day()),     static_cast<unsigned>(rest / 3600),
            static_cast<unsigned>(rest / 60 % 60),  static_cast<unsigned>(rest % 60),
            std::chrono::weekday(date).c_encoding()};
}

bool exists(const Civil& civil) {
    return civil.year > 0 && civil.year < 10'000 && date_of(civil).ok() && civil.hour < 24 &&
           civil.minute < 60 && civil.second < 60;
}

Zone Zone::find(const std::string& name, const std::string& folder) {
    const std::string root = folder.empty() ? default_folder() : folder;
    const bool shaped =
        !name.empty() && name.front() != '/' && name.find("..") == std::string::npos &&
        std::all_of(name.begin(), name.end(), [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("/_+-", c);
        });
    const std::string path = root + "/" + name;
    std::error_code ignored;
    if (shaped && std::filesystem::is_regular_file(path, ignored)) {
        std::ifstream file(path, std::ios::binary);
        std::ostringstream content;
        content << file.rdbuf();
        return parse(content.str(), name);
    }
    if (!std::filesystem::exists(root, ignored)) {
        if (name == "UTC")
            return {};
        throw Error("usage", fmt::format("time zone '{}': there is no {}", name, root),
                    "install the package tzdata, or write the time in UTC");
    }
    throw Error("usage",
                fmt::format("no time zone '{}'{}", name, text::did_you_mean(name, names_in(root))),
                "zones are named as in tzdata: Europe/Berlin, America/New_York, UTC");
}

Zone Zone::parse(const std::string& content, const std::string& name) {
    Bytes bytes(content, name);
    Counts counts = read_header(bytes);
    if (content.size() < 5 || content[4] < '2')
        bytes.broken(); // version 1 has no rule for the years to come
    bytes.skip(counts.times * 5 + counts.types * 6 + counts.letters + counts.leaps * 8 +
               counts.standard + counts.utc);
    counts = read_header(bytes);
    Zone zone;
    std::vector<std::int64_t> times, offsets;
    std::vector<std::size_t> types;
    for (std::int64_t i = 0; i < counts.times; ++i)
        times.push_back(bytes.number(8));
    for (std::int64_t i = 0; i < counts.times; ++i)
        types.push_back(static_cast<std::size_t>(bytes.number(1) & 0xFF));
    for (std::int64_t i = 0; i < counts.types; ++i) {
        offsets.push_back(bytes.number(4));
        bytes.skip(2);
    }
    if (offsets.empty())
        bytes.broken();
    zone.first_ = offsets.front();
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (types[i] >= offsets.size())
            bytes.broken();
        zone.changes_.push_back({times[i], offsets[types[i]]});
    }
    bytes.skip(counts.letters + counts.leaps * 12 + counts.standard + counts.utc);
    zone.read_footer(text::trim(bytes.rest()), name);
    return zone;
}

void Zone::read_footer(const std::string& text, const std::string& name) {
    if (text.empty())
        return;
    Footer footer{text.c_str()};
    footer.name();
    standard_ = -footer.clock(); // POSIX counts westwards
    if (*footer.at != '\0') {
        has_summer_ = true;
        footer.name();
        summer_ = *footer.at == ',' ? standard_ + 3600 : -footer.clock();
        for (Rule* rule : {&begins_, &ends_}) {
            footer.fine = footer.fine && footer.take(',');
            if (footer.take('M')) {
                rule->month = footer.number();
                footer.fine = footer.fine && footer.take('.');
                rule->week = footer.number();
                footer.fine = footer.fine && footer.take('.');
                rule->day = footer.number();
                footer.fine = footer.fine && rule->month >= 1 && rule->month <= 12 &&
                              rule->week >= 1 && rule->week <= 5 && rule->day <= 6;
            } else {
                rule->kind = footer.take('J') ? 'J' : 'D';
                rule->day = footer.number();
            }
            if (footer.take('/'))
                rule->time = footer.clock();
        }
    }
    if (!footer.fine || *footer.at != '\0')
        throw Error("usage",
                    fmt::format("time zone '{}': its rule '{}' cannot be read", name, text));
    has_footer_ = true;
}

std::int64_t Zone::changes_at(const Rule& rule, std::int64_t year) const {
    const std::int64_t new_year = seconds_of({year, 1, 1});
    if (rule.kind != 'M') {
        std::int64_t day = rule.day;
        if (rule.kind == 'J') { // February 29 is never counted
            const bool leap = std::chrono::year(static_cast<int>(year)).is_leap();
            day = rule.day - 1 + (leap && rule.day >= 60 ? 1 : 0);
        }
        return new_year + day * day_s + rule.time;
    }
    const std::int64_t first = seconds_of({year, static_cast<unsigned>(rule.month), 1});
    const auto weekday = static_cast<int>(civil_of(first).weekday);
    std::int64_t day = (rule.day - weekday + 7) % 7 + (rule.week - 1) * 7LL;
    const auto last = static_cast<unsigned>((std::chrono::year(static_cast<int>(year)) /
                                             std::chrono::month(static_cast<unsigned>(rule.month)) /
                                             std::chrono::last)
                                                .day());
    if (day >= static_cast<std::int64_t>(last))
        day -= 7;
    return first + day * day_s + rule.time;
}

std::int64_t Zone::offset_at(std::int64_t instant) const {
    if (has_footer_ && (changes_.empty() || instant >= changes_.back().at)) {
        if (!has_summer_)
            return standard_;
        const std::int64_t year = civil_of(instant + standard_).year;
        const std::int64_t begins = changes_at(begins_, year) - standard_;
        const std::int64_t ends = changes_at(ends_, year) - summer_;
        const bool summer = begins < ends ? instant >= begins && instant < ends
                                          : instant >= begins || instant < ends;
        return summer ? summer_ : standard_;
    }
    auto after =
        std::upper_bound(changes_.begin(), changes_.end(), instant,
                         [](std::int64_t at, const Change& change) { return at < change.at; });
    return after == changes_.begin() ? first_ : std::prev(after)->offset;
}

std::int64_t Zone::instant_of(const Civil& civil) const {
    const std::int64_t local = seconds_of(civil);
    const std::int64_t before = offset_at(local - day_s), after = offset_at(local + day_s);
    for (const std::int64_t offset : {std::max(before, after), std::min(before, after)})
        if (offset_at(local - offset) == offset)
            return local - offset;
    return local - before; // skipped: the clock jumps over it
}

} // namespace runbook::time
