// What the prompt's Lua environment asks of the host. Loop thread.
#pragma once

#include "runtime/vm/host.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/registry.h"

#include <functional>
#include <memory>
#include <string_view>

namespace runbook::repl {

/// A host that allows everything: whoever sits at the prompt could run the commands anyway.
std::unique_ptr<vm::Host> make_host(std::function<void(std::string_view)> output);

/// Pushes {write, show, help}. `registry` outlives the state.
void push_native_library(lua_State* L, const vm::Registry& registry,
                         const std::function<void(std::string_view)>& output);

} // namespace runbook::repl
