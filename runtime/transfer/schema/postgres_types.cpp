// SQLite's and MySQL's types and defaults as PostgreSQL's (see postgres.h). Pure functions.
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/postgres.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::schema {

using catalog::Column;
using catalog::Table;
using catalog::Type;

bool wants_bigint(const catalog::Database& source, const Table& table, const Column& column) {
    auto names = [&](const std::vector<std::string>& columns) {
        return std::find(columns.begin(), columns.end(), column.name) != columns.end();
    };
    if (column.identity)
        return true;
    for (const catalog::ForeignKey& key : table.foreign_keys)
        if (names(key.columns))
            return true;
    for (const catalog::Schema& schema : source.schemas)
        for (const Table& other : schema.tables)
            for (const catalog::ForeignKey& key : other.foreign_keys)
                if (key.to_table == table.name && key.to_schema == table.schema &&
                    names(key.to_columns))
                    return true;
    return false;
}

namespace postgresql {
namespace {

bool refuse(const Context& context, const Table& table, const Column& column) {
    context.plan.refusals.push_back(
        {table.name, column.name,
         column.engine_type.empty() ? "it has no declared type"
                                    : "the type " + column.engine_type + " cannot be carried"});
    return false;
}

std::string with_digits(const char* type, const Column& column) {
    return fmt::format("{}({})", type, std::clamp(column.precision.value_or(0), 0, 6));
}

std::string numeric(const Column& column) {
    return column.precision && *column.precision > 0
               ? fmt::format("numeric({},{})", *column.precision, column.scale.value_or(0))
               : "numeric";
}

std::string type_from_sqlite(const Column& column) {
    switch (column.type) {
    case Type::boolean:
        return "boolean";
    case Type::int64:
        return "bigint";
    case Type::numeric:
        return numeric(column);
    case Type::float64:
        return "double precision";
    case Type::varchar:
        return column.length ? fmt::format("varchar({})", *column.length) : "text";
    case Type::text:
        return "text";
    case Type::bytes:
        return "bytea";
    case Type::date:
        return "date";
    case Type::time:
        return "time";
    case Type::timestamp:
        return "timestamp";
    case Type::json:
        return "json";
    case Type::uuid:
        return "uuid";
    default:
        return {};
    }
}

/// Integers: the next type that holds all values of an unsigned one.
std::string integer(const Context& context, const Table& table, const Column& column) {
    const bool wide = column.is_unsigned;
    switch (column.type) {
    case Type::int8:
        return "smallint";
    case Type::int16:
        return wide ? "integer" : "smallint";
    case Type::int24:
        return "integer";
    case Type::int32:
        return wide ? "bigint" : "integer";
    default:
        return wide && !wants_bigint(context.source, table, column) ? "numeric(20,0)" : "bigint";
    }
}

std::int64_t outside(const Context& context, const Table& table, const Column& column) {
    auto in_table = context.profile.find(table.name);
    if (in_table == context.profile.end())
        return 0;
    auto it = in_table->second.find(column.name);
    return it == in_table->second.end() ? 0 : it->second.outside;
}

bool map_from_mysql(const Context& context, const Table& table, const Column& column,
                    TargetColumn& out) {
    auto changed = [&](const std::string& reason) {
        context.report(table, column.name, "column", "changed", reason);
        return true;
    };
    switch (column.type) {
    case Type::boolean:
        if (outside(context, table, column) == 0) {
            out.type = "boolean";
            return true;
        }
        out.type = "smallint";
        return changed(fmt::format("tinyint(1) holds {} values that are neither 0 nor 1: smallint",
                                   outside(context, table, column)));
    case Type::int8:
    case Type::int16:
    case Type::int24:
    case Type::int32:
    case Type::int64:
        out.type = integer(context, table, column);
        return column.is_unsigned ? changed(column.engine_type + " becomes " + out.type) : true;
    case Type::numeric:
        out.type = numeric(column);
        return true;
    case Type::float32: // printed in six digits otherwise
        out.type = "real";
        out.select = context.quoted(column.name) + " * 1e0";
        return true;
    case Type::float64:
        out.type = "double precision";
        return true;
    case Type::character:
        out.type = fmt::format("char({})", column.length.value_or(1));
        out.is_text = true;
        return true;
    case Type::varchar:
        out.type = fmt::format("varchar({})", column.length.value_or(1));
        out.is_text = true;
        return true;
    case Type::text:
        out.type = "text";
        out.is_text = true;
        return true;
    case Type::binary:
    case Type::bytes:
        out.type = "bytea";
        return true;
    case Type::date:
        out.type = "date";
        return true;
    case Type::time:
        out.type = with_digits("time", column);
        return true;
    case Type::timestamp:
        out.type = with_digits("timestamp", column);
        return true;
    case Type::timestamptz:
        out.type = with_digits("timestamptz", column);
        return true;
    case Type::year:
        out.type = "smallint";
        return changed("year becomes smallint");
    case Type::json:
        out.type = "json";
        return true;
    case Type::jsonb:
        out.type = "jsonb";
        return true;
    case Type::enumeration: {
        std::string labels;
        for (const std::string& label : column.labels)
            labels += (labels.empty() ? "" : ", ") + standard_string(label);
        out.type = "text";
        out.check = fmt::format("{} IN ({})", standard_name(out.name), labels);
        return changed("an enum becomes text with a check of its labels");
    }
    case Type::set:
        out.type = "text";
        return changed("a set becomes the text of its labels, with commas");
    case Type::bit:
        out.type = fmt::format("bit({})", column.length.value_or(1));
        return true;
    case Type::uuid:
        out.type = "uuid";
        return true;
    case Type::inet:
        out.type = "inet";
        return true;
    default:
        return refuse(context, table, column);
    }
}

/// The value of a default of MySQL or MariaDB that is one.
std::optional<std::string> mysql_literal(const Column& column) {
    const std::string& text = *column.default_expression;
    if (column.default_is_literal)
        return text;
    if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'') {
        std::string out;
        for (std::size_t i = 1; i + 1 < text.size(); ++i) {
            const bool escape = text[i] == '\\' || (text[i] == '\'' && text[i + 1] == '\'');
            if (escape && i + 2 < text.size())
                ++i;
            else if (text[i] == '\'')
                return std::nullopt; // an expression that only begins and ends like a string
            if (escape && text[i - 1] == '\\' && text[i] != '\\' && text[i] != '\'' &&
                text[i] != '"')
                return std::nullopt;
            out += text[i];
        }
        return out;
    }
    const bool number = !text.empty() && text.find_first_not_of("0123456789.-") == text.npos;
    const bool bits = text.starts_with("b'");
    return number || bits ? std::optional(text) : std::nullopt;
}

std::optional<std::string> default_from_mysql(const Column& column, const TargetColumn& out) {
    std::string word = text::lower(*column.default_expression);
    if (!column.default_is_literal) {
        if (word == "null")
            return "";
        word = word.substr(0, word.find('('));
        const bool now = word == "current_timestamp" || word == "now";
        if (now && column.type == Type::timestamptz)
            return "CURRENT_TIMESTAMP";
        if (now && column.type == Type::timestamp)
            return "LOCALTIMESTAMP";
        if (word == "curdate" && column.type == Type::date)
            return "CURRENT_DATE";
    }
    const auto literal = mysql_literal(column);
    if (!literal)
        return std::nullopt;
    const bool number =
        !literal->empty() && literal->find_first_not_of("0123456789.-") == literal->npos;
    switch (column.type) {
    case Type::boolean:
        if (out.type == "boolean")
            return *literal == "1"   ? std::optional<std::string>("true")
                   : *literal == "0" ? std::optional<std::string>("false")
                                     : std::nullopt;
        [[fallthrough]];
    case Type::int8:
    case Type::int16:
    case Type::int24:
    case Type::int32:
    case Type::int64:
    case Type::numeric:
    case Type::float32:
    case Type::float64:
    case Type::year:
        return number ? std::optional(*literal) : std::nullopt;
    case Type::bit: {
        std::string bits = literal->starts_with("b'") ? literal->substr(2) : std::string();
        if (bits.empty() || bits.back() != '\'')
            return std::nullopt;
        bits.pop_back();
        const auto length = static_cast<std::size_t>(column.length.value_or(1));
        if (bits.size() < length)
            bits.insert(0, length - bits.size(), '0');
        return "B'" + bits + "'";
    }
    case Type::character:
    case Type::varchar:
    case Type::enumeration:
    case Type::set:
    case Type::text:
    case Type::uuid:
    case Type::inet:
        return standard_string(*literal);
    case Type::date:
        return time::parse(*literal + " 00:00:00") ? std::optional(standard_string(*literal))
                                                   : std::nullopt;
    case Type::timestamp:
        return time::parse(*literal) ? std::optional(standard_string(*literal)) : std::nullopt;
    case Type::timestamptz: // in the zone of whoever printed it
    default:
        return std::nullopt;
    }
}

std::optional<std::string> default_from_sqlite(const Column& column) {
    const std::string word = text::lower(*column.default_expression);
    if (word == "current_timestamp" || word == "datetime('now')")
        return column.type == Type::timestamp ? std::optional<std::string>("timezone('UTC', now())")
                                              : std::nullopt;
    if (word == "current_date")
        return column.type == Type::date ? std::optional<std::string>("CURRENT_DATE")
                                         : std::nullopt;
    const auto literal = postgresql_literal(*column.default_expression);
    if (!literal)
        return std::nullopt;
    if (literal->is_null)
        return "";
    switch (column.type) {
    case Type::boolean:
        return literal->text == "1" || literal->text == "true" ? std::optional<std::string>("true")
               : literal->text == "0" || literal->text == "false"
                   ? std::optional<std::string>("false")
                   : std::nullopt;
    case Type::int64:
    case Type::numeric:
    case Type::float64:
        return literal->is_string ? std::nullopt : std::optional(literal->text);
    case Type::varchar:
    case Type::text:
        return standard_string(literal->text);
    default:
        return std::nullopt;
    }
}

} // namespace

bool map_column(const Context& context, const Table& table, const Column& column,
                TargetColumn& out) {
    out.source = column.name;
    out.name = postgresql_name(column.name);
    out.select = context.quoted(column.name);
    out.nullable = column.nullable;
    out.comment = column.comment;
    if (out.name != out.source)
        context.report(table, column.name, "column", "changed", "named " + out.name + " there");
    if (context.from_mysql)
        return map_from_mysql(context, table, column, out);
    out.type = type_from_sqlite(column);
    return !out.type.empty() || refuse(context, table, column);
}

std::optional<std::string> map_default(const Context& context, const Column& column,
                                       const TargetColumn& out) {
    return context.from_mysql ? default_from_mysql(column, out) : default_from_sqlite(column);
}

std::optional<std::string> translate_mysql_check(const Table& table, const TargetTable& target,
                                                 const std::string& expression) {
    static const std::set<std::string> words = {"and", "or", "not", "between", "in", "is", "null"};
    std::string out;
    for (std::size_t i = 0; i < expression.size();) {
        const char c = expression[i];
        if (c == '`') {
            const std::size_t end = expression.find('`', i + 1);
            const Column* column = table.column(expression.substr(i + 1, end - i - 1));
            const auto there = std::find_if(
                target.columns.begin(), target.columns.end(), [&](const TargetColumn& one) {
                    return column != nullptr && one.source == column->name;
                });
            if (end == expression.npos || there == target.columns.end() || there->is_text ||
                !(there->type.starts_with("numeric") || there->type.ends_with("int") ||
                  there->type == "integer"))
                return std::nullopt;
            out += standard_name(there->name);
            i = end + 1;
        } else if (isalpha(static_cast<unsigned char>(c)) != 0) {
            std::size_t end = i;
            while (end < expression.size() &&
                   (isalnum(static_cast<unsigned char>(expression[end])) != 0 ||
                    expression[end] == '_'))
                ++end;
            const std::string word = text::lower(expression.substr(i, end - i));
            if (!words.contains(word))
                return std::nullopt;
            out += word;
            i = end;
        } else if (std::string_view(" ()=<>+-*,.0123456789").find(c) != std::string_view::npos) {
            if (expression.compare(i, 3, "<=>") == 0)
                return std::nullopt;
            out += c;
            ++i;
        } else if (expression.compare(i, 2, "!=") == 0) {
            out += "<>";
            i += 2;
        } else {
            return std::nullopt;
        }
    }
    return out;
}

} // namespace postgresql
} // namespace runbook::schema
