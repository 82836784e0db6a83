// Indexes over expressions and partial unique indexes for MySQL and MariaDB, and what a row takes
// (see mysql.h). Pure functions.
#include "runtime/transfer/schema/mysql.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace runbook::schema::mysql {
namespace {

using catalog::Column;
using catalog::Index;
using catalog::Table;

const TargetColumn* find(const TargetTable& table, const std::string& name) {
    for (const TargetColumn& column : table.columns)
        if (column.source == name)
            return &column;
    return nullptr;
}

bool in_key(const std::string& type) {
    const std::string word = type.substr(0, type.find(' '));
    return !word.ends_with("TEXT") && !word.ends_with("BLOB") && word != "JSON" && word != "POINT";
}

bool is_whole(const Column* column) {
    using catalog::Type;
    return column && (column->type == Type::int16 || column->type == Type::int32 ||
                      column->type == Type::int64);
}

/// One part of such an index: what is indexed, and the type of it.
struct Part {
    std::string sql, type;
    std::int64_t bytes = 0;
};

class Functional {
  public:
    Functional(Context& context, TargetTable& table, const Index& index)
        : context_(context), table_(table), index_(index), names_(context.names_of(*table.source)) {
    }

    bool read(std::string& why_not) {
        std::int64_t bytes = 0;
        for (const catalog::IndexPart& part : index_.parts) {
            Part out;
            if (!(part.column.empty() ? expression(part, out) : column(part, out))) {
                why_not = reason_;
                return false;
            }
            bytes += out.bytes;
            parts_.push_back(std::move(out));
        }
        if (bytes > key_limit) {
            why_not = fmt::format(" and takes more than the {} bytes of a key there", key_limit);
            return false;
        }
        if (index_.predicate.empty())
            return true;
        auto condition = translate_check(
            *table_.source, index_.predicate,
            is_exact(context_.collation) ? std::string() : context_.exact_collation, {}, names_);
        if (!condition)
            return false;
        for (Part& part : parts_)
            part.sql = fmt::format("CASE WHEN {} THEN {} END", *condition, part.sql);
        return true;
    }

    void write(bool unique, bool descending, std::vector<std::string>& later) {
        const std::string name = short_name(index_.name);
        std::string list;
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            const bool plain = index_.predicate.empty() && !index_.parts[i].column.empty();
            std::string part = plain ? parts_[i].sql : "(" + parts_[i].sql + ")";
            if (!plain && context_.mariadb) {
                const std::string column = short_name(fmt::format("{}_{}", index_.name, i + 1));
                later.push_back(fmt::format("ADD COLUMN {} {} GENERATED ALWAYS AS ({}) VIRTUAL "
                                            "INVISIBLE",
                                            mysql_name(column), parts_[i].type, parts_[i].sql));
                part = mysql_name(column);
            }
            list += (list.empty() ? "" : ", ") + part;
            if (index_.parts[i].descending && descending)
                list += " DESC";
        }
        const std::string sql =
            fmt::format("{} {} ({})", unique ? "UNIQUE KEY" : "KEY", mysql_name(name), list);
        later.push_back("ADD " + sql);
        const bool columns_only =
            std::none_of(index_.parts.begin(), index_.parts.end(),
                         [](const catalog::IndexPart& part) { return part.column.empty(); });
        if (unique && columns_only) {
            TargetIndex key{name, sql, true, {}, index_.predicate};
            for (const catalog::IndexPart& part : index_.parts)
                key.columns.push_back(part.column);
            table_.keys.push_back(std::move(key));
        }
    }

  private:
    bool column(const catalog::IndexPart& part, Part& out) {
        const TargetColumn* column = find(table_, part.column);
        if (!column || !in_key(column->type)) {
            reason_ = " with column " + part.column + ", which no key takes whole there";
            return false;
        }
        out = {mysql_name(column->name), column->type, column->key_bytes};
        return true;
    }

    bool expression(const catalog::IndexPart& part, Part& out) {
        auto value = translate_value(*table_.source, part.expression, names_);
        if (!value || value->columns.empty()) {
            reason_ = " that has no counterpart that surely means the same: " + part.expression;
            return false;
        }
        out = {value->sql, "BIGINT", 8};
        for (const std::string& name : value->columns) {
            const TargetColumn* column = find(table_, name);
            if (!column || !in_key(column->type)) {
                reason_ = " of column " + name + ", which no key takes whole there";
                return false;
            }
            if (value->is_text) {
                out.bytes = value->columns.size() == 1 ? column->key_bytes : key_limit;
                out.type = fmt::format("VARCHAR({})", out.bytes / 4);
                if (!column->collation.empty())
                    out.type += " COLLATE " + column->collation;
            } else if (context_.mariadb && !is_whole(table_.source->column(name)) &&
                       !value->sql.starts_with("CHAR_LENGTH(") &&
                       !value->sql.starts_with("LENGTH(")) {
                reason_ = " whose type is not known beforehand: " + part.expression;
                return false;
            }
        }
        return true;
    }

