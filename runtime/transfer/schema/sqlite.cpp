// The plan for a SQLite target from PostgreSQL, MySQL or MariaDB (see plans.h). Pure functions.
// A declared type chooses an affinity there, and NUMERIC would turn '1.10' into 1.1: what has to
// keep its digits or its text is declared TEXT.
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace runbook::schema {
namespace {

using catalog::Column;
using catalog::Index;
using catalog::Table;
using catalog::Type;

class Builder {
  public:
    Builder(const catalog::Database& source, Plan& plan, std::set<std::string>& names,
            const Table& table)
        : source_(source), plan_(plan), names_(names), table_(table),
          mysql_(source.server.flavour != db::Flavour::postgresql) {}

    TargetTable build() {
        out_.source = &table_;
        out_.name = table_.name;
        report("", "table", "converted",
               table_.partitions.empty()
                   ? ""
                   : fmt::format("{} partitions become one table", table_.partitions.size()));
        if (table_.row_security)
            report("", "row security", "omitted", "there is none there");
        for (const Column& column : table_.columns)
            add_column(column);
        if (table_.primary_key && !numbered_)
            parts_.push_back("PRIMARY KEY (" + names_of(*table_.primary_key) + ")");
        for (const catalog::ForeignKey& key : table_.foreign_keys)
            add_foreign_key(key);
        for (const Index& index : table_.indexes)
            add_index(index);
        for (const catalog::Check& check : table_.checks)
            report(check.name, "check", "omitted", check.expression + " is not translated");
        out_.create = fmt::format("CREATE TABLE {} (\n  {}\n)", standard_name(out_.name),
                                  text::join(parts_, ",\n  "));
        return std::move(out_);
    }

  private:
    void report(const std::string& what, const std::string& kind, const std::string& outcome,
                const std::string& reason) {
        plan_.report.push_back(
            {what.empty() ? table_.name : table_.name + "." + what, kind, outcome, reason});
    }
    std::string quoted(const std::string& name) const {
        return mysql_ ? mysql_name(name) : standard_name(name);
    }

    /// Sets type, select and codec; the reason where the value stands in another form there.
    std::string map(const Column& column, TargetColumn& out) const {
        switch (column.type) {
        case Type::boolean:
            out.type = "BOOLEAN";
            return {};
        case Type::int64:
            if (column.is_unsigned && !wants_bigint(source_, table_, column)) {
                out.type = "TEXT";
                return column.engine_type + " becomes text: an integer there has 63 bits";
            }
            [[fallthrough]];
        case Type::int8:
        case Type::int16:
        case Type::int24:
        case Type::int32:
        case Type::oid:
        case Type::year:
            out.type = "INTEGER";
            return {};
        case Type::float32:
            out.type = "REAL";
            out.select += mysql_ ? " * 1e0" : "::float8";
            return {};
        case Type::float64:
            out.type = "REAL";
            return {};
        case Type::money:
            out.select += "::numeric";
            [[fallthrough]];
        case Type::numeric:
            out.type = "TEXT";
            return column.engine_type + " becomes text: there are no exact decimals there";
        case Type::binary:
        case Type::bytes:
            out.type = "BLOB";
            return {};
        case Type::date:
            out.type = "DATE";
            return {};
        case Type::time:
            out.type = "TIME";
            return {};
        case Type::timestamp:
            out.type = "TIMESTAMP";
            return {};
        case Type::timestamptz:
            out.type = "TIMESTAMP";
            out.codec = Codec::zone;
            return "in UTC, without a zone";
        case Type::uuid:
            out.type = "UUID";
            return {};
        case Type::character:
        case Type::varchar:
        case Type::text:
        case Type::json:
        case Type::jsonb:
            out.type = "TEXT";
            return {};
        case Type::citext:
            out.type = "TEXT COLLATE NOCASE";
            return "compares without case in ASCII only";
        case Type::array:
        case Type::hstore:
        case Type::composite:
            out.type = "TEXT";
            out.select = "to_json(" + out.select + ")";
            return column.engine_type + " becomes JSON";
        case Type::geometry:
        case Type::other:
        case Type::dynamic:
            return {};
        default:
            out.type = "TEXT";
            return column.engine_type + " becomes its text";
        }
    }

    void add_column(const Column& column) {
        TargetColumn out;
        out.source = out.name = column.name;
        out.select = quoted(column.name);
        out.nullable = column.nullable;
        const std::string reason = map(column, out);
        if (out.type.empty()) {
            plan_.refusals.push_back({table_.name, column.name,
                                      "the type " + column.engine_type + " cannot be carried"});
            return;
        }
        if (!reason.empty())
            report(column.name, "column", "changed", reason);
        std::string sql = standard_name(out.name) + " " + out.type;
        const bool alone = table_.primary_key && table_.primary_key->parts.size() == 1 &&
                           table_.primary_key->parts[0].column == column.name;
        if (alone && column.identity && out.type == "INTEGER") {
            numbered_ = true;
            sql += " PRIMARY KEY AUTOINCREMENT";
            if (column.identity->last_value)
                out_.after.push_back(
                    fmt::format("INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES "
                                "((SELECT rowid FROM sqlite_sequence WHERE name = {0}), {0}, {1})",
                                standard_string(table_.name), *column.identity->last_value));
            report(column.name, "sequence", "converted", "AUTOINCREMENT");
        } else if (column.identity) {
            report(column.name, "sequence", "omitted",
                   "only an INTEGER PRIMARY KEY counts by itself there");
        }
        if (!out.nullable)
            sql += " NOT NULL";
        if (column.generated)
            report(column.name, "column", "changed",
                   "generated as " + column.generation_expression +
                       " here; its values are copied, a new row gets none there");
        else
            sql += default_of(column, out);
        if (column.type == Type::json || column.type == Type::jsonb) // older versions: NULL is 0
            sql += fmt::format(" CHECK ({0} IS NULL OR json_valid({0}))", standard_name(out.name));
        if (column.type == Type::enumeration)
            sql += " CHECK (" + standard_name(out.name) + " IN (" + labels_of(column) + "))";
        parts_.push_back(std::move(sql));
        out_.columns.push_back(std::move(out));
    }

    static std::string labels_of(const Column& column) {
        std::string labels;
        for (const std::string& label : column.labels)
            labels += (labels.empty() ? "" : ", ") + standard_string(label);
        return labels;
    }

    /// " DEFAULT …", or nothing, with a line in the report where something is lost.
    std::string default_of(const Column& column, const TargetColumn& out) {
        if (!column.default_expression || column.identity)
            return {};
        const std::string& expression = *column.default_expression;
        const auto literal = column.default_is_literal
                                 ? std::optional(Literal{false, true, expression})
                                 : postgresql_literal(expression);
        const std::string word = text::lower(expression);
        if (literal && literal->is_null)
            return {};
        const bool number = literal && !literal->text.empty() &&
                            literal->text.find_first_not_of("-.0123456789") == std::string::npos;
        const bool escaped = literal && mysql_ && !column.default_is_literal &&
                             literal->text.find('\\') != std::string::npos; // MariaDB's own escapes
        if (out.type == "BOOLEAN" && literal) {
            if (literal->text == "true" || literal->text == "1")
                return " DEFAULT 1";
            if (literal->text == "false" || literal->text == "0")
                return " DEFAULT 0";
        } else if ((out.type == "INTEGER" || out.type == "REAL") && number) {
            return " DEFAULT " + literal->text;
        } else if (out.type.starts_with("TEXT") && literal && !escaped &&
                   column.type != Type::array) {
            return " DEFAULT " + standard_string(literal->text);
        } else if (column.type == Type::timestamptz &&
                   (word == "now()" || word.starts_with("current_timestamp"))) {
            return " DEFAULT CURRENT_TIMESTAMP";
        }
        report(column.name, "default", "omitted",
               expression + " has no counterpart that surely means the same");
        return {};
    }

    static std::string names_of(const Index& index) {
        std::string list;
        for (const catalog::IndexPart& part : index.parts)
            list += (list.empty() ? "" : ", ") + standard_name(part.column) +
                    (part.descending ? " DESC" : "");
        return list;
    }

    void add_foreign_key(const catalog::ForeignKey& key) {
        const Table* other = source_.table(key.to_schema, key.to_table);
        if (!other) {
            report(key.name, "foreign key", "omitted", "table " + key.to_table + " is not copied");
            return;
        }
        auto list = [](const std::vector<std::string>& columns) {
            std::string out;
            for (const std::string& column : columns)
                out += (out.empty() ? "" : ", ") + standard_name(column);
            return out;
        };
        parts_.push_back(fmt::format(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}{}",
            standard_name(key.name), list(key.columns), standard_name(other->name),
            list(key.to_columns), key.on_delete, key.on_update,
            key.deferrable ? " DEFERRABLE INITIALLY DEFERRED" : ""));
        report(key.name, "foreign key", "converted", "");
    }

    void add_index(const Index& index) {
        const std::string kind = index.unique ? "unique index" : "index";
        std::string reason;
        const bool plain = index.method == "btree" || index.method == "hash";
        for (const catalog::IndexPart& part : index.parts) {
            if (part.column.empty())
                reason = "it is over an expression";
            else if (part.prefix)
                reason =
                    index.unique ? "it is unique over the first characters of " + part.column : "";
        }
        if (!index.predicate.empty())
            reason = "it is partial: " + index.predicate;
        if (!plain || index.exclusion || !index.valid)
            reason = !index.valid ? "it is not valid here" : index.method + " has no counterpart";
        if (!reason.empty()) {
            report(index.name, kind, "omitted", reason);
            return;
        }
        std::string name = index.name;
        for (int n = 2; !names_.insert(text::lower(name)).second; ++n)
            name = n == 2 ? table_.name + "_" + index.name
                          : fmt::format("{}_{}_{}", table_.name, index.name, n);
        out_.indexes.push_back(fmt::format("CREATE {}INDEX {} ON {} ({})",
                                           index.unique ? "UNIQUE " : "", standard_name(name),
                                           standard_name(table_.name), names_of(index)));
        report(index.name, kind, name == index.name ? "converted" : "changed",
               name == index.name ? "" : "named " + name + " there");
    }

    const catalog::Database& source_;
    Plan& plan_;
    std::set<std::string>& names_;
    const Table& table_;
    bool mysql_;
    bool numbered_ = false;
    TargetTable out_;
    std::vector<std::string> parts_;
};

} // namespace

Plan plan_sqlite(const catalog::Database& source) {
    Plan plan;
    std::set<std::string> names;
    for (const catalog::Schema& schema : source.schemas)
        for (const Table& table : schema.tables)
            if (!names.insert(text::lower(table.name)).second)
                plan.refusals.push_back(
                    {table.name, "", "its name differs from another's only in case"});
    for (const catalog::Schema& schema : source.schemas)
        for (const Table& table : schema.tables) {
            if (table.kind == catalog::TableKind::foreign) {
                plan.report.push_back(
                    {table.name, "foreign table", "omitted", "its rows live elsewhere"});
                continue;
            }
            plan.tables.push_back(Builder(source, plan, names, table).build());
        }
    return plan;
}

} // namespace runbook::schema
