// Tables that the target has already (see existing.h).
#include "runtime/transfer/copy/existing.h"

#include "runtime/base/text.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace runbook::copy {

void Target::will_need(const std::vector<std::string>&, bool) {}

const std::vector<std::string>& Target::existing() const {
    static const std::vector<std::string> none;
    return none;
}

namespace {

using catalog::Column;
using catalog::Table;
using schema::mysql_name;

bool same(const std::string& a, const std::string& b) {
    return text::lower(a) == text::lower(b);
}

const Table* find(const catalog::Database& database, const std::string& name) {
    for (const catalog::Schema& schema : database.schemas)
        for (const Table& table : schema.tables)
            if (same(table.name, name))
                return &table;
    return nullptr;
}

const Column* find(const Table& table, const std::string& name) {
    for (const Column& column : table.columns)
        if (same(column.name, name))
            return &column;
    return nullptr;
}

/// As a rule would ask for it: DATETIME alone means no digits after the second here.
std::string type_of(const Column& column) {
    const std::string& type = column.engine_type;
    return type == "datetime" || type == "timestamp" || type == "time" ? type + "(0)" : type;
}

std::vector<std::string> columns_of(const catalog::Index& index) {
    std::vector<std::string> names;
    for (const catalog::IndexPart& part : index.parts)
        names.push_back(part.column);
    return names;
}

class User {
  public:
    User(Prepared& prepared, schema::TargetTable& table, const Table& there)
        : prepared_(prepared), table_(table), there_(there) {}

    void run() {
        columns();
        triggers();
        keys();
        objects();
        table_.create.clear();
        table_.indexes.clear();
        table_.foreign_keys.clear();
        table_.proofs.clear();
        for (const catalog::ForeignKey& key : there_.foreign_keys)
            table_.proofs.push_back({key.name, orphans(key)});
        sequence();
    }

  private:
    void refuse(const std::string& column, const std::string& reason) {
        prepared_.plan.refusals.push_back({table_.source->name, column, reason});
    }

    void columns() {
        for (schema::TargetColumn& column : table_.columns) {
            const Column* there = find(there_, column.name);
            if (!there) {
                refuse(column.source, "the table there has no column " + column.name);
                continue;
            }
            if (!there->charset.empty() && there->charset != "utf8mb4" &&
                there->charset != "ascii" && there->charset != "binary")
                refuse(column.source,
                       "its character set there is " + there->charset + ", utf8mb4 is needed");
            column.generated = there->generated;
            column.name = there->name;
            column.type = there->engine_type;
            column.collation = there->collation;
            column.is_text = !there->collation.empty();
            if (column.is_text)
                column.type += " COLLATE " + there->collation;
        }
        for (const Column& there : there_.columns) {
            const bool filled = std::any_of(
                table_.columns.begin(), table_.columns.end(),
                [&](const schema::TargetColumn& column) { return same(column.name, there.name); });
            if (!filled && !there.nullable && !there.default_expression && !there.identity &&
                !there.generated)
                refuse("", "column " + there.name +
                               " there is NOT NULL without a default, and "
                               "nothing fills it");
        }
    }

    void triggers() {
        const std::vector<Value> params = {there_.name};
        const Value name =
            db::fetch_value(prepared_.target->control(),
                            "SELECT trigger_name FROM information_schema.triggers WHERE "
                            "event_object_schema = DATABASE() AND event_object_table = ? AND "
                            "event_manipulation = 'INSERT' LIMIT 1",
                            params);
        if (const auto* text = name.get<std::string>())
            refuse("", "the trigger " + *text + " there would run for each row");
    }

    std::string source_of(const std::string& name) const {
        for (const schema::TargetColumn& column : table_.columns)
            if (same(column.name, name))
                return column.source;
        return {};
    }

    // The unique keys there, of which the source may have some.
    void keys() {
        const std::vector<schema::TargetIndex> planned = std::move(table_.keys);
        table_.keys.clear();
        auto add = [&](const catalog::Index& index) {
            schema::TargetIndex key{index.name, "there", true, {}, {}, true};
            for (const std::string& name : columns_of(index)) {
                key.columns.push_back(source_of(name));
                if (key.columns.back().empty())
                    return; // over an expression, or of a column that nothing fills
            }
            key.only_there =
                std::none_of(planned.begin(), planned.end(), [&](const schema::TargetIndex& other) {
                    return other.where.empty() && other.columns == key.columns;
                });
            table_.keys.push_back(std::move(key));
        };
        if (there_.primary_key)
            add(*there_.primary_key);
        for (const catalog::Index& index : there_.indexes)
            if (index.unique)
                add(index);
    }

    bool has_index(const std::vector<std::string>& columns, bool unique) const {
        auto fits = [&](const catalog::Index& index) {
            const std::vector<std::string> names = columns_of(index);
            return (!unique || index.unique || index.primary) && names.size() >= columns.size() &&
                   std::equal(columns.begin(), columns.end(), names.begin(), same);
        };
        return (there_.primary_key && fits(*there_.primary_key)) ||
               std::any_of(there_.indexes.begin(), there_.indexes.end(), fits);
    }

