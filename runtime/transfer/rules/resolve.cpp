// Which rule decides which column (see rules.h). A rule that names more decides before one that
// names less; two of one rank that differ are a mistake. Pure functions.
#include "runtime/transfer/rules/rules.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

namespace runbook::rules {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;

bool is_pattern(const std::string& name) {
    return name.find('*') != std::string::npos;
}

bool matches(const std::string& pattern, const std::string& name) {
    if (pattern.empty())
        return true;
    catalog::Filter filter;
    filter.include = {pattern};
    return filter.takes(name);
}

struct Alias {
    std::string_view name;
    Type type;
};
constexpr std::array<Alias, 40> aliases = {{
    {"bool", Type::boolean},
    {"int2", Type::int16},
    {"smallint", Type::int16},
    {"int", Type::int32},
    {"int4", Type::int32},
    {"integer", Type::int32},
    {"int8", Type::int64},
    {"bigint", Type::int64},
    {"decimal", Type::numeric},
    {"real", Type::float32},
    {"float4", Type::float32},
    {"double precision", Type::float64},
    {"double", Type::float64},
    {"float8", Type::float64},
    {"money", Type::money},
    {"character", Type::character},
    {"char", Type::character},
    {"bpchar", Type::character},
    {"character varying", Type::varchar},
    {"varchar", Type::varchar},
    {"bytea", Type::bytes},
    {"datetime", Type::timestamp},
    {"timestamp", Type::timestamp},
    {"timestamp without time zone", Type::timestamp},
    {"timestamptz", Type::timestamptz},
    {"timestamp with time zone", Type::timestamptz},
    {"time", Type::time},
    {"time without time zone", Type::time},
    {"timetz", Type::timetz},
    {"time with time zone", Type::timetz},
    {"interval", Type::interval},
    {"array", Type::array},
    {"enum", Type::enumeration},
    {"composite", Type::composite},
    {"range", Type::range},
    {"inet", Type::inet},
    {"macaddr", Type::macaddr},
    {"bit varying", Type::varbit},
    {"point", Type::geometry},
    {"oid", Type::oid},
}};

std::vector<std::string> type_words() {
    std::vector<std::string> words;
    for (const Alias& alias : aliases)
        words.emplace_back(alias.name);
    for (int i = 0; i < static_cast<int>(Type::other); ++i)
        words.emplace_back(catalog::type_name(static_cast<Type>(i)));
    return words;
}

std::string base_of(const std::string& type) {
    std::string base = type.substr(0, type.find('('));
    const std::size_t close = type.find(')');
    if (base != type && close != std::string::npos)
        base += type.substr(close + 1); // timestamp(3) without time zone
    return text::lower(base);
}

bool is_of_type(const std::string& word, const Column& column, bool mysql) {
    const std::string engine = text::lower(column.engine_type);
    if (word.empty() || word == engine || word == base_of(engine) ||
        word == text::lower(column.domain))
        return true;
    const std::size_t dot = column.domain.find('.');
    if (dot != std::string::npos && word == text::lower(column.domain.substr(dot + 1)))
        return true;
    if (mysql) // its own names say more than ours: timestamp is a moment there
        return false;
    if (word != "int8" && word == catalog::type_name(column.type))
        return true;
    return std::any_of(aliases.begin(), aliases.end(), [&](const Alias& alias) {
        return alias.name == word && alias.type == column.type;
    });
}

bool in_index(const catalog::Index& index, const std::string& column) {
    return std::any_of(index.parts.begin(), index.parts.end(),
                       [&](const catalog::IndexPart& part) { return part.column == column; });
}

bool compare(const Guard& guard, std::optional<double> value) {
    if (guard.sign == "is") // "none"
        return !value;
    if (!value)
        return false;
    if (guard.sign == "=")
        return *value == guard.number;
    if (guard.sign == "<>")
        return *value != guard.number;
    if (guard.sign == "<")
        return *value < guard.number;
    if (guard.sign == "<=")
        return *value <= guard.number;
    return guard.sign == ">" ? *value > guard.number : *value >= guard.number;
}

bool default_is(const Guard& guard, const Column& column) {
    const bool there = column.default_expression.has_value();
    if (guard.text == "true" || guard.text == "false")
        return there == (guard.text == "true");
    if (!there)
        return false;
    auto literal = schema::postgresql_literal(*column.default_expression);
    const std::string text = column.default_is_literal ? *column.default_expression
                             : literal                 ? literal->text
                                                       : *column.default_expression;
    if (guard.text == "zero date")
        return text.starts_with("0000-00-00");
    return text == guard.text || *column.default_expression == guard.text;
}

bool holds(const Guard& guard, const Table& table, const Column& column) {
    auto number = [](auto field) -> std::optional<double> {
        if (!field)
            return std::nullopt;
        return static_cast<double>(*field);
    };
    if (guard.property == "length")
        return compare(guard, number(column.length));
    if (guard.property == "precision")
        return compare(guard, number(column.precision));
    if (guard.property == "scale")
        return compare(guard, number(column.scale));
    if (guard.property == "default")
        return default_is(guard, column);
    bool is = false;
    const bool primary = table.primary_key && in_index(*table.primary_key, column.name);
    auto indexed = [&](bool unique) {
        return primary ||
               std::any_of(table.indexes.begin(), table.indexes.end(),
                           [&](const catalog::Index& index) {
                               return (!unique || index.unique) && in_index(index, column.name);
                           });
    };
    if (guard.property == "nullable")
        is = column.nullable;
    else if (guard.property == "primary_key")
        is = primary;
    else if (guard.property == "unique")
        is = indexed(true);
    else if (guard.property == "indexed")
        is = indexed(false);
    else if (guard.property == "identity")
        is = column.identity.has_value();
    else
        is = column.generated;
    return is == (guard.text == "true");
}

int rank_of(const Rule& rule) {
    auto weight = [](const std::string& name, int exact, int pattern) {
        return name.empty() ? 0 : is_pattern(name) ? pattern : exact;
    };
    return weight(rule.column, 8, 2) + weight(rule.table, 4, 1) + (rule.index.empty() ? 0 : 16);
}

/// One thing that rules say of one object: the highest rank wins.
template <class T>
class Choice {
  public:
    Choice(std::string object, const char* what) : object_(std::move(object)), what_(what) {}
    void offer(const Rule& rule, const T& value, const std::string& shown) {
        const int rank = rank_of(rule);
        if (rule_ && rank == rank_ && !(value == value_))
            throw Error("copy.refused",
                        fmt::format("{} and {} contradict each other: {} of {} is {} or {}",
                                    rule_->text(), rule.text(), what_, object_, shown_, shown),
                        "a rule that names table and column goes before one that names a type");
        if (rule_ && rank <= rank_)
            return;
        rule_ = &rule;
        rank_ = rank;
        value_ = value;
        shown_ = shown;
    }
    const Rule* rule() const { return rule_; }
    int rank() const { return rule_ ? rank_ : -1; }
    const T& value() const { return value_; }

