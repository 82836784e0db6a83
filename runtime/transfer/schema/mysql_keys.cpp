// Indexes and foreign keys for MySQL and MariaDB (see mysql.h). Pure functions.
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::schema::mysql {
namespace {

using catalog::Column;
using catalog::Index;
using catalog::Table;

bool names(const Index& index, const std::string& column) {
    return std::any_of(index.parts.begin(), index.parts.end(),
                       [&](const catalog::IndexPart& part) { return part.column == column; });
}

bool names(const std::vector<std::string>& columns, const std::string& column) {
    return std::find(columns.begin(), columns.end(), column) != columns.end();
}

const TargetColumn* find(const TargetTable& table, const std::string& name) {
    for (const TargetColumn& column : table.columns)
        if (column.source == name)
            return &column;
    return nullptr;
}

/// TEXT and BLOB of any size: a key takes a prefix of them at most.
bool is_large(const std::string& type) {
    const std::string word = type.substr(0, type.find(' '));
    return word.ends_with("TEXT") || word.ends_with("BLOB");
}

/// "`a`, `b`(255) DESC", or empty with a reason.
std::string part_list(const TargetTable& table, const Index& index, bool whole,
                      bool descending_works, std::string& reason) {
    std::int64_t bytes = 0;
    for (const catalog::IndexPart& part : index.parts)
        if (const TargetColumn* column = find(table, part.column))
            bytes += column->key_bytes;
    std::string list;
    for (const catalog::IndexPart& part : index.parts) {
        const TargetColumn* column = find(table, part.column);
        if (!column) {
            reason = "column " + part.column + " is not carried";
            return {};
        }
        list += (list.empty() ? "" : ", ") + mysql_name(column->name);
        bool big = is_large(column->type);
        if (column->type == "JSON" || column->type == "POINT") {
            reason = "column " + part.column + " is " + column->type + " there";
            return {};
        }
        std::int64_t room = key_limit / static_cast<std::int64_t>(index.parts.size());
        if (big || (bytes > key_limit && column->key_bytes > room)) {
            if (whole) {
                reason = fmt::format("a key there takes {} bytes", key_limit);
                return {};
            }
            bool text = column->type.find("BLOB") == std::string::npos &&
                        column->type.find("BINARY") == std::string::npos;
            list += fmt::format("({})", std::min<std::int64_t>(255, room / (text ? 4 : 1)));
            reason = "over a prefix of " + part.column;
        }
        if (part.descending && descending_works)
            list += " DESC";
    }
    return list;
}

std::string what_is_lost(const Index& index) {
    std::vector<std::string> lost;
    if (!index.predicate.empty())
        lost.push_back("it was partial (" + index.predicate + ") and covers all rows there" +
                       (index.unique ? ", not unique" : ""));
    if (!index.included.empty())
        lost.push_back("without INCLUDE (" + text::join(index.included, ", ") + ")");
    if (index.method == "hash")
        lost.emplace_back("a B-tree there");
    if (index.nulls_not_distinct)
        lost.emplace_back("NULLs count as distinct there");
    if (index.deferrable)
        lost.emplace_back("checked at once there, not at commit");
    return text::join(lost, "; ");
}

/// True where the index is over an expression that is carried and names the column.
bool expression_names(const Table& table, const Index& index, const std::string& column) {
    return index.method == "btree" && index.valid &&
           std::any_of(index.parts.begin(), index.parts.end(), [&](const catalog::IndexPart& part) {
               if (!part.column.empty())
                   return false;
               auto value = translate_value(table, part.expression);
               return value && names(value->columns, column);
           });
}

std::string index_comment(const Index& index) {
    return index.comment.empty() ? ""
                                 : " COMMENT " + mysql_string(cut_comment(index.comment, 1024));
}

} // namespace

bool is_plain_index(const Index& index) {
    return (index.method == "btree" || index.method == "hash") && !index.exclusion && index.valid &&
           std::all_of(index.parts.begin(), index.parts.end(),
                       [](const catalog::IndexPart& part) { return !part.column.empty(); });
}

std::string place(const std::string& schema, const std::string& table, const std::string& column) {
    return schema + '\0' + table + '\0' + column;
}

KeyUse key_use(const std::set<std::string>& referenced, const Table& table, const Column& column) {
    KeyUse use;
    if (table.primary_key && names(*table.primary_key, column.name))
        use.whole = true;
    for (const Index& index : table.indexes) {
        if (!is_plain_index(index) || !names(index, column.name))
            continue;
        use.indexed = true;
        use.whole = use.whole || (index.unique && index.predicate.empty());
    }
    for (const Index& index : table.indexes)
        use.indexed = use.indexed || expression_names(table, index, column.name);
    for (const catalog::ForeignKey& key : table.foreign_keys)
        use.whole = use.whole || names(key.columns, column.name);
    use.whole = use.whole || referenced.count(place(table.schema, table.name, column.name)) > 0;
    return use;
}

void plan_indexes(Context& context, TargetTable& table, std::vector<std::string>& inline_keys,
                  std::vector<std::string>& later) {
    const Table& source = *table.source;
    bool descending = !context.mariadb || context.target.server.major > 10 ||
                      (context.target.server.major == 10 && context.target.server.minor >= 8);
    std::string reason;
    auto columns_of = [](const Index& index) {
        std::vector<std::string> columns;
        for (const catalog::IndexPart& part : index.parts)
            columns.push_back(part.column);
        return columns;
    };
    if (source.primary_key) {
        std::string list = part_list(table, *source.primary_key, true, false, reason);
        const bool told = std::any_of(context.plan.refusals.begin(), context.plan.refusals.end(),
                                      [&](const Refusal& refusal) {
                                          return refusal.table == source.name &&
                                                 names(*source.primary_key, refusal.column);
                                      });
        if (list.empty()) {
            if (!told)
                context.plan.refusals.push_back({source.name, "", "primary key: " + reason});
        } else {
            inline_keys.push_back("PRIMARY KEY (" + list + ")");
            table.keys.push_back(
                {source.primary_key->name, "", true, columns_of(*source.primary_key), {}});
            if (source.primary_key->deferrable)
                context.report(source, source.primary_key->name, "primary key", "changed",
                               "checked at once there, not at commit");
        }
    }
    for (const Index& index : source.indexes) {
        reason.clear();
        if (index.exclusion) {
            context.plan.refusals.push_back(
                {source.name, "",
                 fmt::format("constraint {}: EXCLUDE has no counterpart; a rule with index = "
                             "\"{}\", exclude = true leaves it out",
                             index.name, index.name)});
            continue;
        }
        std::string why_not;
        if (plan_functional_index(context, table, index, descending, later, why_not))
            continue;
        if (!is_plain_index(index)) {
            std::string why = !index.valid              ? "it is not valid here"
                              : index.method == "btree" ? "it is over an expression" + why_not
                                                        : index.method + " has no counterpart";
            context.report(source, index.name, index.unique ? "unique index" : "index", "omitted",
                           why);
            continue;
        }
        bool unique = index.unique && index.predicate.empty();
        std::string list = part_list(table, index, unique, descending, reason);
        if (list.empty()) {
            if (unique)
                context.plan.refusals.push_back(
                    {source.name, "", "unique index " + index.name + ": " + reason});
            else
                context.report(source, index.name, "index", "omitted", reason);
            continue;
        }
        std::string name = short_name(index.name);
        std::string sql = fmt::format("{} {} ({}){}", unique ? "UNIQUE KEY" : "KEY",
                                      mysql_name(name), list, index_comment(index));
        std::string lost = what_is_lost(index);
        if (!reason.empty())
            lost += (lost.empty() ? "" : "; ") + reason;
        context.report(source, index.name, unique ? "unique index" : "index",
                       lost.empty() ? "converted" : "changed", lost);
        later.push_back("ADD " + sql);
        if (unique)
            table.keys.push_back({name, sql, true, columns_of(index), {}});
    }
}

namespace {

/// A key whose first columns are these, in this order: what InnoDB needs on the other side.
bool has_key(const TargetTable& table, const std::vector<std::string>& columns) {
    return std::any_of(table.keys.begin(), table.keys.end(), [&](const TargetIndex& key) {
        return key.where.empty() && key.columns.size() >= columns.size() &&
               std::equal(columns.begin(), columns.end(), key.columns.begin());
    });
}

} // namespace

std::string orphans(const std::string& table, const catalog::ForeignKey& key) {
    std::string there, same;
    for (std::size_t i = 0; i < key.columns.size(); ++i) {
        std::string column = "c." + mysql_name(key.columns[i]);
        there += (i ? " AND " : "") + column + " IS NOT NULL";
        same += (i ? " AND p." : "p.") + mysql_name(key.to_columns[i]) + " = " + column;
    }
    return fmt::format("FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
                       mysql_name(table), there, mysql_name(key.to_table), same);
}

void plan_foreign_keys(Context& context, TargetTable& table) {
    const Table& source = *table.source;
    std::string list;
    auto quoted = [](const std::vector<std::string>& columns) {
        std::string out;
        for (const std::string& column : columns)
            out += (out.empty() ? "" : ", ") + mysql_name(column);
        return out;
    };
    for (const catalog::ForeignKey& key : source.foreign_keys) {
        auto there = context.tables.find(place(key.to_schema, key.to_table));
        if (there == context.tables.end()) {
            context.report(source, key.name, "foreign key", "omitted",
                           "table " + key.to_table + " is not copied");
            continue;
        }
        if (!std::all_of(key.columns.begin(), key.columns.end(), [&](const std::string& column) {
                return find(table, column) != nullptr;
            })) {
            context.report(source, key.name, "foreign key", "omitted",
                           "a column of it is not carried");
            continue;
        }
        catalog::ForeignKey named = key; // as it is there
        named.to_table = context.table_name(key.to_table);
        for (std::string& column : named.columns)
            column = context.column_name(source.name, column);
        for (std::string& column : named.to_columns)
            column = context.column_name(key.to_table, column);
        if (!has_key(context.plan.tables[there->second], key.to_columns)) {
            context.report(source, key.name, "foreign key", "omitted",
                           "the columns it points to have no key of their own there");
            continue;
        }
        std::vector<std::string> lost;
        std::string on_delete = key.on_delete, on_update = key.on_update;
        for (std::string* action : {&on_delete, &on_update})
            if (*action == "SET DEFAULT") {
                lost.emplace_back("SET DEFAULT is NO ACTION there");
                *action = "NO ACTION";
            }
        if (key.deferrable)
            lost.emplace_back("checked at once there, not at commit");
        if (key.match != "SIMPLE")
            lost.push_back("MATCH " + key.match + " is MATCH SIMPLE there");
        if (!key.validated)
            lost.emplace_back("it was not validated here, it is there");
        std::string name = context.constraint_name(source, key.name);
        if (name != key.name)
            lost.push_back("named " + name + " there");
        context.report(source, key.name, "foreign key", lost.empty() ? "converted" : "changed",
                       text::join(lost, "; "));
        list +=
            fmt::format("{}ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} "
                        "ON UPDATE {}",
                        list.empty() ? "" : ", ", mysql_name(name), quoted(named.columns),
                        mysql_name(named.to_table), quoted(named.to_columns), on_delete, on_update);
        table.proofs.push_back({key.name, "SELECT COUNT(*) " + orphans(table.name, named)});
    }
    if (!list.empty())
        table.foreign_keys.push_back(
            fmt::format("ALTER TABLE {} {}", mysql_name(table.name), list));
}

} // namespace runbook::schema::mysql
