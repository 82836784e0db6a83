// Time zones of the system's tzdata, and broken files of it.
#include "runtime/base/error.h"
#include "runtime/base/zone.h"

#include "tests/unit/catch.h"

using namespace runbook;
using time::Civil;
using time::Zone;

namespace {

std::string problem(const std::string& name, const std::string& folder = {}) {
    try {
        Zone::find(name, folder);
    } catch (const Error& error) {
        return error.message();
    }
    return "found";
}

} // namespace

TEST_CASE("A zone knows its offset in past, present and far future", "[zone]") {
    const Zone berlin = Zone::find("Europe/Berlin");
    CHECK(berlin.offset_at(time::seconds_of({2026, 1, 15})) == 3600);
    CHECK(berlin.offset_at(time::seconds_of({2026, 7, 15})) == 7200);
    CHECK(berlin.offset_at(time::seconds_of({2150, 1, 15})) == 3600); // by the rule at the end
    CHECK(berlin.offset_at(time::seconds_of({2150, 7, 15})) == 7200);
    CHECK(berlin.offset_at(time::seconds_of({1978, 7, 15})) == 3600); // no summer time then
    const Zone sydney = Zone::find("Australia/Sydney");               // summer over the new year
    CHECK(sydney.offset_at(time::seconds_of({2150, 1, 15})) == 11 * 3600);
    CHECK(sydney.offset_at(time::seconds_of({2150, 7, 15})) == 10 * 3600);
    CHECK(Zone::find("UTC").offset_at(0) == 0);
    CHECK(Zone::find("Asia/Kolkata").offset_at(time::seconds_of({2100, 1, 1})) == 19'800);
    // clocks change at the same instant in all of Europe
    const std::int64_t change = time::seconds_of({2150, 3, 29, 1});
    CHECK(berlin.offset_at(change - 1) == 3600);
    CHECK(berlin.offset_at(change) == 7200);
}

TEST_CASE("A wall clock's reading has one instant, also when the clock changes", "[zone]") {
    const Zone berlin = Zone::find("Europe/Berlin");
    const auto utc = [&](const Civil& civil) { return berlin.instant_of(civil); };
    CHECK(utc({2026, 11, 20, 22}) == time::seconds_of({2026, 11, 20, 21}));
    CHECK(utc({2026, 7, 20, 22}) == time::seconds_of({2026, 7, 20, 20}));
    // 02:30 is skipped on March 29: 03:30 instead
    CHECK(utc({2026, 3, 29, 2, 30}) == time::seconds_of({2026, 3, 29, 1, 30}));
    // 02:30 comes twice on October 25: the first
    CHECK(utc({2026, 10, 25, 2, 30}) == time::seconds_of({2026, 10, 25, 0, 30}));
    CHECK(utc({2026, 10, 25, 3, 30}) == time::seconds_of({2026, 10, 25, 2, 30}));
}

TEST_CASE("The calendar goes both ways", "[zone]") {
    const Civil leap = time::civil_of(time::seconds_of({2028, 2, 29, 23, 59, 58}));
    CHECK((leap.year == 2028 && leap.month == 2 && leap.day == 29 && leap.second == 58));
    CHECK(leap.weekday == 2);
    CHECK(time::civil_of(-1).year == 1969);
    CHECK(time::exists({2028, 2, 29}));
    CHECK_FALSE(time::exists({2026, 2, 29}));
    CHECK_FALSE(time::exists({2026, 1, 1, 24}));
}

TEST_CASE("A zone that is not there names the nearest", "[zone]") {
    CHECK(problem("Europe/Berln") == "no time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)");
    CHECK(problem("../../etc/passwd") == "no time zone '../../etc/passwd'");
    CHECK(problem("/etc/passwd") == "no time zone '/etc/passwd'");
    CHECK(problem("Europe/Berlin", "/nonexistent") ==
          "time zone 'Europe/Berlin': there is no /nonexistent");
    CHECK(problem("UTC", "/nonexistent") == "found");
}

TEST_CASE("A file that is no tzdata is refused, never read past its end", "[zone]") {
    const auto refused = [](const std::string& content) {
        try {
            Zone::parse(content, "X");
        } catch (const Error& error) {
            return error.message();
        }
        return std::string("read");
    };
    CHECK(refused("") == "time zone 'X': its file is not one of tzdata");
    CHECK(refused("TZif2") == "time zone 'X': its file is not one of tzdata");
    std::string whole("TZif2");
    whole.append(15, '\0');
    const std::string counts("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1", 24);
    const std::string body("\0\0\0\0\0\0\0", 7); // one type and one letter
    const std::string good = whole + counts + body + whole + counts + body;
    CHECK(Zone::parse(good + "\n<X>-2\n", "X").offset_at(0) == 7200);
    CHECK(refused(good + "\nX-2Y,M13.1.0,M1.1.0\n") ==
          "time zone 'X': its rule 'X-2Y,M13.1.0,M1.1.0' cannot be read");
    for (std::size_t size = 0; size < good.size(); ++size)
        CHECK(refused(good.substr(0, size)) != "read");
}
