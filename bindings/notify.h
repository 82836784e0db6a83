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

/// Adds a channel of `runbook.toml` to the outbox of the last registered state. Throws
/// Error{`usage`}. The state must outlive the call only.
void add_channel(vm::State& state, const notify::Channel& channel);

} // namespace runbook::bindings
