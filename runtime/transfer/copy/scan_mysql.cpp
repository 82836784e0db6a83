// The scan of a MySQL or MariaDB source: one aggregate query a table, which finds what the target
// would refuse or change, and measures what the mapping needs (see mysql_source.h). Runs on the
// thread of the copy, over the session that holds the snapshot.
#include "runtime/transfer/catalog/rows.h"
#include "runtime/transfer/copy/mysql_source.h"
#include "runtime/transfer/copy/numbers.h"
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;
using schema::mysql_name;

/// A condition on the rows of one table, and where their number goes.
struct Probe {
    const Column* column = nullptr;
    std::string condition;
    std::string problem; ///< of a finding; empty: it goes into the profile
};

class Scanner {
  public:
    Scanner(Source& source, const schema::Target& target, const Options& options, Cancel& cancel)
        : source_(source), target_(target.server.flavour), options_(options), cancel_(cancel) {}

    Scan run(const ProgressPtr& progress) {
        for (const catalog::Schema& schema : source_.database().schemas)
            for (const Table& table : schema.tables) {
                if (progress)
                    progress->report({"preflight " + table.name, out_.rows, 0, 0, 0});
                scan(table);
                for (const catalog::ForeignKey& key : table.foreign_keys)
                    find_orphans(table, key);
            }
        return std::move(out_);
    }

  private:
    void scan(const Table& table) {
        if (text::lower(table.engine) != "innodb" && text::lower(table.engine) != "rocksdb")
            out_.findings.push_back({table.name,
                                     "",
                                     "its engine " + table.engine +
                                         " has no snapshot: what is written during the copy would "
                                         "be there in part",
                                     0,
                                     {},
                                     true});
        std::vector<Probe> probes;
        for (const Column& column : table.columns)
            add_probes(table, column, probes);
        std::string list = "COUNT(*) AS n";
        for (std::size_t i = 0; i < probes.size(); ++i)
            list += fmt::format(", CAST(COALESCE(SUM({}), 0) AS SIGNED) AS n{}",
                                probes[i].condition, i);
        std::vector<std::int64_t> numbers(probes.size());
        catalog::each_row(source_.holder(), "SELECT " + list + " FROM " + mysql_name(table.name),
                          {}, cancel_, [&](const catalog::Row& row) {
                              out_.table_rows[table.name] = row.integer("n");
                              out_.rows += row.integer("n");
                              for (std::size_t i = 0; i < probes.size(); ++i)
                                  numbers[i] = row.integer("n" + std::to_string(i));
                          });
        for (std::size_t i = 0; i < probes.size(); ++i) {
            if (probes[i].problem.empty())
                out_.profile[table.name][probes[i].column->name].outside = numbers[i];
            else if (numbers[i] > 0)
                add_finding(table, probes[i], numbers[i]);
        }
    }

    void add_probes(const Table& table, const Column& column, std::vector<Probe>& probes) {
        const std::string name = mysql_name(column.name);
        const bool same = target_ == db::Flavour::mysql || target_ == db::Flavour::mariadb;
        auto bad = [&](const std::string& condition, const std::string& problem) {
            probes.push_back({&column, condition, problem});
        };
        if (same) {
            if (column.type == Type::jsonb && target_ == db::Flavour::mysql)
                bad(fmt::format("CAST({} AS CHAR) REGEXP '[0-9.]{{16,}}'", name),
                    "a number in it that JSON there would round");
            return;
        }
        if (target_ == db::Flavour::sqlite && column.type != Type::int64)
            return; // keeps what it is given
        switch (column.type) {
        case Type::boolean:
            probes.push_back({&column, name + " NOT IN (0, 1)", ""});
            return;
        case Type::int64:
            if (column.is_unsigned && schema::wants_bigint(source_.database(), table, column))
                bad(name + " > 9223372036854775807", "larger than a bigint holds");
            return;
        case Type::date:
        case Type::timestamp:
        case Type::timestamptz:
            // A zero that becomes NULL is not in the way, where the column takes one.
            bad(fmt::format("{0} IS NOT NULL AND (LAST_DAY({0}) IS NULL OR DAYOFMONTH({0}) > "
                            "DAYOFMONTH(LAST_DAY({0}))){1}",
                            name,
                            options_.zero_dates_to_null && column.nullable
                                ? fmt::format(" AND CAST({0} AS CHAR) NOT LIKE '____-00-%' AND "
                                              "CAST({0} AS CHAR) NOT LIKE '____-__-00%'",
                                              name)
                                : ""),
                "no day of the calendar (a zero date)");
            return;
        case Type::time:
            bad(fmt::format("{0} < '00:00:00' OR {0} > '24:00:00'", name),
                "no time of a day (below 00:00 or beyond 24:00)");
            return;
        case Type::character:
        case Type::varchar:
        case Type::text:
            if (target_ == db::Flavour::postgresql)
                bad(fmt::format("INSTR(CAST({} AS BINARY), X'00') > 0", name),
                    "a text with a NUL character");
            return;
        case Type::enumeration:
            if (std::find(column.labels.begin(), column.labels.end(), "") == column.labels.end())
                bad(name + " + 0 = 0", "no label of its ENUM");
            return;
        case Type::json:
            bad(fmt::format("{0} IS NOT NULL AND NOT JSON_VALID({0})", name), "not valid JSON");
            return;
        case Type::jsonb:
            if (target_ == db::Flavour::postgresql)
                bad(fmt::format("INSTR(CAST({} AS CHAR), '\\\\u0000') > 0", name),
                    "a NUL character in it, which jsonb refuses");
            return;
        default:
            return;
        }
    }

