// The scan of a PostgreSQL source: one aggregate query a table, which finds what the target would
// refuse or change, and measures what the mapping needs (see ends.h). Runs on the thread of the
// copy, over the session that holds the snapshot.
#include "runtime/transfer/catalog/rows.h"
#include "runtime/transfer/copy/ends.h"
#include "runtime/transfer/copy/numbers.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

namespace runbook::copy {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;
using schema::standard_name;

/// A number that the scan computes about a column.
struct Probe {
    const Column* column = nullptr;
    enum class Kind : std::uint8_t {
        rows,
        length,
        integer_digits,
        fraction_digits,
        bad
    } kind = Kind::rows;
    std::string expression;
    std::string condition; ///< of bad rows, for the samples
    std::string problem;
};

class Scanner {
  public:
    Scanner(Source& source, const schema::Target& target, const Options& options,
            const ProgressPtr& progress, Cancel& cancel)
        : source_(source), target_(target.server.flavour), options_(options), progress_(progress),
          cancel_(cancel) {}

    Scan run() {
        for (const catalog::Schema& schema : source_.database().schemas)
            for (const Table& table : schema.tables)
                if (table.kind != catalog::TableKind::foreign)
                    scan(table);
        return std::move(out_);
    }

  private:
    bool to_mysql() const {
        return target_ == db::Flavour::mysql || target_ == db::Flavour::mariadb;
    }

    static std::string from(const Table& table) {
        return (table.kind == catalog::TableKind::partitioned ? "" : "ONLY ") +
               standard_name(table.schema) + "." + standard_name(table.name);
    }

    void scan(const Table& table) {
        if (progress_)
            progress_->report({"preflight " + table.name, out_.rows, 0, 0, 0});
        std::vector<Probe> probes = {{nullptr, Probe::Kind::rows, "count(*)", "", ""}};
        for (const Column& column : table.columns)
            if (to_mysql())
                add_probes(table, column, probes);
            else if (target_ == db::Flavour::sqlite &&
                     (column.type == Type::float32 || column.type == Type::float64))
                bad(probes, column, standard_name(column.name) + " = 'NaN'",
                    "not a number, which SQLite keeps as NULL");
        std::string list;
        for (std::size_t i = 0; i < probes.size(); ++i)
            list += fmt::format("{}({})::int8 AS n{}", i ? ", " : "", probes[i].expression, i);
        auto cursor =
            source_.holder().query("SELECT " + list + " FROM " + from(table), {}, {}, cancel_);
        db::BatchPtr batch = cursor->next(cancel_);
        std::vector<std::int64_t> numbers;
        for (std::size_t i = 0; i < probes.size(); ++i)
            numbers.push_back(batch->cell(0, i).integer);
        cursor.reset();
        for (std::size_t i = 0; i < probes.size(); ++i)
            take(table, probes[i], numbers[i]);
    }

    void take(const Table& table, const Probe& probe, std::int64_t number) {
        if (probe.kind == Probe::Kind::rows) {
            out_.rows += number;
            out_.table_rows[table.name] = number;
            return;
        }
        schema::ColumnProfile& profile = out_.profile[table.name][probe.column->name];
        switch (probe.kind) {
        case Probe::Kind::length:
            profile.characters = number;
            break;
        case Probe::Kind::integer_digits:
            profile.integer_digits = static_cast<int>(number);
            break;
        case Probe::Kind::fraction_digits:
            profile.fraction_digits = static_cast<int>(number);
            break;
        default:
            if (number > 0)
                add_finding(table, probe, number);
        }
    }

    void add_finding(const Table& table, const Probe& probe, std::int64_t number) {
        if (probe.column->type == Type::jsonb) {
            add_lossy_json(table, probe);
            return;
        }
        out_.findings.push_back(
            {table.name, probe.column->name, probe.problem, number, samples(table, probe), true});
    }

