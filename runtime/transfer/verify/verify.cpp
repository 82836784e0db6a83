// Pairs the tables of two sides, has each pair compared, and sums up (see verify.h). Runs on the
// caller's thread.
#include "runtime/transfer/verify/verify.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/transfer/verify/compare.h"
#include "runtime/transfer/verify/inventory.h"
#include "runtime/transfer/verify/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>

namespace runbook::verify {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

/// A key of one table whose columns exist on both sides and sort alike; the columns' source names.
std::vector<std::string> usable_key(const Inventory& source, const InventoryTable& from,
                                    const Inventory& target, const InventoryTable& to) {
    auto usable = [&](const std::vector<std::string>& key) {
        return std::all_of(key.begin(), key.end(), [&](const std::string& name) {
            const InventoryColumn* a = from.column(name);
            const InventoryColumn* b = to.column(name);
            return a && b &&
                   sortable(pair_columns(source.flavour, *a, target.flavour, *b, true).form);
        });
    };
    for (const InventoryTable* table : {&from, &to})
        for (const std::vector<std::string>& key : table->keys)
            if (!key.empty() && usable(key)) {
                std::vector<std::string> names;
                for (const std::string& name : key)
                    names.push_back(from.column(name)->name);
                return names;
            }
    return {};
}

/// Throws Error{`verify.error`} where a column of the source would stay uncompared without a
/// reason.
TablePlan make_plan(const Inventory& source, const InventoryTable& from, const Inventory& target,
                    const InventoryTable& to, const Options& options) {
    TablePlan plan;
    plan.name = from.name;
    plan.source_from = from.from;
    plan.target_from = to.from;
    plan.estimated_rows = std::max(from.estimated_rows, to.estimated_rows);
    const std::vector<std::string> key = usable_key(source, from, target, to);
    plan.key_columns = key.size();
    auto add = [&](const InventoryColumn& a, const InventoryColumn& b, bool is_key) {
        ColumnPair pair = pair_columns(source.flavour, a, target.flavour, b, is_key);
        pair.zero_date_is_null = options.zero_date_is_null;
        plan.columns.push_back(std::move(pair));
    };
    for (const std::string& name : key)
        add(*from.column(name), *to.column(name), true);
    for (const InventoryColumn& column : from.columns) {
        if (contains(key, column.name))
            continue;
        if (const InventoryColumn* other = to.column(column.name)) {
            add(column, *other, false);
        } else if (family_of(source.flavour, column.type) == Family::omitted) {
            plan.omitted.push_back(
                fmt::format("{} ({} has no counterpart)", column.name, column.type));
        } else if (contains(options.omit_columns, from.name + "." + column.name)) {
            plan.omitted.push_back(column.name + " (left out as asked)");
        } else {
            throw Error("verify.error", fmt::format("column {} is not in the target", column.name));
        }
    }
    for (const InventoryColumn& column : to.columns)
        if (!from.column(column.name))
            plan.omitted.push_back(column.name + (column.generated ? " (generated in the target)"
                                                                   : " (only in the target)"));
    if (plan.columns.empty())
        throw Error("verify.error", "the two sides have no column in common");
    return plan;
}

class Verification {
  public:
    Verification(const db::Url& source, const db::Url& target, const Options& options,
                 const ProgressPtr& progress, Cancel& cancel)
        : options_(options), progress_(progress), cancel_(cancel),
          source_(open_rows(source, Which::source, cancel)),
          target_(open_rows(target, Which::target, cancel)) {}

    Result run() {
        const double began = time::monotonic();
        pair_tables();
        source_->prepare(cancel_);
        target_->prepare(cancel_);
        source_->snapshot(options_.shared_snapshot, cancel_);
        target_->snapshot({}, cancel_);
        for (TablePlan& plan : plans_)
            compare(plan);
        settle();
        write_repairs();
        sum_up();
        result_.seconds = time::monotonic() - began;
        return std::move(result_);
    }

