// The plan between two PostgreSQL databases: what the source itself says of its types, sequences,
// tables, constraints and indexes (see postgres_source.h). Runs on the thread of the copy, over the
// session that holds the snapshot.
#include "runtime/transfer/catalog/rows.h"
#include "runtime/transfer/copy/postgres_source.h"
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <functional>
#include <map>

namespace runbook::copy {
namespace {

using catalog::Column;
using catalog::Table;
using schema::standard_name;
using schema::standard_string;
using schema::TargetTable;

// Those that a table, a default, a constraint or a type makes use of.
constexpr const char* extensions = R"(
SELECT DISTINCT e.extname::text AS name
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = e.oid
     AND m.deptype = 'e'
JOIN pg_catalog.pg_depend u ON u.refclassid = m.classid AND u.refobjid = m.objid AND u.deptype = 'n'
     AND u.classid IN ('pg_class'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass,
                       'pg_type'::regclass)
WHERE e.extname <> 'plpgsql'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend o WHERE o.classid = u.classid
                  AND o.objid = u.objid AND o.deptype = 'e')
ORDER BY 1)";

// Types of the schema's own, in the order of their making; not those of tables and extensions.
constexpr const char* types = R"(
SELECT t.typname::text AS name, t.typtype::text AS kind,
       CASE t.typtype
         WHEN 'e' THEN (SELECT string_agg(pg_catalog.quote_literal(e.enumlabel), ', '
                                          ORDER BY e.enumsortorder)
                        FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)
         WHEN 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
              || coalesce(' DEFAULT ' || t.typdefault, '')
              || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
              || coalesce((SELECT string_agg(' CONSTRAINT ' || pg_catalog.quote_ident(k.conname)
                                  || ' ' || pg_catalog.pg_get_constraintdef(k.oid), ''
                                  ORDER BY k.conname)
                           FROM pg_catalog.pg_constraint k
                           WHERE k.contypid = t.oid AND k.contype = 'c'), '')
         WHEN 'c' THEN (SELECT string_agg(pg_catalog.quote_ident(a.attname) || ' '
                               || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
                               ORDER BY a.attnum)
                        FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
         WHEN 'r' THEN (SELECT 'subtype = ' || pg_catalog.format_type(r.rngsubtype, NULL)
                        FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
       END AS definition
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
WHERE n.nspname = $1 AND t.typtype IN ('e', 'd', 'c', 'r') AND (c.oid IS NULL OR c.relkind = 'c')
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_type'::regclass
                  AND d.objid = t.oid AND d.deptype = 'e')
ORDER BY t.oid)";

// Not those of identity columns, which come with their column.
constexpr const char* sequences = R"(
SELECT c.relname::text AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type,
       s.seqstart AS start, s.seqincrement AS step, s.seqmin AS low, s.seqmax AS high,
       s.seqcache AS cache, s.seqcycle::int4 AS cycle,
       pg_catalog.pg_sequence_last_value(c.oid) AS last,
       o.relname::text AS tab, a.attname::text AS col
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_catalog.pg_class o ON o.oid = d.refobjid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE n.nspname = $1 AND d.deptype IS DISTINCT FROM 'i'
ORDER BY c.relname COLLATE "C")";

// Of tables, and those of partitions that do not come with their table's.
constexpr const char* constraints = R"(
SELECT w.relname::text AS tab, r.relname::text AS owner, k.conname::text AS name, k.contype::text AS kind,
       pg_catalog.pg_get_constraintdef(k.oid) AS definition, o.relname::text AS other,
       n2.nspname::text AS other_schema
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class r ON r.oid = k.conrelid
JOIN pg_catalog.pg_class w ON w.oid = coalesce(pg_catalog.pg_partition_root(r.oid), r.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_class o ON o.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n2 ON n2.oid = o.relnamespace
WHERE n.nspname = $1 AND k.contype IN ('p', 'u', 'x', 'c', 'f') AND k.conparentid = 0
  AND k.coninhcount = 0
ORDER BY k.oid)";

constexpr const char* indexes = R"(
SELECT w.relname::text AS tab, r.relname::text AS owner, i.relname::text AS name, pg_catalog.pg_get_indexdef(i.oid) AS definition,
       x.indisvalid::int4 AS valid, x.indisunique::int4 AS is_unique
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class r ON r.oid = x.indrelid
JOIN pg_catalog.pg_class w ON w.oid = coalesce(pg_catalog.pg_partition_root(r.oid), r.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE n.nspname = $1
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.oid)
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid
                  AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.relname COLLATE "C")";

// Below partitioned tables, parents first.
constexpr const char* partitions = R"(
WITH RECURSIVE tree(oid, root, depth) AS (
    SELECT c.oid, c.oid, 0 FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'p' AND NOT c.relispartition
  UNION ALL
    SELECT i.inhrelid, tree.root, depth + 1 FROM pg_catalog.pg_inherits i
    JOIN tree ON tree.oid = i.inhparent)