    /// Keys of the first bad rows; the values where the table has no key.
    std::vector<std::string> samples(const Table& table, const Probe& probe) {
        std::vector<std::string> out;
        catalog::each_row(
            source_.holder(),
            fmt::format("SELECT {} AS key FROM {} WHERE {} LIMIT {}", key_expression(table, probe),
                        from(table), probe.condition, options_.samples),
            {}, cancel_, [&](const catalog::Row& row) { out.push_back(row.text("key")); });
        return out;
    }
    static std::string key_expression(const Table& table, const Probe& probe) {
        std::string key;
        if (table.primary_key)
            for (const catalog::IndexPart& part : table.primary_key->parts)
                key += (key.empty() ? "" : ", ") + standard_name(part.column) + "::text";
        if (key.empty())
            return standard_name(probe.column->name) + "::text";
        return "concat_ws(', ', " + key + ")";
    }

    // MySQL turns integers beyond 64 bits and long fractions of JSON into doubles. The server
    // finds the suspects, the exact test is made here.
    void add_lossy_json(const Table& table, const Probe& probe) {
        Finding finding{table.name, probe.column->name, probe.problem, 0, {}, true};
        catalog::each_row(source_.holder(),
                          fmt::format("SELECT {} AS key, {}::text AS document FROM {} WHERE {}",
                                      key_expression(table, probe),
                                      standard_name(probe.column->name), from(table),
                                      probe.condition),
                          {}, cancel_, [&](const catalog::Row& row) {
                              std::string document = row.text("document");
                              std::string number = first_lossy_number(document);
                              if (number.empty())
                                  return;
                              ++finding.count;
                              if (finding.samples.size() < options_.samples)
                                  finding.samples.push_back(row.text("key") + " (" + number + ")");
                          });
        if (finding.count > 0)
            out_.findings.push_back(std::move(finding));
    }

    static void bad(std::vector<Probe>& probes, const Column& column, const std::string& condition,
                    const std::string& problem) {
        probes.push_back({&column, Probe::Kind::bad, "count(*) FILTER (WHERE " + condition + ")",
                          condition, problem});
    }

    void add_probes(const Table& table, const Column& column, std::vector<Probe>& probes) {
        std::string name = standard_name(column.name);
        if (schema::wants_length(table, column, target_))
            probes.push_back({&column, Probe::Kind::length,
                              fmt::format("coalesce(max(char_length({}::text)), 0)", name), "",
                              ""});
        switch (column.type) {
        case Type::numeric:
            bad(probes, column, name + "::text IN ('NaN', 'Infinity', '-Infinity')",
                "not a number that DECIMAL holds (NaN or Infinity)");
            if (schema::wants_digits(column, target_)) {
                std::string finite = fmt::format(
                    "CASE WHEN {0}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN {0} END",
                    name);
                probes.push_back({&column, Probe::Kind::integer_digits,
                                  "coalesce(max(length(trunc(abs(" + finite + "))::text)), 0)", "",
                                  ""});
                probes.push_back({&column, Probe::Kind::fraction_digits,
                                  "coalesce(max(scale(" + finite + ")), 0)", "", ""});
            }
            return;
        case Type::float32:
        case Type::float64:
            bad(probes, column, name + " IN ('NaN', 'Infinity', '-Infinity')",
                "not a number that DOUBLE holds (NaN or Infinity)");
            return;
        case Type::date:
        case Type::timestamp:
        case Type::timestamptz:
            bad(probes, column,
                fmt::format("NOT ({0} >= '0001-01-01' AND {0} < '10000-01-01')", name),
                std::string("outside of the years 1 to 9999 (BC, infinity)"));
            return;
        case Type::time:
            return;
        case Type::range:
            bad(probes, column, fmt::format("char_length({}::text) > 255", name),
                "longer than 255 characters");
            return;
        case Type::jsonb:
            if (target_ == db::Flavour::mysql)
                bad(probes, column, name + "::text ~ '[0-9.]{16,}'",
                    "a number in it that JSON there would round");
            return;
        default:
            return;
        }
    }

    Source& source_;
    db::Flavour target_;
    const Options& options_;
    ProgressPtr progress_;
    Cancel& cancel_;
    Scan out_;
};

} // namespace

Scan scan_postgresql(Source& source, const schema::Target& target, const Options& options,
                     const ProgressPtr& progress, Cancel& cancel) {
    return Scanner(source, target, options, progress, cancel).run();
}

} // namespace runbook::copy
