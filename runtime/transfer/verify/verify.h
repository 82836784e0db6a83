// Row-level verification of two databases of any engine, independent of the copy that filled one of
// them. Owns: two read-only sessions of its own, one snapshot each, two reader threads. Blocks the
// caller's thread, which merges. Memory does not grow with the number of rows. Never writes, never
// passes what it could not compare.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"
#include "runtime/db/url.h"
#include "runtime/transfer/rules/rules.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::verify {

enum class Mode : std::uint8_t {
    full,   ///< every row, every column
    counts, ///< numbers of rows only; coverage 0
    sample  ///< `sample` rows a table, chosen by the source at random, and the counts
};

/// "full", "counts", "sample"; throws Error{`argument`}.
Mode parse_mode(std::string_view word);

/// Takes statements, each with its end of line.
using RepairSink = std::function<void(const std::string& sql)>;

struct Options {
    Mode mode = Mode::full;
    std::vector<std::string> tables;  ///< source names; empty: all
    std::vector<std::string> exclude; ///< source names left out on purpose; they lower nothing
    std::map<std::string, std::string> rename; ///< source table → target table
    rules::Rules rules; ///< of the copy that is judged: the source is read as they say
    std::vector<std::string> omit_columns; ///< `table.column` that the target lacks on purpose
    std::string schema;                    ///< PostgreSQL schema on either side; empty: `public`
    std::string shared_snapshot; ///< exported PostgreSQL snapshot for the source; no re-check then
    std::int64_t sample = 1000;  ///< rows a table in Mode::sample
    int recheck_rounds = 3;      ///< how often differing keys are read again
    double recheck_delay = 0.25; ///< seconds before the first round; times 3 for each further one
    std::size_t samples = 20;    ///< differing rows that are shown
    bool show_values = true;     ///< false: names of columns only
    bool zero_date_is_null = false; ///< MySQL's 0000-00-00 counts as NULL
    /// Where the statements go that would make the target equal; Mode::full only. They hold the
    /// values as they are, secrets included.
    RepairSink repair;
};

struct ColumnDifference {
    std::string name, source, target; ///< values shortened; `(hidden)` without show_values
};

struct Sample {
    std::string table;
    std::string key;  ///< `55012`, `3, 'de'`; empty for a table without a key
    std::string kind; ///< missing, extra, changed
    std::vector<ColumnDifference> columns;
    /// `feedbacks 55012: body: source 'x', target 'y'`; already redacted.
    std::string text() const;
};

struct TableResult {
    std::string table, target;
    std::string method; ///< key, multiset, counts, sample
    std::int64_t source_rows = 0, target_rows = 0;
    std::int64_t missing = 0, extra = 0, changed = 0, unsettled = 0;
    std::int64_t compared = 0; ///< rows whose every column was compared
    std::vector<std::string> omitted_columns;
    double seconds = 0;
    std::int64_t mismatches() const { return missing + extra + changed; }
};

struct Unchecked {
    std::string table, reason;
};

struct Result {
    std::vector<TableResult> tables;
    std::vector<Unchecked> unchecked;
    std::vector<Sample> samples;
    std::vector<std::string> only_in_target;  ///< tables that were compared with nothing
    std::vector<std::string> omitted_columns; ///< `table.column (why)`
    std::int64_t rows = 0;                    ///< rows of the source
    std::int64_t missing = 0, extra = 0, changed = 0, unsettled = 0;
    double coverage = 0; ///< compared share of what was asked for; 1 only if nothing is unchecked
    double match_ratio = 0; ///< equal rows over the larger side's rows
    double seconds = 0;
    std::int64_t repairs = 0;      ///< statements that Options::repair was given
    std::int64_t not_repaired = 0; ///< differences for which there is none
    std::int64_t mismatches() const { return missing + extra + changed; }
    /// True only for full coverage without a difference, unsettled row or unchecked table.
    bool passed() const {
        return coverage == 1 && mismatches() == 0 && unsettled == 0 && unchecked.empty();
    }
    /// One line for people: what differs in which table, with the first rows; or that nothing does.
    std::string summary() const;
};

/// Compares `source` with `target`. What fails for one table puts it into `unchecked`; only what
/// concerns a whole side throws: `db.*` (no connection), `argument`, `cancelled`, `timeout`.
Result verify_database(const db::Url& source, const db::Url& target, const Options& options,
                       const ProgressPtr& progress, Cancel& cancel);

/// {coverage, mismatches, missing, extra, changed, unsettled, unchecked, rows, tables, samples,
/// tables_seen, match_ratio, omitted_columns, only_in_target, passed, seconds, detail (summary)}.
Map to_map(const Result& result);

} // namespace runbook::verify
