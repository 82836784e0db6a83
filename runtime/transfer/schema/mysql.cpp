// The plan for a MySQL or MariaDB target: tables, in CREATE TABLE and one ALTER each (see
// schema.h). Pure functions.
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::schema {
namespace mysql {

using catalog::Column;
using catalog::Table;
using catalog::Type;

void Context::report(const Table& table, const std::string& column, const std::string& kind,
                     const std::string& outcome, const std::string& reason) const {
    plan.report.push_back(
        {column.empty() ? table.name : table.name + "." + column, kind, outcome, reason});
}

std::string Context::constraint_name(const Table& table, const std::string& wanted) {
    std::string name = short_name(wanted);
    if (!names.insert(text::lower(name)).second) {
        name = short_name(table.name + "_" + wanted);
        names.insert(text::lower(name));
    }
    return name;
}

std::string Context::table_name(const std::string& table) const {
    return short_name(rules->table_name(table));
}

std::string Context::column_name(const std::string& table, const std::string& column) const {
    return short_name(rules->column_name(table, column));
}

std::string Context::value(const Table& table, const Column& column) const {
    return rules->expression(table, column.name);
}

Names Context::names_of(const Table& table) const {
    Names names;
    for (const Column& column : table.columns)
        names[column.name] = column_name(table.name, column.name);
    return names;
}

std::string cut_comment(const std::string& text, std::size_t limit) {
    std::size_t at = 0, characters = 0;
    while (at < text.size() && characters < limit) {
        ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80)
            ++at;
        ++characters;
    }
    return text.substr(0, at);
}

namespace {

std::string column_sql(const TargetColumn& column, bool mariadb) {
    std::string sql = mysql_name(column.name) + " " + column.type;
    if (column.generated) {
        sql += " GENERATED ALWAYS AS (" + column.default_sql + ") STORED";
        if (!mariadb && !column.nullable)
            sql += " NOT NULL";
        if (!column.comment.empty())
            sql += " COMMENT " + mysql_string(column.comment);
        return sql;
    }
    sql += column.nullable ? " NULL" : " NOT NULL";
    if (!column.default_sql.empty())
        sql += " DEFAULT " + column.default_sql;
    if (column.auto_increment)
        sql += " AUTO_INCREMENT";
    if (!column.comment.empty())
        sql += " COMMENT " + mysql_string(column.comment);
    return sql;
}

bool acts_on(const Table& table, const std::string& expression, const Names& names) {
    for (const catalog::ForeignKey& key : table.foreign_keys) {
        bool acts = key.on_delete == "CASCADE" || key.on_delete == "SET NULL" ||
                    key.on_update == "CASCADE" || key.on_update == "SET NULL";
        for (const std::string& column : key.columns)
            if (acts && expression.find(mysql_name(names.at(column))) != std::string::npos)
                return true;
    }
    return false;
}

class Builder {
  public:
    Builder(Context& context, const Table& source) : context_(context), source_(source) {
        table_.source = &source;
        table_.name = context.table_name(source.name);
        names_ = context.names_of(source);
        if (const rules::TableDecision* decision = context.rules->table(source.name))
            table_.filter = decision->filter;
    }

    TargetTable build() {
        columns();
        fit_keys();
        fit_row(context_, table_);
        plan_indexes(context_, table_, inline_, later_);
        auto_increment();
        checks();
        std::string parts;
        for (const TargetColumn& column : table_.columns)
            parts += (parts.empty() ? "" : ",\n  ") + column_sql(column, context_.mariadb);
        for (const std::string& key : inline_)
            parts += ",\n  " + key;
        table_.create =
            fmt::format("CREATE TABLE {} (\n  {}\n) ENGINE=InnoDB DEFAULT CHARSET={} "
                        "COLLATE={}",
                        mysql_name(table_.name), parts, context_.charset, context_.collation);
        if (next_value_ > 1)
            table_.create += fmt::format(" AUTO_INCREMENT={}", next_value_);
        if (!source_.comment.empty())
            table_.create += " COMMENT=" + mysql_string(cut(source_.comment, 2048, "", "table"));
        if (!later_.empty())
            table_.indexes.push_back(fmt::format("ALTER TABLE {} {}", mysql_name(table_.name),
                                                 text::join(later_, ", ")));
        return std::move(table_);
    }

  private:
    void columns() {
        for (const Column& column : source_.columns) {
            TargetColumn out;
            const std::size_t told = context_.plan.report.size();
            if (!map_column(context_, source_, column,
                            key_use(context_.referenced, source_, column), out))
                continue;
            generated(column, out);
            map_default(context_, source_, column, out);
            if (!out.check.empty())
                inline_.push_back("CHECK (" + out.check + ")");
            domain(column);
            out.comment = cut(out.comment, 1024, column.name, "column");
            by_rule(column, out);
            if (context_.plan.report.size() == told)
                context_.report(source_, column.name, "column", "converted", "");
            table_.columns.push_back(std::move(out));
        }
    }

    std::string cut(const std::string& comment, std::size_t limit, const std::string& column,
                    const char* kind) {
        std::string out = cut_comment(comment, limit);
        if (out.size() < comment.size())
            context_.report(source_, column, kind, "changed",
                            fmt::format("its comment is cut to {} characters", limit));
        return out;
    }

    /// What rules say beyond the type, and names that had to change.
    void by_rule(const Column& column, const TargetColumn& out) {
        const rules::ColumnDecision* decision = context_.rules->column(source_.name, column.name);
        auto tell = [&](const std::string& what) {
            context_.report(source_, column.name, "column", "changed",
                            decision ? what + " by " + decision->by : what);
        };
        if (decision && !decision->transform.name.empty())
            tell(decision->transform.name);
        if (decision && decision->drop_default)
            context_.report(source_, column.name, "default", "left out", "by " + decision->by);
        if (out.name != column.name)
            tell("named " + out.name + " there");
    }

    // The target computes it from then on, and while it is filled.
    void generated(const Column& column, TargetColumn& out) {
        const rules::ColumnDecision* decision = context_.rules->column(source_.name, column.name);
        if (!column.generated ||
            (decision && (!decision->transform.name.empty() || !decision->to.empty())))
            return;
        auto value = translate_value(source_, column.generation_expression, names_);
        if (!value) {
            auto condition =
                translate_check(source_, column.generation_expression, collate(), {}, names_);
            if (!condition || column.type != Type::boolean)
                return;
            value = Translated{*condition, {}, false};
        }
        for (const Column& other : source_.columns)
            if (other.identity &&
                value->sql.find(mysql_name(names_[other.name])) != std::string::npos)
                return;
        out.generated = true;
        out.default_sql = value->sql;
        context_.report(source_, column.name, "column", "changed",
                        "computed there too, as " + value->sql);
    }

    // Several texts without a limit share the bytes of a key, as far as the data lets them.
    void fit_keys() {
        std::vector<const catalog::Index*> keys;
        if (source_.primary_key)
            keys.push_back(&*source_.primary_key);
        for (const catalog::Index& index : source_.indexes)
            if (index.unique && index.predicate.empty() && is_plain_index(index))
                keys.push_back(&index);
        for (const catalog::Index* key : keys)
            fit(*key);
    }

    void fit(const catalog::Index& key) {
        std::vector<TargetColumn*> texts;
        std::int64_t fixed = 0, free = 0;
        for (const catalog::IndexPart& part : key.parts)
            for (TargetColumn& out : table_.columns) {
                if (out.source != part.column)
                    continue;
                const Column* column = source_.column(out.source);
                bool unlimited =
                    out.type.starts_with("VARCHAR") && column && !column->length && out.is_text;
                (unlimited ? free : fixed) += out.key_bytes;
                if (unlimited)
                    texts.push_back(&out);
            }
        if (texts.empty() || fixed + free <= key_limit)
            return;
        std::int64_t room = (key_limit - fixed) / (4 * static_cast<std::int64_t>(texts.size()));
        for (TargetColumn* out : texts)
            if (longest(out->source) > room)
                return;
        for (TargetColumn* out : texts) {
            std::size_t end = out->type.find(')');
            out->type = fmt::format("VARCHAR({}{}", room, out->type.substr(end));
            out->key_bytes = room * 4;
            context_.report(source_, out->source, "column", "changed",
                            fmt::format("it shares the key {}: VARCHAR({})", key.name, room));
        }
    }

    std::int64_t longest(const std::string& column) const {
        auto table = context_.profile.find(source_.name);
        if (table == context_.profile.end())
            return 0;
        auto it = table->second.find(column);
        return it == table->second.end() ? 0 : it->second.characters;
    }

    void domain(const Column& column) {
        if (column.domain.empty())
            return;
        std::vector<std::string> lost;
        for (const std::string& expression : column.domain_checks) {
            auto check = translate_check(source_, expression, collate(), column.name, names_);
            if (check && !column.identity && !acts_on(source_, *check, names_))
                inline_.push_back("CHECK (" + *check + ")");
            else
                lost.push_back(expression);
        }
        context_.report(source_, column.name, "column", "changed",
                        "domain " + column.domain + " becomes its base type" +
                            (lost.empty() ? "" : ", without CHECK " + text::join(lost, ", ")));
    }

    std::string collate() const {
        return is_exact(context_.collation) ? std::string() : context_.exact_collation;
    }

    // InnoDB numbers one column a table, and that must lead a key.
    void auto_increment() {
        for (TargetColumn& out : table_.columns) {
            const Column* column = source_.column(out.source);
            if (!column || !column->identity)
                continue;
            const catalog::Identity& identity = *column->identity;
            if (next_value_ > 0 || identity.increment <= 0) {
                context_.report(source_, out.source, "sequence", "omitted",
                                next_value_ > 0 ? "AUTO_INCREMENT numbers one column of a table"
                                                : "AUTO_INCREMENT only counts upwards");
                continue;
            }
            if (identity.increment != 1)
                context_.report(source_, out.source, "sequence", "changed",
                                fmt::format("counts by {} here, by 1 there", identity.increment));
            bool leads = false;
            for (const TargetIndex& key : table_.keys)
                leads = leads || (key.sql.empty() && key.columns.front() == out.source);
            if (!leads) {
                inline_.push_back(fmt::format("KEY {} ({})",
                                              mysql_name(short_name(out.name + "_auto")),
                                              mysql_name(out.name)));
                context_.report(source_, out.source, "index", "added",
                                "AUTO_INCREMENT needs a key that begins with its column");
            }
            out.auto_increment = true;
            out.nullable = false;
            next_value_ = identity.last_value ? *identity.last_value + identity.increment
                                              : std::max<std::int64_t>(identity.start, 1);
            context_.report(source_, out.source, "sequence", "converted",
                            fmt::format("AUTO_INCREMENT from {}", next_value_));
        }
    }

    void checks() {
        for (const catalog::Check& check : source_.checks) {
            auto sql = translate_check(source_, check.expression, collate(), {}, names_);
            std::string reason;
            if (!sql)
                reason = check.expression + " has no counterpart that surely means the same";
            else if (uses_auto_increment(*sql))
                reason = "a check there may not name the AUTO_INCREMENT column";
            else if (acts_on(source_, *sql, names_))
                reason = "a check there may not name a column that a foreign key changes";
            if (!reason.empty()) {
                context_.report(source_, check.name, "check", "omitted", reason);
                continue;
            }
            std::string name = context_.constraint_name(source_, check.name);
            inline_.push_back(fmt::format("CONSTRAINT {} CHECK ({})", mysql_name(name), *sql));
            context_.report(source_, check.name, "check",
                            name == check.name ? "converted" : "changed",
                            name == check.name ? "" : "named " + name + " there");
        }
    }

    bool uses_auto_increment(const std::string& sql) const {
        return std::any_of(table_.columns.begin(), table_.columns.end(),
                           [&](const TargetColumn& column) {
                               return column.auto_increment &&
                                      sql.find(mysql_name(column.name)) != std::string::npos;
                           });
    }

    Context& context_;
    const Table& source_;
    Names names_;
    TargetTable table_;
    std::vector<std::string> inline_, later_;
    std::int64_t next_value_ = 0;
};

std::string same_name(const std::string& name, const std::string& other) {
    return name == other ? "another one is named " + name + " there too"
                         : "its name differs from " + other + " only in case";
}

// Names that differ only in case are one name there.
void refuse_equal_names(Context& context) {
    for (const catalog::Schema& schema : context.source.schemas) {
        std::map<std::string, std::string> tables;
        for (const Table& table : schema.tables) {
            const std::string name = context.table_name(table.name);
            auto [it, fresh] = tables.emplace(text::lower(name), name);
            if (!fresh && (it->second == name || context.target.folds_table_names))
                context.plan.refusals.push_back({table.name, "", same_name(name, it->second)});
            std::map<std::string, std::string> columns;
            for (const Column& column : table.columns) {
                const std::string there = context.column_name(table.name, column.name);
                auto [other, first] = columns.emplace(text::lower(there), there);
                if (!first)
                    context.plan.refusals.push_back(
                        {table.name, column.name, same_name(there, other->second)});
            }
            if (table.columns.size() > 1017)
                context.plan.refusals.push_back(
                    {table.name, "",
                     fmt::format("{} columns, InnoDB takes 1017", table.columns.size())});
        }
    }
}

} // namespace

static void report_table(const Context& context, const Table& table) {
    const rules::TableDecision* decision = context.rules->table(table.name);
    std::vector<std::string> reasons;
    if (table.kind == catalog::TableKind::partitioned)
        reasons.push_back(fmt::format("{} partitions become one table", table.partitions.size()));
    const std::string name = context.table_name(table.name);
    if (name != table.name)
        reasons.push_back("named " + name + " there");
    if (decision && !decision->filter.empty())
        reasons.push_back("only rows where " + decision->filter);
    std::string text = text::join(reasons, "; ");
    if (decision)
        text += " by " + decision->by;
    context.report(table, "", "table", name != table.name || decision ? "changed" : "converted",
                   text);
}

} // namespace mysql

