// Tables that the target has already: compared with what the copy would make, and used where they
// hold every value of the source. MySQL and MariaDB only. Internal to runtime/transfer/copy; runs
// on the thread of the copy.
#pragma once

#include "runtime/transfer/copy/run.h"

namespace runbook::copy {

/// Tells the target which tables the plan will need.
void expect_tables(Prepared& prepared, const Options& options);
/// Reads the existing ones; the type of each column there becomes a decision, so that the scan asks
/// whether the values fit.
void read_existing(Prepared& prepared, Cancel& cancel);
/// Takes the statements for them out of the plan, and refuses what does not fit: a column that is
/// missing or cannot be filled, another character set, a trigger. With data_only, also a table that
/// is not there.
void use_existing(Prepared& prepared, const Options& options);

} // namespace runbook::copy
