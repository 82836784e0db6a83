// Every binding of the language, installed into one state. Loop thread.
#pragma once

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

/// Installs every area into the state's sandbox and its declarations into the registry.
void register_all(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
