// What people read: names, durations, columns, times; and the digests.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "tests/unit/catch.h"

#include <cmath>
#include <cstdio>
#include <fstream>

using namespace runbook;

TEST_CASE("base text: the nearest name", "[base][text]") {
    const std::vector<std::string> options = {"retry", "timeout", "owner", "takes"};
    CHECK(text::nearest("retires", options) == "retry");
    CHECK(text::nearest("tiemout", options) == "timeout");
    CHECK(text::nearest("own", options).empty());
    CHECK(text::nearest("owne", options) == "owner");
    CHECK(text::nearest("backup", options).empty());
    CHECK(text::did_you_mean("takse", options) == " (did you mean 'takes'?)");
    CHECK(text::did_you_mean("zzz", options).empty());
    CHECK(text::nearest("x", {}).empty());
}

TEST_CASE("base text: numbers", "[base][text]") {
    CHECK(text::grouped(0) == "0");
    CHECK(text::grouped(999) == "999");
    CHECK(text::grouped(-1000) == "-1,000");
    CHECK(text::grouped(1234567) == "1,234,567");
    CHECK(text::grouped(INT64_MIN) == "-9,223,372,036,854,775,808");
    CHECK(text::bytes(512) == "512 B");
    CHECK(text::bytes(84'200'000) == "84.2 MB");
    CHECK(text::bytes(1000) == "1.0 kB");
    CHECK(text::bytes(999'960) == "1.0 MB");
    CHECK(text::bytes(-1500) == "-1.5 kB");
}

TEST_CASE("base text: clock", "[base][text]") {
    CHECK(text::clock(7) == "0:07");
    CHECK(text::clock(112.9) == "1:52");
    CHECK(text::clock(3723) == "1:02:03");
    CHECK(text::clock(-3) == "0:00");
    CHECK(text::clock(1.0 / 0.0) == "–");
}

TEST_CASE("base text: durations there and back", "[base][text]") {
    CHECK(text::duration(1800) == "30m");
    CHECK(text::duration(5400) == "1h30m");
    CHECK(text::duration(0.25) == "250ms");
    CHECK(text::duration(90) == "90s");
    CHECK(text::duration(60) == "1m");
    CHECK(text::duration(150) == "2m30s");
    CHECK(text::duration(1.5) == "1.5s");
    CHECK(text::duration(604800) == "7d");
    CHECK(text::parse_duration("2w") == 1209600);
    CHECK(text::parse_duration("1w2d") == 777600);
    CHECK(text::duration(0) == "0s");
    CHECK(text::duration(-30) == "-30s");
    CHECK(std::fabs(text::parse_duration("250ms").value() - 0.25) < 1e-12);
    CHECK(text::parse_duration("30s") == 30.0);
    CHECK(text::parse_duration("10m") == 600.0);
    CHECK(text::parse_duration("2h") == 7200.0);
    CHECK(text::parse_duration("7d") == 604800.0);
    CHECK(text::parse_duration("1h30m") == 5400.0);
    CHECK(text::parse_duration("1.5s") == 1.5);
    for (std::string wrong :
         {"", "5", "m", "-5s", "5x", "5 s", "30m1h", "5s5s", "1e3s", "nan", "5sm"}) {
        INFO(wrong);
        CHECK_FALSE(text::parse_duration(wrong));
    }
    for (double seconds : {0.25, 30.0, 90.0, 150.0, 5400.0, 90061.0})
        CHECK(std::fabs(text::parse_duration(text::duration(seconds)).value() - seconds) < 1e-9);
}

TEST_CASE("base text: words", "[base][text]") {
    CHECK(text::shell_quote("a-b_c./:=@%+,9") == "a-b_c./:=@%+,9");
    CHECK(text::shell_quote("") == "''");
    CHECK(text::shell_quote("it's $HOME") == "'it'\\''s $HOME'");
    CHECK(text::split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
    CHECK(text::split("", ',') == std::vector<std::string>{""});
    CHECK(text::join(std::vector<std::string>{"a", "b"}, ", ") == "a, b");
    CHECK(text::trim(" \t a b\n") == "a b");
    CHECK(text::trim(" \n").empty());
    CHECK(text::lower("AbÉ") == "abÉ");
}

TEST_CASE("base text: columns", "[base][text]") {
    CHECK(text::display_width("plain") == 5);
    CHECK(text::display_width("é█✓▸") == 4);
    CHECK(text::display_width("日本") == 4);
    CHECK(text::display_width("😀") == 2);
    CHECK(text::display_width("e\xCC\x81") == 1);
    CHECK(text::display_width("a\xff"
                              "b") == 3);
    CHECK(text::ellipsize("abcdef", 6) == "abcdef");
    CHECK(text::ellipsize("abcdef", 4) == "abc…");
    CHECK(text::ellipsize("日本語", 4) == "日…");
    CHECK(text::ellipsize("ab", 1) == "…");
    CHECK(text::ellipsize("ab", 0).empty());
}

TEST_CASE("base time: ISO 8601 out", "[base][time]") {
    const std::int64_t at = 1'795'212'004'123'456; // 2026-11-20 22:00:04.123456 UTC
    CHECK(time::iso({at, 0}) == "2026-11-20T22:00:04.123456Z");
    CHECK(time::iso({at, 7200}) == "2026-11-21T00:00:04.123456+02:00");
    CHECK(time::iso({at, -12600}) == "2026-11-20T18:30:04.123456-03:30");
    CHECK(time::iso({at, {}}) == "2026-11-20T22:00:04.123456");
    CHECK(time::iso({at - 456, 0}) == "2026-11-20T22:00:04.123Z");
    CHECK(time::iso({at - 123'456, 0}) == "2026-11-20T22:00:04Z");
    CHECK(time::iso_millis(at) == "2026-11-20T22:00:04.123Z");
    CHECK(time::iso_millis(0) == "1970-01-01T00:00:00.000Z");
    CHECK(time::clock_utc(at) == "22:00:04");
    CHECK(time::iso({-1, 0}) == "1969-12-31T23:59:59.999999Z");
    CHECK(time::iso({-62'135'596'800'000'000, 0}) == "0001-01-01T00:00:00Z");
}

TEST_CASE("base time: ISO 8601 and SQL in", "[base][time]") {
    const std::int64_t at = 1'795'212'004'123'456;
    CHECK((time::parse("2026-11-20T22:00:04.123456Z") == Timestamp{at, 0}));
    CHECK((time::parse("2026-11-21 00:00:04.123456+02") == Timestamp{at, 7200}));
    CHECK((time::parse("2026-11-20 18:30:04.123456 -0330") == Timestamp{at, -12600}));
    CHECK((time::parse("2026-11-20 22:00:04.123456789") == Timestamp{at, {}}));
    CHECK((time::parse("2026-11-20T22:00") == Timestamp{at - 4'123'456, {}}));
    CHECK((time::parse("2024-02-29") == Timestamp{1'709'164'800'000'000, {}}));
    CHECK((time::parse("2026-11-20T24:00:00Z") == time::parse("2026-11-21T00:00:00Z")));
    for (std::string wrong :
         {"", "today", "2026-13-01", "2026-02-29", "2026-11-20T25:00", "2026-11-20T22:60",
          "20261120", "2026-11-20T22:00:04.", "2026-11-20T22:00:04+2", "2026-11-20T22:00:04Zx",
          "2026-11-20x", "2026-11-20T24:00:01", "2026-11-20T22:00:04+99:00"}) {
        INFO(wrong);
        CHECK_FALSE(time::parse(wrong));
    }
    for (std::int64_t year : {-1, 0, 4, 1582, 1900, 2000, 9999, 12345}) {
        const std::int64_t micros = (year - 1970) * 31'556'952'000'000 + 1;
        INFO(time::iso({micros, 0}));
        CHECK((time::parse(time::iso({micros, 0})) == Timestamp{micros, 0}));
    }
}

TEST_CASE("base digest: known answers", "[base][digest]") {
    CHECK(digest::sha256_hex("") ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest::Sha256 sum;
    sum.update("a");
    sum.update("bc");
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(sum.hex() == abc);
    const std::string path = std::tmpnam(nullptr) + std::string(".digest");
    std::ofstream(path) << "abc";
    CHECK(digest::sha256_file(path) == abc);
    Cancel cancel;
    cancel.request(Cancel::Reason::timeout);
    CHECK_THROWS_WITH(digest::sha256_file(path, &cancel),
                      "digest of " + path + ": time limit reached");
    std::remove(path.c_str());
    CHECK_THROWS_WITH(digest::sha256_file(path),
                      "cannot read " + path + ": No such file or directory");
}

TEST_CASE("base digest: encodings", "[base][digest]") {
    CHECK(digest::hex(std::string("\0\xAf", 2)) == "00af");
    CHECK(digest::unhex("00aF") == std::string("\0\xAf", 2));
    CHECK_THROWS_WITH(digest::unhex("0"), "hex text has an odd number of digits");
    CHECK_THROWS_WITH(digest::unhex("0g"), "not a hex digit at position 1");
    const std::vector<std::pair<std::string, std::string>> known = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    for (const auto& [plain, encoded] : known) {
        CHECK(digest::base64(plain) == encoded);
        CHECK(digest::unbase64(encoded) == plain);
    }
    CHECK(digest::unbase64("Zm9v\nYg") == "foob");
    CHECK(digest::unbase64("-_8") == "\xfb\xff");
    CHECK_THROWS_WITH(digest::unbase64("Zm9*"), "not base64 at position 4");
    CHECK_THROWS_WITH(digest::unbase64("Zg==Zg=="), "not base64 at position 5");
    CHECK_THROWS_WITH(digest::unbase64("Z"), "base64 text is cut off");
}
