// LuaJIT's headers, in one place. Only runtime/vm, runtime/engine, runtime/repl and bindings/
// include it.
#pragma once

#include <lua.hpp>
