// Named points at which a test ends this process, or makes it fail: how `./dev crash` proves what a
// run survives. Owns: the plan in RUNBOOK_FAILPOINT. Any thread. Costs one read of a constant where
// the variable is not set, and does nothing that whoever sets a process's environment could not do
// with kill -9 anyway.
//
//   RUNBOOK_FAILPOINT=journal.inside:17   SIGKILL at the 17th crossing of that point
//   RUNBOOK_FAILPOINT=all:17              at the 17th crossing of any point
//   RUNBOOK_FAILPOINT=effect.before:3:raise   throws Error{`failpoint`} there instead
//   RUNBOOK_FAILPOINT=count:FILE          writes the name of each crossing to FILE, a line each
#pragma once

namespace runbook::failpoint {

/// Whether RUNBOOK_FAILPOINT was set when the process started.
extern const bool armed;

void hit(const char* point);

/// Points: `journal.before`, `journal.inside` and `journal.after` a transaction of the journal
/// (inside: everything is written, nothing committed), `effect.before`, `effect.inside` and
/// `effect.after` a call that may change something. Throws Error{`failpoint`} where a test wants
/// it, Error{`usage`} where the variable says nothing sensible.
inline void cross(const char* point) {
    if (armed)
        hit(point);
}

} // namespace runbook::failpoint
