// What a dry run shows, as lines for people. Any thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>

namespace runbook::engine {

/// The lines of one item that Engine::dry_run shows, at most `columns` wide where words allow it.
std::string dry_text(const Map& item, std::size_t columns);

} // namespace runbook::engine
