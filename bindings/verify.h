// `verify` and `schema`: the Lua face of runtime/transfer/verify. Loop thread; the work runs on the
// pool.
#pragma once

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

/// Installs the areas `verify` and `schema`.
void register_verify(vm::State& state, vm::Registry& registry);
void register_schema(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
