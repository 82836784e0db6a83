// `notify`: the Lua face of runtime/notify. Loop thread; sending happens on a worker.
#pragma once

#include "runtime/notify/notify.h"

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

/// Installs the area with an outbox of its own, that has the channel `console`.
void register_notify(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
