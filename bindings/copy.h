// `copy`: the Lua face of runtime/transfer/copy. Loop thread; the copy itself runs on the pool and
// its own streams.
#pragma once

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

/// Installs the area `copy`.
void register_copy(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
