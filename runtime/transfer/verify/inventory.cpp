// Set-based reads of the three engines' catalogues (see inventory.h).
#include "runtime/transfer/verify/inventory.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::verify {
namespace {

using db::Flavour;

std::string lower(const std::string& text) {
    return text::lower(text);
}

/// The table of that name, appended where the rows of a query move on to it.
InventoryTable& table_of(Inventory& inventory, const std::string& name) {
    auto it = std::find_if(inventory.tables.rbegin(), inventory.tables.rend(),
                           [&](const InventoryTable& table) { return table.name == name; });
    if (it != inventory.tables.rend())
        return *it;
    inventory.tables.emplace_back();
    inventory.tables.back().name = name;
    return inventory.tables.back();
}

bool has_table(const Inventory& inventory, const std::string& name) {
    return std::any_of(inventory.tables.begin(), inventory.tables.end(),
                       [&](const InventoryTable& table) { return table.name == name; });
}

/// Rows (table, index, column) ordered by table, preference, index and position, as keys.
void read_keys(Inventory& inventory, const std::vector<Map>& rows) {
    std::string last;
    for (const Map& row : rows) {
        if (!has_table(inventory, row.text("tab")))
            continue;
        InventoryTable& table = table_of(inventory, row.text("tab"));
        std::string index = row.text("tab") + '\0' + row.text("idx");
        if (index != last)
            table.keys.emplace_back();
        last = index;
        table.keys.back().push_back(row.text("col"));
    }
}

constexpr const char* postgresql_columns = R"(
WITH RECURSIVE base(oid, type, typmod) AS (
    SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
  UNION ALL
    SELECT d.oid, base.type, CASE WHEN d.typtypmod <> -1 THEN d.typtypmod ELSE base.typmod END
    FROM pg_catalog.pg_type d JOIN base ON base.oid = d.typbasetype WHERE d.typtype = 'd')
SELECT c.relname::text AS tab, a.attname::text AS col,
       pg_catalog.format_type(base.type, CASE WHEN a.atttypmod <> -1 THEN a.atttypmod ELSE base.typmod END) AS type,
       a.attnotnull AS notnull, a.attgenerated <> '' AS generated, t.typtype::text AS kind,
       greatest(c.reltuples, 0)::int8 AS estimate
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN base ON base.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = base.type
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname COLLATE "C", a.attnum)";

constexpr const char* postgresql_keys = R"(
SELECT c.relname::text AS tab, i.relname::text AS idx, a.attname::text AS col
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, pos)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL
  AND k.pos <= x.indnkeyatts
  AND NOT EXISTS (SELECT 1 FROM unnest(x.indkey::int2[]) WITH ORDINALITY k2(attnum, pos)
                  JOIN pg_catalog.pg_attribute a2 ON a2.attrelid = c.oid AND a2.attnum = k2.attnum
                  WHERE k2.pos <= x.indnkeyatts AND NOT a2.attnotnull)
ORDER BY 1, NOT x.indisprimary, x.indnkeyatts, 2, k.pos)";

