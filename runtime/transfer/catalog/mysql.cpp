// The catalogue of MySQL and MariaDB: a dozen set-based reads of information_schema.
// Blocks; one thread. Never writes. Column names are given as aliases: MySQL 8 tells them in upper
// case.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

namespace runbook::catalog {
namespace {

struct Known {
    std::string_view name;
    Type type;
};

constexpr Known known_types[] = {{"tinyint", Type::int8},
                                 {"smallint", Type::int16},
                                 {"mediumint", Type::int24},
                                 {"int", Type::int32},
                                 {"bigint", Type::int64},
                                 {"decimal", Type::numeric},
                                 {"float", Type::float32},
                                 {"double", Type::float64},
                                 {"char", Type::character},
                                 {"varchar", Type::varchar},
                                 {"tinytext", Type::text},
                                 {"text", Type::text},
                                 {"mediumtext", Type::text},
                                 {"longtext", Type::text},
                                 {"binary", Type::binary},
                                 {"varbinary", Type::bytes},
                                 {"tinyblob", Type::bytes},
                                 {"blob", Type::bytes},
                                 {"mediumblob", Type::bytes},
                                 {"longblob", Type::bytes},
                                 {"date", Type::date},
                                 {"time", Type::time},
                                 {"datetime", Type::timestamp},
                                 {"timestamp", Type::timestamptz},
                                 {"year", Type::year},
                                 {"json", Type::jsonb},
                                 {"enum", Type::enumeration},
                                 {"set", Type::set},
                                 {"bit", Type::bit},
                                 {"uuid", Type::uuid},
                                 {"inet4", Type::inet},
                                 {"inet6", Type::inet},
                                 {"geometry", Type::geometry},
                                 {"point", Type::geometry},
                                 {"linestring", Type::geometry},
                                 {"polygon", Type::geometry},
                                 {"multipoint", Type::geometry},
                                 {"multilinestring", Type::geometry},
                                 {"multipolygon", Type::geometry},
                                 {"geometrycollection", Type::geometry},
                                 {"geomcollection", Type::geometry}};

Type type_of(const std::string& data_type, const std::string& column_type) {
    if (column_type == "tinyint(1)")
        return Type::boolean;
    for (const Known& entry : known_types)
        if (data_type == entry.name)
            return entry.type;
    return Type::other;
}

/// What stands behind a backslash in a string that the server prints.
char unescaped(char c) {
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case '0':
        return '\0';
    case 'Z':
        return '\x1a';
    default:
        return c;
    }
}

/// enum('a','it''s','b\\c') → a, it's, b\c.
std::vector<std::string> labels_of(const std::string& column_type) {
    std::vector<std::string> labels;
    std::size_t at = column_type.find('(');
    while (at != std::string::npos && at + 1 < column_type.size()) {
        at = column_type.find('\'', at + 1);
        if (at == std::string::npos)
            break;
        std::string label;
        for (++at; at < column_type.size(); ++at) {
            if (column_type[at] == '\'') {
                if (at + 1 >= column_type.size() || column_type[at + 1] != '\'')
                    break;
                ++at;
            } else if (column_type[at] == '\\' && at + 1 < column_type.size()) {
                label.push_back(unescaped(column_type[++at]));
                continue;
            }
            label.push_back(column_type[at]);
        }
        labels.push_back(std::move(label));
    }
    return labels;
}

class Reader {
  public:
    Reader(db::Connection& connection, const Filter& filter, Cancel& cancel)
        : connection_(connection), filter_(filter), cancel_(cancel) {
        database_.server = connection.server();
        mariadb_ = database_.server.flavour == db::Flavour::mariadb;
    }

    Database read() {
        if (!mariadb_) // the statistics would be a day old otherwise
            rows("SET SESSION information_schema_stats_expiry = 0");
        read_database();
        read_tables();
        read_columns();
        read_indexes();
        read_foreign_keys();
        read_checks();
        read_partitions();
        read_others();
        return std::move(database_);
    }

  private:
    std::vector<Map> rows(const std::string& sql) {
        cancel_.check("reading the catalogue");
        if (sql.starts_with("SET ")) {
            connection_.execute(sql, {}, {}, cancel_);
            return {};
        }
        return fetch_all(connection_, sql);
    }

    Table* table(const std::string& name) {
        auto it = at_.find(name);
        return it == at_.end() ? nullptr : &schema().tables[it->second];
    }
    Schema& schema() { return database_.schemas.front(); }
    void other(std::string kind, std::string name, std::string detail = {}) {
        schema().others.push_back(
            {std::move(kind), schema().name, std::move(name), std::move(detail)});
    }

    void read_database() {
        std::vector<Map> found =
            rows("SELECT schema_name AS name, default_character_set_name AS cs, "
                 "default_collation_name AS coll FROM information_schema.schemata "
                 "WHERE schema_name = database()");
        if (found.empty())
            throw Error("argument",
                        fmt::format("{}: the URL names no database", connection_.url().masked()),
                        "add /NAME behind the port");
        database_.name = found[0].text("name");
        database_.charset = database_.encoding = found[0].text("cs");
        database_.collation = found[0].text("coll");
        database_.schemas.push_back({database_.name, {}, {}});
    }

