// The scan of a SQLite source: columns there hold what they like, so every value is measured
// against what its column was declared as (see sqlite_ends.h). Runs on the thread of the copy.
#include "runtime/transfer/copy/sqlite_ends.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

namespace runbook::copy {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;
using schema::standard_name;

/// A condition that holds for a value that does not fit, and what is wrong with it then.
struct Rule {
    std::string condition, problem;
};

std::string clock(const std::string& name, int from) {
    return fmt::format("substr({0}, {1}) NOT GLOB '[0-2][0-9]:[0-5][0-9]:[0-5][0-9]*' OR "
                       "rtrim(substr({0}, {1} + 8), '0123456789') NOT IN ('', '.')",
                       name, from);
}

std::string day(const std::string& name) {
    return fmt::format(
        "coalesce(date(substr({0}, 1, 10), '+0 days'), '') <> substr({0}, 1, 10) OR {0} < "
        "'0001'",
        name);
}

Rule rule(const Column& column, db::Flavour target) {
    std::string name = standard_name(column.name);
    std::string kind = "typeof(" + name + ")";
    bool postgres = target == db::Flavour::postgresql;
    std::string text = kind + " <> 'text'";
    std::string nul = postgres ? " OR instr(" + name + ", char(0)) > 0" : "";
    switch (column.type) {
    case Type::boolean:
        return {fmt::format("{} <> 'integer' OR {} NOT IN (0, 1)", kind, name),
                "neither 0 nor 1 in a boolean column"};
    case Type::int64:
        return {kind + " <> 'integer'", "not an integer in a column of " + column.engine_type};
    case Type::float64:
        return {fmt::format("{} NOT IN ('real', 'integer') OR abs({}) > 1.7976931348623157e308",
                            kind, name),
                "not a number in a column of " + column.engine_type};
    case Type::numeric: {
        std::string condition = kind + " NOT IN ('real', 'integer')";
        if (column.precision && column.scale)
            condition += fmt::format(" OR round({0}, {1}) <> {0} OR abs({0}) >= 1e{2}", name,
                                     *column.scale, *column.precision - *column.scale);
        return {condition, "no value of " + column.engine_type};
    }
    case Type::varchar:
    case Type::text:
        if (column.type == Type::varchar && column.length)
            return {fmt::format("{} OR length({}) > {}{}", text, name, *column.length, nul),
                    fmt::format("no text, or longer than {} characters", *column.length)};
        return {text + nul, postgres ? "no text, or a text with a NUL character"
                                     : "not a text in a column of " + column.engine_type};
    case Type::bytes:
        return {kind + " <> 'blob'", "not a blob in a column of " + column.engine_type};
    case Type::date:
        return {fmt::format("{} OR length({}) <> 10 OR {}", text, name, day(name)),
                "not a date as YYYY-MM-DD"};
    case Type::timestamp:
        return {fmt::format("{} OR {} OR (length({}) > 10 AND (substr({}, 11, 1) NOT IN (' ', 'T') "
                            "OR {}))",
                            text, day(name), name, name, clock(name, 12)),
                "not a timestamp as YYYY-MM-DD HH:MM:SS"};
    case Type::time:
        return {fmt::format("{} OR {}", text, clock(name, 1)), "not a time as HH:MM:SS"};
    case Type::json:
        return {fmt::format("{} OR NOT json_valid({})", text, name), "not valid JSON"};
    case Type::uuid:
        return {fmt::format("{} OR length({}) <> 36", text, name), "not a UUID as text"};
    default:
        return {};
    }
}

class Scanner {
  public:
    Scanner(Source& source, db::Flavour target, const Options& options, Cancel& cancel)
        : source_(source), target_(target), options_(options), cancel_(cancel) {}

    Scan run(const ProgressPtr& progress) {
        for (const catalog::Schema& schema : source_.database().schemas)
            for (const Table& table : schema.tables) {
                cancel_.check("the preflight");
                if (progress)
                    progress->report({"preflight " + table.name, out_.rows, 0, 0, 0});
                out_.rows += table.estimated_rows;
                out_.table_rows[table.name] = table.estimated_rows;
                if (target_ == db::Flavour::sqlite)
                    continue;
                for (const Column& column : table.columns)
                    scan(table, column);
                scan_keys(table);
            }
        return std::move(out_);
    }

  private:
    std::int64_t number(const std::string& sql) {
        Value value = db::fetch_value(source_.holder(), sql);
        const auto* found = value.get<std::int64_t>();
        return found ? *found : 0;
    }

    // SQLite takes NULL into keys, and by default rows that point nowhere.
    void scan_keys(const Table& table) {
        if (table.primary_key)
            for (const catalog::IndexPart& part : table.primary_key->parts) {
                std::int64_t nulls =
                    number(fmt::format("SELECT count(*) FROM {} WHERE {} IS NULL",
                                       standard_name(table.name), standard_name(part.column)));
                if (nulls > 0)
                    out_.findings.push_back(
                        {table.name, part.column, "NULL in the primary key", nulls, {}, true});
            }
        Finding finding{table.name, "", "point to no row by a foreign key", 0, {}, true};
        for (const Map& row :
             db::fetch_all(source_.holder(), fmt::format("SELECT rowid AS key, parent FROM "
                                                         "pragma_foreign_key_check({})",
                                                         schema::standard_string(table.name)))) {
            ++finding.count;
            if (finding.samples.size() < options_.samples)
                finding.samples.push_back(
                    fmt::format("row {} to {}", row.integer("key"), row.text("parent")));
        }
        if (finding.count > 0)
            out_.findings.push_back(std::move(finding));
    }

    void scan(const Table& table, const Column& column) {
        std::string name = standard_name(column.name), from = standard_name(table.name);
        if (schema::wants_length(table, column, target_))
            out_.profile[table.name][column.name].characters =
                number(fmt::format("SELECT coalesce(max(length({})), 0) FROM {}", name, from));
        if (schema::wants_digits(column, target_)) {
            out_.profile[table.name][column.name].integer_digits = 20;
            out_.profile[table.name][column.name].fraction_digits = 10;
        }
        Rule rule = copy::rule(column, target_);
        if (rule.condition.empty())
            return;
        std::string where = fmt::format("{} IS NOT NULL AND ({})", name, rule.condition);
        std::int64_t count = number(fmt::format("SELECT count(*) FROM {} WHERE {}", from, where));
        if (count == 0)
            return;
        Finding finding{table.name, column.name, rule.problem, count, {}, true};
        std::string key = table.without_rowid ? name : "rowid";
        if (table.primary_key && table.primary_key->parts.size() == 1)
            key = standard_name(table.primary_key->parts[0].column);
        for (const Map& row : db::fetch_all(
                 source_.holder(),
                 fmt::format("SELECT CAST({} AS TEXT) || ' (' || quote({}) || ')' AS key FROM {} "
                             "WHERE {} LIMIT {}",
                             key, name, from, where, options_.samples)))
            finding.samples.push_back(row.text("key"));
        out_.findings.push_back(std::move(finding));
    }

    Source& source_;
    db::Flavour target_;
    const Options& options_;
    Cancel& cancel_;
    Scan out_;
};

} // namespace

Scan scan_sqlite(Source& source, const schema::Target& target, const Options& options,
                 const ProgressPtr& progress, Cancel& cancel) {
    return Scanner(source, target.server.flavour, options, cancel).run(progress);
}

} // namespace runbook::copy