  private:
    std::string object_;
    const char* what_;
    const Rule* rule_ = nullptr;
    int rank_ = -1;
    T value_{};
    std::string shown_;
};

class Resolver {
  public:
    Resolver(const Rules& rules, const catalog::Database& source)
        : rules_(rules), source_(source), used_(rules.size(), false) {
        out_.database = source;
        mysql_ = source.server.flavour == db::Flavour::mysql ||
                 source.server.flavour == db::Flavour::mariadb;
    }

    Decisions run() {
        for (const Rule& rule : rules_)
            check_names(rule);
        for (catalog::Schema& schema : out_.database.schemas)
            std::erase_if(schema.tables, [&](Table& table) { return !decide(table); });
        for (const Rule& rule : rules_)
            if (!used_[rule.number - 1] && !rule.optional)
                throw Error("copy.refused", rule.text() + " matches nothing" + because(rule),
                            "optional = true lets it match nothing");
        return std::move(out_);
    }

  private:
    std::vector<std::string> table_names() const {
        std::vector<std::string> names;
        for (const catalog::Schema& schema : source_.schemas)
            for (const Table& table : schema.tables)
                names.push_back(table.name);
        return names;
    }
    template <class Fn>
    void each_column(const Rule& rule, Fn fn) const {
        for (const catalog::Schema& schema : source_.schemas)
            for (const Table& table : schema.tables)
                if (matches(rule.schema, schema.name) && matches(rule.table, table.name))
                    for (const Column& column : table.columns)
                        fn(table, column);
    }