  private:
    void unchecked(const std::string& table, const std::string& reason) {
        result_.unchecked.push_back({table, redact(reason)});
    }

    void pair_tables() {
        Inventory source = read_inventory(source_->connection(), options_.schema);
        const View view =
            view_by(options_.rules, source_->connection(), options_.schema, source, cancel_);
        const Inventory target = read_inventory(target_->connection(), options_.schema);
        std::vector<std::string> met;
        for (const std::string& name : options_.tables)
            if (!source.table(name))
                unchecked(name, "not in the source");
        for (const InventoryTable& from : source.tables) {
            auto renamed = options_.rename.find(from.name);
            auto ruled = view.renamed.find(from.name);
            const std::string& wanted = renamed != options_.rename.end() ? renamed->second
                                        : ruled != view.renamed.end()    ? ruled->second
                                                                         : from.name;
            const InventoryTable* to = target.table(wanted);
            if (to)
                met.push_back(to->name);
            if (contains(options_.exclude, from.name) || contains(view.left_out, from.name) ||
                (!options_.tables.empty() && !contains(options_.tables, from.name)))
                continue;
            if (!to) {
                unchecked(from.name, fmt::format("there is no table {} in the target", wanted));
                continue;
            }
            try {
                plans_.push_back(make_plan(source, from, target, *to, options_));
                if (auto told = view.columns.find(from.name); told != view.columns.end())
                    plans_.back().omitted.insert(plans_.back().omitted.end(), told->second.begin(),
                                                 told->second.end());
                targets_.push_back(to->name);
            } catch (const Error& error) {
                unchecked(from.name, error.message());
            }
        }
        for (const InventoryTable& table : target.tables)
            if (!contains(met, table.name))
                result_.only_in_target.push_back(table.name);
    }

    /// A table that fails is unchecked, and the next one is tried where both sessions are still
    /// alive.
    void compare(TablePlan& plan) {
        Comparison& comparison = comparisons_.emplace_back();
        comparison.result.table = plan.name;
        comparison.result.target = targets_[comparisons_.size() - 1];
        comparison.result.omitted_columns = plan.omitted;
        const double began = time::monotonic();
        try {
            for (RowSource* side : {source_.get(), target_.get()})
                if (!side->alive())
                    throw Error("db.connection",
                                fmt::format("{}: the connection was lost before this table",
                                            side->connection().url().masked()));
            compare_in_order(plan, comparison);
            checked_.push_back(true);
        } catch (const Error& error) {
            if (cancel_.requested())
                cancel_.check("verify");
            checked_.push_back(false);
            unchecked(plan.name, error.message());
            comparison.suspects.clear();
        }
        comparison.result.seconds = time::monotonic() - began;
    }

    /// As a multiset where the keys have no order that both sides share: uuids as text in mixed
    /// case, say.
    void compare_in_order(TablePlan& plan, Comparison& comparison) {
        const TableResult begun = comparison.result;
        try {
            compare_by_mode(plan, comparison);
        } catch (const OutOfOrder&) {
            plan.key_columns = 0;
            comparison = {};
            comparison.result = begun;
            compare_by_mode(plan, comparison);
        }
    }

    void compare_by_mode(const TablePlan& plan, Comparison& comparison) {
        TableResult& result = comparison.result;
        RowsSeen seen = [&](std::int64_t rows) {
            if (progress_)
                progress_->report({plan.name, rows,
                                   plan.estimated_rows ? std::max(rows, plan.estimated_rows) : 0, 0,
                                   0});
        };
        if (options_.mode == Mode::full) {
            if (plan.key_columns > 0)
                compare_by_key(plan, *source_, *target_, options_, seen, cancel_, comparison);
            else
                compare_as_multiset(plan, *source_, *target_, options_, seen, cancel_, comparison);
            return;
        }
        if (options_.mode == Mode::sample) {
            compare_sample(plan, *source_, *target_, options_, cancel_, comparison);
        } else {
            result.method = "counts";
            result.source_rows = source_->count(plan, cancel_);
            result.target_rows = target_->count(plan, cancel_);
        }
        const std::int64_t more = result.source_rows - result.target_rows;
        result.missing = std::max(result.missing, more);
        result.extra = std::max(result.extra, -more);
        seen(result.source_rows);
    }

