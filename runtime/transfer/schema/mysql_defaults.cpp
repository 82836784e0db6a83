// Defaults of PostgreSQL's columns in MySQL's words (see mysql.h). What surely means the same is
// carried; the rest is named in the report. Pure functions.
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::schema::mysql {
namespace {

using catalog::Column;
using catalog::Type;

bool is_number(const std::string& text) {
    bool digit = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] >= '0' && text[i] <= '9')
            digit = true;
        else if (text[i] != '.' && !(i == 0 && text[i] == '-'))
            return false;
    }
    return digit;
}

bool is_date(const std::string& text) {
    return text.size() == 10 && time::parse(text + " 00:00:00").has_value();
}

bool is_clock(const std::string& text) {
    return text.size() >= 8 && time::parse("2000-01-01 " + text).has_value() &&
           text.find_first_of("+-Z") == std::string::npos;
}

/// The literal in the form the column takes, or nothing.
std::string literal_sql(const Column& column, const TargetColumn& out, const Literal& literal) {
    std::string text = mysql_string(literal.text);
    bool needs_expression = out.type.starts_with("LONGTEXT") || out.type == "JSON";
    switch (column.type) {
    case Type::boolean:
        if (literal.text == "true" || literal.text == "t")
            return "1";
        return literal.text == "false" || literal.text == "f" ? "0" : "";
    case Type::int16:
    case Type::int32:
    case Type::int64:
    case Type::oid:
    case Type::numeric:
    case Type::float32:
    case Type::float64:
        return is_number(literal.text) ? literal.text : "";
    case Type::date:
        return is_date(literal.text) ? text : "";
    case Type::time:
        return is_clock(literal.text) ? text : "";
    case Type::timestamp:
        return time::parse(literal.text) && literal.text.find('+') == std::string::npos ? text : "";
    case Type::array:
        return literal.text == "{}" ? "('[]')" : "";
    case Type::character:
    case Type::varchar:
    case Type::text:
    case Type::citext:
    case Type::enumeration:
    case Type::json:
    case Type::jsonb:
    case Type::uuid:
    case Type::inet:
    case Type::cidr:
    case Type::macaddr:
        return needs_expression ? "(" + text + ")" : text;
    default:
        return "";
    }
}

/// Functions that mean the same.
std::string expression_sql(const Column& column, const TargetColumn& out,
                           const std::string& expression) {
    std::string word = text::lower(expression);
    word.erase(std::remove(word.begin(), word.end(), ' '), word.end());
    std::string digits =
        out.type.find('(') == std::string::npos ? "" : out.type.substr(out.type.find('('), 3);
    bool now = word == "now()" || word.starts_with("current_timestamp") ||
               word == "transaction_timestamp()" || word == "statement_timestamp()" ||
               word == "clock_timestamp()";
    bool utc =
        word == "timezone('utc'::text,now())" || word == "timezone('utc'::text,current_timestamp)";
    if (column.type == Type::timestamptz && now)
        return "(UTC_TIMESTAMP" + (digits.empty() ? "()" : digits) + ")";
    if (column.type == Type::timestamp && utc)
        return "(UTC_TIMESTAMP" + (digits.empty() ? "()" : digits) + ")";
    if (column.type == Type::timestamp && (now || word == "localtimestamp"))
        return "CURRENT_TIMESTAMP" + digits;
    if (column.type == Type::date &&
        (word == "current_date" || word == "('now'::text)::date" || word == "now()"))
        return "(CURRENT_DATE)";
    if (column.type == Type::uuid && (word == "gen_random_uuid()" || word == "uuid_generate_v4()"))
        return "(UUID())";
    return "";
}

} // namespace

void map_default(const Context& context, const catalog::Table& table, const Column& column,
                 TargetColumn& out) {
    if (out.generated)
        return;
    if (column.generated) {
        context.report(table, column.name, "column", "changed",
                       "generated as " + column.generation_expression +
                           " here; its values are copied, a new row gets none there");
        return;
    }
    if (!column.default_expression || column.identity)
        return;
    const std::string& expression = *column.default_expression;
    if (auto literal = postgresql_literal(expression)) {
        if (literal->is_null)
            return;
        out.default_sql = literal_sql(column, out, *literal);
    } else {
        out.default_sql = expression_sql(column, out, expression);
    }
    if (out.default_sql.empty())
        context.report(table, column.name, "default", "omitted",
                       expression + " has no counterpart that surely means the same");
    else if (out.default_sql == "(UUID())")
        context.report(table, column.name, "default", "changed",
                       expression + " becomes UUID(), which makes UUIDs of version 1");
}

} // namespace runbook::schema::mysql
