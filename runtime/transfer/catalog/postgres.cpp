// PostgreSQL's catalogue: tables, columns, keys and constraints (see catalog.h). The queries stand
// in postgres_queries.h, what is no table in postgres_objects.cpp.
#include "runtime/transfer/catalog/postgres.h"

#include "runtime/base/text.h"
#include "runtime/transfer/catalog/postgres_queries.h"

#include <algorithm>
#include <array>
#include <utility>

namespace runbook::catalog {
namespace {

Type base_type(const std::string& name, const std::string& kind, const std::string& element) {
    static constexpr std::array<std::pair<std::string_view, Type>, 46> known = {{
        {"bool", Type::boolean},
        {"int2", Type::int16},
        {"int4", Type::int32},
        {"int8", Type::int64},
        {"numeric", Type::numeric},
        {"float4", Type::float32},
        {"float8", Type::float64},
        {"money", Type::money},
        {"bpchar", Type::character},
        {"varchar", Type::varchar},
        {"text", Type::text},
        {"name", Type::varchar},
        {"citext", Type::citext},
        {"bytea", Type::bytes},
        {"date", Type::date},
        {"time", Type::time},
        {"timetz", Type::timetz},
        {"timestamp", Type::timestamp},
        {"timestamptz", Type::timestamptz},
        {"interval", Type::interval},
        {"uuid", Type::uuid},
        {"json", Type::json},
        {"jsonb", Type::jsonb},
        {"hstore", Type::hstore},
        {"inet", Type::inet},
        {"cidr", Type::cidr},
        {"macaddr", Type::macaddr},
        {"macaddr8", Type::macaddr},
        {"bit", Type::bit},
        {"varbit", Type::varbit},
        {"xml", Type::xml},
        {"tsvector", Type::tsvector},
        {"tsquery", Type::tsquery},
        {"oid", Type::oid},
        {"point", Type::geometry},
        {"line", Type::geometry},
        {"lseg", Type::geometry},
        {"box", Type::geometry},
        {"path", Type::geometry},
        {"polygon", Type::geometry},
        {"circle", Type::geometry},
        {"geometry", Type::geometry},
        {"geography", Type::geometry},
        {"xid", Type::other},
        {"jsonpath", Type::other},
        {"pg_lsn", Type::other},
    }};
    if (kind == "e")
        return Type::enumeration;
    if (!element.empty())
        return Type::array;
    if (kind == "c")
        return Type::composite;
    if (kind == "r" || kind == "m")
        return Type::range;
    for (const auto& [entry, type] : known)
        if (entry == name)
            return type;
    return Type::other;
}

/// What the type modifier says, by the rules of each type's own input function.
void read_modifier(Column& column, const std::string& name, std::int64_t modifier) {
    switch (column.type) {
    case Type::character:
    case Type::varchar:
        if (name == "name")
            column.length = 63;
        else if (modifier >= 4)
            column.length = modifier - 4;
        break;
    case Type::bit:
    case Type::varbit:
        if (modifier > 0)
            column.length = modifier;
        break;
    case Type::numeric:
        if (modifier >= 4) {
            auto packed = modifier - 4;
            column.precision = static_cast<int>((packed >> 16) & 0xffff);
            column.scale = static_cast<int>(((packed & 0x7ff) ^ 1024) - 1024);
        }
        break;
    case Type::time:
    case Type::timetz:
    case Type::timestamp:
    case Type::timestamptz:
        column.precision = modifier >= 0 ? static_cast<int>(modifier) : 6;
        break;
    default:
        break;
    }
}

class Reader {
  public:
    Reader(db::Connection& connection, const Filter& filter, Cancel& cancel)
        : connection_(connection), filter_(filter), cancel_(cancel) {}

    Database read() {
        database_.server = connection_.server();
        schemas();
        tables();
        partitions();
        columns();
        indexes();
        constraints();
        lift_from_partitions();
        read_postgresql_objects(connection_, filter_, database_, cancel_);
        return std::move(database_);
    }

  private:
    void each(std::string_view sql, const std::function<void(const Row&)>& fn) {
        std::vector<Value> params;
        if (sql.find("$1") != std::string_view::npos)
            params.emplace_back(names_);
        each_row(connection_, sql, params, cancel_, fn);
    }

    void schemas() {
        std::vector<std::string> wanted = filter_.schemas;
        if (wanted.empty())
            wanted.emplace_back("public");
        names_ = List(wanted.begin(), wanted.end());
        each(postgresql::schemas, [&](const Row& row) {
            database_.name = row.text("database");
            database_.encoding = row.text("encoding");
            database_.collation = row.text("collation");
            if (!row.is_null("schema"))
                database_.schemas.push_back({row.text("schema"), {}, {}});
        });
        for (const std::string& name : wanted)
            if (std::none_of(database_.schemas.begin(), database_.schemas.end(),
                             [&](const Schema& schema) { return schema.name == name; }))
                throw Error("argument",
                            connection_.url().masked() + ": there is no schema '" + name + "'");
    }

