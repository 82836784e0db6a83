// C++ results to Lua: Push<T>. Runs in the third phase of a call, when the work is done.
#pragma once

#include "bindings/core/argument.h"

namespace runbook::bind {

/// A result that pushes itself: returns the number of values.
using Pushed = std::function<int(lua_State*)>;

template <class T>
struct Push {
    static int push(lua_State* L, const T& value) {
        vm::push_value(L, Value(value));
        return 1;
    }
};
template <>
struct Push<Pushed> {
    static int push(lua_State* L, const Pushed& value) { return value(L); }
};
template <class T>
struct Push<std::optional<T>> {
    static int push(lua_State* L, const std::optional<T>& value) {
        if (value)
            return Push<T>::push(L, *value);
        lua_pushnil(L);
        return 1;
    }
};
template <class T>
struct Push<std::vector<T>> {
    static int push(lua_State* L, const std::vector<T>& values) {
        lua_createtable(L, static_cast<int>(values.size()), 0);
        for (std::size_t i = 0; i < values.size(); ++i) {
            Push<T>::push(L, values[i]);
            lua_rawseti(L, -2, static_cast<int>(i + 1));
        }
        return 1;
    }
};
template <NamedType T>
struct Push<std::shared_ptr<T>> {
    static int push(lua_State* L, const std::shared_ptr<T>& value) {
        vm::push_shared<T>(L, Arg<std::shared_ptr<T>>::metatable().c_str(), value);
        return 1;
    }
};

} // namespace runbook::bind
