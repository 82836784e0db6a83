// Lua arguments to C++ values: Arg<T> says whether a value fits, in the words of the message, and
// reads it. `mismatch` never raises and never keeps C++ owners across a Lua error; `read` runs only
// after it said nothing.
#pragma once

#include "runtime/base/value.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/userdata.h"
#include "runtime/vm/values.h"

#include <chrono>
#include <concepts>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace runbook::bind {

using Mismatch = std::optional<std::string>;
inline Mismatch expected(const char* what, lua_State* L, int index) {
    return std::string(what) + " expected, got " + vm::type_word(L, index);
}

/// Everything from here to the last argument.
struct Rest {
    std::vector<Value> values;
};
/// Whether the number is an integer within the limits.
Mismatch integer_mismatch(double number, double lowest, double highest);
/// A duration in seconds: "30m", "250ms" or a number of seconds.
struct Duration {
    double seconds = 0;
};
Mismatch duration_mismatch(lua_State* L, int index);
Duration read_duration(lua_State* L, int index);

/// Specialise to make T a userdata of the language: `static constexpr const char* name =
/// "connection";`
template <class T>
struct TypeName;
template <class T>
concept NamedType = requires {
    TypeName<T>::name;
};

/// Specialise to make T an option table: `static const std::vector<Field<T>>& fields();`
template <class T>
struct Describe;
template <class T>
concept Described = requires {
    Describe<T>::fields();
};

template <class T>
struct Arg;

template <class T>
struct Field {
    std::string name, type, doc;
    bool required = false;
    Mismatch (*mismatch)(lua_State*, int) = nullptr;
    std::function<void(T&, lua_State*, int)> assign;
};

/// One field of an option table.
template <class T, class M>
Field<T> field(std::string name, M T::*member, std::string doc, bool required = false) {
    return {
        std::move(name),
        Arg<M>::type(),
        std::move(doc),
        required,
        &Arg<M>::mismatch,
        [member](T& object, lua_State* L, int index) { object.*member = Arg<M>::read(L, index); }};
}

template <>
struct Arg<bool> {
    static std::string type() { return "boolean"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_type(L, i) == LUA_TBOOLEAN ? Mismatch{} : expected("boolean", L, i);
    }
    static bool read(lua_State* L, int i) { return lua_toboolean(L, i) != 0; }
};

template <class T>
requires(std::integral<T> && !std::same_as<T, bool>) struct Arg<T> {
    static std::string type() { return "integer"; }
    static Mismatch mismatch(lua_State* L, int i) {
        if (lua_type(L, i) != LUA_TNUMBER)
            return expected("integer", L, i);
        return integer_mismatch(lua_tonumber(L, i), lowest, highest);
    }
    static T read(lua_State* L, int i) { return static_cast<T>(lua_tonumber(L, i)); }

  private:
    static constexpr double exact = 9007199254740992; ///< 2^53: what a number holds exactly
    static constexpr double lowest =
        sizeof(T) < 8 || std::is_unsigned_v<T> ? double(std::numeric_limits<T>::min()) : -exact;
    static constexpr double highest = sizeof(T) < 8 ? double(std::numeric_limits<T>::max()) : exact;
};

template <std::floating_point T>
struct Arg<T> {
    static std::string type() { return "number"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_type(L, i) == LUA_TNUMBER ? Mismatch{} : expected("number", L, i);
    }
    static T read(lua_State* L, int i) { return static_cast<T>(lua_tonumber(L, i)); }
};

template <>
struct Arg<std::string> {
    static std::string type() { return "string"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_type(L, i) == LUA_TSTRING ? Mismatch{} : expected("string", L, i);
    }
    static std::string read(lua_State* L, int i) {
        std::size_t size = 0;
        const char* text = lua_tolstring(L, i, &size);
        return {text, size};
    }
};

template <>
struct Arg<Duration> {
    static std::string type() { return "duration"; }
    static Mismatch mismatch(lua_State* L, int i) { return duration_mismatch(L, i); }
    static Duration read(lua_State* L, int i) { return read_duration(L, i); }
};

/// Any value. Inside a table of parameters, null stands for NULL.
template <>
struct Arg<Value> {
    static std::string type() { return "value"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_isnone(L, i) ? expected("value", L, i) : Mismatch{};
    }
    static Value read(lua_State* L, int i) { return vm::to_value(L, i); }
};

template <>
struct Arg<Map> {
    static std::string type() { return "table"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_istable(L, i) ? Mismatch{} : expected("table", L, i);
    }
    static Map read(lua_State* L, int i) {
        Value value = vm::to_value(L, i);
        Map* map = value.get<Map>();
        return map ? std::move(*map) : Map{};
    }
};

template <>
struct Arg<SecretPtr> {
    static std::string type() { return "secret"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return vm::to_secret(L, i) ? Mismatch{} : expected("secret", L, i);
    }
    static SecretPtr read(lua_State* L, int i) { return vm::to_secret(L, i); }
};