    /// Re-checks what differs; where the reading fails the differences stay as they were seen.
    void settle() {
        std::vector<Suspected> suspected;
        std::size_t at = 0;
        for (Comparison& comparison : comparisons_) {
            const TablePlan& plan = plans_[at];
            if (checked_[at++] && comparison.result.mismatches() > 0 && options_.mode == Mode::full)
                suspected.push_back({&plan, &comparison});
        }
        if (suspected.empty() || !options_.shared_snapshot.empty() || options_.recheck_rounds < 1)
            return;
        try {
            recheck(suspected, *source_, *target_, options_, cancel_);
        } catch (const Error& error) {
            if (cancel_.requested())
                throw;
            for (const Suspected& table : suspected)
                unchecked(table.plan->name,
                          "differences could not be read again: " + error.message());
        }
    }

    void write_repairs() {
        if (!options_.repair || options_.mode != Mode::full)
            return;
        RepairSink sink = options_.repair;
        std::size_t at = 0;
        for (Comparison& comparison : comparisons_) {
            const TablePlan& plan = plans_[at];
            if (!checked_[at++] ||
                comparison.result.mismatches() + comparison.result.unsettled == 0)
                continue;
            const Repaired repaired =
                write_repair(plan, comparison, *source_, *target_, sink, cancel_);
            result_.repairs += repaired.statements;
            result_.not_repaired += repaired.left;
            if (repaired.left > 0)
                sink(
                    fmt::format("-- {}: {} more without a statement: {}\n", plan.name,
                                text::grouped(repaired.left),
                                plan.key_columns == 0
                                    ? "the table has no key"
                                    : "in motion, more than are remembered, or without a literal"));
        }
    }

    void sum_up() {
        std::int64_t larger = 0, compared = 0, equal = 0;
        std::size_t at = 0, checked = 0;
        for (Comparison& comparison : comparisons_) {
            TableResult& table = comparison.result;
            for (const std::string& column : table.omitted_columns)
                result_.omitted_columns.push_back(table.table + "." + column);
            if (!checked_[at++])
                continue;
            ++checked;
            result_.rows += table.source_rows;
            result_.missing += table.missing;
            result_.extra += table.extra;
            result_.changed += table.changed;
            result_.unsettled += table.unsettled;
            const std::int64_t most = std::max(table.source_rows, table.target_rows);
            larger += most;
            compared += std::min(table.compared, most);
            equal += std::max<std::int64_t>(0, std::min(table.compared, most) - table.mismatches() -
                                                   table.unsettled);
            take_samples(comparison);
            result_.tables.push_back(table);
        }
        const std::size_t asked = checked + result_.unchecked.size();
        const double of_rows = larger > 0
                                   ? static_cast<double>(compared) / static_cast<double>(larger)
                               : options_.mode == Mode::counts ? 0
                                                               : 1;
        if (asked > 0)
            result_.coverage = of_rows * static_cast<double>(checked) / static_cast<double>(asked);
        if (checked > 0)
            result_.match_ratio =
                larger > 0 ? static_cast<double>(equal) / static_cast<double>(larger) : 1;
    }

    void take_samples(Comparison& comparison) {
        for (Suspect& suspect : comparison.suspects)
            if (suspect.sample && result_.samples.size() < options_.samples)
                result_.samples.push_back(std::move(*suspect.sample));
        for (Sample& sample : comparison.multiset_samples)
            if (result_.samples.size() < options_.samples)
                result_.samples.push_back(std::move(sample));
    }

