// JSON keeps order, digits and types.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "tests/unit/catch.h"

#include <cmath>

using namespace runbook;

namespace {

std::string parse_failure(const std::string& text) {
    try {
        json::parse(text);
    } catch (const Error& error) {
        CHECK(error.kind() == "json");
        return error.message();
    }
    return "parsed";
}

template <class T>
T parsed(const std::string& text) {
    const Value value = json::parse(text);
    INFO(text << " is a " << value.type_name());
    REQUIRE(value.get<T>());
    return *value.get<T>();
}

} // namespace

TEST_CASE("base json: order survives, the last duplicate wins in the first one's place",
          "[base][json]") {
    CHECK(json::dump(json::parse(R"( {"z":1,"a":[true,null,"x"],"m":{"b":2,"a":1},"z":3} )")) ==
          R"({"z":3,"a":[true,null,"x"],"m":{"b":2,"a":1}})");
    std::string large = "{";
    for (int i = 0; i < 100; ++i)
        large += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
    large += R"("k3":-3,"k99":-99})";
    const Map map = parsed<Map>(large);
    CHECK(map.size() == 100);
    CHECK(map.integer("k3") == -3);
    CHECK(map.integer("k99") == -99);
    CHECK(map.integer("k50") == 50);
}

TEST_CASE("base json: numbers", "[base][json]") {
    CHECK(parsed<std::int64_t>("9223372036854775807") == INT64_MAX);
    CHECK(parsed<std::int64_t>("-9223372036854775808") == INT64_MIN);
    CHECK(parsed<Decimal>("9223372036854775808").text == "9223372036854775808");
    CHECK(parsed<Decimal>("-9223372036854775809").text == "-9223372036854775809");
    CHECK(parsed<Decimal>("123456789012345678901234567890").text ==
          "123456789012345678901234567890");
    CHECK(parsed<double>("0.1") == 0.1);
    CHECK(parsed<double>("1e3") == 1000.0);
    CHECK(parsed<double>("0.00000000000000000001") == 1e-20);
    CHECK(parsed<double>("0.12345678901234567") == 0.12345678901234567);
    CHECK(parsed<Decimal>("0.123456789012345678").text == "0.123456789012345678");
    CHECK(parsed<Decimal>("-1.23456789012345678901e3").text == "-1234.56789012345678901");
    CHECK(parsed<Decimal>("1.23456789012345678901e-3").text == "0.00123456789012345678901");
    CHECK(parsed<Decimal>("1.234567890123456789e20").text == "123456789012345678900");
}

TEST_CASE("base json: exact errors", "[base][json]") {
    CHECK(parse_failure("{\"a\":1,\n \"b\":x}") ==
          "invalid JSON at line 2, column 6: unexpected 'x'");
    CHECK(parse_failure("[1,2") == "invalid JSON at line 1, column 4: the text ends too early");
    CHECK(parse_failure("") == "invalid JSON at line 1, column 0: the text ends too early");
    CHECK(parse_failure("[1] x") == "invalid JSON at line 1, column 5: unexpected 'x'");
    CHECK(parse_failure("[1,]") == "invalid JSON at line 1, column 4: unexpected ']'");
    CHECK(parse_failure("[\"a\nb\"]") == "invalid JSON at line 1, column 4: unexpected byte 0x0a");
    CHECK(parse_failure("[\"a\xff\"]") == "invalid JSON at line 1, column 4: unexpected byte 0xff");
    CHECK(parse_failure("[1e999]") == "invalid JSON at line 1, column 6: number out of range");
    CHECK(parse_failure(std::string(501, '[')) == "JSON is nested deeper than 500 levels");
}

TEST_CASE("base json: plain form", "[base][json]") {
    const Value value = Map{{"d", Decimal{"1.50"}},
                            {"t", Timestamp{1'500'000, 0}},
                            {"b", Bytes{std::string("\0\xff", 2)}},
                            {"o", Opaque{"function run"}},
                            {"s", make_secret("hush-hush", "env:X")},
                            {"f", 2.0},
                            {"nan", std::nan("")},
                            {"c", std::string("\"\\\n\t\x01\x7f\0", 7)}};
    CHECK(
        json::dump(value) ==
        R"({"d":"1.50","t":"1970-01-01T00:00:01.5Z","b":"AP8=","o":"function run","s":"***","f":2.0,)"
        R"("nan":null,"c":"\"\\\n\t\u0001\u007f\u0000"})");
    CHECK(json::dump(Map{{"a", List{1, Map{}}}, {"b", List{}}}, 2) ==
          "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

TEST_CASE("base json: invalid UTF-8 is replaced", "[base][json]") {
    CHECK(json::dump("a\xff"
                     "b\xc3") == "\"a\xEF\xBF\xBD"
                                 "b\xEF\xBF\xBD\"");
    CHECK(json::dump("\xed\xa0\x80") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    CHECK(json::dump("é😀") == "\"é😀\"");
}

TEST_CASE("base json: the tagged form brings every type back", "[base][json]") {
    const Value value = Map{
        {"null", Null{}},
        {"int", INT64_MIN},
        {"double", 2.0},
        {"tenth", 0.1},
        {"huge", 1e300},
        {"inf", -HUGE_VAL},
        {"decimal", Decimal{"-12345678901234567890.10"}},
        {"bytes", Bytes{std::string("\0\x80\xff", 3)}},
        {"broken", std::string("a\xff")},
        {"zoned", Timestamp{1, 19800}},
        {"local", Timestamp{-1, {}}},
        {"opaque", Opaque{"connection prod"}},
        {"$decimal", "a key of a user"},
        {"nested", List{Map{{"$decimal", "not a decimal"}}, Map{{"$$x", 1}}, List{List{}}, Map{}}}};
    const std::string text = json::dump_tagged(value);
    CHECK((json::parse_tagged(text) == value));
    CHECK(json::dump_tagged(json::parse_tagged(text)) == text);
    CHECK(json::dump_tagged(Timestamp{5, {}}) == R"({"$timestamp":[5,null]})");
    CHECK(json::dump_tagged(Decimal{"1.50"}) == R"({"$decimal":"1.50"})");
}

TEST_CASE("base json: a secret is journaled as its origin", "[base][json]") {
    const std::string text = json::dump_tagged(make_secret("never-written", "env:TOKEN"));
    CHECK(text == R"({"$secret":"env:TOKEN"})");
    const Value back = json::parse_tagged(text);
    REQUIRE(back.get<SecretPtr>());
    CHECK((*back.get<SecretPtr>())->origin() == "env:TOKEN");
    CHECK((*back.get<SecretPtr>())->reveal() == "never-written"); // this process knows it
}