    static std::string key_of(const Table& table, const Column& column) {
        std::string key;
        if (table.primary_key)
            for (const catalog::IndexPart& part : table.primary_key->parts)
                key += (key.empty() ? "" : ", ") + mysql_name(part.column);
        return fmt::format("CONCAT_WS(', ', {})", key.empty() ? mysql_name(column.name) : key);
    }

    void add_finding(const Table& table, const Probe& probe, std::int64_t number) {
        if (probe.column->type == Type::jsonb && target_ == db::Flavour::mysql) {
            add_lossy_json(table, probe);
            return;
        }
        Finding finding{table.name, probe.column->name, probe.problem, number, {}, true};
        catalog::each_row(source_.holder(),
                          fmt::format("SELECT CAST({} AS CHAR) AS k FROM {} WHERE {} LIMIT {}",
                                      key_of(table, *probe.column), mysql_name(table.name),
                                      probe.condition, options_.samples),
                          {}, cancel_, [&](const catalog::Row& row) {
                              finding.samples.push_back(row.text("k"));
                          });
        out_.findings.push_back(std::move(finding));
    }

    // The server finds the suspects, the exact test is made here.
    void add_lossy_json(const Table& table, const Probe& probe) {
        Finding finding{table.name, probe.column->name, probe.problem, 0, {}, true};
        catalog::each_row(
            source_.holder(),
            fmt::format("SELECT CAST({} AS CHAR) AS k, CAST({} AS CHAR) AS document FROM {} "
                        "WHERE {}",
                        key_of(table, *probe.column), mysql_name(probe.column->name),
                        mysql_name(table.name), probe.condition),
            {}, cancel_, [&](const catalog::Row& row) {
                const std::string number = first_lossy_number(row.text("document"));
                if (number.empty())
                    return;
                ++finding.count;
                if (finding.samples.size() < options_.samples)
                    finding.samples.push_back(row.text("k") + " (" + number + ")");
            });
        if (finding.count > 0)
            out_.findings.push_back(std::move(finding));
    }

    // Rows that came while foreign_key_checks were off.
    void find_orphans(const Table& table, const catalog::ForeignKey& key) {
        if (!source_.database().table(key.to_schema, key.to_table))
            return;
        std::string shown;
        for (const std::string& column : key.columns)
            shown += (shown.empty() ? "c." : ", c.") + mysql_name(column);
        const std::string from = schema::mysql::orphans(table.name, key);
        Finding finding{table.name,
                        text::join(key.columns, ", "),
                        "point to no row by the foreign key " + key.name,
                        0,
                        {},
                        true};
        const Value count = db::fetch_value(source_.holder(), "SELECT COUNT(*) " + from);
        const auto* number = count.get<std::int64_t>();
        if (!number || *number == 0)
            return;
        finding.count = *number;
        catalog::each_row(source_.holder(),
                          fmt::format("SELECT CAST(CONCAT_WS(', ', {}) AS CHAR) AS k {} LIMIT {}",
                                      shown, from, options_.samples),
                          {}, cancel_, [&](const catalog::Row& row) {
                              finding.samples.push_back(row.text("k"));
                          });
        out_.findings.push_back(std::move(finding));
    }

    Source& source_;
    db::Flavour target_;
    const Options& options_;
    Cancel& cancel_;
    Scan out_;
};

} // namespace

Scan scan_mysql(Source& source, const schema::Target& target, const Options& options,
                const ProgressPtr& progress, Cancel& cancel) {
    return Scanner(source, target, options, cancel).run(progress);
}

} // namespace runbook::copy