void read_postgresql(db::Connection& connection, const std::string& schema, Inventory& inventory) {
    const Value params[] = {Value(schema)};
    if (fetch_value(connection, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", params)
            .is_null())
        throw Error("argument",
                    fmt::format("{}: there is no schema {}", connection.url().masked(), schema));
    for (const Map& row : fetch_all(connection, postgresql_columns, params)) {
        InventoryTable& table = table_of(inventory, row.text("tab"));
        table.from = connection.quote_name(schema) + "." + connection.quote_name(table.name);
        table.estimated_rows = row.integer("estimate");
        InventoryColumn column;
        column.name = row.text("col");
        column.type = lower(row.text("type"));
        column.nullable = !row.boolean("notnull");
        column.generated = row.boolean("generated");
        column.user_type = row.text("kind") != "b";
        table.columns.push_back(std::move(column));
    }
    read_keys(inventory, fetch_all(connection, postgresql_keys, params));
}

void read_mysql(db::Connection& connection, Inventory& inventory) {
    const bool mariadb = inventory.flavour == Flavour::mariadb;
    for (const Map& row : fetch_all(connection, R"(
            SELECT c.table_name AS tab, c.column_name AS col, c.column_type AS type, c.is_nullable AS nullable,
                   coalesce(c.collation_name, '') AS coll, coalesce(c.character_set_name, '') AS cs, c.extra AS extra,
                   coalesce(t.table_rows, 0) AS estimate
            FROM information_schema.columns c JOIN information_schema.tables t
              ON t.table_schema = c.table_schema AND t.table_name = c.table_name
            WHERE c.table_schema = database() AND t.table_type = 'BASE TABLE'
            ORDER BY c.table_name, c.ordinal_position)")) {
        InventoryTable& table = table_of(inventory, row.text("tab"));
        table.from = connection.quote_name(table.name);
        table.estimated_rows = row.integer("estimate");
        InventoryColumn column;
        column.name = row.text("col");
        column.type = lower(row.text("type"));
        column.nullable = row.text("nullable") == "YES";
        column.collation = row.text("coll");
        column.charset = row.text("cs");
        column.generated = row.text("extra").find(" GENERATED") != std::string::npos;
        table.columns.push_back(std::move(column));
    }
    if (mariadb)
        for (const Map& row : fetch_all(connection, R"(
                SELECT table_name AS tab, lower(check_clause) AS clause FROM information_schema.check_constraints
                WHERE constraint_schema = database())"))
            for (InventoryTable& table : inventory.tables)
                for (InventoryColumn& column : table.columns)
                    if (table.name == row.text("tab") &&
                        row.text("clause") == "json_valid(`" + lower(column.name) + "`)")
                        column.json = true;
    read_keys(inventory, fetch_all(connection, R"(
            SELECT s.table_name AS tab, s.index_name AS idx, s.column_name AS col
            FROM information_schema.statistics s
            WHERE s.table_schema = database() AND s.non_unique = 0 AND NOT EXISTS (
              SELECT 1 FROM information_schema.statistics b
              WHERE b.table_schema = s.table_schema AND b.table_name = s.table_name AND b.index_name = s.index_name
                AND (b.nullable = 'YES' OR b.sub_part IS NOT NULL OR b.column_name IS NULL))
            ORDER BY s.table_name, s.index_name <> 'PRIMARY', s.index_name, s.seq_in_index)"));
}

void read_sqlite(db::Connection& connection, Inventory& inventory) {
    for (const Map& row : fetch_all(connection, R"(
            SELECT t.name AS tab, c.name AS col, lower(c.type) AS type, c."notnull" AS required, c.pk AS pk,
                   c.hidden AS hidden
            FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND c.hidden <> 1
            ORDER BY t.name, c.cid)")) {
        InventoryTable& table = table_of(inventory, row.text("tab"));
        table.from = connection.quote_name(table.name);
        InventoryColumn column;
        column.name = row.text("col");
        column.type = row.text("type");
        // SQLite lets a primary key be NULL in rowid tables; such keys still sort, and are read as
        // they are.
        column.nullable = row.integer("required") == 0 && row.integer("pk") == 0;
        column.generated = row.integer("hidden") != 0;
        table.columns.push_back(std::move(column));
    }
    for (const Map& row : fetch_all(connection, R"(
            SELECT t.name AS tab, c.name AS col FROM sqlite_schema t JOIN pragma_table_info(t.name) c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND c.pk > 0
            ORDER BY t.name, c.pk)")) {
        InventoryTable& table = table_of(inventory, row.text("tab"));
        if (table.keys.empty())
            table.keys.emplace_back();
        table.keys.back().push_back(row.text("col"));
    }
    read_keys(inventory, fetch_all(connection, R"(
            SELECT t.name AS tab, i.name AS idx, c.name AS col
            FROM sqlite_schema t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND i."unique" = 1 AND i.partial = 0
              AND i.origin <> 'pk'
            ORDER BY t.name, i.name, c.seqno)"));
    for (InventoryTable& table : inventory.tables)
        std::erase_if(table.keys, [&](const std::vector<std::string>& key) {
            return std::any_of(key.begin(), key.end(), [&](const std::string& name) {
                const InventoryColumn* column = table.column(name);
                return !column || column->nullable;
            });
        });
}

} // namespace

const InventoryColumn* InventoryTable::column(const std::string& wanted) const {
    const InventoryColumn* found = nullptr;
    for (const InventoryColumn& column : columns)
        if (column.name == wanted)
            return &column;
    for (const InventoryColumn& column : columns)
        if (lower(column.name) == lower(wanted)) {
            if (found)
                return nullptr;
            found = &column;
        }
    return found;
}

const InventoryTable* Inventory::table(const std::string& wanted) const {
    const InventoryTable* found = nullptr;
    for (const InventoryTable& table : tables)
        if (table.name == wanted)
            return &table;
    for (const InventoryTable& table : tables)
        if (lower(table.name) == lower(wanted)) {
            if (found)
                return nullptr;
            found = &table;
        }
    return found;
}

Inventory read_inventory(db::Connection& connection, const std::string& schema) {
    Inventory inventory;
    inventory.flavour = connection.server().flavour;
    switch (inventory.flavour) {
    case Flavour::postgresql:
        read_postgresql(connection, schema.empty() ? "public" : schema, inventory);
        break;
    case Flavour::mysql:
    case Flavour::mariadb:
        read_mysql(connection, inventory);
        break;
    case Flavour::sqlite:
        read_sqlite(connection, inventory);
        break;
    }
    // The program's own tables are about one database alone.
    std::erase_if(inventory.tables,
                  [](const InventoryTable& table) { return table.name.starts_with("_runbook_"); });
    for (InventoryTable& table : inventory.tables)
        for (InventoryColumn& column : table.columns)
            column.quoted = connection.quote_name(column.name);
    return inventory;
}

} // namespace runbook::verify