    void read_tables() {
        for (const Map& row :
             rows("SELECT table_name AS name, table_type AS kind, engine AS engine, table_rows AS "
                  "n, "
                  "data_length AS size, coalesce(table_collation, '') AS coll, "
                  "coalesce(table_comment, '') AS comment, "
                  "auto_increment AS next_id, coalesce(create_options, '') AS options "
                  "FROM information_schema.tables WHERE table_schema = database() ORDER BY "
                  "table_name")) {
            const std::string kind = row.text("kind"), name = row.text("name");
            if (kind == "VIEW" || kind == "SYSTEM VIEW") {
                other("view", name);
            } else if (kind == "SEQUENCE") {
                other("sequence", name);
            } else if (filter_.takes(name)) {
                Table table;
                table.schema = database_.name;
                table.name = name;
                table.engine = row.text("engine");
                table.estimated_rows = row.integer("n");
                table.bytes = row.integer("size");
                table.collation = row.text("coll");
                table.charset = table.collation.substr(0, table.collation.find('_'));
                table.comment = row.text("comment");
                next_id_[name] = row.integer("next_id");
                at_[name] = schema().tables.size();
                schema().tables.push_back(std::move(table));
            }
        }
    }

    void read_default(const Map& row, Column& column) {
        const Value* value = row.find("def");
        const auto* text = value ? value->get<std::string>() : nullptr;
        if (!text || (mariadb_ && *text == "NULL"))
            return;
        const std::string extra = text::lower(row.text("extra"));
        column.default_expression = *text;
        column.default_is_literal = !mariadb_ &&
                                    extra.find("default_generated") == std::string::npos &&
                                    !text->starts_with("CURRENT_TIMESTAMP");
    }

    void read_columns() {
        for (const Map& row : rows(
                 "SELECT table_name AS tab, column_name AS name, data_type AS data_type, "
                 "column_type AS type, "
                 "is_nullable AS nullable, column_default AS def, character_maximum_length AS len, "
                 "numeric_precision AS prec, numeric_scale AS scale, datetime_precision AS fsp, "
                 "coalesce(character_set_name, '') AS cs, coalesce(collation_name, '') AS coll, "
                 "extra AS extra, "
                 "coalesce(generation_expression, '') AS gen, column_comment AS comment "
                 "FROM information_schema.columns WHERE table_schema = database() "
                 "ORDER BY table_name, ordinal_position")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            Column column;
            column.name = row.text("name");
            column.engine_type = row.text("type");
            const std::string data_type = text::lower(row.text("data_type"));
            column.type = type_of(data_type, text::lower(column.engine_type));
            column.is_unsigned = column.engine_type.find("unsigned") != std::string::npos;
            column.nullable = row.text("nullable") == "YES";
            column.charset = row.text("cs");
            column.collation = row.text("coll");
            column.comment = row.text("comment");
            if (row.integer("len") > 0)
                column.length = row.integer("len");
            if (column.type == Type::numeric || column.type == Type::bit) {
                column.precision = static_cast<int>(row.integer("prec"));
                column.scale = static_cast<int>(row.integer("scale"));
                if (column.type == Type::bit)
                    column.length = row.integer("prec");
            }
            if (column.type == Type::time || column.type == Type::timestamp ||
                column.type == Type::timestamptz)
                column.precision = static_cast<int>(row.integer("fsp"));
            if (column.type == Type::enumeration || column.type == Type::set)
                column.labels = labels_of(column.engine_type);
            read_extra(row, column);
            owner->columns.push_back(std::move(column));
        }
    }

    void read_extra(const Map& row, Column& column) {
        const std::string extra = text::lower(row.text("extra"));
        column.generated = extra.find(" generated") != std::string::npos || extra == "persistent" ||
                           extra == "virtual";
        if (column.generated) {
            column.generation_expression = row.text("gen");
            column.generation_stored =
                extra.find("stored") != std::string::npos || extra == "persistent";
        } else {
            read_default(row, column);
        }
        column.on_update_now = extra.find("on update current_timestamp") != std::string::npos;
        if (extra.find("auto_increment") != std::string::npos) {
            Identity identity;
            const std::int64_t next = next_id_[row.text("tab")];
            if (next > 1)
                identity.last_value = next - 1;
            column.identity = identity;
        }
    }

    void read_indexes() {
        const std::string expression = mariadb_ ? "NULL" : "expression";
        std::string last;
        for (const Map& row :
             rows("SELECT table_name AS tab, index_name AS name, non_unique AS many, column_name "
                  "AS col, "
                  "sub_part AS prefix, collation AS dir, index_type AS kind, index_comment AS "
                  "comment, " +
                  expression +
                  " AS expr FROM information_schema.statistics WHERE table_schema = database() "
                  "ORDER BY table_name, index_name, seq_in_index")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            const std::string name = row.text("name"), full = owner->name + '\0' + name;
            const bool primary = name == "PRIMARY";
            if (full != last) {
                Index index;
                index.name = name;
                index.method = text::lower(row.text("kind"));
                index.unique = row.integer("many") == 0;
                index.primary = primary;
                index.comment = row.text("comment");
                if (primary)
                    owner->primary_key = std::move(index);
                else
                    owner->indexes.push_back(std::move(index));
                last = full;
            }
            IndexPart part;
            part.column = row.text("col");
            part.expression = row.text("expr");
            part.descending = row.text("dir") == "D";
            if (row.integer("prefix") > 0)
                part.prefix = row.integer("prefix");
            (primary ? *owner->primary_key : owner->indexes.back())
                .parts.push_back(std::move(part));
        }
    }