    void check_names(const Rule& rule) const {
        if (!rule.type.empty()) {
            const std::vector<std::string> words = type_words();
            bool known = std::find(words.begin(), words.end(), rule.type) != words.end();
            std::vector<std::string> all = words;
            for (const catalog::Schema& schema : source_.schemas)
                for (const Table& table : schema.tables)
                    for (const Column& column : table.columns) {
                        known = known || is_of_type(rule.type, column, mysql_);
                        all.push_back(base_of(column.engine_type));
                    }
            if (!known)
                throw Error("argument", fmt::format("{}: there is no type '{}'{}", rule.text(),
                                                    rule.type, text::did_you_mean(rule.type, all)));
        }
        if (rule.optional)
            return;
        const std::vector<std::string> names = table_names();
        if (!rule.table.empty() && !is_pattern(rule.table) &&
            std::find(names.begin(), names.end(), rule.table) == names.end())
            throw Error("argument", fmt::format("{}: there is no table '{}'{}", rule.text(),
                                                rule.table, text::did_you_mean(rule.table, names)));
        if (rule.column.empty() || is_pattern(rule.column))
            return;
        bool found = false;
        std::vector<std::string> columns;
        each_column(rule, [&](const Table&, const Column& column) {
            found = found || column.name == rule.column;
            columns.push_back(column.name);
        });
        if (!found)
            throw Error("argument",
                        fmt::format("{}: there is no column '{}'{}", rule.text(), rule.column,
                                    text::did_you_mean(rule.column, columns)));
    }

    std::string because(const Rule& rule) const {
        std::size_t named = 0, typed = 0;
        each_column(rule, [&](const Table&, const Column& column) {
            if (!matches(rule.column, column.name))
                return;
            ++named;
            typed += is_of_type(rule.type, column, mysql_);
        });
        if (!rule.index.empty() || (rule.column.empty() && rule.type.empty()))
            return "";
        if (typed > 0)
            return rule.when.empty() ? "" : ": no such column meets its conditions";
        return named > 0 && !rule.type.empty() ? ": no such column is of this type" : "";
    }

    bool about(const Rule& rule, const Table& table) {
        return matches(rule.schema, table.schema) && matches(rule.table, table.name);
    }

    /// False where the table is left out.
    bool decide(Table& table) {
        Choice<std::string> name(table.name, "the name"), filter(table.name, "the filter");
        Choice<bool> wanted(table.name, "the choice");
        bool chosen = false;
        for (const Rule& rule : rules_) {
            chosen = chosen || rule.include;
            if (!about(rule, table) || !rule.column.empty() || !rule.type.empty() ||
                !rule.index.empty())
                continue;
            used_[rule.number - 1] = true;
            if (!rule.rename.empty())
                name.offer(rule, rule.rename, "'" + rule.rename + "'");
            if (!rule.filter.empty())
                filter.offer(rule, rule.filter, rule.filter);
            if (rule.exclude || rule.include)
                wanted.offer(rule, rule.include, rule.include ? "included" : "excluded");
        }
        if (wanted.rule() ? !wanted.value() : chosen) {
            out_.notes.push_back(
                {table.name, "table", "left out",
                 wanted.rule() ? "by " + wanted.rule()->text() : "no rule includes it"});
            mark_columns(table);
            return false;
        }
        if (name.rule() || filter.rule()) {
            TableDecision decision{name.value(), filter.value(), {}};
            decision.by = (name.rule() ? name.rule() : filter.rule())->text();
            out_.tables[table.name] = decision;
        }
        indexes(table);
        std::vector<Column> columns;
        for (const Column& column : table.columns)
            decide(table, column, columns);
        table.columns = std::move(columns);
        return true;
    }