SELECT r.relname::text AS root, c.relname::text AS name, p.relname::text AS parent,
       pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound,
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS key
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
JOIN pg_catalog.pg_class r ON r.oid = tree.root
JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE tree.depth > 0 ORDER BY tree.depth, c.relname COLLATE "C")";

class Planner {
  public:
    Planner(Source& source, Cancel& cancel) : source_(source), cancel_(cancel) {}

    schema::Plan run() {
        rows(extensions, {}, [&](const catalog::Row& row) {
            plan_.before.push_back(
                {"extension", row.text("name"),
                 "CREATE EXTENSION IF NOT EXISTS " + standard_name(row.text("name"))});
            report(row.text("name"), "extension", "converted", "made there if it is not there yet");
        });
        for (const catalog::Schema& schema : source_.database().schemas)
            add(schema);
        schema::report_others(source_.database(), plan_, true);
        return std::move(plan_);
    }

  private:
    void rows(const char* sql, const std::vector<Value>& params,
              const std::function<void(const catalog::Row&)>& fn) {
        catalog::each_row(source_.holder(), sql, params, cancel_, fn);
    }
    void report(const std::string& object, const std::string& kind, const std::string& outcome,
                const std::string& reason) {
        plan_.report.push_back({object, kind, outcome, reason});
    }

    void add(const catalog::Schema& schema) {
        const std::vector<Value> name = {schema.name};
        rows(types, name, [&](const catalog::Row& row) { add_type(row); });
        for (const Table& table : schema.tables)
            if (table.kind == catalog::TableKind::foreign)
                report(table.name, "foreign table", "omitted", "its rows live elsewhere");
            else
                add_table(table);
        std::map<std::string, std::vector<std::string>> inside;
        rows(constraints, name, [&](const catalog::Row& row) { add_constraint(row, inside); });
        rows(indexes, name, [&](const catalog::Row& row) { add_index(row); });
        rows(sequences, name, [&](const catalog::Row& row) { add_sequence(row); });
        std::map<std::string, std::string> below;
        rows(partitions, name, [&](const catalog::Row& row) {
            const std::string key = row.text("key");
            below[row.text("root")] +=
                fmt::format(";\nCREATE TABLE {} PARTITION OF {} {}{}",
                            standard_name(row.text("name")), standard_name(row.text("parent")),
                            row.text("bound"), key.empty() ? "" : " PARTITION BY " + key);
        });
        for (auto& [table, out] : tables_) {
            std::vector<std::string> parts = columns_[table];
            const std::vector<std::string>& more = inside[table];
            parts.insert(parts.end(), more.begin(), more.end());
            const Table& from = *out.source;
            out.create =
                fmt::format("CREATE {}TABLE {} (\n  {}\n){}{}", from.unlogged ? "UNLOGGED " : "",
                            standard_name(table), text::join(parts, ",\n  "),
                            from.partition_key.empty() ? "" : " PARTITION BY " + from.partition_key,
                            below[table]);
            plan_.tables.push_back(std::move(out));
        }
        tables_.clear();
        columns_.clear();
    }

    void add_type(const catalog::Row& row) {
        const std::string name = row.text("name"), kind = row.text("kind"),
                          definition = row.text("definition");
        report(name, kind == "d" ? "domain" : "type", "converted", "");
        if (kind == "d") {
            plan_.before.push_back(
                {"domain", name, "CREATE DOMAIN " + standard_name(name) + " AS " + definition});
            return;
        }
        const char* as = kind == "e" ? "ENUM " : kind == "r" ? "RANGE " : "";
        plan_.before.push_back(
            {"type", name,
             fmt::format("CREATE TYPE {} AS {}({})", standard_name(name), as, definition)});
    }

    void add_sequence(const catalog::Row& row) {
        const std::string name = row.text("name"), owner = row.text("tab");
        if (!owner.empty() && !tables_.contains(owner))
            return; // of a table that is not copied
        plan_.before.push_back(
            {"sequence", name,
             fmt::format("CREATE SEQUENCE {} AS {} START {} INCREMENT {} MINVALUE {} MAXVALUE {} "
                         "CACHE {}{}",
                         standard_name(name), row.text("type"), row.integer("start"),
                         row.integer("step"), row.integer("low"), row.integer("high"),
                         row.integer("cache"), row.boolean("cycle") ? " CYCLE" : "")});
        report(name, "sequence", "converted", "");
        const std::string quoted = standard_string(standard_name(name));
        std::vector<std::string>& after = tables_.empty() ? unused_ : tables_.begin()->second.after;
        if (const auto last = row.optional_integer("last"))
            after.push_back(fmt::format("SELECT pg_catalog.setval({}, {})", quoted, *last));
        if (!owner.empty())
            after.push_back(fmt::format("ALTER SEQUENCE {} OWNED BY {}.{}", standard_name(name),
                                        standard_name(owner), standard_name(row.text("col"))));
    }

