// The journal's tables, as the steps that make them. Plain data.
#pragma once

#include <span>

namespace runbook::journal {

/// One step from the version before to this one, for each backend. A step only adds: a process of
/// the version before may still be writing, and what was written is never rewritten (the chain is
/// over its bytes). So an older journal can be read as it is, and is only brought up to date by who
/// writes.
struct Migration {
    int version;
    const char* sqlite;
    const char* postgres;
};

/// From an empty journal to the newest; the last one's version is this program's.
std::span<const Migration> migrations();
inline int newest_version() {
    return migrations().back().version;
}

} // namespace runbook::journal
