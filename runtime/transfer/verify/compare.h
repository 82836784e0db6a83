// Two streams merged, and what differs.
// Runs on the caller's thread. Memory is bounded: beyond a limit differences are counted, no longer
// remembered.
#pragma once

#include "runtime/base/progress.h"
#include "runtime/transfer/verify/rows.h"
#include "runtime/transfer/verify/verify.h"

#include <functional>
#include <optional>

namespace runbook::verify {

struct Hash128 {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Hash128&) const = default;
};
Hash128 hash_of(std::string_view data);

/// A differing key that is read again before it is believed.
struct Suspect {
    std::string key;         ///< encoded
    std::string key_payload; ///< cells of the key columns, for literals
    std::string kind;        ///< missing, extra, changed
    Hash128 source, target;  ///< of the rows as last seen; zero where there is none
    bool moved = false;      ///< differed between two observations
    bool fixed = false;      ///< cannot be looked up by its key: stands as it was seen
    bool agrees = false;     ///< found equal, or gone from both sides, by a later look
    std::optional<Sample> sample;
};

/// What one table's comparison left behind.
struct Comparison {
    TableResult result;
    std::vector<Suspect> suspects;
    std::vector<Sample> multiset_samples;
    Hash128 source_sum, target_sum; ///< of a multiset: to see whether it moved
};

using RowsSeen = std::function<void(std::int64_t rows)>;

/// The most differences of one table that are remembered for a re-check.
constexpr std::size_t max_suspects = 5000;

/// Equal by meaning; JSON that differs in bytes is compared by meaning.
bool same_row(const TablePlan& plan, std::string_view source, std::string_view target);
/// A difference described; the payload of an absent row is empty.
Sample describe(const TablePlan& plan, std::string_view source, std::string_view target,
                const Options& options);
std::string key_payload(const TablePlan& plan, std::string_view payload);

/// Merges both sides in key order.
void compare_by_key(const TablePlan& plan, RowSource& source, RowSource& target,
                    const Options& options, const RowsSeen& seen, Cancel& cancel,
                    Comparison& comparison);
/// Compares without a key: how often each row occurs on each side.
void compare_as_multiset(const TablePlan& plan, RowSource& source, RowSource& target,
                         const Options& options, const RowsSeen& seen, Cancel& cancel,
                         Comparison& comparison);
/// Reads the suspects again under new snapshots until they agree, stand still, or the rounds are
/// used up; writes the final counts and samples. Throws what the reading throws.
struct Suspected {
    const TablePlan* plan;
    Comparison* comparison;
};
void recheck(const std::vector<Suspected>& tables, RowSource& source, RowSource& target,
             const Options& options, Cancel& cancel);
/// Calls `look(suspect, source row, target row)` for every suspect that is not fixed, a few hundred
/// keys a query; a row that is not there is empty.
using Look = std::function<void(Suspect&, const std::string&, const std::string&)>;
void look_up(const TablePlan& plan, std::vector<Suspect>& suspects, RowSource& source,
             RowSource& target, Cancel& cancel, const Look& look);

struct Repaired {
    std::int64_t statements = 0;
    std::int64_t left = 0; ///< differences without a statement: no key, in motion, beyond the limit
};
/// Writes a statement for each difference that still stands as it was last seen.
Repaired write_repair(const TablePlan& plan, Comparison& comparison, RowSource& source,
                      RowSource& target, RepairSink& sink, Cancel& cancel);
/// Mode::sample: rows that the source chooses, looked up on both sides.
void compare_sample(const TablePlan& plan, RowSource& source, RowSource& target,
                    const Options& options, Cancel& cancel, Comparison& comparison);

} // namespace runbook::verify
