// The parts of a run that the entry points share. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"
#include "runtime/transfer/copy/ledger.h"

namespace runbook::copy {

/// Both ends, what the source holds, and the plan for the target.
struct Prepared {
    std::unique_ptr<Source> source;
    std::unique_ptr<Target> target;
    rules::Decisions rules;  ///< applied; `plan` points into its database
    catalog::Database there; ///< tables of the target that were there and are filled
    Scan scan;
    schema::Plan plan;
    std::vector<Finding> findings;
    std::vector<ReportEntry> report;
    std::string unfinished; ///< run of the same source that was cut off
    std::string why_anew;   ///< why it has to be begun anew; empty where it is gone on with
    std::optional<Recorded> goes_on; ///< what the ledger has of it, where it is gone on with
    std::string fence;               ///< moment of the source's write fence
    double snapshot_at = 0;          ///< monotonic
    double seconds = 0;
};

/// Opens both, takes the snapshot, scans and plans. With `dry`, the target is not changed.
Prepared prepare(const db::Url& source, const db::Url& target, const Options& options, bool dry,
                 const ProgressPtr& progress, Cancel& cancel);

/// Loads every table; fills tables, rows and bytes of the result. Throws the first stream's error.
void load(Prepared& prepared, const std::string& run, const Options& options,
          const ProgressPtr& progress, Cancel& cancel, CopyResult& result);

/// Indexes, foreign keys, their proof, sequences: what follows the load.
void finish(Prepared& prepared, const Options& options, const ProgressPtr& progress, Cancel& cancel,
            std::int64_t rows);

} // namespace runbook::copy
