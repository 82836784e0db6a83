// Unique keys whose texts differ in the source and are equal under the target's collation (see
// ends.h). The target itself judges: the keys are loaded into a temporary table of the target's own
// types and collation, by the same path as the rows. Runs on the thread of the copy.
#include "runtime/transfer/copy/ends.h"
#include "runtime/transfer/copy/mysql_load.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"
#include "runtime/transfer/catalog/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace runbook::copy {
namespace {

using schema::mysql_name;
using schema::TargetColumn;

constexpr const char* scratch = "_runbook_copy_keys";

std::vector<TargetColumn> columns_of(const schema::TargetTable& table,
                                     const schema::TargetIndex& key) {
    std::vector<TargetColumn> columns;
    for (const std::string& name : key.columns)
        for (const TargetColumn& column : table.columns)
            if (column.source == name) {
                columns.push_back(column);
                columns.back().generated = false; // a plain column in the temporary table
            }
    return columns;
}

/// Exact comparison of every text in the key: then what differs in the source differs there.
bool is_safe(const std::vector<TargetColumn>& columns, const std::string& table_collation) {
    return std::none_of(columns.begin(), columns.end(), [&](const TargetColumn& column) {
        return column.rewritten ||
               (column.is_text &&
                !schema::is_exact(column.collation.empty() ? table_collation : column.collation));
    });
}

class Finder {
  public:
    Finder(Source& source, Target& target, const schema::Plan& plan, const Options& options,
           Cancel& cancel)
        : source_(source), target_(target), plan_(plan), options_(options), cancel_(cancel) {}

    std::vector<Finding> run() {
        for (const schema::TargetTable& table : plan_.tables)
            for (const schema::TargetIndex& key : table.keys) {
                std::vector<TargetColumn> columns = columns_of(table, key);
                if (key.only_there || !is_safe(columns, plan_.collation))
                    judge(table, key, columns);
            }
        return std::move(out_);
    }

  private:
    void execute(const std::string& sql) { target_.control().execute(sql, {}, {}, cancel_); }

    void judge(const schema::TargetTable& table, const schema::TargetIndex& key,
               const std::vector<TargetColumn>& columns) {
        load(table, key, columns);
        std::string names, shown, there;
        for (const TargetColumn& column : columns) {
            std::string name = mysql_name(column.name);
            names += (names.empty() ? "" : ", ") + name;
            shown += (shown.empty() ? "" : ", ', ', ") + std::string("CAST(") + name + " AS CHAR)";
            there += (there.empty() ? "" : " AND ") + name + " IS NOT NULL";
        }
        Finding finding;
        finding.table = table.name;
        for (const TargetColumn& column : columns)
            finding.column += (finding.column.empty() ? "" : ", ") + column.name;
        finding.problem =
            std::any_of(columns.begin(), columns.end(),
                        [](const TargetColumn& column) { return column.rewritten; })
                ? fmt::format("values of {} that are equal after a rule changed them", key.name)
            : key.only_there
                ? fmt::format("values that repeat, and are unique there by {}", key.name)
                : fmt::format("values of {} that are equal under {}", key.name,
                              collation_of(columns));
        finding.count = 0;
        catalog::each_row(
            target_.control(),
            fmt::format("SELECT COUNT(*) AS n, GROUP_CONCAT(CONCAT({}) ORDER BY BINARY CONCAT({}) "
                        "SEPARATOR ' = ') AS same FROM {} WHERE {} GROUP BY {} HAVING COUNT(*) > 1 "
                        "ORDER BY 2",
                        shown, shown, mysql_name(scratch), there, names),
            {}, cancel_, [&](const catalog::Row& row) {
                finding.count += row.integer("n");
                if (finding.samples.size() < options_.samples)
                    finding.samples.push_back(row.text("same"));
            });
        execute(fmt::format("DROP TEMPORARY TABLE {}", mysql_name(scratch)));
        if (finding.count > 0)
            out_.push_back(std::move(finding));
    }

    std::string collation_of(const std::vector<TargetColumn>& columns) const {
        for (const TargetColumn& column : columns)
            if (column.is_text)
                return column.collation.empty() ? plan_.collation : column.collation;
        return plan_.collation;
    }

    void load(const schema::TargetTable& table, const schema::TargetIndex& key,
              const std::vector<TargetColumn>& columns) {
        std::string defs;
        for (const TargetColumn& column : columns)
            defs += (defs.empty() ? "" : ", ") + mysql_name(column.name) + " " + column.type;
        execute(fmt::format("DROP TEMPORARY TABLE IF EXISTS {}", mysql_name(scratch)));
        execute(fmt::format("CREATE TEMPORARY TABLE {} ({}) ENGINE=InnoDB DEFAULT CHARSET={} "
                            "COLLATE={}",
                            mysql_name(scratch), defs, plan_.charset, plan_.collation));
        schema::TargetTable narrowed = table; // to the rows that the key is about
        if (!key.where.empty())
            narrowed.filter =
                table.filter.empty() ? key.where : "(" + table.filter + ") AND (" + key.where + ")";
        auto rows = source_.keys(narrowed, columns);
        Shared shared(nullptr, cancel_, 0, 0, 0);
        Part part;
        part.table = &table;
        Feed feed(*rows, shared, part, INT64_MAX, INT64_MAX);
        if (feed.begin_chunk())
            load_data(target_.control(), scratch, columns, feed);
    }

    Source& source_;
    Target& target_;
    const schema::Plan& plan_;
    const Options& options_;
    Cancel& cancel_;
    std::vector<Finding> out_;
};

} // namespace

std::vector<Finding> find_collisions(Source& source, Target& target, const schema::Plan& plan,
                                     const Options& options, Cancel& cancel) {
    return Finder(source, target, plan, options, cancel).run();
}

} // namespace runbook::copy
