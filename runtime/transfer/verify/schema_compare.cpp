// See schema_compare.h. Runs on the caller's thread.
#include "runtime/transfer/verify/schema_compare.h"

#include "runtime/base/text.h"
#include "runtime/transfer/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace runbook::verify {
namespace {

using catalog::Column;
using catalog::ForeignKey;
using catalog::Index;
using catalog::Table;
using catalog::Type;

bool alike(const std::string& a, const std::string& b) {
    return text::lower(a) == text::lower(b);
}

bool contains(const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

/// Nothing but columns: neither an expression nor a condition.
bool plain(const Index& index) {
    return index.predicate.empty() && !index.exclusion &&
           std::all_of(index.parts.begin(), index.parts.end(),
                       [](const catalog::IndexPart& part) { return !part.column.empty(); });
}

std::vector<std::string> columns_of(const Index& index) {
    std::vector<std::string> columns;
    for (const catalog::IndexPart& part : index.parts)
        columns.push_back(part.column.empty() ? part.expression : part.column);
    return columns;
}

bool same_columns(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), alike);
}

const Table* find_table(const catalog::Database& database, const std::string& name) {
    for (const catalog::Schema& schema : database.schemas)
        for (const Table& table : schema.tables)
            if (alike(table.name, name))
                return &table;
    return nullptr;
}

const Column* find_column(const Table& table, const std::string& name) {
    for (const Column& column : table.columns)
        if (alike(column.name, name))
            return &column;
    return nullptr;
}

bool has_index(const Table& table, const Index& wanted) {
    auto fits = [&](const Index& index) {
        if (wanted.unique && !index.unique)
            return false;
        if (!plain(wanted)) // an expression reads differently in each engine: its name must do
            return alike(index.name, wanted.name);
        return same_columns(columns_of(index), columns_of(wanted));
    };
    return (table.primary_key && fits(*table.primary_key)) ||
           std::any_of(table.indexes.begin(), table.indexes.end(), fits);
}

class Comparison {
  public:
    Comparison(const catalog::Database& source, const catalog::Database& target,
               db::Connection& target_connection, const SchemaOptions& options, Cancel& cancel)
        : source_(source), target_(target), connection_(target_connection), options_(options),
          cancel_(cancel) {}

    SchemaResult run() {
        for (const std::string& name : options_.tables)
            if (!find_table(source_, name))
                result_.missing.push_back({"table", name, name, "not in the source either"});
        for (const catalog::Schema& schema : source_.schemas) {
            for (const Table& table : schema.tables)
                if (!contains(options_.exclude, table.name) &&
                    (options_.tables.empty() || contains(options_.tables, table.name)))
                    compare(table);
            for (const catalog::Object& other : schema.others)
                result_.others.push_back({other.kind, "", other.name, other.detail});
        }
        tell_target();
        return std::move(result_);
    }

  private:
    std::string target_name(const std::string& name) const {
        auto it = options_.rename.find(name);
        return it == options_.rename.end() ? name : it->second;
    }

    void compare(const Table& from) {
        cancel_.check("schema.compare");
        const Table* to = find_table(target_, target_name(from.name));
        if (!to) {
            result_.missing.push_back({"table", from.name, target_name(from.name), ""});
            return;
        }
        ++result_.tables;
        compared_.push_back(to);
        compare_columns(from, *to);
        if (from.primary_key)
            compare_index(from, *to, *from.primary_key, "primary key");
        for (const Index& index : from.indexes)
            compare_index(from, *to, index, index.unique ? "unique index" : "index");
        for (const ForeignKey& key : from.foreign_keys)
            compare_foreign_key(from, *to, key);
        compare_checks(from, *to);
    }

    void compare_columns(const Table& from, const Table& to) {
        for (const Column& column : from.columns) {
            const Column* other = find_column(to, column.name);
            if (!other && (column.type == Type::tsvector || column.type == Type::tsquery))
                result_.omitted.push_back(
                    {"column", from.name, column.name, column.engine_type + " has no counterpart"});
            else if (!other)
                result_.missing.push_back({"column", from.name, column.name, column.engine_type});
            else if (!column.nullable && other->nullable)
                result_.different.push_back({"column", from.name, column.name,
                                             "NOT NULL in the source, nullable in the target"});
        }
    }

    void compare_index(const Table& from, const Table& to, const Index& index,
                       const std::string& kind) {
        std::vector<std::string> columns = columns_of(index);
        const std::string detail = text::join(columns, ", ");
        const bool ordered =
            index.method.empty() || index.method == "btree" || index.method == "hash";
        if (!ordered && !index.unique) {
            result_.omitted.push_back(
                {kind, from.name, index.name, fmt::format("{} index on {}", index.method, detail)});
            return;
        }
        if (has_index(to, index))
            return;
        result_.missing.push_back(
            {kind, from.name, index.name, detail, create_statement(to, index)});
        if (index.unique && plain(index))
            count_duplicates(to, columns);
    }

    /// Empty for an index with an expression or a condition: how the target says it is for people.
    std::string create_statement(const Table& to, const Index& index) const {
        if (!plain(index) || index.primary)
            return {};
        std::vector<std::string> columns;
        for (const catalog::IndexPart& part : index.parts) {
            const Column* column = find_column(to, part.column);
            if (!column)
                return {};
            columns.push_back(connection_.quote_name(column->name) +
                              (part.descending ? " DESC" : ""));
        }
        const std::string table =
            (connection_.server().flavour == db::Flavour::postgresql && !to.schema.empty()
                 ? connection_.quote_name(to.schema) + "."
                 : "") +
            connection_.quote_name(to.name);
        return fmt::format("CREATE {}INDEX {} ON {} ({})", index.unique ? "UNIQUE " : "",
                           connection_.quote_name(index.name), table, text::join(columns, ", "));
    }

