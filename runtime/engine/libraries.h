// What the modules of the standard library say about themselves (stdlib/declare.lua), for
// `runbook doc`, the reference, stubs and help(). Loop thread. Loads every module, so only where
// somebody asks; runs nothing of them.
#pragma once

#include "runtime/vm/lua.h"
#include "runtime/vm/registry.h"

#include <string>

namespace runbook::engine {

/// Adds an area for each embedded module that declares itself, in the order of their names. `L` is
/// of a state with the bindings. Throws Error{`internal`} where a module does not load.
void declare_libraries(lua_State* L, vm::Registry& into);

/// LuaCATS definitions of one module, for a file of its own: the editor finds them by their
/// `---@meta kube` where a file says `require "kube"`.
std::string module_stubs(const vm::AreaDoc& module);

} // namespace runbook::engine
