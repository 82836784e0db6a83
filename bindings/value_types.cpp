// See value_types.h. Loop thread.
#include "bindings/value_types.h"

#include "runtime/base/error.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

namespace runbook::bindings {

void install_value_type(vm::State& state, const char* name, std::string_view source) {
    lua_State* L = state.L();
    bool failed = luaL_loadbuffer(L, source.data(), source.size(), name) != 0;
    if (!failed) {
        state.push_sandbox();
        lua_setfenv(L, -2);
        failed = lua_pcall(L, 0, 1, 0) != 0;
    }
    if (failed) {
        const char* text = lua_tostring(L, -1);
        throw Error("internal", std::string(name) + ": " + (text ? text : "error"));
    }
    vm::register_value_type(L, name);
}

} // namespace runbook::bindings
