// PostgreSQL's and SQLite's types as MySQL's and MariaDB's, and defaults (see mysql.h). Pure
// functions.
#include "runtime/transfer/schema/asked.h"
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::schema::mysql {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;

constexpr std::int64_t key_characters = 768; ///< 3072 bytes of utf8mb4
constexpr std::int64_t wide_varchar = 4096;  ///< beyond it a VARCHAR weighs on the 65535 of a row

ColumnProfile profile_of(const Context& context, const Table& table, const Column& column) {
    auto in_table = context.profile.find(table.name);
    if (in_table == context.profile.end())
        return {};
    auto it = in_table->second.find(column.name);
    return it == in_table->second.end() ? ColumnProfile{} : it->second;
}

void ascii(TargetColumn& out, const std::string& type, std::int64_t bytes) {
    out.type = type + " CHARACTER SET ascii COLLATE ascii_bin";
    out.collation = "ascii_bin";
    out.key_bytes = bytes;
}

void refuse(const Context& context, const Table& table, const Column& column,
            const std::string& reason) {
    context.plan.refusals.push_back({table.name, column.name, reason});
}

bool map_numeric(const Context& context, const Table& table, const Column& column,
                 TargetColumn& out) {
    int precision = column.precision.value_or(0), scale = column.scale.value_or(0);
    ColumnProfile found = profile_of(context, table, column);
    bool declared =
        column.precision && scale >= 0 && scale <= precision && precision <= 65 && scale <= 30;
    if (!declared) {
        int digits = std::max(found.integer_digits, 1);
        int fraction = found.fraction_digits;
        if (digits + fraction > 65 || fraction > 30) {
            refuse(context, table, column,
                   fmt::format("values need {} digits before and {} after the point, DECIMAL holds "
                               "65 in all and 30 after the point",
                               digits, fraction));
            return false;
        }
        // Room to grow, as far as the limits let it.
        scale = std::min(30, std::max(fraction, 10));
        precision = std::min(65, std::max(digits, 20) + scale);
        if (precision - scale < digits)
            scale = precision - digits;
        context.report(table, column.name, "column", "changed",
                       fmt::format("{} has no limit there: DECIMAL({},{}), sized from the data",
                                   column.engine_type, precision, scale));
    }
    out.type = fmt::format("DECIMAL({},{})", precision, scale);
    out.key_bytes = precision / 2 + 4;
    return true;
}

bool map_text(const Context& context, const Table& table, const Column& column, KeyUse use,
              TargetColumn& out) {
    out.is_text = true;
    std::int64_t declared = column.length.value_or(0);
    std::int64_t longest = profile_of(context, table, column).characters;
    std::int64_t size = declared;
    if (use.whole && (declared == 0 || declared > key_characters)) {
        if (longest > key_characters) {
            refuse(context, table, column,
                   fmt::format("a key column holds a value of {} characters, a key there takes {}",
                               longest, key_characters));
            return false;
        }
        size = std::max<std::int64_t>(255, longest);
        if (declared > key_characters)
            context.report(
                table, column.name, "column", "changed",
                fmt::format("varchar({}) is part of a key: VARCHAR({})", declared, size));
    } else if (use.indexed && declared == 0 && longest <= 255) {
        size = 255;
    }
    if (size == 0 || size > wide_varchar) {
        out.type = "LONGTEXT";
        out.key_bytes = 4096;
        return true;
    }
    if (declared == 0)
        context.report(
            table, column.name, "column", "changed",
            fmt::format("{} is part of an index: VARCHAR({})", column.engine_type, size));
    out.type = fmt::format("VARCHAR({})", size);
    out.key_bytes = size * 4;
    return true;
}

void map_citext(const Context& context, const Table& table, const Column& column,
                TargetColumn& out) {
    bool old = context.mariadb &&
               (context.target.server.major < 10 ||
                (context.target.server.major == 10 && context.target.server.minor < 10));
    out.collation = !context.mariadb ? "utf8mb4_0900_as_ci"
                    : old            ? "utf8mb4_unicode_nopad_ci"
                                     : "utf8mb4_uca1400_nopad_as_ci";
    out.type += " COLLATE " + out.collation;
    context.report(table, column.name, "column", "changed",
                   "citext compares without case by the collation " + out.collation);
}

void map_time(const Column& column, const char* type, TargetColumn& out) {
    int digits = std::clamp(column.precision.value_or(6), 0, 6);
    out.type = digits == 0 ? type : fmt::format("{}({})", type, digits);
}

bool map_bits(const Context& context, const Table& table, const Column& column, TargetColumn& out) {
    std::int64_t bits = column.length.value_or(column.type == Type::bit ? 1 : 0);
    if (column.type == Type::bit && bits <= 64) {
        out.type = fmt::format("BIT({})", bits);
        out.codec = Codec::bits;
        return true;
    }
    ascii(out, bits > 0 && bits <= wide_varchar ? fmt::format("VARCHAR({})", bits) : "LONGTEXT",
          bits);
    context.report(table, column.name, "column", "changed",
                   column.engine_type + " becomes the text of its bits");
    return true;
}

/// The types that carry as they are, or by one word.
bool map_simple(const Column& column, TargetColumn& out) {
    switch (column.type) {
    case Type::boolean:
        out.type = "TINYINT(1)";
        out.codec = Codec::boolean;
        out.key_bytes = 1;
        return true;
    case Type::int16:
        out.type = "SMALLINT";
        return true;
    case Type::int32:
        out.type = "INT";
        return true;
    case Type::int64:
        out.type = "BIGINT";
        return true;
    case Type::oid:
        out.type = "BIGINT UNSIGNED";
        return true;
    case Type::float32:
        out.type = "FLOAT";
        out.select += "::float8";
        return true;
    case Type::float64:
        out.type = "DOUBLE";
        return true;
    case Type::money:
        out.type = "DECIMAL(19,2)";
        out.select += "::numeric";
        return true;
    case Type::bytes:
        out.type = "LONGBLOB";
        out.codec = Codec::bytea;
        out.key_bytes = 4096;
        return true;
    case Type::date:
        out.type = "DATE";
        return true;
    case Type::time:
        map_time(column, "TIME", out);
        return true;
    case Type::timestamp:
        map_time(column, "DATETIME", out);
        return true;
    case Type::timestamptz:
        map_time(column, "DATETIME", out);
        out.codec = Codec::zone;
        return true;
    case Type::timetz:
        ascii(out, "VARCHAR(21)", 21);
        return true;
    case Type::interval:
        ascii(out, "VARCHAR(64)", 64);
        return true;
    case Type::uuid:
        ascii(out, "CHAR(36)", 36);
        return true;
    case Type::inet:
    case Type::cidr:
        ascii(out, "VARCHAR(43)", 43);
        return true;
    case Type::macaddr:
        ascii(out, "VARCHAR(23)", 23);
        return true;
    default:
        return false;
    }
}

void map_json(const Context& context, const Table& table, const Column& column, TargetColumn& out) {
    out.key_bytes = 4096;
    if (column.type == Type::json) {
        out.type = "LONGTEXT COLLATE " + context.exact_collation;
        out.collation = context.exact_collation;
        out.check = fmt::format("JSON_VALID({})", mysql_name(column.name));
        return;
    }
    out.type = "JSON";
    // MySQL takes JSON only from text with a character set. MariaDB's JSON is text anyway, and a
    // SET clause there forgets that an AUTO_INCREMENT column was given a 0.
    out.json = !context.mariadb;
    if (column.type == Type::jsonb)
        return;
    out.select = fmt::format("to_json({})", out.select);
    context.report(table, column.name, "column", "changed", column.engine_type + " becomes JSON");
}

bool map_enum(const Context& context, const Table& table, const Column& column, TargetColumn& out) {
    std::string labels;
    for (const std::string& label : column.labels) {
        if (label.ends_with(' ')) {
            refuse(
                context, table, column,
                "the label '" + label +
                    "' ends in a blank, which ENUM drops: a rule with to = \"varchar\" keeps it");
            return false;
        }
        labels += (labels.empty() ? "" : ",") + mysql_string(label);
    }
    out.type = fmt::format("ENUM({}) COLLATE {}", labels, context.exact_collation);
    out.collation = context.exact_collation;
    out.key_bytes = 2;
    return true;
}

/// As a rule says.
bool map_asked(const Context& context, const Table& table, const Column& column,
               const std::string& to, const std::string& by, TargetColumn& out) {
    Asked asked;
    try {
        asked = asked_type(column, parse_type(to), out.select, context.target,
                           profile_of(context, table, column).characters);
    } catch (const Error& error) {
        refuse(context, table, column, by + ": " + error.message());
        return false;
    }
    out.type = asked.type;
    out.select = asked.select;
    out.codec = asked.codec;
    out.json = asked.json;
    out.key_bytes = asked.key_bytes;
    out.is_text = asked.text == Asked::Text::plain;
    if (asked.text == Asked::Text::ascii)
        ascii(out, asked.type, asked.key_bytes);
    if (asked.text == Asked::Text::exact) {
        out.collation = context.exact_collation;
        out.type += " COLLATE " + out.collation;
    }
    if (column.type == Type::citext)
        map_citext(context, table, column, out);
    if (asked.json_check)
        out.check = fmt::format("JSON_VALID({})", mysql_name(out.name));
    context.report(table, column.name, "column", "changed",
                   fmt::format("{} becomes {} by {}", column.engine_type, asked.type, by));
    return true;
}

/// What a type is there, where that is worth a word.
std::string remark(const Column& column) {
    switch (column.type) {
    case Type::interval:
        return "interval becomes its text in ISO 8601";
    case Type::timetz:
        return "time with time zone becomes its text";
    case Type::money:
        return "money becomes DECIMAL(19,2), without its currency";
    case Type::oid:
        return "oid becomes its number; a rule with to = \"longblob\" carries the large object";
    default:
        return {};
    }
}

} // namespace

