// Tables without a key: how often each row occurs on each side.
// Two passes under the same snapshot. First a sum of 128-bit row hashes and a count for each of
// 65536 buckets: sums mod 2^128, because with XOR two equal rows would cancel out. Then only
// buckets that differ are read again, row by row, as many at a time as fit the memory limit. One
// reader thread a side.
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/transfer/verify/compare.h"

#include <exception>
#include <thread>
#include <unordered_map>

namespace runbook::verify {
namespace {

constexpr std::size_t bucket_count = 65536;
constexpr std::int64_t rows_at_once = 400'000;
constexpr int most_passes = 8;

struct Bucket {
    Hash128 sum;
    std::int64_t rows = 0;
    bool operator==(const Bucket&) const = default;
};

void add(Hash128& sum, const Hash128& hash) {
    sum.low += hash.low;
    sum.high += hash.high + (sum.low < hash.low ? 1 : 0);
}

/// Calls `take(hash, payload)` for every row of one side.
template <class Take>
void read_all(RowSource& side, const TablePlan& plan, Cancel& cancel, Take take) {
    struct Closed {
        RowSource& side;
        Cancel& cancel;
        ~Closed() { side.close(cancel); }
    } closed{side, cancel};
    bool json = false;
    for (const ColumnPair& pair : plan.columns)
        json |= pair.form == Form::json;
    side.open(plan, {}, cancel);
    Batch batch;
    Buffer strict;
    bool more = true;
    while (more) {
        batch.clear();
        more = side.fill(batch, cancel);
        for (const Row& each : batch.rows) {
            std::string_view payload = batch.payload(each);
            if (json) {
                strict.clear();
                const char* at = payload.data();
                for (const ColumnPair& pair : plan.columns)
                    put_strict(pair, next_cell(at), strict);
                payload = strict.view();
            }
            take(hash_of(payload), payload);
        }
    }
}

/// Runs both at once; the first failure stops the other side and is rethrown.
template <class Work>
void on_both(RowSource& source, RowSource& target, Work work) {
    std::exception_ptr failed[2];
    std::thread other([&] {
        try {
            work(target, 1);
        } catch (const std::exception&) {
            failed[1] = std::current_exception();
            source.stop();
        }
    });
    try {
        work(source, 0);
    } catch (const std::exception&) {
        failed[0] = std::current_exception();
        target.stop();
    }
    other.join();
    // A side that was only stopped says "cancelled"; the cause is the other one's.
    for (const std::exception_ptr& error : failed)
        if (error) {
            try {
                std::rethrow_exception(error);
            } catch (const Error& cause) {
                const bool both = failed[0] && failed[1];
                if (!both || cause.kind() != "db.cancelled")
                    throw;
            }
        }
    if (failed[0])
        std::rethrow_exception(failed[0]);
}

struct HashOf {
    std::size_t operator()(const Hash128& hash) const { return hash.low; }
};
struct Tally {
    std::int64_t rows[2] = {0, 0};
    std::string payload; ///< of the first few that differ
};

std::size_t bucket_of(const Hash128& hash) {
    return hash.high >> 48;
}

Sample describe_row(const TablePlan& plan, const Tally& tally, const Options& options) {
    Sample sample;
    sample.table = plan.name;
    sample.kind = tally.rows[0] > tally.rows[1] ? "missing" : "extra";
    const char* at = tally.payload.data();
    for (std::size_t i = 0; i < plan.columns.size() && i < 4 && !tally.payload.empty(); ++i) {
        CellView cell = next_cell(at);
        std::string value =
            options.show_values ? redact(show(plan.columns[i], cell, 40)) : "(hidden)";
        sample.columns.push_back({plan.columns[i].source.name, tally.rows[0] ? value : "(none)",
                                  tally.rows[1] ? value : "(none)"});
    }
    sample.columns.push_back(
        {"number of such rows", std::to_string(tally.rows[0]), std::to_string(tally.rows[1])});
    return sample;
}

} // namespace

void compare_as_multiset(const TablePlan& plan, RowSource& source, RowSource& target,
                         const Options& options, const RowsSeen& seen, Cancel& cancel,
                         Comparison& comparison) {
    std::vector<Bucket> buckets[2] = {std::vector<Bucket>(bucket_count),
                                      std::vector<Bucket>(bucket_count)};
    std::int64_t rows[2] = {0, 0};
    Hash128 sums[2];
    on_both(source, target, [&](RowSource& side, int which) {
        read_all(side, plan, cancel, [&](const Hash128& hash, std::string_view) {
            Bucket& bucket = buckets[which][bucket_of(hash)];
            add(bucket.sum, hash);
            ++bucket.rows;
            add(sums[which], hash);
            if (++rows[which] % 50'000 == 0 && which == 0)
                seen(rows[which]);
        });
    });
    TableResult& result = comparison.result;
    result.method = "multiset";
    result.source_rows = rows[0];
    result.target_rows = rows[1];
    result.compared = std::max(rows[0], rows[1]);
    result.missing = result.extra = 0;
    comparison.source_sum = sums[0];
    comparison.target_sum = sums[1];
    comparison.multiset_samples.clear();

    std::vector<std::size_t> differing;
    for (std::size_t i = 0; i < bucket_count; ++i)
        if (buckets[0][i] != buckets[1][i])
            differing.push_back(i);
    std::size_t next = 0;
    for (int pass = 0; pass < most_passes && next < differing.size(); ++pass) {
        std::vector<bool> wanted(bucket_count, false);
        std::int64_t expected = 0;
        while (next < differing.size() && expected < rows_at_once) {
            expected += buckets[0][differing[next]].rows + buckets[1][differing[next]].rows;
            wanted[differing[next++]] = true;
        }
        std::unordered_map<Hash128, Tally, HashOf> tallies;
        for (int which : {0, 1}) {
            read_all(which == 0 ? source : target, plan, cancel,
                     [&](const Hash128& hash, std::string_view payload) {
                         if (!wanted[bucket_of(hash)])
                             return;
                         Tally& tally = tallies[hash];
                         ++tally.rows[which];
                         if (tally.payload.empty() && payload.size() < 4096 &&
                             tallies.size() < 4096)
                             tally.payload = payload;
                     });
        }
        for (const auto& [hash, tally] : tallies) {
            result.missing += std::max<std::int64_t>(0, tally.rows[0] - tally.rows[1]);
            result.extra += std::max<std::int64_t>(0, tally.rows[1] - tally.rows[0]);
            if (tally.rows[0] != tally.rows[1] &&
                comparison.multiset_samples.size() < options.samples)
                comparison.multiset_samples.push_back(describe_row(plan, tally, options));
        }
    }
    // What did not fit the passes is counted from the buckets: at least one row differs in each.
    for (; next < differing.size(); ++next) {
        std::int64_t more = buckets[0][differing[next]].rows - buckets[1][differing[next]].rows;
        (more >= 0 ? result.missing : result.extra) += std::max<std::int64_t>(1, std::abs(more));
    }
}

} // namespace runbook::verify
