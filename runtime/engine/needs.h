// What a playbook touches: as far as its text says it, as a dry run saw it, and what an operator
// allowed beyond its needs. Loop thread, no state.
#pragma once

#include "runtime/base/value.h"
#include "runtime/vm/host.h"

#include <string>
#include <utility>
#include <vector>

namespace runbook::engine {

/// Kind of need ("shell", "ssh", "http", "files", "net", "redis") and entry.
using Grant = std::pair<std::string, std::string>;

/// The kinds, in the order in which people read them.
const std::vector<std::string>& need_kinds();
/// The entries of one kind.
std::vector<std::string>& entries_of(vm::Permissions& permissions, const std::string& kind);
const std::vector<std::string>& entries_of(const vm::Permissions& permissions,
                                           const std::string& kind);
/// Adds what is not there yet.
void widen(vm::Permissions& permissions, const std::vector<Grant>& grants);
/// [{kind, what}], for the journal; and back.
List to_list(const std::vector<Grant>& grants);
std::vector<Grant> to_grants(const Value* list);

/// One place in a playbook that touches something.
struct Touch {
    std::string kind, what; ///< `what` empty: not known before it runs
    std::string call;       ///< "sh.run"
    std::string file;
    int line = 0;
    bool certain = false; ///< `what` cannot be another when the run comes there
};

/// Reads the text of a playbook or module: literal programs, hosts and paths, names bound once to a
/// literal, and parameters. `parameters`: name and type of those of type url and path, which stand
/// for their values.
std::vector<Touch> touches_of(const std::string& file, const std::string& source,
                              const std::vector<Grant>& parameters);

/// Whether `permissions` allow it.
bool allowed(const vm::Permissions& permissions, const Touch& touch);

/// {kind = "needs", seen = {shell = […]…}, unused = {…}}: what was asked for, and the entries of
/// `needs` that nothing asked for.
Map seen_needs(const vm::Permissions& permissions);

} // namespace runbook::engine
