// PostgreSQL's binary COPY cells in a pair's form. Pure functions.
// Follows the send functions of PostgreSQL's types (manual: COPY, Binary Format): integers
// big-endian, dates and timestamps counted from 2000-01-01, numeric in digits of base 10000.
#include "runtime/base/error.h"
#include "runtime/transfer/verify/form.h"

#include <fmt/format.h>

#include <charconv>

namespace runbook::verify {
namespace {

constexpr std::int64_t epoch_days = 10957; // 2000-01-01
constexpr std::int64_t epoch_micros = epoch_days * 86'400'000'000;

template <class T>
T big_endian(std::string_view data, std::size_t at = 0) {
    if (data.size() < at + sizeof(T))
        throw Error("verify.error", "PostgreSQL sent a cell shorter than its type");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = value << 8 | static_cast<unsigned char>(data[at + i]);
    return static_cast<T>(value);
}

/// Normalised text of a binary numeric.
void numeric_text(std::string_view data, std::string& out) {
    const int count = big_endian<std::uint16_t>(data, 0);
    const int weight = big_endian<std::int16_t>(data, 2);
    const int sign = big_endian<std::uint16_t>(data, 4);
    if (sign == 0xC000)
        return void(out = "NaN");
    if (sign == 0xD000)
        return void(out = "Infinity");
    if (sign == 0xF000)
        return void(out = "-Infinity");
    auto group = [&](int i) {
        return i >= 0 && i < count ? static_cast<int>(big_endian<std::uint16_t>(
                                         data, 8 + 2 * static_cast<std::size_t>(i)))
                                   : 0;
    };
    auto four = [&](int value) {
        out.push_back(static_cast<char>('0' + value / 1000));
        out.push_back(static_cast<char>('0' + value / 100 % 10));
        out.push_back(static_cast<char>('0' + value / 10 % 10));
        out.push_back(static_cast<char>('0' + value % 10));
    };
    if (sign == 0x4000 && count > 0)
        out.push_back('-');
    const std::size_t start = out.size();
    for (int i = 0; i <= weight; ++i)
        four(group(i));
    std::size_t zeros = 0;
    while (start + zeros < out.size() && out[start + zeros] == '0')
        ++zeros;
    out.erase(start, zeros);
    if (out.size() == start)
        out.push_back('0');
    if (count > weight + 1) {
        out.push_back('.');
        for (int i = weight + 1; i < count; ++i) // negative: groups of zeros behind the point
            four(group(i));
        while (out.back() == '0')
            out.pop_back();
        if (out.back() == '.')
            out.pop_back();
    }
}

void put_whole(const ColumnPair& pair, std::int64_t value, Buffer& out) {
    if (pair.form == Form::integer)
        return put_fixed(out, value);
    if (pair.form == Form::real32 || pair.form == Form::real64)
        return put_real(pair, static_cast<double>(value), out);
    char text[24];
    auto end = std::to_chars(text, text + sizeof text, value).ptr;
    put_parsed(pair, {text, static_cast<std::size_t>(end - text)}, out);
}

template <class Real>
void put_float(const ColumnPair& pair, Real value, Buffer& out) {
    if (pair.form == Form::real32 || pair.form == Form::real64)
        return put_real(pair, static_cast<double>(value), out);
    char text[64];
    auto end = std::to_chars(text, text + sizeof text, value).ptr;
    put_parsed(pair, {text, static_cast<std::size_t>(end - text)}, out);
}

void put_interval(const ColumnPair& pair, std::string_view data, Buffer& out) {
    const std::int64_t micros = big_endian<std::int64_t>(data);
    const std::int64_t days = big_endian<std::int32_t>(data, 8);
    const std::int64_t months = big_endian<std::int32_t>(data, 12);
    if (pair.form != Form::interval)
        throw Error("verify.error", fmt::format("column {}: an interval cannot be compared as {}",
                                                pair.source.name, form_name(pair.form)));
    char parts[24];
    std::memcpy(parts, &months, 8);
    std::memcpy(parts + 8, &days, 8);
    std::memcpy(parts + 16, &micros, 8);
    put_var(out, {parts, 24});
}

void put_moment(const ColumnPair& pair, std::int64_t micros, Buffer& out) {
    if (micros != INT64_MAX && micros != INT64_MIN)
        micros += epoch_micros;
    put_fixed(out, micros);
}

void put_date(const ColumnPair& pair, std::int32_t days, Buffer& out) {
    if (days == INT32_MAX || days == INT32_MIN)
        return put_fixed(out, days > 0 ? INT64_MAX : INT64_MIN);
    std::int64_t since = days + epoch_days;
    put_fixed(out, pair.form == Form::timestamp ? since * 86'400'000'000 : since);
}

} // namespace

void put_postgresql(const ColumnPair& pair, const Side& side, std::string_view data, Buffer& out) {
    switch (side.wire) {
    case Wire::pg_bool:
        return put_whole(pair, data.empty() ? 0 : data[0], out);
    case Wire::pg_int2:
        return put_whole(pair, big_endian<std::int16_t>(data), out);
    case Wire::pg_int4:
        return put_whole(pair, big_endian<std::int32_t>(data), out);
    case Wire::pg_oid:
        return put_whole(pair, big_endian<std::uint32_t>(data), out);
    case Wire::pg_int8:
        return put_whole(pair, big_endian<std::int64_t>(data), out);
    case Wire::pg_float4: {
        auto bits = big_endian<std::uint32_t>(data);
        float value = 0;
        std::memcpy(&value, &bits, 4);
        return put_float(pair, value, out);
    }
    case Wire::pg_float8: {
        auto bits = big_endian<std::uint64_t>(data);
        double value = 0;
        std::memcpy(&value, &bits, 8);
        return put_float(pair, value, out);
    }
    case Wire::pg_numeric: {
        thread_local std::string text;
        text.clear();
        numeric_text(data, text);
        return pair.form == Form::decimal ? put_var(out, text) : put_parsed(pair, text, out);
    }
    case Wire::pg_bytea:
    case Wire::pg_uuid:
        return put_var(out, data);
    case Wire::pg_date:
        return put_date(pair, big_endian<std::int32_t>(data), out);
    case Wire::pg_timestamp:
        return put_moment(pair, big_endian<std::int64_t>(data), out);
    case Wire::pg_time:
        return put_fixed(out, big_endian<std::int64_t>(data));
    case Wire::pg_interval:
        return put_interval(pair, data, out);
    case Wire::pg_jsonb: // a version octet, then the text
        if (data.empty() || data[0] != 1)
            throw Error("verify.error", "PostgreSQL sent a jsonb format that is not known");
        return put_var(out, data.substr(1));
    default:
        return put_parsed(pair, data, out);
    }
}

} // namespace runbook::verify
