// Result tables with methods that survive the journal. Loop thread.
#pragma once

#include <string_view>

namespace runbook::vm {
class State;
}

namespace runbook::bindings {

/// Registers the metatable that `source` (Lua) returns for maps with {"$type": name}. Throws
/// Error{`internal`}.
void install_value_type(vm::State& state, const char* name, std::string_view source);

} // namespace runbook::bindings
