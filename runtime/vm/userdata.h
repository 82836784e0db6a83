// Shared C++ objects as full userdata. The metatable's name is the type's identity; a playbook
// cannot reach it.
#pragma once

#include "runtime/vm/lua.h"

#include <memory>
#include <new>
#include <utility>

namespace runbook::vm {

template <class T>
int collect_shared(lua_State* L) {
    using Pointer = std::shared_ptr<T>;
    static_cast<Pointer*>(lua_touserdata(L, 1))->~Pointer();
    return 0;
}

/// Creates the metatable `name` if it is not there, protected, with its collector; leaves it on the
/// stack.
template <class T>
bool new_shared_metatable(lua_State* L, const char* name) {
    if (luaL_newmetatable(L, name) == 0)
        return false;
    lua_pushcfunction(L, collect_shared<T>);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return true;
}

template <class T>
void push_shared(lua_State* L, const char* name, std::shared_ptr<T> object) {
    void* memory = lua_newuserdata(L, sizeof(std::shared_ptr<T>));
    new (memory) std::shared_ptr<T>(std::move(object));
    new_shared_metatable<T>(L, name);
    lua_setmetatable(L, -2);
}

/// The pointer inside, or null where the value is something else.
template <class T>
std::shared_ptr<T>* get_shared(lua_State* L, int index, const char* name) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return nullptr;
    luaL_getmetatable(L, name);
    const bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same ? static_cast<std::shared_ptr<T>*>(lua_touserdata(L, index)) : nullptr;
}

/// Metatable `name` for userdata that hold plain bytes, protected, without a collector: what is
/// made by the million. It is found by the address of `name`, which must be one and the same
/// constant everywhere.
inline bool new_plain_metatable(lua_State* L, const char* name) {
    if (luaL_newmetatable(L, name) == 0)
        return false;
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, const_cast<char*>(name));
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return true;
}

/// `size` bytes of userdata under the metatable `name`.
inline void* push_plain(lua_State* L, const char* name, std::size_t size) {
    void* memory = lua_newuserdata(L, size);
    lua_pushlightuserdata(L, const_cast<char*>(name));
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return memory;
}

/// The bytes, or null where the value is something else.
inline void* get_plain(lua_State* L, int index, const char* name) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return nullptr;
    lua_pushlightuserdata(L, const_cast<char*>(name));
    lua_rawget(L, LUA_REGISTRYINDEX);
    const bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same ? lua_touserdata(L, index) : nullptr;
}

} // namespace runbook::vm