template <class T>
struct Arg<std::optional<T>> {
    static std::string type() { return Arg<T>::type(); }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_isnoneornil(L, i) ? Mismatch{} : Arg<T>::mismatch(L, i);
    }
    static std::optional<T> read(lua_State* L, int i) {
        if (lua_isnoneornil(L, i))
            return std::nullopt;
        return Arg<T>::read(L, i);
    }
};

/// A table with items 1..n, or one plain item where the language allows the short form (`to =
/// "migration"`).
template <class T>
struct Arg<std::vector<T>> {
    static std::string type() { return Arg<T>::type() + "[]"; }
    static Mismatch mismatch(lua_State* L, int i) {
        if (!lua_istable(L, i))
            return Arg<T>::mismatch(L, i) ? expected("list", L, i) : Mismatch{};
        const int index = i < 0 ? lua_gettop(L) + 1 + i : i;
        const int count = static_cast<int>(lua_objlen(L, index));
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, index, item);
            Mismatch problem = Arg<T>::mismatch(L, lua_gettop(L));
            lua_pop(L, 1);
            if (problem)
                return "item " + std::to_string(item) + ": " + *problem;
        }
        return {};
    }
    static std::vector<T> read(lua_State* L, int i) {
        std::vector<T> items;
        if (!lua_istable(L, i)) {
            items.push_back(Arg<T>::read(L, i));
            return items;
        }
        const int index = i < 0 ? lua_gettop(L) + 1 + i : i;
        const int count = static_cast<int>(lua_objlen(L, index));
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, index, item);
            items.push_back(Arg<T>::read(L, lua_gettop(L)));
            lua_pop(L, 1);
        }
        return items;
    }
};

/// A shared object of a named type; its metatable is "runbook.<name>".
template <NamedType T>
struct Arg<std::shared_ptr<T>> {
    static std::string type() { return TypeName<T>::name; }
    static std::string metatable() { return std::string("runbook.") + TypeName<T>::name; }
    static Mismatch mismatch(lua_State* L, int i) {
        return vm::get_shared<T>(L, i, metatable().c_str()) ? Mismatch{}
                                                            : expected(TypeName<T>::name, L, i);
    }
    static std::shared_ptr<T> read(lua_State* L, int i) {
        return *vm::get_shared<T>(L, i, metatable().c_str());
    }
};

/// The text for an unknown option, naming the nearest.
std::string unknown_option(const std::string& name, const std::vector<std::string>& known);

template <Described T>
struct Arg<T> {
    static std::string type() { return "table"; }
    static Mismatch mismatch(lua_State* L, int i) {
        if (lua_isnoneornil(L, i))
            return {};
        if (!lua_istable(L, i))
            return expected("table of options", L, i);
        const int index = i < 0 ? lua_gettop(L) + 1 + i : i;
        const auto& fields = Describe<T>::fields();
        lua_pushnil(L);
        while (lua_next(L, index)) {
            Mismatch problem;
            if (lua_type(L, -2) != LUA_TSTRING) {
                problem =
                    "option names must be strings, got " + vm::type_word(L, lua_gettop(L) - 1);
            } else {
                const std::string name = lua_tostring(L, -2);
                const Field<T>* known = find(name);
                if (!known) {
                    std::vector<std::string> names;
                    for (const Field<T>& entry : fields)
                        names.push_back(entry.name);
                    problem = unknown_option(name, names);
                } else if (Mismatch inner = known->mismatch(L, lua_gettop(L))) {
                    problem = "option '" + name + "': " + *inner;
                }
            }
            if (problem) {
                lua_pop(L, 2);
                return problem;
            }
            lua_pop(L, 1);
        }
        for (const Field<T>& entry : fields) {
            if (!entry.required)
                continue;
            lua_getfield(L, index, entry.name.c_str());
            const bool absent = lua_isnil(L, -1);
            lua_pop(L, 1);
            if (absent)
                return "option '" + entry.name + "' is required";
        }
        return {};
    }
    static T read(lua_State* L, int i) {
        T object{};
        if (lua_isnoneornil(L, i))
            return object;
        const int index = i < 0 ? lua_gettop(L) + 1 + i : i;
        for (const Field<T>& entry : Describe<T>::fields()) {
            lua_pushlstring(L, entry.name.data(), entry.name.size());
            lua_rawget(L, index);
            if (!lua_isnil(L, -1))
                entry.assign(object, L, lua_gettop(L));
            lua_pop(L, 1);
        }
        return object;
    }

  private:
    static const Field<T>* find(const std::string& name) {
        for (const Field<T>& entry : Describe<T>::fields())
            if (entry.name == name)
                return &entry;
        return nullptr;
    }
};

/// What may be left out at the end of the argument list.
template <class T>
struct IsOptional : std::bool_constant<Described<T>> {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

} // namespace runbook::bind