    // A rule for a column of a table that is left out has found its column.
    void mark_columns(const Table& table) {
        for (const Rule& rule : rules_)
            if (about(rule, table) &&
                std::any_of(table.columns.begin(), table.columns.end(),
                            [&](const Column& column) { return applies(rule, table, column); }))
                used_[rule.number - 1] = true;
    }

    void indexes(Table& table) {
        auto left_out = [&](const std::string& name, const char* kind) {
            for (const Rule& rule : rules_) {
                if (rule.index.empty() || !about(rule, table) || !matches(rule.index, name))
                    continue;
                used_[rule.number - 1] = true;
                out_.notes.push_back(
                    {table.name + "." + name, kind, "left out", "by " + rule.text()});
                return true;
            }
            return false;
        };
        std::erase_if(table.indexes, [&](const catalog::Index& index) {
            return left_out(index.name, index.unique ? "unique index" : "index");
        });
        std::erase_if(table.checks,
                      [&](const catalog::Check& check) { return left_out(check.name, "check"); });
        std::erase_if(table.foreign_keys, [&](const catalog::ForeignKey& key) {
            return left_out(key.name, "foreign key");
        });
    }

    bool applies(const Rule& rule, const Table& table, const Column& column) const {
        return rule.index.empty() && (!rule.column.empty() || !rule.type.empty()) &&
               matches(rule.column, column.name) && is_of_type(rule.type, column, mysql_) &&
               std::all_of(rule.when.begin(), rule.when.end(),
                           [&](const Guard& guard) { return holds(guard, table, column); });
    }

    void decide(const Table& table, const Column& column, std::vector<Column>& columns) {
        const std::string object = table.name + "." + column.name;
        Choice<std::string> to(object, "the type"), name(object, "the name");
        Choice<Transform> transform(object, "the change");
        Choice<std::vector<std::string>> split(object, "the split");
        Choice<bool> left(object, "the choice");
        const Rule *no_default = nullptr, *no_not_null = nullptr;
        std::set<std::size_t> by;
        for (const Rule& rule : rules_) {
            if (!about(rule, table) || !applies(rule, table, column))
                continue;
            used_[rule.number - 1] = true;
            if (rule.exclude) {
                left.offer(rule, true, "excluded");
                continue;
            }
            by.insert(rule.number);
            if (!rule.to.empty())
                to.offer(rule, rule.to, rule.to);
            if (!rule.rename.empty())
                name.offer(rule, rule.rename, "'" + rule.rename + "'");
            if (!rule.transform.name.empty())
                transform.offer(rule, rule.transform, rule.transform.name);
            if (!rule.split.empty())
                split.offer(rule, rule.split, text::join(rule.split, " and "));
            no_default = rule.drop_default ? &rule : no_default;
            no_not_null = rule.drop_not_null ? &rule : no_not_null;
        }
        if (left.rule()) {
            const int other = std::max({to.rank(), name.rank(), transform.rank(), split.rank()});
            if (other == left.rank())
                throw Error("copy.refused",
                            fmt::format("{} excludes {}, and another rule of the same rank changes "
                                        "it",
                                        left.rule()->text(), object));
            if (other < left.rank()) {
                out_.notes.push_back({object, "column", "left out", "by " + left.rule()->text()});
                return;
            }
        }
        Column out = column;
        if (split.rule()) {
            divide(table, column, *split.rule(), columns);
            return;
        }
        if (by.empty()) {
            columns.push_back(std::move(out));
            return;
        }
        ColumnDecision decision;
        decision.name = name.value();
        decision.to = to.value();
        decision.transform = transform.value();
        if (!decision.transform.name.empty())
            decision.expression = change(*transform.rule(), column, object);
        for (std::size_t number : by)
            decision.by += fmt::format("{}{}", decision.by.empty() ? "rule " : ", ", number);
        if (no_default && !column.identity) {
            out.default_expression.reset();
            decision.drop_default = column.default_expression.has_value();
        }
        if (no_not_null) {
            if (table.primary_key && in_index(*table.primary_key, column.name))
                throw Error("copy.refused",
                            fmt::format("{}: {} is part of the primary key and stays NOT NULL",
                                        no_not_null->text(), object));
            out.nullable = true;
        }
        out_.columns[{table.name, column.name}] = std::move(decision);
        columns.push_back(std::move(out));
    }

