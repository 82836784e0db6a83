// Copies a whole database into another engine, or refuses before it has written a row.
// Owns: the run of a copy: preflight, schema, streams, ledger, indexes, and the state of a target.
// Blocks the caller's thread and starts one thread a stream. Every row arrives as it was or the
// copy fails: nothing is dropped, cut or rounded in silence. Memory does not grow with the rows.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"
#include "runtime/db/fence/fence.h"
#include "runtime/db/url.h"
#include "runtime/transfer/rules/rules.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace runbook::schema {
struct Plan;
}

namespace runbook::copy {

/// A write fence on the source, and a connection that may ask whether it holds.
struct Fence {
    db::Url url;
    db::FenceOptions options;
};

/// What becomes of an unfinished copy of the same source.
enum class Resume : std::uint8_t {
    where_proven, ///< goes on where the fence proves that it may, else begins anew
    always,       ///< goes on, or is refused
    never         ///< begins anew
};

struct Options {
    int streams = 4;
    std::string charset, collation;            ///< of a MySQL target; empty: utf8mb4, binary
    std::vector<std::string> include, exclude; ///< names of tables, `*` matches
    std::string schema;                        ///< PostgreSQL schema; empty: public
    std::int64_t chunk_bytes = 64'000'000;     ///< one transaction
    std::int64_t chunk_rows = 1'000'000;       ///< one transaction
    double rate_bytes_s = 0;                   ///< all streams together; 0: no limit
    std::size_t samples = 5;                   ///< sample keys a finding shows
    rules::Rules rules;                        ///< beyond the mapping
    /// Of a MySQL target's sessions, over those the copy sets itself.
    std::map<std::string, std::int64_t> settings;
    bool zero_dates_to_null = false; ///< MySQL's 0000-00-00; other sources hold none
    bool schema_only = false;        ///< everything but the rows
    bool data_only = false;          ///< the rows alone, into tables that are there
    /// Rows that the target refuses and that may be left out, in `_runbook_rejects` there; 0: none.
    std::int64_t rejects = 0;
    std::string reject_file; ///< gets them as JSON lines too, once the copy is done
    Resume resume = Resume::where_proven;
    std::optional<Fence> fence;
    double snapshot_age_s = 12 * 3600; ///< a long snapshot holds back the source's vacuum; 0: none
    double lag_limit_s = 60;           ///< of the target's replicas, above it no chunk begins
    std::vector<db::Url> replicas;     ///< of the target; a PostgreSQL target knows its own
    std::function<void()> on_begin;    ///< called before the first change to the target
    /// An exported snapshot of the source that is copied instead of a new one (PostgreSQL).
    std::string snapshot;
    /// Told the plan and the name of the snapshot that the streams read, after the preflight and
    /// before a table is made.
    std::function<void(const schema::Plan&, const std::string& snapshot)> planned;
    int load_limit = 0; ///< others' active sessions at either end; 0: no limit
};

/// Something in the data or the schema that the target would change or refuse.
struct Finding {
    std::string table, column;
    std::string problem; ///< "not a number (NaN)", "earlier or later than DATE holds"…
    std::int64_t count = 0;
    std::vector<std::string> samples; ///< keys, or values where that says more
    bool blocking = true;
    bool by_row = false; ///< the target refuses those rows, one by one, and no other
    /// "operators.email: 3 groups of values are equal under utf8mb4_unicode_ci (…)"
    std::string text() const;
};

struct ReportEntry {
    std::string object, kind, outcome, reason;
};

struct Preflight {
    std::vector<Finding> findings;
    std::vector<ReportEntry> report;
    std::int64_t rows = 0;
    double seconds = 0;
    std::int64_t blocking() const;
};

struct TableCopied {
    std::string table;
    std::int64_t rows = 0, bytes = 0, chunks = 0, rejected = 0;
    double seconds = 0; ///< from its first chunk to its last
};

struct CopyResult {
    std::string run;
    std::vector<TableCopied> tables;
    std::vector<ReportEntry> report;
    std::vector<Finding> findings; ///< those that did not block
    std::int64_t rows = 0, bytes = 0, rejected = 0;
    double seconds = 0;
    double preflight_s = 0, load_s = 0, index_s = 0;
    int streams = 0;
    std::string snapshot;  ///< identifier of the source's snapshot
    std::string restarted; ///< run whose unfinished tables were dropped first
    std::string why_restarted;
    double held_s = 0;             ///< seconds held back by lag or load
    bool resumed = false;          ///< an unfinished run was gone on with
    std::int64_t resumed_rows = 0; ///< of `rows`: those that were there already
};

/// What the ledger in the target says.
struct State {
    std::string state; ///< absent, partial, done
    std::string run, source, snapshot;
    std::int64_t tables = 0, rows = 0;
    bool running = false; ///< some session is at it right now
};

/// Copies. Errors: `copy.refused` (preflight found what cannot be carried, local_infile is off,
/// another copy is at it), `db.not_empty` (the target holds tables), `copy.mismatch` (the server's
/// counters differ from what was sent), `db.*`, `cancelled`, `timeout`. A copy of the same source
/// that was cut off is gone on with or begun anew, as the options say.
CopyResult copy_database(const db::Url& source, const db::Url& target, const Options& options,
                         const ProgressPtr& progress, Cancel& cancel);

/// Scans the source on one snapshot and says what a copy would meet. Writes nothing but a
/// temporary table on the target.
Preflight preflight(const db::Url& source, const db::Url& target, const Options& options,
                    const ProgressPtr& progress, Cancel& cancel);

/// The statements that would make the schema, in their order; reads the source like preflight.
std::string plan(const db::Url& source, const db::Url& target, const Options& options,
                 Cancel& cancel);

State state(const db::Url& target, Cancel& cancel);

/// Drops the tables that the ledger names, and the ledger. Returns their names. Never drops
/// anything else. Errors: `copy.refused` while a copy is at it, `db.*`.
std::vector<std::string> discard(const db::Url& target, Cancel& cancel);

/// {tables, rows, bytes, seconds, per_table, report, streams, snapshot, run, findings, detail}.
Map to_map(const CopyResult& result);
/// {blocking, findings, report, rows, seconds, detail}; detail is a line for people.
Map to_map(const Preflight& result);
/// {state, run, source, snapshot, tables, rows, running}.
Map to_map(const State& state);

} // namespace runbook::copy
