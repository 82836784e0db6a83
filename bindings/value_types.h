// Result tables with methods that survive the journal. Loop thread.
#pragma once

#include <string_view>

namespace runbook::vm {
class Registry;
class State;
} // namespace runbook::vm

namespace runbook::bindings {

/// Registers the metatable that `source` (Lua) returns for maps with {"$type": name}. Throws
/// Error{`internal`}.
void install_value_type(vm::State& state, const char* name, std::string_view source);

/// values.type: the same for libraries that are written in Lua.
void register_values(vm::State& state, vm::Registry& registry);

} // namespace runbook::bindings