    Context& context_;
    TargetTable& table_;
    const Index& index_;
    Names names_;
    std::vector<Part> parts_;
    std::string reason_;
};

/// Octets that a column takes in a row at most, and where InnoDB may move its value out of it.
struct Weight {
    std::int64_t sql = 0, page = 0;
};

Weight weight_of(const TargetColumn& column) {
    const std::string& type = column.type;
    const std::size_t open = type.find('(');
    const std::int64_t size = open == std::string::npos ? 0 : std::atoll(type.c_str() + open + 1);
    const std::int64_t width = type.find("CHARACTER SET ascii") != std::string::npos ? 1 : 4;
    if (type.starts_with("VARCHAR") || type.starts_with("CHAR")) {
        const std::int64_t bytes = size * width;
        return {bytes + (bytes > 255 ? 2 : 1), std::min<std::int64_t>(bytes, 40) + 2};
    }
    if (type.starts_with("VARBINARY") || type.starts_with("BINARY"))
        return {size + 2, std::min<std::int64_t>(size, 40) + 2};
    if (!in_key(type))
        return {12, 42};
    if (type.starts_with("DECIMAL"))
        return {column.key_bytes, column.key_bytes};
    return {8, 8};
}

std::int64_t sum(const TargetTable& table, std::int64_t Weight::*kind) {
    std::int64_t bytes = static_cast<std::int64_t>(table.columns.size() + 7) / 8;
    for (const TargetColumn& column : table.columns)
        bytes += weight_of(column).*kind;
    return bytes;
}

bool in_some_key(const std::set<std::string>& referenced, const Table& table,
                 const std::string& name) {
    const Column* column = table.column(name);
    if (!column)
        return true;
    const KeyUse use = key_use(referenced, table, *column);
    return use.indexed || use.whole;
}

} // namespace

bool plan_functional_index(Context& context, TargetTable& table, const Index& index,
                           bool descending, std::vector<std::string>& later, std::string& why_not) {
    const bool expression =
        std::any_of(index.parts.begin(), index.parts.end(),
                    [](const catalog::IndexPart& part) { return part.column.empty(); });
    if (index.method != "btree" || !index.valid || (!expression && index.predicate.empty()))
        return false;
    if (!expression && !index.unique) // a plain index over all rows does the same
        return false;
    Functional functional(context, table, index);
    if (!functional.read(why_not))
        return false;
    functional.write(index.unique, descending, later);
    std::string text = context.mariadb ? "over a generated column that is invisible there"
                                       : "over an expression there";
    if (!index.predicate.empty())
        text += "; unique where " + index.predicate;
    if (!index.included.empty())
        text += "; without INCLUDE (" + text::join(index.included, ", ") + ")";
    context.report(*table.source, index.name, index.unique ? "unique index" : "index", "changed",
                   text);
    return true;
}

void fit_row(Context& context, TargetTable& table) {
    constexpr std::int64_t row_limit = 65535, page_limit = 8126;
    while (sum(table, &Weight::sql) > row_limit) {
        TargetColumn* widest = nullptr;
        for (TargetColumn& column : table.columns)
            if (column.type.starts_with("VARCHAR") && column.is_text &&
                !in_some_key(context.referenced, *table.source, column.source) &&
                !(context.rules->column(table.source->name, column.source) &&
                  !context.rules->column(table.source->name, column.source)->to.empty()) &&
                (!widest || column.key_bytes > widest->key_bytes))
                widest = &column;
        if (!widest) {
            context.plan.refusals.push_back(
                {table.source->name, "",
                 fmt::format("a row there takes {} bytes at most, its columns need {}",
                             text::grouped(row_limit), text::grouped(sum(table, &Weight::sql)))});
            return;
        }
        std::erase_if(context.plan.report, [&](const ReportEntry& entry) {
            return entry.kind == "column" && entry.outcome == "converted" &&
                   entry.object == table.source->name + "." + widest->source;
        });
        context.report(*table.source, widest->source, "column", "changed",
                       fmt::format("{} would not fit into the {} bytes of a row: LONGTEXT",
                                   widest->type.substr(0, widest->type.find(')') + 1),
                                   text::grouped(row_limit)));
        widest->type.replace(0, widest->type.find(')') + 1, "LONGTEXT");
        widest->key_bytes = 4096;
        if (!widest->default_sql.empty() && !widest->default_sql.starts_with('('))
            widest->default_sql = "(" + widest->default_sql + ")";
    }
    if (sum(table, &Weight::page) > page_limit)
        context.plan.refusals.push_back(
            {table.source->name, "",
             fmt::format("its columns need {} bytes within a page of InnoDB, which takes {}",
                         text::grouped(sum(table, &Weight::page)), text::grouped(page_limit))});
}

} // namespace runbook::schema::mysql