Plan plan_mysql(const catalog::Database& source, const Profile& profile, const Options& options,
                const Target& target) {
    Plan plan;
    bool mariadb = target.server.flavour == db::Flavour::mariadb;
    static const rules::Decisions none;
    mysql::Context context{source,  profile, target, {}, {}, {},
                           mariadb, plan,    {},     {}, {}, options.rules ? options.rules : &none};
    context.exact_collation = mariadb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin";
    context.charset = options.charset.empty() ? "utf8mb4" : options.charset;
    context.collation = !options.collation.empty()     ? options.collation
                        : context.charset == "utf8mb4" ? context.exact_collation
                                                       : context.charset + "_bin";
    plan.charset = context.charset;
    plan.collation = context.collation;
    mysql::refuse_equal_names(context);
    for (const catalog::Schema& schema : source.schemas)
        for (const catalog::Table& table : schema.tables)
            for (const catalog::ForeignKey& key : table.foreign_keys)
                for (const std::string& column : key.to_columns)
                    context.referenced.insert(mysql::place(key.to_schema, key.to_table, column));
    for (const catalog::Schema& schema : source.schemas) {
        for (const catalog::Table& table : schema.tables) {
            if (table.kind == catalog::TableKind::foreign) {
                context.report(table, "", "foreign table", "omitted", "its rows live elsewhere");
                continue;
            }
            report_table(context, table);
            if (table.row_security)
                context.report(table, "", "row security", "omitted", "there is none there");
            context.tables[mysql::place(table.schema, table.name)] = plan.tables.size();
            plan.tables.push_back(mysql::Builder(context, table).build());
        }
    }
    for (TargetTable& table : plan.tables)
        mysql::plan_foreign_keys(context, table);
    return plan;
}

} // namespace runbook::schema