    void tables() {
        each(postgresql::tables, [&](const Row& row) {
            if (!filter_.takes(row.text("name")))
                return;
            Table table;
            table.schema = row.text("schema");
            table.name = row.text("name");
            std::string kind = row.text("kind");
            table.kind = kind == "p"   ? TableKind::partitioned
                         : kind == "f" ? TableKind::foreign
                                       : TableKind::table;
            table.estimated_rows = std::max<std::int64_t>(0, row.integer("estimate"));
            table.bytes = row.integer("bytes");
            table.pages = row.integer("pages");
            table.comment = row.text("comment");
            table.partition_key = row.text("partition_key");
            table.inherits = row.list("inherits");
            table.row_security = row.boolean("row_security");
            table.unlogged = row.boolean("unlogged");
            for (Schema& schema : database_.schemas)
                if (schema.name == table.schema) {
                    schema.tables.push_back(std::move(table));
                    break;
                }
        });
        index_tables();
    }

    void index_tables() {
        for (Schema& schema : database_.schemas)
            for (Table& table : schema.tables)
                tables_.emplace_back(schema.name + '\0' + table.name, &table);
        std::sort(tables_.begin(), tables_.end());
    }

    Table* find(const std::string& schema, const std::string& name) {
        std::string key = schema + '\0' + name;
        auto it = std::lower_bound(
            tables_.begin(), tables_.end(), key,
            [](const auto& entry, const std::string& wanted) { return entry.first < wanted; });
        return it != tables_.end() && it->first == key ? it->second : nullptr;
    }
    Table* find(const Row& row) { return find(row.text("schema"), row.text("tab")); }

    void partitions() {
        each(postgresql::partitions, [&](const Row& row) {
            Table* table = find(row);
            if (!table)
                return;
            table->partitions.push_back(
                {row.text("leaf_schema"), row.text("leaf"), row.integer("pages")});
            table->pages += row.integer("pages");
            table->bytes += row.integer("bytes");
            table->estimated_rows += std::max<std::int64_t>(0, row.integer("estimate"));
        });
    }

    void columns() {
        each(postgresql::columns, [&](const Row& row) {
            Table* table = find(row);
            if (!table)
                return;
            Column column;
            column.name = row.text("col");
            column.engine_type = row.text("type");
            std::string base = row.text("base");
            column.type = base_type(base, row.text("kind"), row.text("element"));
            read_modifier(column, base, row.integer("modifier"));
            column.nullable = !row.boolean("not_null");
            column.default_expression = row.optional_text("default_expression");
            if (std::string generated = row.text("generated"); !generated.empty()) {
                column.generated = column.generation_stored = true;
                column.generation_expression = column.default_expression.value_or("");
                column.default_expression.reset();
            }
            column.collation = row.text("collation");
            if (column.type == Type::array) {
                column.element_type = row.text("element");
                column.element = base_type(row.text("element_base"), row.text("element_kind"), "");
            }
            column.labels = row.list("labels");
            column.domain = row.text("domain");
            column.domain_checks = row.list("domain_checks");
            column.comment = row.text("comment");
            read_identity(column, row);
            table->columns.push_back(std::move(column));
        });
    }

    static void read_identity(Column& column, const Row& row) {
        if (row.is_null("sequence"))
            return;
        Identity identity;
        identity.always = row.text("identity") == "a";
        identity.sequence = row.text("sequence");
        identity.start = row.integer("seq_start");
        identity.increment = row.integer("seq_increment");
        identity.last_value = row.optional_integer("seq_last");
        column.identity = identity;
    }

    /// Where a row belongs: the table itself, or the partitioned table above the partition.
    struct Place {
        Table* table = nullptr;
        bool leaf = false;
    };
    Place place(const Row& row) {
        if (!row.is_null("root"))
            return {find(row.text("root_schema"), row.text("root")), true};
        return {find(row), false};
    }

    void indexes() {
        each(postgresql::indexes, [&](const Row& row) {
            Place at = place(row);
            if (!at.table)
                return;
            Index index;
            index.name = row.text("name");
            index.method = row.text("method");
            index.unique = row.boolean("is_unique");
            index.primary = row.boolean("is_primary");
            index.constraint = row.boolean("is_constraint");
            index.exclusion = row.boolean("is_exclusion");
            index.deferrable = row.boolean("is_deferrable");
            index.valid = row.boolean("is_valid");
            index.nulls_not_distinct = row.boolean("nulls_not_distinct");
            index.predicate = row.text("predicate");
            index.definition = row.text("definition");
            index.comment = row.text("comment");
            read_parts(index, row);
            if (at.leaf)
                leaf_indexes_.push_back({at.table, row.text("tab"), std::move(index)});
            else if (index.primary)
                at.table->primary_key = std::move(index);
            else
                at.table->indexes.push_back(std::move(index));
        });
    }

