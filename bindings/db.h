// `db`: the Lua face of runtime/db. Loop thread; statements run on each connection's own worker.
#pragma once

#include "bindings/core/argument.h"
#include "runtime/db/handle.h"

#include <memory>
#include <string>
#include <string_view>

namespace runbook::vm {
class State;
class Registry;
} // namespace runbook::vm

namespace runbook::bind {
template <>
struct TypeName<db::Handle> {
    static constexpr const char* name = "connection";
};
} // namespace runbook::bind

namespace runbook::bindings {

/// Installs the area `db` and the type `connection`.
void register_db(vm::State& state, vm::Registry& registry);

/// Pushes a connection that opens on first use: what a parameter of type database becomes. `access`
/// is "read", "write" or "admin"; `name` is the parameter's; `password` and `user` stand in where
/// the URL has none. Throws Error{`usage`} for a wrong URL.
void push_connection(lua_State* L, const std::string& url, std::string_view access,
                     const std::string& name, const SecretPtr& password = nullptr,
                     const SecretPtr& user = nullptr);
/// The connection that the parameter of this name became, or null.
std::shared_ptr<db::Handle> database_named(lua_State* L, const std::string& name);
/// The URL of the connection at `index` with the password masked, or empty where it is something
/// else.
std::string masked_url(lua_State* L, int index);

} // namespace runbook::bindings
