// The choice of the planner, and what every plan reports alike (see schema.h). Pure functions.
#include "runtime/transfer/schema/schema.h"

#include "runtime/base/error.h"
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/plans.h"

namespace runbook::schema {
namespace {

using catalog::Type;

bool is_mysql(db::Flavour flavour) {
    return flavour == db::Flavour::mysql || flavour == db::Flavour::mariadb;
}

/// Between two PostgreSQL databases these are made, and their plan reports them.
bool made_alike(const catalog::Database& source, const catalog::Object& object, bool same) {
    return same && source.server.flavour == db::Flavour::postgresql &&
           (object.kind == "sequence" || object.kind == "domain" || object.kind == "foreign key" ||
            object.kind == "unique index" || object.kind.ends_with(" type"));
}

std::string why_omitted(const catalog::Object& object, bool same) {
    if (same)
        return "only tables are copied: bring it over from a dump of the schema";
    if (object.kind == "enum type" || object.kind == "domain")
        return "its columns carry it";
    if (object.kind == "view" || object.kind == "materialized view")
        return "views are not translated: write it anew in the target's SQL";
    if (object.kind == "trigger" || object.kind == "function" || object.kind == "procedure" ||
        object.kind == "aggregate")
        return "code is not translated: write it anew in the target's language";
    if (object.kind == "sequence")
        return "no column takes its values";
    return "it has no counterpart that is made by itself";
}

} // namespace

void report_others(const catalog::Database& source, Plan& plan, bool same) {
    for (const catalog::Schema& schema : source.schemas)
        for (const catalog::Object& object : schema.others) {
            if (made_alike(source, object, same))
                continue;
            bool carried = object.kind == "enum type" || object.kind == "domain";
            std::string reason = why_omitted(object, same);
            if (object.kind == "foreign key" || object.kind == "unique index")
                reason = object.detail;
            else if (!object.detail.empty())
                reason = object.detail + "; " + reason;
            plan.report.push_back(
                {object.name, object.kind, carried ? "converted" : "omitted", reason});
        }
    for (const catalog::Object& object : source.outside)
        plan.report.push_back(
            {object.schema.empty() ? object.name : object.schema + "." + object.name, object.kind,
             "left out", object.detail.empty() ? "it belongs to no schema" : object.detail});
}

bool is_exact(std::string_view collation) {
    return collation == "utf8mb4_0900_bin" || collation == "binary" ||
           collation.ends_with("_nopad_bin");
}

bool wants_length(const catalog::Table& table, const catalog::Column& column, db::Flavour target) {
    if (!is_mysql(target))
        return false;
    switch (column.type) {
    case Type::text:
    case Type::varchar:
    case Type::citext:
    case Type::dynamic:
        break;
    case Type::range:
        return true;
    default:
        return false;
    }
    mysql::KeyUse use = mysql::key_use({}, table, column);
    return use.indexed || use.whole;
}

bool wants_digits(const catalog::Column& column, db::Flavour target) {
    return is_mysql(target) && column.type == Type::numeric &&
           (!column.precision || *column.precision > 65 || column.scale.value_or(0) > 30 ||
            column.scale.value_or(0) < 0 || column.scale.value_or(0) > *column.precision);
}

Plan make_plan(const catalog::Database& source, const Profile& profile, const Options& options,
               const Target& target) {
    if (!is_mysql(target.server.flavour)) {
        Plan plan = target.server.flavour == db::Flavour::sqlite ? plan_sqlite(source)
                                                                 : plan_postgresql(source, profile);
        report_others(source, plan);
        return plan;
    }
    Plan plan = plan_mysql(source, profile, options, target);
    if (options.rules)
        for (const rules::Note& note : options.rules->notes)
            plan.report.push_back({note.object, note.kind, note.outcome, note.reason});
    report_others(source, plan);
    return plan;
}

} // namespace runbook::schema
