// The scan of a PostgreSQL source: one aggregate query a table, which finds what the target would
// refuse or change, and measures what the mapping needs (see ends.h). Runs on the thread of the
// copy, over the session that holds the snapshot.
#include "runtime/transfer/catalog/rows.h"
#include "runtime/transfer/copy/ends.h"
#include "runtime/transfer/copy/numbers.h"
#include "runtime/transfer/schema/asked.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/error.h"
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
    std::string json;     ///< the document whose numbers are judged here; empty: none
    bool blocking = true; ///< false: a warning
};

class Scanner {
  public:
    Scanner(Source& source, const rules::Decisions& rules, const schema::Target& target,
            const Options& options, const ProgressPtr& progress, Cancel& cancel)
        : source_(source), rules_(rules), description_(target), target_(target.server.flavour),
          options_(options), progress_(progress), cancel_(cancel) {}

    Scan run() {
        for (const catalog::Schema& schema : rules_.database.schemas)
            for (const Table& table : schema.tables)
                if (table.kind != catalog::TableKind::foreign)
                    scan(table);
        for (const catalog::Schema& schema : rules_.database.schemas)
            for (const Table& table : schema.tables)
                for (const catalog::ForeignKey& key : table.foreign_keys)
                    find_left_behind(table, key);
        return std::move(out_);
    }

  private:
    bool to_mysql() const {
        return target_ == db::Flavour::mysql || target_ == db::Flavour::mariadb;
    }

    static std::string rows_of(const Table& table) {
        return (table.kind == catalog::TableKind::partitioned ? "" : "ONLY ") +
               schema::qualified(table.schema, table.name);
    }
    /// The table with its filter: FROM and WHERE.
    std::string from(const Table& table) const {
        return rows_of(table) + rules_.filter(table.name, "WHERE");
    }
    std::string from(const Table& table, const std::string& condition) const {
        return rows_of(table) + " WHERE (" + condition + ")" + rules_.filter(table.name, "AND");
    }

    void check_filter(const Table& table) {
        const rules::TableDecision* decision = rules_.table(table.name);
        if (!decision || decision->filter.empty())
            return;
        try {
            source_.holder().query("SELECT 1 FROM " + from(table) + " LIMIT 0", {}, {}, cancel_);
        } catch (const Error& error) {
            if (cancel_.requested())
                throw;
            throw Error("copy.refused",
                        fmt::format("{}: where = \"{}\": {}", decision->by, decision->filter,
                                    error.message()),
                        "it is a condition in the source's SQL");
        }
    }

    // Rows that a filter of the table they point to leaves without their parent.
    void find_left_behind(const Table& table, const catalog::ForeignKey& key) {
        const rules::TableDecision* decision = rules_.table(key.to_table);
        const Table* parent = rules_.database.table(key.to_schema, key.to_table);
        if (!decision || decision->filter.empty() || !parent)
            return;
        std::string there, same, shown;
        for (std::size_t i = 0; i < key.columns.size(); ++i) {
            const std::string column = "c." + standard_name(key.columns[i]);
            there += (i ? " AND " : "") + column + " IS NOT NULL";
            same += (i ? " AND p." : "p.") + standard_name(key.to_columns[i]) + " = " + column;
            shown += (i ? ", " : "") + key.columns[i];
        }
        const Value value = db::fetch_value(
            source_.holder(),
            fmt::format("SELECT count(*) FROM (SELECT * FROM {}) c WHERE {} AND NOT EXISTS (SELECT "
                        "1 FROM (SELECT * FROM {}) p WHERE {})",
                        from(table), there, from(*parent), same));
        const auto* count = value.get<std::int64_t>();
        if (count && *count > 0)
            out_.findings.push_back({table.name,
                                     shown,
                                     fmt::format("points to rows of {} that its filter leaves out "
                                                 "(foreign key {})",
                                                 key.to_table, key.name),
                                     *count,
                                     {},
                                     true});
    }

    void scan(const Table& table) {
        if (progress_)
            progress_->report({"preflight " + table.name, out_.rows, 0, 0, 0});
        check_filter(table);
        std::vector<Probe> probes = {{nullptr, Probe::Kind::rows, "count(*)", "", "", "", true}};
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
        if (!probe.json.empty()) {
            add_lossy_json(table, probe);
            return;
        }
        out_.findings.push_back({table.name, probe.column->name, probe.problem, number,
                                 samples(table, probe), probe.blocking, true});
    }

    /// Keys of the first bad rows; the values where the table has no key.
    std::vector<std::string> samples(const Table& table, const Probe& probe) {
        std::vector<std::string> out;
        catalog::each_row(
            source_.holder(),
            fmt::format("SELECT {} AS key FROM {} LIMIT {}", key_expression(table, probe),
                        from(table, probe.condition), options_.samples),
            {}, cancel_, [&](const catalog::Row& row) { out.push_back(row.text("key")); });
        return out;
    }
    std::string key_expression(const Table& table, const Probe& probe) const {
        std::string key;
        if (table.primary_key)
            for (const catalog::IndexPart& part : table.primary_key->parts)
                key += (key.empty() ? "" : ", ") + standard_name(part.column) + "::text";
        if (key.empty())
            return rules_.expression(table, probe.column->name) + "::text";
        return "concat_ws(', ', " + key + ")";
    }

