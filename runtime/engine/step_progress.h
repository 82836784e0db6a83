// How far the work of a step is, and what it writes, on its way from worker threads to the view.
#pragma once

#include "runtime/base/progress.h"

#include <string>

namespace runbook::engine {

struct Session;

/// For one call of one step. Any thread may use it, while the session lives; an OutputSink.
ProgressPtr step_progress(Session& session, std::string step);

} // namespace runbook::engine
