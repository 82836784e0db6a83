// SELECT lists, sort expressions and key literals of the two sides (see plan.h). Pure functions.
#include "runtime/transfer/verify/plan.h"

#include "runtime/base/digest.h"

#include <fmt/format.h>

namespace runbook::verify {
namespace {

using db::Flavour;

bool is_mysql(Flavour flavour) {
    return flavour == Flavour::mysql || flavour == Flavour::mariadb;
}

Family family(Flavour flavour, const TypedColumn& column) {
    if (column.json)
        return Family::json;
    return family_of(flavour, column.type);
}

std::string base_of(const std::string& type) {
    std::string base = type.substr(0, type.find('('));
    while (base.ends_with(' '))
        base.pop_back();
    return base;
}

void postgresql_numbers(const TypedColumn& column, const std::string& base, Side& side) {
    if (base == "boolean" || base == "bool")
        side.wire = Wire::pg_bool;
    else if (base == "smallint" || base == "int2")
        side.wire = Wire::pg_int2;
    else if (base == "bigint" || base == "int8")
        side.wire = Wire::pg_int8;
    else if (base == "oid")
        side.wire = Wire::pg_oid;
    else if (base == "real" || base == "float4")
        side.wire = Wire::pg_float4;
    else if (side.family == Family::float64)
        side.wire = Wire::pg_float8;
    else if (side.family == Family::decimal)
        side.wire = Wire::pg_numeric;
    else
        side.wire = Wire::pg_int4;
    side.select = base == "money" ? column.quoted + "::pg_catalog.numeric" : column.quoted;
}

/// Binary cells where the type is known and the form is its own; a cast to text everywhere else.
void postgresql_side(const TypedColumn& column, Form form, Side& side) {
    const std::string base = base_of(column.type);
    side.select = column.quoted;
    side.wire = Wire::pg_text;
    auto binary = [&](Wire wire, bool fits) {
        side.wire = fits ? wire : Wire::pg_text;
        if (!fits)
            side.select = column.quoted + "::pg_catalog.text";
    };
    switch (side.family) {
    case Family::boolean:
    case Family::integer:
    case Family::decimal:
    case Family::float32:
    case Family::float64:
        return postgresql_numbers(column, base, side);
    case Family::bytes:
        return binary(Wire::pg_bytea, form == Form::bytes || form == Form::uuid);
    case Family::uuid:
        return binary(Wire::pg_uuid, form == Form::uuid);
    case Family::date:
        return binary(Wire::pg_date, form == Form::date || form == Form::timestamp);
    case Family::timestamp:
    case Family::timestamptz:
        return binary(Wire::pg_timestamp, form == Form::timestamp);
    case Family::time:
        return binary(Wire::pg_time, form == Form::time);
    case Family::interval:
        return binary(Wire::pg_interval, form == Form::interval);
    case Family::json:
        if (base == "jsonb")
            return binary(Wire::pg_jsonb, true);
        side.select = form == Form::json
                          ? fmt::format("pg_catalog.to_json({})::pg_catalog.text", column.quoted)
                          : column.quoted + "::pg_catalog.text";
        return;
    case Family::array:
        side.select = form == Form::json
                          ? fmt::format("pg_catalog.to_json({})::pg_catalog.text", column.quoted)
                          : column.quoted + "::pg_catalog.text";
        return;
    case Family::json_text:
        return;
    default:
        break;
    }
    if (base == "text" || base == "character varying" || base == "varchar")
        return;
    if (base == "inet") // the cast would append /32
        side.select = fmt::format("pg_catalog.textin(pg_catalog.inet_out({}))", column.quoted);
    else if (form == Form::json)
        side.select = fmt::format("pg_catalog.to_json({})::pg_catalog.text", column.quoted);
    else
        side.select = column.quoted + "::pg_catalog.text";
}

void postgresql_order(const TypedColumn& column, Form form, Side& side) {
    auto native = [&](bool fits, const char* type) {
        return fits ? column.quoted : fmt::format("{}::pg_catalog.{}", column.quoted, type);
    };
    switch (form) {
    case Form::integer:
        side.order = native(side.wire != Wire::pg_text, "int8");
        break;
    case Form::decimal:
        side.order = native(side.wire != Wire::pg_text, "numeric");
        break;
    case Form::uuid:
        side.order = native(side.wire != Wire::pg_text, "uuid");
        break;
    case Form::date:
        side.order = native(side.wire != Wire::pg_text, "date");
        break;
    case Form::timestamp:
        side.order = native(side.wire != Wire::pg_text, "timestamptz");
        break;
    case Form::time:
        side.order = native(side.wire != Wire::pg_text, "time");
        break;
    case Form::bytes:
        side.order = native(side.wire == Wire::pg_bytea, "bytea");
        break;
    default:
        side.order = side.select + " COLLATE \"C\"";
        if (side.family == Family::fixed_text)
            side.order = column.quoted + "::pg_catalog.text COLLATE \"C\"";
    }
    if (column.nullable)
        side.order += " NULLS FIRST";
}

void mysql_side(const TypedColumn& column, Side& side) {
    side.wire = side.family == Family::bits ? Wire::my_bits : Wire::my_text;
    side.select = column.quoted;
    if (side.family == Family::float32) // as text FLOAT has six digits; as a double all of them
        side.select = fmt::format("({} * 1e0)", column.quoted);
    if (side.family == Family::bits) {
        std::size_t open = column.type.find('(');
        side.bits = open == std::string::npos ? 1 : std::atoi(column.type.c_str() + open + 1);
    }
}

bool no_pad_binary(const std::string& collation) {
    return collation == "binary" || collation.ends_with("_0900_bin") ||
           collation.ends_with("_nopad_bin");
}

void mysql_order(const TypedColumn& column, Form form, Side& side) {
    const bool text = side.family == Family::text || side.family == Family::fixed_text;
    const bool listed = column.type.starts_with("enum") || column.type.starts_with("set");
    side.order = column.quoted;
    if (side.family == Family::uuid) {
        side.order = fmt::format("CAST({} AS CHAR)", column.quoted);
    } else if (text && form == Form::integer) {
        side.order = fmt::format("CAST({} AS SIGNED)", column.quoted);
    } else if (text && form == Form::decimal) {
        side.order = fmt::format("CAST({} AS DECIMAL(65,30))", column.quoted);
    } else if (text && form == Form::uuid) {
        if (!column.collation.ends_with("_bin"))
            side.order = fmt::format("CAST(LOWER({}) AS BINARY)", column.quoted);
    } else if (text && (listed || !no_pad_binary(column.collation))) {
        const bool utf8 = column.charset.starts_with("utf8") || column.charset == "ascii";
        side.order = utf8 && !listed
                         ? fmt::format("CAST({} AS BINARY)", column.quoted)
                         : fmt::format("CAST(CONVERT({} USING utf8mb4) AS BINARY)", column.quoted);
    }
}

void fill_side(Flavour flavour, const TypedColumn& column, Form form, bool key, Side& side) {
    side.flavour = flavour;
    side.name = column.name;
    if (flavour == Flavour::postgresql) {
        postgresql_side(column, form, side);
        if (key)
            postgresql_order(column, form, side);
    } else if (is_mysql(flavour)) {
        mysql_side(column, side);
        if (key)
            mysql_order(column, form, side);
    } else {
        side.wire = Wire::sqlite;
        side.select = column.quoted;
        if (key)
            side.order = column.quoted + " COLLATE BINARY";
    }
}

void point_side(Flavour flavour, const TypedColumn& column, Side& side) {
    if (flavour == Flavour::postgresql) {
        side.wire = Wire::pg_text;
        side.select = fmt::format("CASE WHEN {0} IS NOT NULL THEN pg_catalog.json_build_array("
                                  "({0})[0], ({0})[1])::pg_catalog.text END",
                                  column.quoted);
    } else if (is_mysql(flavour)) {
        side.select = fmt::format("CONCAT('[', ST_X({0}), ',', ST_Y({0}), ']')", column.quoted);
    }
}

std::string quote_text(const std::string& text) {
    std::string out = "'";
    for (char c : text) {
        out.push_back(c);
        if (c == '\'')
            out.push_back(c);
    }
    return out + "'";
}

} // namespace

std::string text_literal(Flavour flavour, std::string_view text) {
    if (flavour == Flavour::postgresql)
        return quote_text(std::string(text));
    if (is_mysql(flavour))
        return fmt::format("_utf8mb4 X'{}'", digest::hex(text));
    return fmt::format("CAST(X'{}' AS TEXT)", digest::hex(text));
}

namespace {

/// Empty where the literal might miss the row.
std::string literal(const ColumnPair& pair, const Side& side, const CellView& cell) {
    const bool sqlite = side.flavour == Flavour::sqlite;
    const bool text = side.family == Family::text || side.family == Family::fixed_text;
    if (cell.tag == Tag::null || cell.tag == Tag::invalid)
        return {};
    switch (pair.form) {
    case Form::integer:
        if (side.wire == Wire::pg_bool)
            return cell.fixed ? "true" : "false";
        return text ? std::string() : fmt::format("{}", cell.fixed);
    case Form::decimal:
        return sqlite || text ? std::string() : fmt::format("{}", cell.var);
    case Form::text:
        return text_literal(side.flavour, cell.var);
    case Form::bytes:
        if (side.flavour == Flavour::postgresql)
            return fmt::format("'\\x{}'::pg_catalog.bytea", digest::hex(cell.var));
        return fmt::format("X'{}'", digest::hex(cell.var));
    case Form::uuid:
        if (sqlite)
            return {};
        if (side.family == Family::bytes)
            return side.flavour == Flavour::postgresql
                       ? fmt::format("'\\x{}'::pg_catalog.bytea", digest::hex(cell.var))
                       : fmt::format("X'{}'", digest::hex(cell.var));
        return quote_text(show(pair, cell));
    case Form::date:
    case Form::timestamp:
    case Form::time: {
        if (sqlite || text)
            return {};
        std::string shown = show(pair, cell);
        if (is_mysql(side.flavour) && shown.ends_with("+00"))
            shown.resize(shown.size() - 3);
        return quote_text(shown);
    }
    default:
        return {};
    }
}

} // namespace

ColumnPair pair_columns(Flavour source_flavour, const TypedColumn& source, Flavour target_flavour,
                        const TypedColumn& target, bool key) {
    ColumnPair pair;
    pair.source.family = family(source_flavour, source);
    pair.target.family = family(target_flavour, target);
    // MariaDB's JSON is a text that it keeps as it is, as PostgreSQL's json is.
    auto keeps_text = [](const Side& side, const TypedColumn& column) {
        return column.json || side.family == Family::json_text;
    };
    if (keeps_text(pair.source, source) && keeps_text(pair.target, target))
        pair.source.family = pair.target.family = Family::json_text;
    pair.form = pair_form(pair.source.family, pair.target.family);
    const bool points = source.type == "point" && target.type == "point";
    if (points) // as [x, y]: both engines print the shortest digits that mean the same double
        pair.source.family = pair.target.family = Family::json, pair.form = Form::json;
    const bool same_engine = source_flavour == target_flavour;
    if (same_engine && source_flavour == Flavour::sqlite)
        pair.form = Form::dynamic;
    if (same_engine && source_flavour == Flavour::postgresql &&
        (pair.source.family == Family::array || source.type == "hstore"))
        pair.form = Form::text; // exact, with bounds
    if (key && pair.form == Form::dynamic)
        pair.form = pair.source.family == Family::integer ? Form::integer : Form::text;
    auto fixed = [](const Side& side) { return side.family == Family::fixed_text; };
    pair.trim_blanks = pair.form == Form::text && (fixed(pair.source) || fixed(pair.target));
    auto keeps_sign = [](Flavour flavour) {
        return flavour == Flavour::postgresql || flavour == Flavour::mysql;
    };
    pair.signed_zero = keeps_sign(source_flavour) && keeps_sign(target_flavour);
    fill_side(source_flavour, source, pair.form, key, pair.source);
    fill_side(target_flavour, target, pair.form, key, pair.target);
    if (points) {
        point_side(source_flavour, source, pair.source);
        point_side(target_flavour, target, pair.target);
    }
    return pair;
}

std::string TablePlan::select(Which which, const std::string& where) const {
    std::string sql = "SELECT ";
    for (std::size_t i = 0; i < columns.size(); ++i)
        sql += (i ? ", " : "") + side(which, i).select;
    sql += " FROM " + from(which);
    if (!where.empty())
        sql += " WHERE " + where;
    for (std::size_t i = 0; i < key_columns; ++i)
        sql += (i ? ", " : " ORDER BY ") + side(which, i).order;
    return sql;
}

std::string where_keys(const TablePlan& plan, Which which, const std::vector<std::string>& keys) {
    std::string sql;
    for (const std::string& key : keys) {
        const char* at = key.data();
        std::string one;
        for (std::size_t i = 0; i < plan.key_columns; ++i) {
            const ColumnPair& pair = plan.columns[i];
            const Side& side = plan.side(which, i);
            std::string value = literal(pair, side, next_cell(at));
            if (value.empty())
                return {};
            std::string column = side.select;
            if (side.flavour == Flavour::postgresql && side.family == Family::fixed_text)
                column = side.order.substr(0, side.order.find(" COLLATE"));
            one += (i ? " AND " : "") + column + " = " + value;
        }
        sql += (sql.empty() ? "(" : " OR (") + one + ")";
    }
    return sql;
}

} // namespace runbook::verify
