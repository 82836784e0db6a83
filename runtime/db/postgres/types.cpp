// PostgreSQL's types: kinds by OID, text cells decoded on demand, parameters. Any thread, no state.
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/base/utf8.h"
#include "runtime/db/postgres/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

namespace runbook::db::postgres {
namespace {

struct Known {
    Oid oid;
    const char* name;
    Kind kind;
    Oid array;
};

// OIDs of built-in types never change (src/include/catalog/pg_type.dat).
constexpr Known known[] = {
    {16, "bool", Kind::boolean, 1000},
    {17, "bytea", Kind::bytes, 1001},
    {18, "char", Kind::text, 1002},
    {19, "name", Kind::text, 1003},
    {20, "int8", Kind::integer, 1016},
    {21, "int2", Kind::integer, 1005},
    {23, "int4", Kind::integer, 1007},
    {25, "text", Kind::text, 1009},
    {26, "oid", Kind::integer, 1028},
    {114, "json", Kind::json, 199},
    {142, "xml", Kind::text, 143},
    {650, "cidr", Kind::text, 651},
    {700, "float4", Kind::number, 1021},
    {701, "float8", Kind::number, 1022},
    {790, "money", Kind::text, 791},
    {829, "macaddr", Kind::text, 1040},
    {869, "inet", Kind::text, 1041},
    {1042, "bpchar", Kind::text, 1014},
    {1043, "varchar", Kind::text, 1015},
    {1082, "date", Kind::text, 1182},
    {1083, "time", Kind::text, 1183},
    {1114, "timestamp", Kind::timestamp, 1115},
    {1184, "timestamptz", Kind::timestamp, 1185},
    {1186, "interval", Kind::text, 1187},
    {1266, "timetz", Kind::text, 1270},
    {1560, "bit", Kind::text, 1561},
    {1562, "varbit", Kind::text, 1563},
    {1700, "numeric", Kind::decimal, 1231},
    {2950, "uuid", Kind::text, 2951},
    {3614, "tsvector", Kind::text, 3643},
    {3802, "jsonb", Kind::json, 3807},
    {705, "unknown", Kind::text, 0},
    {2278, "void", Kind::text, 0},
    {2205, "regclass", Kind::text, 2210},
};

/// PGresult kept whole: a cell is a pointer into it.
class ResultBatch : public Batch {
  public:
    ResultBatch(Result result, std::shared_ptr<const std::vector<Column>> columns)
        : result_(std::move(result)), rows_(PQntuples(result_.get())) {
        columns_ = std::move(columns);
        for (std::size_t column = 0; column < columns_->size(); ++column)
            if ((*columns_)[column].kind == Kind::bytes)
                decode_bytes(static_cast<int>(column));
    }
    std::size_t rows() const override { return static_cast<std::size_t>(rows_); }
    Cell cell(std::size_t row, std::size_t column) const override {
        int r = static_cast<int>(row), c = static_cast<int>(column);
        auto length = static_cast<std::size_t>(PQgetlength(result_.get(), r, c));
        if (length == 0 && PQgetisnull(result_.get(), r, c))
            return {};
        Kind kind = (*columns_)[column].kind;
        if (kind == Kind::bytes)
            length = bytes_lengths_[column][row];
        return decode({PQgetvalue(result_.get(), r, c), length}, kind);
    }

