// MySQL's types: kinds by field, text cells, binary times, parameters. Any thread, no state.
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/db/mysql/session.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>

#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)
// MySQL's JSON; Connector/C has the name too, but not in every version.
constexpr int type_json = 245;
#else
constexpr int type_json = MYSQL_TYPE_JSON;
#endif

namespace runbook::db::mysql {
namespace {

constexpr unsigned binary_charset = 63;

bool is_mariadb_json(const MYSQL_FIELD& field) {
#if defined(LIBMARIADB) && defined(MARIADB_PACKAGE_VERSION_ID) &&                                  \
    MARIADB_PACKAGE_VERSION_ID >= 30108
    MARIADB_CONST_STRING format{};
    return mariadb_field_attr(&format, &field, MARIADB_FIELD_ATTR_FORMAT_NAME) == 0 &&
           std::string_view(format.str, format.length) == "json";
#else
    (void)field;
    return false;
#endif
}

struct Typed {
    Kind kind;
    const char* name;
};

Typed string_type(const MYSQL_FIELD& field, const char* binary, const char* text) {
    if (is_mariadb_json(field))
        return {Kind::json, "json"};
    if (field.flags & ENUM_FLAG)
        return {Kind::text, "enum"};
    if (field.flags & SET_FLAG)
        return {Kind::text, "set"};
    return field.charsetnr == binary_charset ? Typed{Kind::bytes, binary} : Typed{Kind::text, text};
}

Typed type_of(const MYSQL_FIELD& field) {
    switch (static_cast<int>(field.type)) {
    case MYSQL_TYPE_TINY:
        return {Kind::integer, "tinyint"};
    case MYSQL_TYPE_SHORT:
        return {Kind::integer, "smallint"};
    case MYSQL_TYPE_INT24:
        return {Kind::integer, "mediumint"};
    case MYSQL_TYPE_LONG:
        return {Kind::integer, "int"};
    case MYSQL_TYPE_LONGLONG:
        return {Kind::integer, field.flags & UNSIGNED_FLAG ? "bigint unsigned" : "bigint"};
    case MYSQL_TYPE_YEAR:
        return {Kind::integer, "year"};
    case MYSQL_TYPE_BIT:
        return {Kind::integer, "bit"};
    case MYSQL_TYPE_FLOAT:
        return {Kind::number, "float"};
    case MYSQL_TYPE_DOUBLE:
        return {Kind::number, "double"};
    case MYSQL_TYPE_DECIMAL:
    case MYSQL_TYPE_NEWDECIMAL:
        return {Kind::decimal, "decimal"};
    case MYSQL_TYPE_TIMESTAMP:
        return {Kind::timestamp, "timestamp"};
    case MYSQL_TYPE_DATETIME:
        return {Kind::timestamp, "datetime"};
    case MYSQL_TYPE_DATE:
        return {Kind::text, "date"};
    case MYSQL_TYPE_TIME:
        return {Kind::text, "time"};
    case type_json:
        return {Kind::json, "json"};
    case MYSQL_TYPE_GEOMETRY:
        return {Kind::bytes, "geometry"};
    case MYSQL_TYPE_NULL:
        return {Kind::null, "null"};
    case MYSQL_TYPE_TINY_BLOB:
    case MYSQL_TYPE_MEDIUM_BLOB:
    case MYSQL_TYPE_LONG_BLOB:
    case MYSQL_TYPE_BLOB:
        return string_type(field, "blob", "text");
    case MYSQL_TYPE_STRING:
        return string_type(field, "binary", "char");
    default:
        return string_type(field, "varbinary", "varchar");
    }
}

} // namespace

std::vector<Column> describe(MYSQL_RES* metadata, bool) {
    std::vector<Column> columns;
    unsigned count = mysql_num_fields(metadata);
    const MYSQL_FIELD* fields = mysql_fetch_fields(metadata);
    for (unsigned i = 0; i < count; ++i) {
        Typed type = type_of(fields[i]);
        columns.push_back(
            {std::string(fields[i].name, fields[i].name_length), type.kind, type.name});
    }
    return columns;
}

Cell decode(std::string_view text, const Column& column, const MYSQL_FIELD& field) {
    Cell cell;
    cell.kind = column.kind;
    switch (column.kind) {
    case Kind::integer: {
        if (field.type == MYSQL_TYPE_BIT) {
            std::uint64_t bits = 0;
            for (char c : text)
                bits = bits << 8 | static_cast<unsigned char>(c);
            cell.integer = static_cast<std::int64_t>(bits);
            break;
        }
        auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), cell.integer);
        // Unsigned beyond int64: exact as a decimal.
        if (failed != std::errc{}) {
            cell.kind = Kind::decimal;
            cell.integer = 0;
            cell.text = text;
        }
        break;
    }
    case Kind::number:
        std::from_chars(text.data(), text.data() + text.size(), cell.number);
        break;
    case Kind::timestamp:
        if (auto parsed = parse_timestamp(text)) {
            cell = *parsed;
            // The session's zone is UTC, so a TIMESTAMP shows UTC; a DATETIME has no zone.
            cell.has_offset = field.type == MYSQL_TYPE_TIMESTAMP;
        } else {
            cell.kind = Kind::text;
            cell.text = text;
        }
        break;
    default:
        cell.text = text;
    }
    return cell;
}

