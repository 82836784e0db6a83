// Changes of values by name, as SQL of the source (see rules.h). The value keeps its type, so that
// everything after it goes on as without the change. Pure functions.
#include "runtime/transfer/rules/rules.h"

#include "runtime/base/error.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace runbook::rules {
namespace {

using catalog::Column;
using catalog::Type;
using db::Flavour;
using schema::standard_string;

bool is_number(const Column& column) {
    return column.type == Type::numeric || column.type == Type::float32 ||
           column.type == Type::float64;
}
bool is_day(const Column& column) {
    return column.type == Type::date || column.type == Type::timestamp ||
           column.type == Type::timestamptz;
}
bool is_text(const Column& column) {
    return column.type == Type::text || column.type == Type::varchar ||
           column.type == Type::citext || column.type == Type::character;
}

struct Change {
    std::string_view name;
    bool (*fits)(const Column&);
    std::string_view types; ///< for the message
};

constexpr std::array<Change, 10> changes = {{
    {"zero-dates-to-null", is_day, "dates and timestamps"},
    {"nan-to-null", is_number, "numeric, real and double precision"},
    {"infinity-to-null", is_day, "dates and timestamps"},
    {"infinity-to", is_day, "dates and timestamps"},
    {"out-of-range-to-null", is_day, "dates and timestamps"},
    {"empty-to-null", is_text, "texts"},
    {"trim", is_text, "texts"},
    {"lower", is_text, "texts"},
    {"upper", is_text, "texts"},
    {"truncate", is_text, "texts"},
}};

std::string cast_of(const Column& column) {
    switch (column.type) {
    case Type::date:
        return "date";
    case Type::timestamptz:
        return "timestamptz";
    default:
        return "timestamp";
    }
}

std::string of_day(const Transform& transform, const Column& column, Flavour source,
                   const std::string& x) {
    const bool postgres = source == Flavour::postgresql;
    if (transform.name == "zero-dates-to-null") {
        // PostgreSQL holds no such date: nothing to change.
        return postgres ? x
                        : fmt::format("CASE WHEN CAST({0} AS CHAR) LIKE '____-00-%' OR "
                                      "CAST({0} AS CHAR) LIKE '____-__-00%' THEN NULL ELSE {0} END",
                                      x);
    }
    if (!postgres) // the other engines know no infinity
        return x;
    if (transform.name == "infinity-to-null")
        return fmt::format("CASE WHEN isfinite({0}) THEN {0} END", x);
    if (transform.name == "out-of-range-to-null")
        return fmt::format("CASE WHEN {0} >= '0001-01-01' AND {0} < '10000-01-01' THEN {0} END", x);
    const std::string type = cast_of(column);
    return fmt::format("CASE {0} WHEN '-infinity' THEN {1}::{3} WHEN 'infinity' THEN {2}::{3} "
                       "ELSE {0} END",
                       x, standard_string(transform.low), standard_string(transform.high), type);
}

std::string of_text(const Transform& transform, Flavour source, const std::string& x) {
    if (transform.name == "empty-to-null")
        return fmt::format("NULLIF({}, '')", x);
    if (transform.name == "trim")
        return fmt::format("rtrim({})", x);
    if (transform.name == "truncate")
        return source == Flavour::sqlite ? fmt::format("substr({}, 1, {})", x, transform.length)
                                         : fmt::format("left({}, {})", x, transform.length);
    return fmt::format("{}({})", transform.name, x);
}

} // namespace

std::vector<std::string> transform_names() {
    std::vector<std::string> names;
    for (const Change& change : changes)
        names.emplace_back(change.name);
    return names;
}

std::string transformed(const Transform& transform, const Column& column, Flavour source,
                        const std::string& expression) {
    if (transform.name.empty())
        return expression;
    const auto* change = std::find_if(changes.begin(), changes.end(), [&](const Change& each) {
        return each.name == transform.name;
    });
    if (change == changes.end() || !change->fits(column))
        throw Error("copy.refused", fmt::format("'{}' changes {}, not {}", transform.name,
                                                change == changes.end() ? "nothing" : change->types,
                                                column.engine_type));
    if (transform.name == "nan-to-null")
        return source == Flavour::postgresql
                   ? fmt::format("CASE WHEN {0}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN "
                                 "{0} END",
                                 expression)
                   : expression;
    return is_day(column) ? of_day(transform, column, source, expression)
                          : of_text(transform, source, expression);
}

std::optional<Column> bound_of(const Column& range) {
    struct Bound {
        std::string_view range, name;
        Type type;
    };
    static constexpr std::array<Bound, 6> bounds = {
        {{"int4range", "integer", Type::int32},
         {"int8range", "bigint", Type::int64},
         {"numrange", "numeric", Type::numeric},
         {"daterange", "date", Type::date},
         {"tsrange", "timestamp without time zone", Type::timestamp},
         {"tstzrange", "timestamp with time zone", Type::timestamptz}}};
    for (const Bound& bound : bounds)
        if (range.type == Type::range && range.engine_type == bound.range) {
            Column column;
            column.type = bound.type;
            column.engine_type = bound.name;
            return column;
        }
    return std::nullopt;
}

} // namespace runbook::rules