    std::string change(const Rule& rule, const Column& column, const std::string& object) const {
        try {
            return transformed(rule.transform, column, source_.server.flavour, quoted(column.name));
        } catch (const Error& error) {
            throw Error(error.kind(),
                        fmt::format("{}: {}: {}", rule.text(), object, error.message()),
                        error.hint());
        }
    }

    std::string quoted(const std::string& name) const {
        return mysql_ ? schema::mysql_name(name) : schema::standard_name(name);
    }

    void divide(const Table& table, const Column& column, const Rule& rule,
                std::vector<Column>& columns) {
        const std::optional<Column> bound = bound_of(column);
        if (!bound)
            throw Error("copy.refused",
                        fmt::format("{}: {}.{}: only ranges of integers, numerics, dates and "
                                    "timestamps have two bounds, not {}",
                                    rule.text(), table.name, column.name, column.engine_type));
        const std::string x = quoted(column.name);
        for (std::size_t i = 0; i < 2; ++i) {
            if (table.column(rule.split[i]))
                throw Error("copy.refused", fmt::format("{}: {} has a column '{}' already",
                                                        rule.text(), table.name, rule.split[i]));
            Column part = *bound;
            part.name = rule.split[i];
            part.comment = i == 0 ? column.comment : "";
            ColumnDecision decision;
            decision.expression = fmt::format("{}({})", i == 0 ? "lower" : "upper", x);
            decision.to_type = bound->engine_type;
            decision.by = fmt::format("rule {}", rule.number);
            if (i == 0) {
                decision.bad = fmt::format(
                    "isempty({0}) OR (lower({0}) IS NULL AND upper({0}) IS NULL AND {0} IS NOT "
                    "NULL) OR upper_inc({0}) OR NOT (lower_inc({0}) OR lower_inf({0}))",
                    x);
                decision.why = "a range that two columns cannot tell: empty, without bounds, or "
                               "with bounds other than [ )";
            }
            out_.columns[{table.name, part.name}] = std::move(decision);
            columns.push_back(std::move(part));
        }
        out_.notes.push_back({table.name + "." + column.name, "column", "changed",
                              fmt::format("{} becomes {} and {} by {}", column.engine_type,
                                          rule.split[0], rule.split[1], rule.text())});
    }

    const Rules& rules_;
    const catalog::Database& source_;
    std::vector<bool> used_;
    bool mysql_ = false;
    Decisions out_;
};

} // namespace

const TableDecision* Decisions::table(const std::string& name) const {
    auto it = tables.find(name);
    return it == tables.end() ? nullptr : &it->second;
}

const ColumnDecision* Decisions::column(const std::string& table, const std::string& name) const {
    auto it = columns.find({table, name});
    return it == columns.end() ? nullptr : &it->second;
}

std::string Decisions::table_name(const std::string& name) const {
    const TableDecision* decision = table(name);
    return decision && !decision->name.empty() ? decision->name : name;
}

std::string Decisions::column_name(const std::string& table, const std::string& name) const {
    const ColumnDecision* decision = column(table, name);
    return decision && !decision->name.empty() ? decision->name : name;
}

std::string Decisions::expression(const catalog::Table& table, const std::string& name) const {
    const ColumnDecision* decision = column(table.name, name);
    return decision && !decision->expression.empty() ? decision->expression
                                                     : schema::standard_name(name);
}

std::string Decisions::filter(const std::string& name, const char* keyword) const {
    const TableDecision* decision = table(name);
    return decision && !decision->filter.empty()
               ? fmt::format(" {} ({})", keyword, decision->filter)
               : std::string();
}

Decisions resolve(const Rules& rules, const catalog::Database& source) {
    return Resolver(rules, source).run();
}

} // namespace runbook::rules