    // MySQL turns integers beyond 64 bits and long fractions of JSON into doubles. The server
    // finds the suspects, the exact test is made here.
    void add_lossy_json(const Table& table, const Probe& probe) {
        Finding finding{table.name, probe.column->name, probe.problem, 0, {}, true};
        catalog::each_row(source_.holder(),
                          fmt::format("SELECT {} AS key, {} AS document FROM {}",
                                      key_expression(table, probe), probe.json,
                                      from(table, probe.condition)),
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
                    const std::string& problem, const std::string& json = {},
                    bool blocking = true) {
        probes.push_back({&column, Probe::Kind::bad, "count(*) FILTER (WHERE " + condition + ")",
                          condition, problem, json, blocking});
    }

    /// Where a rule gives the type: what that type would not carry. False where the mapping's own
    /// questions are still to be asked.
    bool add_asked(const Table& table, const Column& column, std::vector<Probe>& probes) {
        const rules::ColumnDecision* decision = rules_.column(table.name, column.name);
        const std::string x = rules_.expression(table, column.name);
        if (decision && !decision->bad.empty())
            bad(probes, column, decision->bad, decision->why);
        if (decision && !decision->transform.name.empty() && !column.nullable)
            bad(probes, column, x + " IS NULL",
                "NULL by " + decision->by +
                    ", and the column is NOT NULL: drop_not_null lets it "
                    "be");
        if (!decision || decision->to.empty())
            return false;
        if (schema::asks_length(decision->to))
            probes.push_back({&column, Probe::Kind::length,
                              fmt::format("coalesce(max(char_length({}::text)), 0)", x), "", "", "",
                              true});
        schema::Asked asked;
        try {
            asked = schema::asked_type(column, schema::parse_type(decision->to), x, description_,
                                       schema::asks_length(decision->to) ? 16383 : 0);
        } catch (const Error&) {
            return true; // the plan refuses it, with the reason
        }
        for (const schema::Misfit& misfit : asked.misfits)
            if (!(schema::asks_length(decision->to) && misfit.problem.starts_with("longer than")))
                bad(probes, column, misfit.condition, misfit.problem);
        return asked.text != schema::Asked::Text::none || column.type == Type::money ||
               column.type == Type::oid;
    }

    void add_lossy(std::vector<Probe>& probes, const Column& column, const std::string& document) {
        if (target_ == db::Flavour::mysql)
            bad(probes, column, document + " ~ '[0-9.]{16,}'",
                "a number in it that JSON there would round", document);
    }

    void add_probes(const Table& table, const Column& column, std::vector<Probe>& probes) {
        std::string name = rules_.expression(table, column.name);
        if (add_asked(table, column, probes))
            return;
        const bool asked = rules_.column(table.name, column.name) &&
                           !rules_.column(table.name, column.name)->to.empty();
        if (schema::wants_length(table, column, target_))
            probes.push_back({&column, Probe::Kind::length,
                              fmt::format("coalesce(max(char_length({}::text)), 0)", name), "", "",
                              "", true});
        switch (column.type) {
        case Type::numeric:
            bad(probes, column, name + "::text IN ('NaN', 'Infinity', '-Infinity')",
                "not a number that DECIMAL holds (NaN or Infinity)");
            if (!asked && schema::wants_digits(column, target_)) {
                std::string finite = fmt::format(
                    "CASE WHEN {0}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN {0} END",
                    name);
                probes.push_back({&column, Probe::Kind::integer_digits,
                                  "coalesce(max(length(trunc(abs(" + finite + "))::text)), 0)", "",
                                  "", "", true});
                probes.push_back({&column, Probe::Kind::fraction_digits,
                                  "coalesce(max(scale(" + finite + ")), 0)", "", "", "", true});
            }
            return;
        case Type::float32:
        case Type::float64:
            bad(probes, column, name + " IN ('NaN', 'Infinity', '-Infinity')",
                "not a number that DOUBLE holds (NaN or Infinity)");
            if (target_ == db::Flavour::mariadb)
                bad(probes, column, name + " = 0 AND " + name + "::text LIKE '-%'",
                    "-0, which becomes 0 there", "", false);
            return;
        case Type::geometry:
            if (column.engine_type != "point")
                return;
            bad(probes, column,
                fmt::format("({0})[0]::text IN ('NaN', 'Infinity', '-Infinity') OR ({0})[1]::text "
                            "IN ('NaN', 'Infinity', '-Infinity')",
                            name),
                "not a point that POINT holds (NaN or Infinity)");
            return;
        case Type::array:
        case Type::composite:
            add_lossy(probes, column, "to_json(" + name + ")::text");
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
            add_lossy(probes, column, name + "::text");
            return;
        case Type::json:
            if (asked) // JSON, where text was enough
                add_lossy(probes, column, name + "::text");
            return;
        default:
            return;
        }
    }

    Source& source_;
    const rules::Decisions& rules_;
    const schema::Target& description_;
    db::Flavour target_;
    const Options& options_;
    ProgressPtr progress_;
    Cancel& cancel_;
    Scan out_;
};

} // namespace

Scan scan_postgresql(Source& source, const rules::Decisions& rules, const schema::Target& target,
                     const Options& options, const ProgressPtr& progress, Cancel& cancel) {
    return Scanner(source, rules, target, options, progress, cancel).run();
}

} // namespace runbook::copy