    static void read_parts(Index& index, const Row& row) {
        std::vector<std::string> names = row.list("columns"), texts = row.list("expressions"),
                                 flags = row.list("flags");
        auto keys = static_cast<std::size_t>(row.integer("keys"));
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (i >= keys) {
                index.included.push_back(names[i]);
                continue;
            }
            IndexPart part;
            part.column = names[i];
            if (part.column.empty())
                part.expression = texts[i];
            part.descending = i < flags.size() && flags[i] == "1";
            index.parts.push_back(std::move(part));
        }
    }

    void constraints() {
        each(postgresql::foreign_keys, [&](const Row& row) {
            Place at = place(row);
            if (!at.table)
                return;
            ForeignKey key;
            key.name = row.text("name");
            key.columns = row.list("columns");
            key.to_schema = row.text("to_schema");
            key.to_table = row.text("to_table");
            key.to_columns = row.list("to_columns");
            key.on_update = row.text("on_update");
            key.on_delete = row.text("on_delete");
            key.match = row.text("match");
            key.deferrable = row.boolean("is_deferrable");
            key.validated = row.boolean("is_validated");
            if (at.leaf)
                leaf_keys_.push_back({at.table, row.text("tab"), std::move(key)});
            else
                at.table->foreign_keys.push_back(std::move(key));
        });
        each(postgresql::checks, [&](const Row& row) {
            if (Table* table = find(row))
                table->checks.push_back(
                    {row.text("name"), row.text("expression"), row.boolean("is_validated")});
        });
    }

    // The flattened table can carry what every partition has. What only some have is an object of
    // its own, so that the report names it.
    void lift_from_partitions() {
        for (OfLeaf<ForeignKey>& entry : leaf_keys_) {
            Table* table = entry.table;
            const std::string& leaf = entry.leaf;
            ForeignKey& key = entry.value;
            auto same = [&](const ForeignKey& other) {
                return other.columns == key.columns && other.to_table == key.to_table &&
                       other.to_columns == key.to_columns && other.on_delete == key.on_delete &&
                       other.on_update == key.on_update;
            };
            auto& keys = table->foreign_keys;
            if (std::any_of(keys.begin(), keys.end(), same))
                continue;
            auto having = std::count_if(leaf_keys_.begin(), leaf_keys_.end(), [&](const auto& it) {
                return it.table == table && same(it.value);
            });
            if (static_cast<std::size_t>(having) >= table->partitions.size())
                keys.push_back(key);
            else
                other(*table, "foreign key", key.name,
                      "only on partition " + leaf + ", not on all of " + table->name);
        }
        for (OfLeaf<Index>& entry : leaf_indexes_) {
            Table* table = entry.table;
            const std::string& leaf = entry.leaf;
            Index& index = entry.value;
            auto columns = [](const Index& each) {
                std::vector<std::string> names;
                for (const IndexPart& part : each.parts)
                    names.push_back(part.column + '\0' + part.expression);
                return names;
            };
            auto& all = table->indexes;
            auto same = [&](const Index& each) { return columns(each) == columns(index); };
            if (std::any_of(all.begin(), all.end(), same) ||
                (table->primary_key && same(*table->primary_key)))
                continue;
            if (index.unique || index.exclusion)
                other(*table, "unique index", index.name, "only on partition " + leaf);
            else
                all.push_back(index);
        }
    }

    void other(const Table& table, const char* kind, const std::string& name,
               const std::string& detail) {
        for (Schema& schema : database_.schemas)
            if (schema.name == table.schema)
                schema.others.push_back({kind, table.schema, name, detail});
    }

    template <class T>
    struct OfLeaf {
        Table* table;
        std::string leaf;
        T value;
    };

    db::Connection& connection_;
    const Filter& filter_;
    Cancel& cancel_;
    Database database_;
    List names_;
    std::vector<std::pair<std::string, Table*>> tables_;
    std::vector<OfLeaf<Index>> leaf_indexes_;
    std::vector<OfLeaf<ForeignKey>> leaf_keys_;
};

} // namespace

Database read_postgresql(db::Connection& connection, const Filter& filter, Cancel& cancel) {
    return Reader(connection, filter, cancel).read();
}

} // namespace runbook::catalog
