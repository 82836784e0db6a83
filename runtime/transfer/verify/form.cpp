// Families, the form of a pair, and keys (see form.h). Pure functions.
#include "runtime/transfer/verify/form.h"

#include <array>

namespace runbook::verify {
namespace {

bool starts(std::string_view text, std::string_view prefix) {
    return text.starts_with(prefix);
}

bool holds(std::string_view text, std::string_view word) {
    return text.find(word) != std::string_view::npos;
}

Family postgresql_family(std::string_view type) {
    if (type.ends_with("[]"))
        return Family::array;
    std::string_view base = type.substr(0, type.find('('));
    while (base.ends_with(' '))
        base.remove_suffix(1);
    struct Known {
        std::string_view name;
        Family family;
    };
    static constexpr std::array<Known, 33> known = {
        {{"boolean", Family::boolean},
         {"bool", Family::boolean},
         {"smallint", Family::integer},
         {"int2", Family::integer},
         {"integer", Family::integer},
         {"int4", Family::integer},
         {"bigint", Family::integer},
         {"int8", Family::integer},
         {"oid", Family::integer},
         {"numeric", Family::decimal},
         {"money", Family::decimal},
         {"real", Family::float32},
         {"float4", Family::float32},
         {"double precision", Family::float64},
         {"float8", Family::float64},
         {"character", Family::fixed_text},
         {"bpchar", Family::fixed_text},
         {"bytea", Family::bytes},
         {"date", Family::date},
         {"interval", Family::interval},
         {"uuid", Family::uuid},
         {"json", Family::json_text},
         {"jsonb", Family::json},
         {"hstore", Family::json},
         {"bit", Family::bits},
         {"bit varying", Family::bits},
         {"varbit", Family::bits},
         {"tsvector", Family::omitted},
         {"tsquery", Family::omitted},
         {"timestamptz", Family::timestamptz},
         {"time without time zone", Family::time},
         {"time", Family::time},
         {"timestamp without time zone", Family::timestamp}}};
    if (starts(base, "timestamp"))
        return holds(type, "with time zone") || base == "timestamptz" ? Family::timestamptz
                                                                      : Family::timestamp;
    if (starts(base, "time"))
        return holds(type, "with time zone") || base == "timetz" ? Family::text : Family::time;
    for (const Known& entry : known)
        if (base == entry.name)
            return entry.family;
    return Family::text;
}

Family mysql_family(std::string_view type) {
    std::string_view base = type.substr(0, type.find_first_of("( "));
    if (base == "bigint")
        return holds(type, "unsigned") ? Family::big_unsigned : Family::integer;
    for (std::string_view name : {"tinyint", "smallint", "mediumint", "int", "integer", "year"})
        if (base == name)
            return Family::integer;
    if (base == "decimal" || base == "numeric")
        return Family::decimal;
    if (base == "float")
        return Family::float32;
    if (base == "double" || base == "real")
        return Family::float64;
    if (base == "char")
        return Family::fixed_text;
    if (base.ends_with("blob") || base == "binary" || base == "varbinary")
        return Family::bytes;
    if (base == "date")
        return Family::date;
    if (base == "datetime" || base == "timestamp")
        return Family::timestamp;
    if (base == "time")
        return Family::time;
    if (base == "json")
        return Family::json;
    if (base == "bit")
        return Family::bits;
    if (base == "uuid")
        return Family::uuid;
    for (std::string_view name :
         {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
          "multipolygon", "geometrycollection", "geomcollection", "vector"})
        if (base == name)
            return Family::bytes;
    return Family::text;
}

/// SQLite's own affinity rules, with the names that people write for richer types before them.
Family sqlite_family(std::string_view type) {
    if (type.empty() || type == "any")
        return Family::dynamic;
    if (holds(type, "bool"))
        return Family::boolean;
    if (holds(type, "json"))
        return Family::json;
    if (holds(type, "uuid"))
        return Family::uuid;
    if (starts(type, "datetime") || starts(type, "timestamp"))
        return Family::timestamp;
    if (type == "date")
        return Family::date;
    if (starts(type, "time"))
        return Family::time;
    if (holds(type, "int"))
        return Family::integer;
    if (holds(type, "char") || holds(type, "clob") || holds(type, "text"))
        return Family::text;
    if (holds(type, "blob") || holds(type, "binary"))
        return Family::bytes;
    if (holds(type, "real") || holds(type, "floa") || holds(type, "doub"))
        return Family::float64;
    return Family::decimal;
}

bool textual(Family family) {
    return family == Family::text || family == Family::fixed_text || family == Family::json_text;
}

/// The form a family takes against text, or against itself.
Form own_form(Family family) {
    switch (family) {
    case Family::boolean:
    case Family::integer:
        return Form::integer;
    case Family::big_unsigned:
    case Family::decimal:
        return Form::decimal;
    case Family::float32:
        return Form::real32;
    case Family::float64:
        return Form::real64;
    case Family::bytes:
        return Form::bytes;
    case Family::uuid:
        return Form::uuid;
    case Family::date:
        return Form::date;
    case Family::timestamp:
    case Family::timestamptz:
        return Form::timestamp;
    case Family::time:
        return Form::time;
    case Family::interval:
        return Form::interval;
    case Family::json:
    case Family::array:
        return Form::json;
    case Family::bits:
        return Form::bits;
    case Family::dynamic:
        return Form::dynamic;
    case Family::text:
    case Family::fixed_text:
    case Family::json_text:
    case Family::omitted:
        break;
    }
    return Form::text;
}

bool whole(Family family) {
    return family == Family::boolean || family == Family::integer || family == Family::bits;
}
bool number(Family family) {
    return whole(family) || family == Family::big_unsigned || family == Family::decimal ||
           family == Family::float32 || family == Family::float64;
}
bool real(Family family) {
    return family == Family::float32 || family == Family::float64;
}

void put_escaped(std::string_view data, Buffer& out) {
    while (true) {
        std::size_t zero = data.find('\0');
        out.append(data.substr(0, zero));
        if (zero == std::string_view::npos)
            break;
        out.append(std::string_view("\0\xff", 2));
        data.remove_prefix(zero + 1);
    }
    out.append(std::string_view("\0\0", 2));
}

/// Sign, exponent, digits; everything inverted for a negative number.
void put_decimal_key(std::string_view text, Buffer& out) {
    bool negative = text.starts_with('-');
    if (negative)
        text.remove_prefix(1);
    if (text == "0") {
        out.byte(2);
        return;
    }
    out.byte(static_cast<char>(negative ? 1 : 3));
    std::size_t dot = text.find('.');
    std::size_t whole_digits = dot == std::string_view::npos ? text.size() : dot;
    std::string digits(text.substr(0, whole_digits));
    if (dot != std::string_view::npos)
        digits.append(text.substr(dot + 1));
    auto exponent = static_cast<std::int32_t>(whole_digits);
    std::size_t first = digits.find_first_not_of('0');
    if (first == std::string::npos)
        first = 0;
    exponent -= static_cast<std::int32_t>(first);
    digits.erase(0, first);
    digits.erase(digits.find_last_not_of('0') + 1);
    auto biased = static_cast<std::uint32_t>(exponent) ^ 0x8000'0000U;
    std::string key;
    for (int shift = 24; shift >= 0; shift -= 8)
        key.push_back(static_cast<char>(biased >> shift));
    key.append(digits);
    key.push_back('\0');
    if (negative)
        for (char& c : key)
            c = static_cast<char>(~c);
    out.append(key);
}

} // namespace

Family family_of(db::Flavour flavour, std::string_view type) {
    switch (flavour) {
    case db::Flavour::postgresql:
        return postgresql_family(type);
    case db::Flavour::mysql:
    case db::Flavour::mariadb:
        return mysql_family(type);
    case db::Flavour::sqlite:
        break;
    }
    return sqlite_family(type);
}

Form pair_form(Family a, Family b) {
    if (a == Family::dynamic && b == Family::dynamic)
        return Form::dynamic;
    if (a == Family::dynamic)
        return own_form(b);
    if (b == Family::dynamic)
        return own_form(a);
    if (a == b)
        return own_form(a);
    if (textual(a) && textual(b))
        return Form::text;
    if (textual(a))
        return own_form(b);
    if (textual(b))
        return own_form(a);
    if (whole(a) && whole(b))
        return Form::integer;
    if (real(a) && real(b))
        return Form::real32;
    if (number(a) && number(b))
        return Form::decimal;
    if (own_form(a) == own_form(b))
        return own_form(a);
    auto either = [&](Family family) { return a == family || b == family; };
    if (either(Family::uuid) && either(Family::bytes))
        return Form::uuid;
    if (either(Family::date) && (either(Family::timestamp) || either(Family::timestamptz)))
        return Form::timestamp;
    if (either(Family::bytes))
        return Form::bytes;
    return Form::text;
}

bool sortable(Form form) {
    switch (form) {
    case Form::integer:
    case Form::decimal:
    case Form::text:
    case Form::bytes:
    case Form::uuid:
    case Form::date:
    case Form::timestamp:
    case Form::time:
        return true;
    default:
        return false;
    }
}

std::string_view form_name(Form form) {
    static constexpr std::array<std::string_view, 14> names = {
        "integer", "decimal",   "real32", "real64",   "text", "bytes", "uuid",
        "date",    "timestamp", "time",   "interval", "json", "bits",  "dynamic"};
    return names.at(static_cast<std::size_t>(form));
}

CellView next_cell(const char*& at) {
    CellView cell;
    cell.tag = static_cast<Tag>(*at++);
    if (cell.tag == Tag::fixed) {
        std::memcpy(&cell.fixed, at, 8);
        at += 8;
    } else if (cell.tag != Tag::null) {
        std::uint32_t size = 0;
        std::memcpy(&size, at, 4);
        cell.var = {at + 4, size};
        at += 4 + size;
    }
    return cell;
}

void put_key(Form form, const CellView& cell, bool last, Buffer& out) {
    if (cell.tag == Tag::null) {
        out.byte(0);
        return;
    }
    out.byte(1);
    if (cell.tag == Tag::fixed) {
        auto bits = static_cast<std::uint64_t>(cell.fixed) ^ 0x8000'0000'0000'0000U;
        char* at = out.grow(8);
        for (int i = 0; i < 8; ++i)
            at[i] = static_cast<char>(bits >> (56 - 8 * i));
    } else if (form == Form::decimal && cell.tag == Tag::var) {
        put_decimal_key(cell.var, out);
    } else if (last) {
        out.append(cell.var);
    } else {
        put_escaped(cell.var, out);
    }
}

} // namespace runbook::verify
