// The choice of the reader, and look-ups (see catalog.h). Any thread.
#include "runtime/transfer/catalog/catalog.h"

#include "runtime/transfer/catalog/rows.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace runbook::catalog {
namespace {

bool matches(std::string_view pattern, std::string_view name) {
    if (pattern.empty())
        return name.empty();
    if (pattern.front() == '*')
        return matches(pattern.substr(1), name) ||
               (!name.empty() && matches(pattern, name.substr(1)));
    return !name.empty() && pattern.front() == name.front() &&
           matches(pattern.substr(1), name.substr(1));
}

} // namespace

std::string_view type_name(Type type) {
    static constexpr std::array<std::string_view, 41> names = {
        "boolean", "int8",      "int16",  "int24",     "int32",   "int64",     "numeric",
        "float32", "float64",   "money",  "character", "varchar", "text",      "citext",
        "binary",  "bytes",     "date",   "time",      "timetz",  "timestamp", "timestamptz",
        "year",    "interval",  "uuid",   "json",      "jsonb",   "array",     "enum",
        "set",     "composite", "hstore", "range",     "inet",    "cidr",      "macaddr",
        "bit",     "varbit",    "xml",    "tsvector",  "tsquery", "geometry"};
    auto at = static_cast<std::size_t>(type);
    if (at < names.size())
        return names[at];
    return type == Type::oid ? "oid" : type == Type::dynamic ? "dynamic" : "other";
}

const Column* Table::column(std::string_view name) const {
    auto it = std::find_if(columns.begin(), columns.end(),
                           [&](const Column& column) { return column.name == name; });
    return it == columns.end() ? nullptr : &*it;
}

const Table* Database::table(std::string_view schema, std::string_view name) const {
    for (const Schema& each : schemas) {
        if (!schema.empty() && each.name != schema)
            continue;
        for (const Table& table : each.tables)
            if (table.name == name)
                return &table;
    }
    return nullptr;
}

bool Filter::takes(std::string_view table) const {
    if (table.starts_with("_runbook_")) // the program's own, about this database alone
        return false;
    auto hit = [&](const std::string& pattern) { return matches(pattern, table); };
    return (include.empty() || std::any_of(include.begin(), include.end(), hit)) &&
           std::none_of(exclude.begin(), exclude.end(), hit);
}

Database read_catalog(db::Connection& connection, const Filter& filter, Cancel& cancel) {
    switch (connection.server().flavour) {
    case db::Flavour::postgresql:
        return read_postgresql(connection, filter, cancel);
    case db::Flavour::mysql:
    case db::Flavour::mariadb:
        return read_mysql(connection, filter, cancel);
    case db::Flavour::sqlite:
        break;
    }
    return read_sqlite(connection, filter, cancel);
}

db::Cell Row::cell(std::string_view name) const {
    const auto& columns = batch_.columns();
    for (std::size_t i = 0; i < columns.size(); ++i)
        if (columns[i].name == name)
            return batch_.cell(row_, i);
    throw Error("internal", "catalogue query without the column " + std::string(name));
}

std::string Row::text(std::string_view name) const {
    db::Cell cell = this->cell(name);
    if (cell.kind == db::Kind::integer || cell.kind == db::Kind::boolean)
        return std::to_string(cell.integer);
    return std::string(cell.text);
}

std::optional<std::string> Row::optional_text(std::string_view name) const {
    if (is_null(name))
        return std::nullopt;
    return text(name);
}

std::int64_t Row::integer(std::string_view name) const {
    db::Cell cell = this->cell(name);
    if (cell.kind == db::Kind::number)
        return static_cast<std::int64_t>(cell.number);
    if (!cell.text.empty())
        return std::strtoll(std::string(cell.text).c_str(), nullptr, 10);
    return cell.integer;
}

std::optional<std::int64_t> Row::optional_integer(std::string_view name) const {
    if (is_null(name))
        return std::nullopt;
    return integer(name);
}

std::vector<std::string> Row::list(std::string_view name) const {
    std::vector<std::string> items;
    if (is_null(name))
        return items;
    std::string joined = text(name);
    std::size_t at = 0;
    for (std::size_t end; (end = joined.find('\1', at)) != std::string::npos; at = end + 1)
        items.push_back(joined.substr(at, end - at));
    items.push_back(joined.substr(at));
    return items;
}

void each_row(db::Connection& connection, std::string_view sql, std::span<const Value> params,
              Cancel& cancel, const std::function<void(const Row&)>& fn) {
    auto cursor = connection.query(sql, params, {}, cancel);
    while (db::BatchPtr batch = cursor->next(cancel))
        for (std::size_t row = 0; row < batch->rows(); ++row)
            fn(Row(*batch, row));
}

} // namespace runbook::catalog