bool map_column(const Context& context, const Table& table, const Column& column, KeyUse use,
                TargetColumn& out) {
    out.source = column.name;
    out.name = context.column_name(table.name, column.name);
    out.select = context.value(table, column);
    out.nullable = column.nullable;
    out.comment = column.comment;
    if (const rules::ColumnDecision* decision = context.rules->column(table.name, column.name)) {
        out.rewritten = !decision->transform.name.empty();
        if (!decision->to.empty())
            return map_asked(context, table, column, decision->to, decision->by, out);
    }
    if (map_simple(column, out)) {
        const std::string text = remark(column);
        if (!text.empty())
            context.report(table, column.name, "column", "changed", text);
        return true;
    }
    switch (column.type) {
    case Type::numeric:
        return map_numeric(context, table, column, out);
    case Type::character:
        if (column.length.value_or(1) <= 255) {
            out.type = fmt::format("CHAR({})", column.length.value_or(1));
            out.key_bytes = column.length.value_or(1) * 4;
            out.is_text = true;
            return true;
        }
        [[fallthrough]];
    case Type::varchar:
    case Type::text:
        return map_text(context, table, column, use, out);
    case Type::citext:
        if (!map_text(context, table, column, use, out))
            return false;
        map_citext(context, table, column, out);
        return true;
    case Type::xml:
        out.type = "LONGTEXT";
        out.is_text = true;
        out.key_bytes = 4096;
        context.report(table, column.name, "column", "changed", "xml becomes text");
        return true;
    case Type::range:
        out.type = "VARCHAR(255) COLLATE " + context.exact_collation;
        out.collation = context.exact_collation;
        out.key_bytes = 1020;
        context.report(table, column.name, "column", "changed",
                       column.engine_type + " becomes its text");
        return true;
    case Type::json:
    case Type::jsonb:
    case Type::array:
    case Type::hstore:
    case Type::composite:
        map_json(context, table, column, out);
        return true;
    case Type::enumeration:
        return map_enum(context, table, column, out);
    case Type::geometry:
        if (column.engine_type != "point")
            break;
        out.type = "POINT";
        out.codec = Codec::point;
        out.key_bytes = 4096;
        context.report(table, column.name, "column", "changed",
                       "point becomes POINT, without a reference system");
        return true;
    case Type::bit:
    case Type::varbit:
        return map_bits(context, table, column, out);
    case Type::tsvector:
    case Type::tsquery:
        context.report(table, column.name, "column", "omitted",
                       column.engine_type + " has no counterpart; a FULLTEXT index on the texts "
                                            "it was made of searches there");
        return false;
    default:
        break;
    }
    refuse(context, table, column, "the type " + column.engine_type + " cannot be carried");
    return false;
}

} // namespace runbook::schema::mysql
