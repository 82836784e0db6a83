// `system`: declared in system.cpp. Loop thread.
#pragma once

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

void register_system(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