    std::vector<std::string> names_there(const std::vector<std::string>& columns) const {
        std::vector<std::string> names;
        for (const std::string& column : columns)
            names.push_back(prepared_.rules.column_name(table_.source->name, column));
        return names;
    }

    // What the plan said of the table's objects is not made: say what is there of them.
    void objects() {
        const Table& source = *table_.source;
        const std::string prefix = source.name + ".";
        std::erase_if(prepared_.plan.report, [&](const schema::ReportEntry& entry) {
            return (entry.object.starts_with(prefix) && entry.kind != "column" &&
                    entry.outcome != "left out") ||
                   (entry.object == source.name && entry.kind == "table");
        });
        auto tell = [&](const std::string& object, const std::string& kind, bool found) {
            prepared_.plan.report.push_back(
                {object, kind, found ? "converted" : "omitted",
                 found ? "it is there already" : "the table there has none like it"});
        };
        prepared_.plan.report.push_back(
            {source.name, "table", "converted", "it was there already, and is filled"});
        for (const catalog::Index& index : source.indexes)
            tell(prefix + index.name, index.unique ? "unique index" : "index",
                 has_index(names_there(columns_of(index)), index.unique));
        for (const catalog::ForeignKey& key : source.foreign_keys)
            tell(prefix + key.name, "foreign key",
                 std::any_of(there_.foreign_keys.begin(), there_.foreign_keys.end(),
                             [&](const catalog::ForeignKey& other) {
                                 const std::vector<std::string> names = names_there(key.columns);
                                 return std::equal(names.begin(), names.end(),
                                                   other.columns.begin(), other.columns.end(),
                                                   same);
                             }));
        for (const catalog::Check& check : source.checks)
            tell(
                prefix + check.name, "check",
                std::any_of(there_.checks.begin(), there_.checks.end(),
                            [&](const catalog::Check& other) { return other.name == check.name; }));
    }

    std::string orphans(const catalog::ForeignKey& key) const {
        std::string set, equal;
        for (std::size_t i = 0; i < key.columns.size(); ++i) {
            const std::string column = "c." + mysql_name(key.columns[i]);
            set += (i ? " AND " : "") + column + " IS NOT NULL";
            equal += (i ? " AND p." : "p.") + mysql_name(key.to_columns[i]) + " = " + column;
        }
        return fmt::format("SELECT COUNT(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p "
                           "WHERE {})",
                           mysql_name(there_.name), set, mysql_name(key.to_table), equal);
    }

    void sequence() {
        for (const schema::TargetColumn& column : table_.columns) {
            const Column* from = table_.source->column(column.source);
            const Column* there = find(there_, column.name);
            if (!from || !there || !from->identity || !from->identity->last_value ||
                !there->identity)
                continue;
            const std::int64_t next = *from->identity->last_value + from->identity->increment;
            table_.after.push_back(
                fmt::format("ALTER TABLE {} AUTO_INCREMENT = {}", mysql_name(there_.name), next));
            prepared_.plan.report.push_back({table_.source->name + "." + column.source, "sequence",
                                             "converted",
                                             fmt::format("AUTO_INCREMENT from {}", next)});
        }
    }

    Prepared& prepared_;
    schema::TargetTable& table_;
    const Table& there_;
};

} // namespace

void expect_tables(Prepared& prepared, const Options& options) {
    std::vector<std::string> names;
    for (const catalog::Schema& schema : prepared.rules.database.schemas)
        for (const Table& table : schema.tables)
            if (table.kind != catalog::TableKind::foreign)
                names.push_back(schema::short_name(prepared.rules.table_name(table.name)));
    prepared.target->will_need(names, options.data_only);
}

void read_existing(Prepared& prepared, Cancel& cancel) {
    catalog::Filter filter;
    filter.include = prepared.target->existing();
    if (filter.include.empty())
        return;
    prepared.there = catalog::read_catalog(prepared.target->control(), filter, cancel);
    for (const catalog::Schema& schema : prepared.rules.database.schemas)
        for (const Table& table : schema.tables) {
            const Table* there =
                find(prepared.there, schema::short_name(prepared.rules.table_name(table.name)));
            if (!there)
                continue;
            for (const Column& column : table.columns) {
                const Column* other =
                    find(*there, prepared.rules.column_name(table.name, column.name));
                if (!other || other->generated)
                    continue;
                rules::ColumnDecision& decision = prepared.rules.columns[{table.name, column.name}];
                decision.to = type_of(*other);
                decision.by = decision.by.empty() ? "the table that is there"
                                                  : decision.by + " and the table that is there";
                if (!other->nullable && column.nullable && decision.bad.empty()) {
                    decision.bad = prepared.rules.expression(table, column.name) + " IS NULL";
                    decision.why = "NULL, and the column there is NOT NULL";
                }
            }
        }
}

void use_existing(Prepared& prepared, const Options& options) {
    for (schema::TargetTable& table : prepared.plan.tables) {
        const Table* there = find(prepared.there, table.name);
        if (there)
            User(prepared, table, *there).run();
        else if (options.data_only)
            prepared.plan.refusals.push_back(
                {table.source->name, "", "there is no table " + table.name + " in the target"});
    }
}

} // namespace runbook::copy