    void add_table(const Table& table) {
        TargetTable& out = tables_[table.name];
        out.source = &table;
        out.name = table.name;
        report(table.name, "table", "converted", "");
        if (table.row_security)
            report(table.name, "row security", "omitted", "its policies are not copied");
        if (!table.inherits.empty())
            report(table.name, "table", "changed",
                   "it inherits from " + text::join(table.inherits, ", ") + " here");
        const std::string name = standard_name(table.name);
        for (const Column& column : table.columns) {
            columns_[table.name].push_back(column_sql(column));
            if (!column.comment.empty())
                out.after.push_back(fmt::format("COMMENT ON COLUMN {}.{} IS {}", name,
                                                standard_name(column.name),
                                                standard_string(column.comment)));
            if (column.identity && column.identity->last_value && !has_sequence(column))
                out.after.push_back(fmt::format(
                    "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, {}), {})",
                    standard_string(name), standard_string(column.name),
                    *column.identity->last_value));
            if (column.generated)
                continue;
            schema::TargetColumn to;
            to.source = to.name = column.name;
            to.type = column.engine_type;
            to.select = standard_name(column.name);
            if (column.type == catalog::Type::money) // its text depends on the server's locale
                to.select += "::numeric";
            out.columns.push_back(std::move(to));
        }
        if (!table.comment.empty())
            out.after.push_back(
                fmt::format("COMMENT ON TABLE {} IS {}", name, standard_string(table.comment)));
    }

    /// Filled by a sequence of its own, by the default that serial stands for.
    static bool has_sequence(const Column& column) {
        return column.default_expression && column.default_expression->starts_with("nextval(");
    }

    static std::string column_sql(const Column& column) {
        std::string sql = standard_name(column.name) + " " + column.engine_type;
        if (!column.collation.empty())
            sql += " COLLATE " + standard_name(column.collation);
        if (column.generated)
            return sql + " GENERATED ALWAYS AS (" + column.generation_expression + ") STORED";
        if (column.identity && !has_sequence(column))
            sql += fmt::format(" GENERATED {} AS IDENTITY (START {} INCREMENT {})",
                               column.identity->always ? "ALWAYS" : "BY DEFAULT",
                               column.identity->start, column.identity->increment);
        else if (column.default_expression)
            sql += " DEFAULT " + *column.default_expression;
        if (!column.nullable)
            sql += " NOT NULL";
        return sql;
    }

    void add_constraint(const catalog::Row& row,
                        std::map<std::string, std::vector<std::string>>& inside) {
        const std::string table = row.text("tab"), kind = row.text("kind");
        auto there = tables_.find(table);
        if (there == tables_.end())
            return;
        const std::string name = row.text("name"), owner = row.text("owner");
        const std::string sql = "CONSTRAINT " + standard_name(name) + " " + row.text("definition");
        const std::string alter = "ALTER TABLE " + standard_name(owner) + " ADD " + sql;
        const std::string object = owner + "." + name;
        if (kind == "f") {
            const bool carried =
                source_.database().table(row.text("other_schema"), row.text("other"));
            if (carried)
                there->second.foreign_keys.push_back(alter);
            report(object, "foreign key", carried ? "converted" : "omitted",
                   carried ? "" : "table " + row.text("other") + " is not copied");
        } else if (kind == "u" || kind == "x" || owner != table) {
            there->second.indexes.push_back(alter);
            report(object,
                   kind == "p"   ? "primary key"
                   : kind == "u" ? "unique index"
                   : kind == "x" ? "index"
                                 : "check",
                   "converted", "");
        } else if (kind == "c" && sql.ends_with(" NOT VALID")) { // rows that break it may be there
            there->second.indexes.push_back(alter);
            report(object, "check", "converted", "");
        } else {
            inside[table].push_back(sql);
            report(object, kind == "p" ? "primary key" : "check", "converted", "");
        }
    }

    void add_index(const catalog::Row& row) {
        auto there = tables_.find(row.text("tab"));
        if (there == tables_.end())
            return;
        const std::string object = row.text("owner") + "." + row.text("name");
        const char* kind = row.boolean("is_unique") ? "unique index" : "index";
        if (!row.boolean("valid")) {
            report(object, kind, "omitted", "it is not valid here");
            return;
        }
        std::string definition = row.text("definition");
        if (const std::size_t only = definition.find(" ON ONLY ");
            only != std::string::npos && !there->second.source->partition_key.empty())
            definition.erase(only + 3, 5); // the partitions get theirs with it
        there->second.indexes.push_back(std::move(definition));
        report(object, kind, "converted", "");
    }

    Source& source_;
    Cancel& cancel_;
    schema::Plan plan_;
    std::map<std::string, TargetTable> tables_;
    std::map<std::string, std::vector<std::string>> columns_;
    std::vector<std::string> unused_;
};

} // namespace

schema::Plan plan_postgres_to_postgres(Source& source, Cancel& cancel) {
    return Planner(source, cancel).run();
}

} // namespace runbook::copy
