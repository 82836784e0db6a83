#include "runtime/transfer/verify/plan.h"
#include "tests/unit/catch.h"

#include <algorithm>
#include <cmath>

using namespace runbook;
using namespace runbook::verify;
using db::Flavour;

namespace {

std::string decimal(std::string_view text) {
    std::string out;
    return canonical_decimal(text, out) ? out : "none";
}

std::string json(std::string_view text) {
    std::string out;
    return canonical_json(text, out) ? out : "none";
}

ColumnPair with_form(Form form) {
    ColumnPair pair;
    pair.form = form;
    return pair;
}

/// The text as a MySQL cell in this form, shown.
std::string shown(Form form, std::string_view text) {
    ColumnPair pair = with_form(form);
    Buffer out;
    put_parsed(pair, text, out);
    const char* at = out.data();
    return show(pair, next_cell(at));
}

std::string key(Form form, std::string_view text, bool last = true) {
    Buffer cell, out;
    put_parsed(with_form(form), text, cell);
    const char* at = cell.data();
    put_key(form, next_cell(at), last, out);
    return std::string(out.view());
}

Form form_of(Flavour a, std::string_view from, Flavour b, std::string_view to) {
    return pair_form(family_of(a, from), family_of(b, to));
}

} // namespace

TEST_CASE("verify: decimals are normalised exactly", "[verify]") {
    CHECK(decimal("1.50") == "1.5");
    CHECK(decimal("-0.00") == "0");
    CHECK(decimal("000123") == "123");
    CHECK(decimal(".5") == "0.5");
    CHECK(decimal("1e3") == "1000");
    CHECK(decimal("12.5E-3") == "0.0125");
    CHECK(decimal("123456789012345678901234567890.123456789") ==
          "123456789012345678901234567890.123456789");
    CHECK(decimal("NaN") == "NaN");
    CHECK(decimal("") == "none");
    CHECK(decimal("1,5") == "none");
    CHECK(decimal("1e999999") == "none");
}