  private:
    // PQgetvalue points into memory that this batch alone owns, and raw bytes are shorter than
    // their hex form.
    void decode_bytes(int column) {
        bytes_lengths_.resize(columns_->size());
        auto& lengths = bytes_lengths_[static_cast<std::size_t>(column)];
        lengths.resize(static_cast<std::size_t>(rows_));
        for (int row = 0; row < rows_; ++row)
            lengths[static_cast<std::size_t>(row)] =
                unhex_in_place(PQgetvalue(result_.get(), row, column),
                               static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
    }

    Result result_;
    int rows_;
    std::vector<std::vector<std::size_t>> bytes_lengths_;
};

} // namespace

std::vector<Column> describe(const PGresult* result) {
    std::vector<Column> columns(static_cast<std::size_t>(PQnfields(result)));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        Column& column = columns[i];
        column.name = PQfname(result, static_cast<int>(i));
        Oid oid = PQftype(result, static_cast<int>(i));
        for (const Known& type : known) {
            if (type.oid == oid) {
                column.type = type.name;
                column.kind = type.kind;
            } else if (type.array == oid && oid != 0) {
                column.type = std::string(type.name) + "[]";
                column.kind = Kind::array;
            }
        }
    }
    return columns;
}

BatchPtr make_batch(Result result, std::shared_ptr<const std::vector<Column>> columns) {
    return std::make_shared<ResultBatch>(std::move(result), std::move(columns));
}

std::size_t unhex_in_place(char* text, std::size_t length) {
    if (length < 2 || text[0] != '\\' || text[1] != 'x')
        return length;
    auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::size_t out = 0;
    for (std::size_t i = 2; i + 1 < length; i += 2)
        text[out++] = static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    return out;
}

Cell decode(std::string_view text, Kind kind) {
    Cell cell;
    cell.kind = kind;
    switch (kind) {
    case Kind::boolean:
        cell.integer = text == "t";
        break;
    case Kind::integer:
        std::from_chars(text.data(), text.data() + text.size(), cell.integer);
        break;
    case Kind::number:
        // from_chars reads "Infinity" and "NaN" too.
        std::from_chars(text.data(), text.data() + text.size(), cell.number);
        break;
    case Kind::decimal:
        if (text == "NaN" || text.ends_with("Infinity")) {
            cell.kind = Kind::number;
            std::from_chars(text.data(), text.data() + text.size(), cell.number);
        } else {
            cell.text = text;
        }
        break;
    case Kind::timestamp:
        if (auto parsed = parse_timestamp(text))
            return *parsed;
        // infinity, BC and years beyond 9999 have no place in a timestamp: they stay text.
        cell.kind = Kind::text;
        cell.text = text;
        break;
    default:
        cell.text = text;
    }
    return cell;
}

namespace {

constexpr Oid oid_bool = 16, oid_bytea = 17, oid_int8 = 20, oid_int4 = 23, oid_float8 = 701,
              oid_date = 1082, oid_time = 1083, oid_timestamp = 1114, oid_timestamptz = 1184,
              oid_numeric = 1700;

struct BoundText {
    std::string text;
    Oid type = 0; ///< 0: the server infers it from where the parameter stands
    bool binary = false;
};

Oid integer_type(std::int64_t number) {
    return number >= std::numeric_limits<std::int32_t>::min() &&
                   number <= std::numeric_limits<std::int32_t>::max()
               ? oid_int4
               : oid_int8;
}

/// A whole decimal that fits becomes int8: as numeric it would keep the server from using an index
/// on bigint.
Oid decimal_type(const std::string& text) {
    std::int64_t number = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failed == std::errc{} && end == text.data() + text.size() ? oid_int8 : oid_numeric;
}

BoundText bind_one(std::size_t index, const Value& value) {
    if (const auto* flag = value.get<bool>())
        return {*flag ? "t" : "f", oid_bool};
    if (const auto* integer = value.get<std::int64_t>())
        return {fmt::format("{}", *integer), integer_type(*integer)};
    if (const auto* number = value.get<double>())
        return {number_text(*number), oid_float8};
    if (const auto* decimal = value.get<Decimal>())
        return {decimal->text, decimal_type(decimal->text)};
    if (const auto* timestamp = value.get<Timestamp>())
        return {time::iso(*timestamp), timestamp->offset ? oid_timestamptz : oid_timestamp};
    if (const auto* bytes = value.get<Bytes>())
        return {bytes->data, oid_bytea, true};
    if (const auto* list = value.get<List>())
        return {array_literal(*list)};
    if (const auto* secret = value.get<SecretPtr>())
        return {(*secret)->reveal()};
    const auto* string = value.get<std::string>();
    if (!string)
        refuse_parameter(index, value);
    if (string->find('\0') != std::string::npos)
        throw Error(
            "argument",
            fmt::format("parameter {}: PostgreSQL's text cannot hold a zero byte", index + 1),
            "a bytea takes it: cast(? as bytea)");
    return {*string};
}

} // namespace

Bound bind(std::span<const Value> params) {
    Bound bound;
    bound.texts.reserve(params.size());
    for (std::size_t i = 0; i < params.size(); ++i) {
        if (params[i].is_null()) {
            bound.texts.emplace_back();
            bound.values.push_back(nullptr);
            bound.types.push_back(0);
            bound.lengths.push_back(0);
            bound.formats.push_back(0);
            continue;
        }
        BoundText one = bind_one(i, params[i]);
        bound.texts.push_back(std::move(one.text));
        bound.values.push_back(bound.texts.back().c_str());
        bound.types.push_back(one.type);
        bound.lengths.push_back(static_cast<int>(bound.texts.back().size()));
        bound.formats.push_back(one.binary);
    }
    return bound;
}

namespace {

/// Without a zone a time means UTC, which is the session's: so the cast of a time with a zone.
bool drops_zone(Oid type) {
    return type == oid_timestamp || type == oid_date || type == oid_time;
}

} // namespace

std::vector<Oid> parameter_types(const PGresult* described) {
    std::vector<Oid> types;
    for (int i = 0; i < PQnparams(described); ++i)
        types.push_back(PQparamtype(described, i));
    return types;
}

bool bytes_differ(std::span<const Value> params) {
    return std::any_of(params.begin(), params.end(), [](const Value& value) {
        const auto* text = value.get<std::string>();
        return text && (text->find('\\') != std::string::npos ||
                        text->find('\0') != std::string::npos || !valid_utf8(*text));
    });
}

std::vector<Value> with_bytes(std::span<const Value> params, std::span<const Oid> types) {
    std::vector<Value> values(params.begin(), params.end());
    for (std::size_t i = 0; i < values.size() && i < types.size(); ++i)
        if (auto* text = values[i].get<std::string>(); text && types[i] == oid_bytea)
            values[i] = Bytes{std::move(*text)};
    return values;
}

Bound bind_as(std::span<const Value> params, std::span<const Oid> types) {
    std::vector<Value> values = with_bytes(params, types);
    for (std::size_t i = 0; i < values.size() && i < types.size(); ++i) {
        if (auto* timestamp = values[i].get<Timestamp>(); timestamp && drops_zone(types[i]))
            timestamp->offset.reset();
        if (values[i].get<Bytes>() && types[i] != oid_bytea)
            throw Error("argument",
                        fmt::format("parameter {}: the statement takes no bytes there", i + 1),
                        "write the type that is meant into the statement: cast(? as bytea)");
    }
    return postgres::bind(values);
}

} // namespace runbook::db::postgres