    const Options& options_;
    ProgressPtr progress_;
    Cancel& cancel_;
    std::unique_ptr<RowSource> source_, target_;
    std::vector<TablePlan> plans_;
    std::vector<std::string> targets_;
    std::list<Comparison> comparisons_;
    std::vector<bool> checked_;
    Result result_;
};

Value texts(const std::vector<std::string>& list) {
    List out;
    for (const std::string& text : list)
        out.emplace_back(text);
    return out;
}

Map table_map(const TableResult& table) {
    return {{"table", table.table},
            {"target", table.target},
            {"method", table.method},
            {"source_rows", table.source_rows},
            {"target_rows", table.target_rows},
            {"mismatches", table.mismatches()},
            {"missing", table.missing},
            {"extra", table.extra},
            {"changed", table.changed},
            {"unsettled", table.unsettled},
            {"omitted_columns", texts(table.omitted_columns)},
            {"seconds", table.seconds}};
}

Map sample_map(const Sample& sample) {
    List columns;
    for (const ColumnDifference& column : sample.columns)
        columns.push_back(
            Map{{"name", column.name}, {"source", column.source}, {"target", column.target}});
    return {{"table", sample.table},
            {"key", sample.key},
            {"kind", sample.kind},
            {"columns", std::move(columns)},
            {"text", sample.text()}};
}

} // namespace

Mode parse_mode(std::string_view word) {
    if (word == "full")
        return Mode::full;
    if (word == "counts")
        return Mode::counts;
    if (word == "sample")
        return Mode::sample;
    throw Error(
        "argument",
        fmt::format("verify: mode is \"full\", \"counts\" or \"sample\", not \"{}\"", word));
}

Result verify_database(const db::Url& source, const db::Url& target, const Options& options,
                       const ProgressPtr& progress, Cancel& cancel) {
    return Verification(source, target, options, progress, cancel).run();
}

std::string Result::summary() const {
    std::vector<std::string> parts;
    for (const TableResult& table : tables) {
        std::vector<std::string> kinds;
        for (const auto& [count, kind] : {std::pair(table.missing, "missing"),
                                          {table.extra, "extra"},
                                          {table.changed, "changed"},
                                          {table.unsettled, "unsettled"}})
            if (count > 0)
                kinds.push_back(text::grouped(count) + " " + kind);
        if (!kinds.empty())
            parts.push_back(table.table + ": of " + text::grouped(table.source_rows) + " rows " +
                            text::join(kinds, ", "));
    }
    for (std::size_t i = 0; i < samples.size() && i < 3; ++i)
        parts.push_back(samples[i].text());
    for (const Unchecked& entry : unchecked)
        parts.push_back(entry.table + " was not compared: " + entry.reason);
    if (!parts.empty())
        return text::join(parts, "; ");
    return text::grouped(rows) + " rows of " + std::to_string(tables.size()) + " tables" +
           (passed() ? ", every column equal" : ", coverage below 1");
}

Map to_map(const Result& result) {
    List tables, unchecked, samples, seen;
    for (const TableResult& table : result.tables) {
        tables.push_back(table_map(table));
        seen.emplace_back(table.table);
    }
    for (const Unchecked& entry : result.unchecked)
        unchecked.push_back(Map{{"table", entry.table}, {"reason", entry.reason}});
    for (const Sample& sample : result.samples)
        samples.push_back(sample_map(sample));
    return {{"coverage", result.coverage},
            {"mismatches", result.mismatches()},
            {"missing", result.missing},
            {"extra", result.extra},
            {"changed", result.changed},
            {"unsettled", result.unsettled},
            {"unchecked", std::move(unchecked)},
            {"rows", result.rows},
            {"tables", std::move(tables)},
            {"samples", std::move(samples)},
            {"tables_seen", std::move(seen)},
            {"omitted_columns", texts(result.omitted_columns)},
            {"only_in_target", texts(result.only_in_target)},
            {"match_ratio", result.match_ratio},
            {"passed", result.passed()},
            {"repairs", result.repairs},
            {"not_repaired", result.not_repaired},
            {"seconds", result.seconds},
            {"detail", result.summary()}};
}

} // namespace runbook::verify
