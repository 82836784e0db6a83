// The source through the rules of a copy (see view.h).
#include "runtime/transfer/verify/view.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

namespace runbook::verify {
namespace {

/// What the target gets of a column that changes its kind on the way.
void as_carried(const rules::ColumnDecision& decision, InventoryColumn& column,
                std::string& expression) {
    const std::string base = decision.to.substr(0, decision.to.find('('));
    const bool text = base.ends_with("text") || base.ends_with("char");
    if (column.type == "oid" && base == "longblob") {
        expression = fmt::format("pg_catalog.lo_get({})", expression);
        column.type = "bytea";
    } else if (text &&
               (column.type == "tsvector" || column.type == "tsquery" || column.type == "point")) {
        expression += "::pg_catalog.text";
        column.type = "text";
    }
}

class Viewer {
  public:
    Viewer(const rules::Decisions& decisions, db::Connection& connection, View& view)
        : decisions_(decisions), connection_(connection), view_(view) {}

    void rewrite(InventoryTable& table, const catalog::Table& decided) {
        if (const std::string name = decisions_.table_name(table.name); name != table.name)
            view_.renamed[table.name] = name;
        std::vector<InventoryColumn> columns;
        std::string list;
        bool changed = !decisions_.filter(table.name, "WHERE").empty();
        for (const catalog::Column& column : decided.columns) {
            const InventoryColumn* known = table.column(column.name);
            const rules::ColumnDecision* decision = decisions_.column(table.name, column.name);
            InventoryColumn out = known ? *known : InventoryColumn{};
            std::string expression = known ? known->quoted : std::string();
            out.name = decisions_.column_name(table.name, column.name);
            if (decision) {
                changed = true;
                if (!decision->expression.empty())
                    expression = decision->expression;
                if (!decision->to_type.empty())
                    out.type = decision->to_type;
                as_carried(*decision, out, expression);
                out.nullable = out.nullable || !decision->transform.name.empty();
            }
            out.quoted = connection_.quote_name(out.name);
            list += (list.empty() ? "" : ", ") + expression + " AS " + out.quoted;
            columns.push_back(std::move(out));
        }
        for (const InventoryColumn& column : table.columns)
            if (!decided.column(column.name)) {
                changed = true;
                view_.columns[table.name].push_back(column.name + " (by a rule of the copy)");
            }
        if (!changed)
            return;
        for (std::vector<std::string>& key : table.keys)
            for (std::string& name : key)
                name = decisions_.column_name(table.name, name);
        table.columns = std::move(columns);
        table.from = fmt::format("(SELECT {} FROM {}{}) AS source", list, table.from,
                                 decisions_.filter(table.name, "WHERE"));
    }

  private:
    const rules::Decisions& decisions_;
    db::Connection& connection_;
    View& view_;
};

} // namespace

View view_by(const rules::Rules& rules, db::Connection& connection, const std::string& schema,
             Inventory& source, Cancel& cancel) {
    View view;
    if (rules.empty())
        return view;
    catalog::Filter filter;
    if (!schema.empty())
        filter.schemas = {schema};
    const rules::Decisions decisions =
        rules::resolve(rules, catalog::read_catalog(connection, filter, cancel));
    Viewer viewer(decisions, connection, view);
    for (InventoryTable& table : source.tables) {
        const catalog::Table* decided = decisions.database.table("", table.name);
        if (decided)
            viewer.rewrite(table, *decided);
        else
            view.left_out.push_back(table.name);
    }
    return view;
}

} // namespace runbook::verify
