// What need not be done because the process ends.
#pragma once

namespace runbook::vm {

/// The process ends right after its Lua states: their memory is left to that. Finalizers still run.
void leave_memory();

} // namespace runbook::vm
