// The part of the host library that checks and dry runs need: what changes the world, and what is
// said instead. Loop thread.
#include "runtime/base/redact.h"
#include "runtime/engine/library.h"
#include "runtime/vm/values.h"

#include <sys/stat.h>

namespace runbook::engine {

namespace {

/// writing_functions(): {["fs.write"] = true, …}, the functions that are declared to change the
/// world.
int host_writing_functions(lua_State* L) {
    return guarded(L, [L] {
        Map map;
        for (const vm::AreaDoc& area : session_of(L).registry.areas())
            for (const vm::FunctionDoc& function : area.functions)
                if (function.effect == vm::Effect::writes)
                    map.set(area.name + "." + function.name, true);
        vm::push_value(L, map);
        return 1;
    });
}

/// file_exists(path): whether something stands there.
int host_file_exists(lua_State* L) {
    struct stat info {};
    lua_pushboolean(L, ::stat(luaL_checkstring(L, 1), &info) == 0);
    return 1;
}

/// object(metatable): a userdata that is nothing but its metatable.
int host_object(lua_State* L) {
    lua_newuserdata(L, 1);
    lua_pushvalue(L, 1);
    lua_setmetatable(L, -2);
    return 1;
}

/// on_dry(fn): what a dry run calls in place of each write: fn(call, file, line, reads) → unknown
/// value.
int host_on_dry(lua_State* L) {
    lua_pushvalue(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.dry");
    return 0;
}

/// dry_item(map): shows an item of a dry run, and what its code has logged.
int host_dry_item(lua_State* L) {
    return guarded(L, [L] {
        Session& session = session_of(L);
        Value value = vm::to_value(L, 1);
        Map* item = value.get<Map>();
        List notes;
        for (const Pending& pending : session.pending)
            if (const std::string text = pending.data.text("text"); !text.empty())
                notes.push_back(redact(text));
        session.pending.clear();
        if (item && session.on_dry) {
            if (!notes.empty())
                item->set("notes", std::move(notes));
            session.on_dry(*item);
        }
        return 0;
    });
}

} // namespace

void add_dry_library(lua_State* L) {
    static const luaL_Reg functions[] = {{"writing_functions", host_writing_functions},
                                         {"file_exists", host_file_exists},
                                         {"object", host_object},
                                         {"on_dry", host_on_dry},
                                         {"dry_item", host_dry_item},
                                         {nullptr, nullptr}};
    luaL_register(L, nullptr, functions);
}

} // namespace runbook::engine