TEST_CASE("verify: JSON is compared by meaning, numbers exactly", "[verify]") {
    CHECK(json(R"({"b": 1, "a": [1.0, "x"]})") == json(R"({"a":[1,"x"],"b":1.00})"));
    CHECK(json(R"("\u00e9\n")") == json("\"é\\n\""));
    CHECK(json(R"("\ud83d\ude00")") == json("\"😀\""));
    CHECK(json(R"({"a":1,"a":2})") == json(R"({"a":2})"));
    CHECK(json("18446744073709551617") != json("18446744073709551616"));
    CHECK(json("0.1") != json("0.1000000000000000055"));
    CHECK(json("[1,2]") != json("[2,1]"));
    CHECK(json(R"(["ab","c"])") != json(R"(["a","bc"])"));
    CHECK(json("null") != json("\"null\""));
    for (const char* bad : {"{", "[1,]", "{\"a\"}", "nul", "\"\\ud83d\"", "1 2", ""})
        CHECK(json(bad) == "none");
    CHECK(json(std::string(100'000, '[')) == "none");
}

TEST_CASE("verify: dates, times and intervals from text", "[verify]") {
    CHECK(shown(Form::date, "2024-02-29") == "2024-02-29");
    CHECK(shown(Form::date, "2023-02-29") == "'2023-02-29' (no date)");
    CHECK(shown(Form::date, "0000-00-00") == "'0000-00-00' (no date)");
    CHECK(shown(Form::timestamp, "2024-02-29 12:34:56.120000") == "2024-02-29 12:34:56.12");
    CHECK(shown(Form::timestamp, "2024-02-29T12:34:56+02:00") == "2024-02-29 10:34:56");
    CHECK(shown(Form::timestamp, "1969-12-31 23:59:59.999999") == "1969-12-31 23:59:59.999999");
    CHECK(shown(Form::timestamp, "2024-02-29 12:34:56.1234567") ==
          "'2024-02-29 12:34:56.1234567' (no timestamp)");
    CHECK(shown(Form::time, "-838:59:59") == "-838:59:59");
    CHECK(shown(Form::time, "24:00:00") == "24:00:00");
    CHECK(shown(Form::interval, "P1Y2M3DT4H5M6.5S") == "14 months 3 days 04:05:06.5");
    CHECK(shown(Form::interval, "PT-1H") == "0 months 0 days -01:00:00");
    CHECK(shown(Form::interval, "1 day") == "'1 day' (no interval)");
    CHECK(shown(Form::uuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11") ==
          "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    ColumnPair pair = with_form(Form::timestamp);
    pair.zero_date_is_null = true;
    Buffer out;
    put_parsed(pair, "0000-00-00 00:00:00", out);
    const char* at = out.data();
    CHECK(next_cell(at).tag == Tag::null);
}

TEST_CASE("verify: encoded keys sort as the values do", "[verify]") {
    auto ascending = [](Form form, const std::vector<std::string>& values, bool last) {
        for (std::size_t i = 1; i < values.size(); ++i) {
            INFO(values[i - 1] << " before " << values[i]);
            CHECK(key(form, values[i - 1], last) < key(form, values[i], last));
        }
    };
    ascending(Form::integer, {"-9223372036854775808", "-1", "0", "1", "256", "9223372036854775807"},
              true);
    ascending(Form::decimal,
              {"-100", "-99.9", "-1.5", "-1.25", "-0.001", "0", "0.00099", "0.001", "1", "1.25",
               "9.99", "10", "100000000000000000000"},
              false);
    ascending(Form::text, {"", "a", std::string("a\0", 2), std::string("a\0b", 3), "a ", "ab", "b"},
              false);
    ascending(Form::timestamp,
              {"0001-01-01 00:00:00", "1969-12-31 23:59:59", "2024-01-01 00:00:00"}, true);
}

TEST_CASE("verify: the form of a pair of types", "[verify]") {
    const Flavour pg = Flavour::postgresql, my = Flavour::mysql, lite = Flavour::sqlite;
    CHECK(form_of(pg, "boolean", my, "tinyint(1)") == Form::integer);
    CHECK(form_of(pg, "bigint", my, "bigint unsigned") == Form::decimal);
    CHECK(form_of(pg, "numeric(10,2)", lite, "numeric") == Form::decimal);
    CHECK(form_of(pg, "real", my, "double") == Form::real32);
    CHECK(form_of(pg, "timestamp with time zone", my, "datetime(6)") == Form::timestamp);
    CHECK(form_of(pg, "timestamp(3) without time zone", lite, "text") == Form::timestamp);
    CHECK(form_of(pg, "bytea", my, "longblob") == Form::bytes);
    CHECK(form_of(pg, "uuid", my, "binary(16)") == Form::uuid);
    CHECK(form_of(pg, "jsonb", my, "json") == Form::json);
    CHECK(form_of(pg, "json", my, "longtext") == Form::text);
    CHECK(form_of(pg, "text[]", my, "json") == Form::json);
    CHECK(form_of(pg, "interval", my, "varchar(64)") == Form::interval);
    CHECK(form_of(pg, "time with time zone", my, "varchar(32)") == Form::text);
    CHECK(form_of(pg, "mpaa_rating", my, "enum('g','pg')") == Form::text);
    CHECK(form_of(pg, "bit(3)", my, "bit(3)") == Form::bits);
    CHECK(form_of(my, "bit(1)", pg, "boolean") == Form::integer);
    CHECK(form_of(lite, "", pg, "date") == Form::date);
}

TEST_CASE("verify: -0.0, NaN and single precision", "[verify]") {
    auto cell = [](bool signed_zero, Form form, double value) {
        ColumnPair pair = with_form(form);
        pair.signed_zero = signed_zero;
        Buffer out;
        put_real(pair, value, out);
        return std::string(out.view());
    };
    CHECK(cell(true, Form::real64, -0.0) != cell(true, Form::real64, 0.0));
    CHECK(cell(false, Form::real64, -0.0) == cell(false, Form::real64, 0.0));
    CHECK(cell(true, Form::real64, NAN) == cell(true, Form::real64, -NAN));
    CHECK(cell(true, Form::real32, 0.1) == cell(true, Form::real32, static_cast<double>(0.1F)));
    CHECK(cell(true, Form::real64, 0.1) != cell(true, Form::real64, static_cast<double>(0.1F)));
}