    void read_foreign_keys() {
        std::string last;
        for (const Map& row :
             rows("SELECT k.table_name AS tab, k.constraint_name AS name, k.column_name AS col, "
                  "k.referenced_table_schema AS to_schema, k.referenced_table_name AS to_table, "
                  "k.referenced_column_name AS to_col, r.update_rule AS on_update, r.delete_rule "
                  "AS on_delete "
                  "FROM information_schema.key_column_usage k JOIN "
                  "information_schema.referential_constraints r "
                  "ON r.constraint_schema = k.constraint_schema AND r.constraint_name = "
                  "k.constraint_name "
                  "AND r.table_name = k.table_name "
                  "WHERE k.table_schema = database() AND k.referenced_table_name IS NOT NULL "
                  "ORDER BY k.table_name, k.constraint_name, k.ordinal_position")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            const std::string full = owner->name + '\0' + row.text("name");
            if (full != last) {
                ForeignKey key;
                key.name = row.text("name");
                key.to_schema = row.text("to_schema");
                key.to_table = row.text("to_table");
                key.on_update = row.text("on_update");
                key.on_delete = row.text("on_delete");
                owner->foreign_keys.push_back(std::move(key));
                last = full;
            }
            owner->foreign_keys.back().columns.push_back(row.text("col"));
            owner->foreign_keys.back().to_columns.push_back(row.text("to_col"));
        }
    }

    /// MariaDB's JSON is a LONGTEXT whose check says so; that check is the type, not a rule of its
    /// own.
    bool is_json_check(Table& owner, const std::string& expression) {
        for (Column& column : owner.columns)
            if (column.type == Type::text &&
                text::lower(expression) == "json_valid(`" + text::lower(column.name) + "`)") {
                column.type = Type::json;
                return true;
            }
        return false;
    }

    void read_checks() {
        const std::string sql =
            mariadb_
                ? "SELECT table_name AS tab, constraint_name AS name, check_clause AS expr, 'YES' "
                  "AS enforced "
                  "FROM information_schema.check_constraints WHERE constraint_schema = database() "
                  "ORDER BY 1, 2"
                : "SELECT t.table_name AS tab, c.constraint_name AS name, c.check_clause AS expr, "
                  "t.enforced AS enforced FROM information_schema.check_constraints c "
                  "JOIN information_schema.table_constraints t ON t.constraint_schema = "
                  "c.constraint_schema "
                  "AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK' "
                  "WHERE c.constraint_schema = database() ORDER BY 1, 2";
        for (const Map& row : rows(sql))
            if (Table* owner = table(row.text("tab"));
                owner && !(mariadb_ && is_json_check(*owner, row.text("expr"))))
                owner->checks.push_back(
                    {row.text("name"), row.text("expr"), row.text("enforced") == "YES"});
    }

    void read_partitions() {
        for (const Map& row :
             rows("SELECT table_name AS tab, partition_name AS name, partition_method AS method, "
                  "partition_expression AS expr FROM information_schema.partitions "
                  "WHERE table_schema = database() AND partition_name IS NOT NULL "
                  "ORDER BY table_name, partition_ordinal_position"))
            if (Table* owner = table(row.text("tab"))) {
                owner->kind = TableKind::partitioned;
                owner->partition_key = row.text("method") + " (" + row.text("expr") + ")";
                owner->partitions.push_back({database_.name, row.text("name"), 0});
            }
    }

    void read_others() {
        for (const Map& row :
             rows("SELECT routine_type AS kind, routine_name AS name "
                  "FROM information_schema.routines WHERE routine_schema = database() ORDER BY 2"))
            other(text::lower(row.text("kind")), row.text("name"));
        for (const Map& row :
             rows("SELECT trigger_name AS name, event_object_table AS tab "
                  "FROM information_schema.triggers WHERE trigger_schema = database() ORDER BY 1"))
            other("trigger", row.text("name"), "on " + row.text("tab"));
        for (const Map& row : rows("SELECT event_name AS name FROM information_schema.events "
                                   "WHERE event_schema = database() ORDER BY 1"))
            other("event", row.text("name"));
    }

    db::Connection& connection_;
    const Filter& filter_;
    Cancel& cancel_;
    Database database_;
    bool mariadb_ = false;
    std::unordered_map<std::string, std::size_t> at_;
    std::unordered_map<std::string, std::int64_t> next_id_;
};

} // namespace

Database read_mysql(db::Connection& connection, const Filter& filter, Cancel& cancel) {
    return Reader(connection, filter, cancel).read();
}

} // namespace runbook::catalog
