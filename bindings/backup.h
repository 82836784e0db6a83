// `backup`: the Lua face of runtime/backup. Loop thread; the work runs on a worker.
#pragma once

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bindings {

/// Installs the area. After register_db, whose connections it takes.
void register_backup(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