Cell decode_time(const MYSQL_TIME& time, const MYSQL_FIELD& field, std::string& text) {
    unsigned decimals = field.decimals > 6 ? 0 : field.decimals;
    std::string fraction;
    if (decimals > 0)
        fraction = "." + fmt::format("{:06}", time.second_part).substr(0, decimals);
    Column column{{}, Kind::text, {}};
    if (field.type == MYSQL_TYPE_DATE) {
        text = fmt::format("{:04}-{:02}-{:02}", time.year, time.month, time.day);
    } else if (field.type == MYSQL_TYPE_TIME) {
        text = fmt::format("{}{:02}:{:02}:{:02}{}", time.neg ? "-" : "", time.day * 24 + time.hour,
                           time.minute, time.second, fraction);
    } else {
        text = fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}{}", time.year, time.month, time.day,
                           time.hour, time.minute, time.second, fraction);
        column.kind = Kind::timestamp;
    }
    return decode(text, column, field);
}

Bound::Bound(std::span<const Value> params) {
    // Reserved, because the binds point into them.
    binds_.reserve(params.size());
    texts_.reserve(params.size());
    times_.reserve(params.size());
    integers_.reserve(params.size());
    numbers_.reserve(params.size());
    for (std::size_t i = 0; i < params.size(); ++i)
        add(i, params[i]);
}

namespace {

MYSQL_TIME time_of(const Timestamp& timestamp) {
    // iso() of the instant in UTC: "2026-11-20T22:00:04.123456Z".
    std::string text = time::iso({timestamp.micros, std::nullopt});
    MYSQL_TIME out{};
    std::sscanf(text.c_str(), "%u-%u-%uT%u:%u:%u", &out.year, &out.month, &out.day, &out.hour,
                &out.minute, &out.second);
    std::int64_t micros = timestamp.micros % 1'000'000;
    out.second_part = static_cast<unsigned long>(micros < 0 ? micros + 1'000'000 : micros);
    out.time_type = MYSQL_TIMESTAMP_DATETIME;
    return out;
}

} // namespace

void Bound::add(std::size_t index, const Value& value) {
    MYSQL_BIND bind{};
    auto text = [&](std::string string, enum_field_types type) {
        texts_.push_back(std::move(string));
        bind.buffer_type = type;
        bind.buffer = texts_.back().data();
        bind.buffer_length = texts_.back().size();
    };
    auto integer = [&](std::int64_t number) {
        integers_.push_back(number);
        bind.buffer_type = MYSQL_TYPE_LONGLONG;
        bind.buffer = &integers_.back();
    };
    if (value.is_null()) {
        bind.buffer_type = MYSQL_TYPE_NULL;
    } else if (const auto* flag = value.get<bool>()) {
        integer(*flag);
    } else if (const auto* whole = value.get<std::int64_t>()) {
        integer(*whole);
    } else if (const auto* number = value.get<double>()) {
        if (!std::isfinite(*number))
            throw Error(
                "argument",
                fmt::format("parameter {}: MySQL has no {}", index + 1, number_text(*number)),
                "bind null, or text");
        numbers_.push_back(*number);
        bind.buffer_type = MYSQL_TYPE_DOUBLE;
        bind.buffer = &numbers_.back();
    } else if (const auto* string = value.get<std::string>()) {
        text(*string, MYSQL_TYPE_STRING);
    } else if (const auto* bytes = value.get<Bytes>()) {
        text(bytes->data, MYSQL_TYPE_BLOB);
    } else if (const auto* decimal = value.get<Decimal>()) {
        text(decimal->text, MYSQL_TYPE_NEWDECIMAL);
    } else if (const auto* secret = value.get<SecretPtr>()) {
        text((*secret)->reveal(), MYSQL_TYPE_STRING);
    } else if (const auto* timestamp = value.get<Timestamp>()) {
        times_.push_back(time_of(*timestamp));
        bind.buffer_type = MYSQL_TYPE_DATETIME;
        bind.buffer = &times_.back();
    } else {
        refuse_parameter(index, value);
    }
    binds_.push_back(bind);
}

} // namespace runbook::db::mysql
