// Differing keys read again under new snapshots, so that a row in motion is told from a difference
// that stands; and the sampled comparison, which looks up keys in the same way. Runs on the
// caller's thread.
#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/transfer/verify/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <unordered_map>

namespace runbook::verify {
namespace {

constexpr std::size_t keys_at_once = 200;

using Found = std::unordered_map<std::string, std::string>; // encoded key → payload

void pause(double seconds, Cancel& cancel) {
    const double until = time::monotonic() + seconds;
    while (time::monotonic() < until) {
        cancel.check("verify");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

/// Rows of one side that match `where`, by encoded key.
Found fetch(const TablePlan& plan, RowSource& side, const std::string& where, Cancel& cancel) {
    struct Closed {
        RowSource& side;
        Cancel& cancel;
        ~Closed() { side.close(cancel); }
    } closed{side, cancel};
    Found found;
    side.open(plan, where, cancel);
    Batch batch;
    bool more = true;
    while (more) {
        batch.clear();
        more = side.fill(batch, cancel);
        for (const Row& row : batch.rows)
            found[std::string(batch.key(row))] = batch.payload(row);
    }
    return found;
}

std::string take(Found& found, const std::string& key) {
    auto it = found.find(key);
    return it == found.end() ? std::string() : std::move(it->second);
}

/// One observation of one suspect; true while the sides differ.
bool observe(const TablePlan& plan, Suspect& suspect, const std::string& source,
             const std::string& target, const Options& options) {
    if (!source.empty() && !target.empty() && same_row(plan, source, target))
        return false;
    if (source.empty() && target.empty())
        return false;
    const Hash128 left = hash_of(source), right = hash_of(target);
    suspect.moved |= !(left == suspect.source) || !(right == suspect.target);
    suspect.source = left;
    suspect.target = right;
    suspect.kind = source.empty() ? "extra" : target.empty() ? "missing" : "changed";
    if (suspect.sample)
        suspect.sample = describe(plan, source, target, options);
    return true;
}

} // namespace

// Where a key cannot be written as a literal, its suspect becomes fixed.
void look_up(const TablePlan& plan, std::vector<Suspect>& suspects, RowSource& source,
             RowSource& target, Cancel& cancel, const Look& look) {
    for (std::size_t from = 0; from < suspects.size(); from += keys_at_once) {
        const std::size_t to = std::min(suspects.size(), from + keys_at_once);
        std::vector<std::string> keys;
        for (std::size_t i = from; i < to; ++i)
            if (!suspects[i].fixed)
                keys.push_back(suspects[i].key_payload);
        if (keys.empty())
            continue;
        const std::string left = where_keys(plan, Which::source, keys);
        const std::string right = where_keys(plan, Which::target, keys);
        const bool readable = !left.empty() && !right.empty();
        Found in_source = readable ? fetch(plan, source, left, cancel) : Found{};
        Found in_target = readable ? fetch(plan, target, right, cancel) : Found{};
        for (std::size_t i = from; i < to; ++i) {
            if (suspects[i].fixed)
                continue;
            if (readable)
                look(suspects[i], take(in_source, suspects[i].key),
                     take(in_target, suspects[i].key));
            else
                suspects[i].fixed = true;
        }
    }
}

namespace {

/// Under the snapshots of the comparison a look-up must find what the streams saw. Where it does
/// not, the key's literal misses its row, and believing it later would make a difference vanish.
void calibrate(const TablePlan& plan, Comparison& comparison, RowSource& source, RowSource& target,
               Cancel& cancel) {
    look_up(plan, comparison.suspects, source, target, cancel,
            [](Suspect& suspect, const std::string& left, const std::string& right) {
                suspect.fixed =
                    !(hash_of(left) == suspect.source) || !(hash_of(right) == suspect.target);
            });
}

/// One round over one table: drops the suspects that agree now.
void observe_table(const TablePlan& plan, Comparison& comparison, RowSource& source,
                   RowSource& target, const Options& options, Cancel& cancel) {
    look_up(plan, comparison.suspects, source, target, cancel,
            [&](Suspect& suspect, const std::string& left, const std::string& right) {
                suspect.agrees = !observe(plan, suspect, left, right, options);
            });
    std::erase_if(comparison.suspects, [](const Suspect& suspect) { return suspect.agrees; });
}

/// A multiset compared again; true while it differs.
bool observe_multiset(const TablePlan& plan, Comparison& comparison, RowSource& source,
                      RowSource& target, const Options& options, bool& moved, Cancel& cancel) {
    const Hash128 left = comparison.source_sum, right = comparison.target_sum;
    compare_as_multiset(
        plan, source, target, options, [](std::int64_t) {}, cancel, comparison);
    moved |= !(left == comparison.source_sum) || !(right == comparison.target_sum);
    return comparison.result.mismatches() > 0;
}

/// Counts by kind from the suspects that still stand; those beyond the limit were counted before.
void settle(Comparison& comparison, TableResult before, std::size_t remembered) {
    TableResult& result = comparison.result;
    const auto beyond = before.mismatches() - static_cast<std::int64_t>(remembered);
    result.missing = result.extra = result.changed = result.unsettled = 0;
    for (const Suspect& suspect : comparison.suspects) {
        std::int64_t& counter = suspect.moved               ? result.unsettled
                                : suspect.kind == "missing" ? result.missing
                                : suspect.kind == "extra"   ? result.extra
                                                            : result.changed;
        ++counter;
    }
    if (beyond > 0)
        (before.changed >= before.missing + before.extra ? result.changed
         : before.missing >= before.extra                ? result.missing
                                                         : result.extra) += beyond;
}

} // namespace

void recheck(const std::vector<Suspected>& tables, RowSource& source, RowSource& target,
             const Options& options, Cancel& cancel) {
    struct State {
        Suspected at;
        TableResult before;
        std::size_t remembered;
        bool moved = false;
    };
    std::vector<State> states;
    for (const Suspected& table : tables)
        states.push_back({table, table.comparison->result, table.comparison->suspects.size()});
    for (State& state : states)
        if (state.at.plan->key_columns > 0)
            calibrate(*state.at.plan, *state.at.comparison, source, target, cancel);
    double delay = options.recheck_delay;
    for (int round = 0; round < options.recheck_rounds; ++round, delay *= 3) {
        const bool open = std::any_of(states.begin(), states.end(), [](const State& state) {
            const Comparison& comparison = *state.at.comparison;
            return !comparison.suspects.empty() ||
                   (state.at.plan->key_columns == 0 && comparison.result.mismatches() > 0);
        });
        if (!open)
            break;
        pause(delay, cancel);
        source.snapshot({}, cancel);
        target.snapshot({}, cancel);
        for (State& state : states) {
            const TablePlan& plan = *state.at.plan;
            if (plan.key_columns > 0)
                observe_table(plan, *state.at.comparison, source, target, options, cancel);
            else if (state.at.comparison->result.mismatches() > 0)
                observe_multiset(plan, *state.at.comparison, source, target, options, state.moved,
                                 cancel);
        }
    }
    for (State& state : states) {
        Comparison& comparison = *state.at.comparison;
        if (state.at.plan->key_columns > 0) {
            settle(comparison, state.before, state.remembered);
        } else if (state.moved) {
            TableResult& result = comparison.result;
            result.unsettled = result.mismatches();
            result.missing = result.extra = 0;
        }
    }
}

void compare_sample(const TablePlan& plan, RowSource& source, RowSource& target,
                    const Options& options, Cancel& cancel, Comparison& comparison) {
    TableResult& result = comparison.result;
    result.method = "sample";
    result.source_rows = source.count(plan, cancel);
    result.target_rows = target.count(plan, cancel);
    if (plan.key_columns == 0)
        throw Error("verify.error", fmt::format("{}: a sample needs a key", plan.name),
                    "compare this table in full");
    const bool mysql = plan.side(Which::source, 0).flavour == db::Flavour::mysql ||
                       plan.side(Which::source, 0).flavour == db::Flavour::mariadb;
    // The chosen keys, then the same lookups as a re-check: the sample is small, its rows are not
    // kept in order.
    std::string keys, names;
    for (std::size_t i = 0; i < plan.key_columns; ++i) {
        const ColumnPair& pair = plan.columns[i];
        const std::string name = source.connection().quote_name(pair.source.name);
        keys += (i ? ", " : "") + name;
        names += (i ? ", " : "") + name;
    }
    const std::string where = fmt::format(
        "({}) IN (SELECT {} FROM (SELECT {} FROM {} ORDER BY {} LIMIT {}) AS chosen)", keys, names,
        names, plan.from(Which::source), mysql ? "RAND()" : "random()", options.sample);
    Found chosen = fetch(plan, source, where, cancel);
    std::vector<std::string> payloads;
    std::vector<const Found::value_type*> rows;
    auto look = [&] {
        const std::string there = where_keys(plan, Which::target, payloads);
        if (there.empty() && !payloads.empty())
            throw Error("verify.error",
                        fmt::format("{}: its key cannot be looked up on the other side", plan.name),
                        "compare this table in full");
        Found found = payloads.empty() ? Found{} : fetch(plan, target, there, cancel);
        for (const auto* row : rows) {
            const std::string other = take(found, row->first);
            ++result.compared;
            if (!other.empty() && same_row(plan, row->second, other))
                continue;
            ++(other.empty() ? result.missing : result.changed);
            Suspect suspect;
            suspect.key = row->first;
            suspect.key_payload = key_payload(plan, row->second);
            suspect.kind = other.empty() ? "missing" : "changed";
            suspect.source = hash_of(row->second);
            suspect.target = hash_of(other);
            if (comparison.suspects.size() < options.samples)
                suspect.sample = describe(plan, row->second, other, options);
            if (comparison.suspects.size() < max_suspects)
                comparison.suspects.push_back(std::move(suspect));
        }
        payloads.clear();
        rows.clear();
    };
    for (const auto& row : chosen) {
        payloads.push_back(key_payload(plan, row.second));
        rows.push_back(&row);
        if (payloads.size() == keys_at_once)
            look();
    }
    look();
}

} // namespace runbook::verify
