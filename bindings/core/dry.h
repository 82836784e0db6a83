// What a dry run does instead of a write: it says the call, and gives an unknown value. Loop
// thread. The engine's dry.lua keeps what was said, and makes the unknown values; no state here.
#pragma once

#include "runtime/vm/lua.h"

#include "runtime/base/error.h"

#include <string>

namespace runbook::bind {

/// Whether an argument of the running call is an unknown value.
bool dry_unknown(lua_State* L);
/// Tells dry.lua the call with its arguments (secrets masked) and its place; pushes the unknown
/// value. Throws what dry.lua raises.
void dry_note(lua_State* L, const std::string& function, bool reads);
/// A file that `needs` does not allow is refused where nothing is done too: throws
/// Error{`permission`}. Commands and requests are checked by their own functions.
void check_files(lua_State* L, const std::string& function);
/// In a test nothing leaves the process: the test's fake answers instead
/// (runtime/engine/test/fakes.lua, which knows the kind).
Error unfaked(const std::string& name);
/// The arguments on the stack as a person would write them: `sqlite:x.db, "delete from t where id =
/// ?", 7`.
std::string dry_arguments(lua_State* L);

} // namespace runbook::bind
