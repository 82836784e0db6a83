// Numbers with a unit: read and shown.
#include "runtime/base/quantity.h"

#include "tests/unit/catch.h"

using namespace runbook;

namespace {
void check(std::string_view text, double number, std::string_view unit) {
    const auto found = quantity::parse(text);
    INFO(text);
    REQUIRE(found);
    CHECK(found->number == Approx(number).epsilon(1e-12));
    CHECK(found->unit == unit);
}
} // namespace

TEST_CASE("quantity: what a threshold says", "[base][quantity]") {
    check("5 %", 0.05, "ratio");
    check("0.1%", 0.001, "ratio");
    check(" 100 % ", 1, "ratio");
    check("200ms", 0.2, "seconds");
    check("1h30m", 5400, "seconds");
    check("10 GB", 1e10, "bytes");
    check("512MiB", 536870912, "bytes");
    check("0 B", 0, "bytes");
    check("10/min", 10.0 / 60, "per_second");
    check("1000/s", 1000, "per_second");
    // the number that is written, to the last digit
    CHECK(quantity::parse("5 %")->number == 0.05);
    CHECK(quantity::parse("0.1 %")->number == 0.001);
}

TEST_CASE("quantity: what is none", "[base][quantity]") {
    for (const char* text : {"", "5", "five %", "5 % more", "+5 %", "2x", "10 Gb", "10 G", "ms",
                             "5 % %", "inf %", "nan %", "1e5 %", "10 per s", "%", "200 millis"}) {
        INFO(text);
        CHECK_FALSE(quantity::parse(text));
    }
    CHECK(quantity::known("ratio"));
    CHECK_FALSE(quantity::known("percent"));
}

TEST_CASE("quantity: shown with the digits that separate a value from its limit",
          "[base][quantity]") {
    CHECK(quantity::shown(0.0004, "ratio") == "0.04 %");
    CHECK(quantity::shown(0.99996, "ratio") == "100 %");
    CHECK(quantity::shown(0.9994, "ratio") == "99.94 %");
    CHECK(quantity::shown(0.2, "seconds") == "200ms");
    CHECK(quantity::shown(0.0000125, "seconds") == "12.5us");
    CHECK(quantity::shown(1.25, "seconds") == "1.25s");
    CHECK(quantity::shown(5400, "seconds") == "1h30m");
    CHECK(quantity::shown(0, "seconds") == "0s");
    CHECK(quantity::shown(-0.5, "seconds") == "-500ms");
    CHECK(quantity::shown(84200000, "bytes") == "84.2 MB");
    CHECK(quantity::shown(12.5, "per_second") == "12.5/s");
    CHECK(quantity::shown(7, "count") == "7");
    CHECK(quantity::shown(0.5, "") == "0.5");
}
