// Whether an unfinished copy can be gone on with: exactly the rows that are missing, from the same
// state of the source. Internal to runtime/transfer/copy. Runs on the thread of the copy.
#pragma once

#include "runtime/transfer/copy/ends.h"
#include "runtime/transfer/copy/ledger.h"

#include <string>

namespace runbook::copy {

/// Since when the fence in the options stands, proven by itself; empty where there is none in the
/// options. Throws `copy.refused` where it does not hold. To be asked after the snapshot was taken:
/// then nothing was written between that moment and the snapshot.
std::string fence_since(const Options& options, Cancel& cancel);

/// Why the run cannot be gone on with from the source's new snapshot; empty where it can.
std::string why_not(const Recorded& recorded, const std::string& fence, const Source& source);

/// A hash over what a resume must find unchanged: tables, columns and how they are read and made.
std::string digest_of(const schema::Plan& plan);

} // namespace runbook::copy
