// The parts of a run that the entry points share. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/transfer/copy/ends.h"

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
    std::string restarts; ///< unfinished run that make_ready dropped or would drop
    double seconds = 0;
};

/// Opens both, takes the snapshot, scans and plans. With `dry`, the target is not changed.
Prepared prepare(const db::Url& source, const db::Url& target, const Options& options, bool dry,
                 const ProgressPtr& progress, Cancel& cancel);

/// Loads every table; fills tables, rows and bytes of the result. Throws the first stream's error.
void load(Prepared& prepared, const std::string& run, const Options& options,
          const ProgressPtr& progress, Cancel& cancel, CopyResult& result);

} // namespace runbook::copy