    /// Under the target's own collation: there the key has to hold. NULL is never equal to NULL.
    void count_duplicates(const Table& to, const std::vector<std::string>& columns) {
        std::string list, where;
        for (const std::string& name : columns) {
            const Column* column = find_column(to, name);
            if (!column)
                return;
            const std::string quoted = connection_.quote_name(column->name);
            list += (list.empty() ? "" : ", ") + quoted;
            where += (where.empty() ? "" : " AND ") + quoted + " IS NOT NULL";
        }
        std::string from = connection_.quote_name(to.name);
        if (target_.server.flavour == db::Flavour::postgresql)
            from = connection_.quote_name(to.schema) + "." + from;
        const Value groups = fetch_value(
            connection_,
            fmt::format("SELECT count(*) FROM (SELECT 1 AS one FROM {} WHERE {} GROUP BY {} "
                        "HAVING count(*) > 1) AS doubled",
                        from, where, list));
        if (const auto* count = groups.get<std::int64_t>())
            result_.duplicates += *count;
    }

    void compare_foreign_key(const Table& from, const Table& to, const ForeignKey& key) {
        auto fits = [&](const ForeignKey& other) {
            return same_columns(other.columns, key.columns) &&
                   alike(other.to_table, target_name(key.to_table)) &&
                   same_columns(other.to_columns, key.to_columns);
        };
        if (std::none_of(to.foreign_keys.begin(), to.foreign_keys.end(), fits))
            result_.missing.push_back(
                {"foreign key", from.name, key.name,
                 fmt::format("({}) to {} ({})", text::join(key.columns, ", "), key.to_table,
                             text::join(key.to_columns, ", "))});
    }

    /// Their expressions read differently in each engine, so a check is found by its name; one
    /// without a name by there being enough of them.
    void compare_checks(const Table& from, const Table& to) {
        if (from.checks.size() <= to.checks.size())
            return;
        for (const catalog::Check& check : from.checks)
            if (check.name.empty() ||
                std::none_of(to.checks.begin(), to.checks.end(), [&](const catalog::Check& other) {
                    return alike(other.name, check.name);
                }))
                result_.missing.push_back({"check", from.name, check.name, check.expression});
    }

    /// Only tables that were compared: others (a copy's ledger) are not the application's.
    void tell_target() {
        std::set<std::string> collations;
        for (const Table* table : compared_) {
            for (const Column& column : table->columns)
                if (!column.collation.empty() && column.type != Type::json)
                    collations.insert(column.collation);
            if (table->primary_key)
                tell_index(*table, *table->primary_key);
            for (const Index& index : table->indexes)
                tell_index(*table, index);
        }
        result_.collations.assign(collations.begin(), collations.end());
    }

    void tell_index(const Table& table, const Index& index) {
        result_.indexes.push_back({table.name, index.name, index.unique, columns_of(index)});
    }

    const catalog::Database& source_;
    const catalog::Database& target_;
    db::Connection& connection_;
    const SchemaOptions& options_;
    Cancel& cancel_;
    std::vector<const Table*> compared_;
    SchemaResult result_;
};

List item_list(const std::vector<SchemaItem>& items) {
    List out;
    for (const SchemaItem& item : items) {
        Map map{{"kind", item.kind},
                {"table", item.table},
                {"name", item.name},
                {"detail", item.detail}};
        if (!item.create.empty())
            map.set("create", item.create);
        out.push_back(std::move(map));
    }
    return out;
}

List texts(const std::vector<std::string>& list) {
    List out;
    for (const std::string& text : list)
        out.emplace_back(text);
    return out;
}

} // namespace

bool SchemaResult::only_missing_indexes() const {
    return !missing.empty() && different.empty() && duplicates == 0 &&
           std::all_of(missing.begin(), missing.end(), [](const SchemaItem& item) {
               return item.kind == "index" || item.kind == "unique index";
           });
}

SchemaResult compare_schemas(const db::Url& source, const db::Url& target,
                             const SchemaOptions& options, Cancel& cancel) {
    db::ConnectOptions session;
    session.application_name = "runbook schema compare";
    auto from = db::connect(source, session, cancel);
    auto to = db::connect(target, session, cancel);
    catalog::Filter filter;
    if (!options.schema.empty())
        filter.schemas = {options.schema};
    const catalog::Database left = catalog::read_catalog(*from, filter, cancel);
    const catalog::Database right = catalog::read_catalog(*to, filter, cancel);
    return Comparison(left, right, *to, options, cancel).run();
}

Map to_map(const SchemaResult& result) {
    List indexes;
    for (const TargetIndex& index : result.indexes)
        indexes.push_back(Map{{"table", index.table},
                              {"name", index.name},
                              {"unique", index.unique},
                              {"columns", texts(index.columns)}});
    return {{"missing", item_list(result.missing)},
            {"different", item_list(result.different)},
            {"omitted", item_list(result.omitted)},
            {"others", item_list(result.others)},
            {"only_missing_indexes", result.only_missing_indexes()},
            {"indexes", std::move(indexes)},
            {"collations", texts(result.collations)},
            {"duplicates", result.duplicates},
            {"tables", result.tables},
            {"passed", result.passed()}};
}

} // namespace runbook::verify
