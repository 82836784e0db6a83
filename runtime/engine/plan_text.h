// A plan as text for people, Markdown, Mermaid or JSON. Any thread; no effects.
#pragma once

#include "runtime/base/value.h"

#include <string>

namespace runbook::engine {

/// `format`: "text", "md", "mermaid" or "json". Throws Error{`usage`} that names the nearest.
std::string format_plan(const Map& plan, const std::string& format);

} // namespace runbook::engine
