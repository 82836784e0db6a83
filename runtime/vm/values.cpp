#include "runtime/vm/values.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/vm/decimal.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/userdata.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>

namespace runbook::vm {

namespace {

constexpr const char* secret_type = "runbook.secret";
constexpr const char* timestamp_type = "runbook.timestamp";
constexpr const char* opaque_type = "runbook.opaque";
constexpr const char* value_types = "runbook.value_types";
constexpr std::int64_t exact_limit = std::int64_t{1} << 53;
constexpr int nesting_limit = 100;

int secret_tostring(lua_State* L) {
    lua_pushliteral(L, "***");
    return 1;
}

/// Raises `message` with the line of the playbook that asked.
int refuse(lua_State* L, const char* message, const char* hint) {
    push_error(L, Error("argument", message, hint));
    return lua_error(L);
}

/// Text and secret give a secret, so that nothing is ever built around the three stars.
int secret_concat(lua_State* L) {
    bool fine = false;
    {
        try {
            List parts;
            for (int i = 1; i <= 2; ++i) {
                if (SecretPtr secret = to_secret(L, i)) {
                    parts.push_back(std::move(secret));
                } else if (lua_isstring(L, i)) {
                    std::size_t size = 0;
                    lua_pushvalue(L, i);
                    const char* text = lua_tolstring(L, -1, &size);
                    parts.push_back(std::string(text, size));
                    lua_pop(L, 1);
                } else {
                    throw Error("argument",
                                fmt::format("a secret and a {} cannot be joined", type_word(L, i)));
                }
            }
            push_shared<const Secret>(L, secret_type, join_secret(parts));
            fine = true;
        } catch (const Error& error) {
            push_error(L, error);
        }
    }
    return fine ? 1 : lua_error(L);
}

int secret_length(lua_State* L) {
    return refuse(L, "the length of a secret is part of it", "");
}
int secret_compare(lua_State* L) {
    return refuse(L, "secrets cannot be compared", "");
}
int secret_index(lua_State* L) {
    return refuse(L, "a secret cannot be taken apart",
                  "hand it to what needs it: a header, a password, env or stdin of a command, "
                  "fs.write; text around it: secret.template or ..");
}

const Timestamp& check_timestamp(lua_State* L, int index) {
    const Timestamp* timestamp = to_timestamp(L, index);
    if (!timestamp)
        luaL_argerror(L, index, "timestamp expected");
    return *timestamp;
}

int timestamp_tostring(lua_State* L) {
    const std::string text = time::iso(check_timestamp(L, 1));
    lua_pushlstring(L, text.data(), text.size());
    return 1;
}

int timestamp_compare(lua_State* L, int relation) {
    const std::int64_t a = check_timestamp(L, 1).micros, b = check_timestamp(L, 2).micros;
    lua_pushboolean(L, relation == 0 ? a == b : relation < 0 ? a < b : a <= b);
    return 1;
}

/// Difference in seconds.
int timestamp_subtract(lua_State* L) {
    const std::int64_t a = check_timestamp(L, 1).micros, b = check_timestamp(L, 2).micros;
    lua_pushnumber(L, static_cast<double>(a - b) / 1e6);
    return 1;
}

int timestamp_index(lua_State* L) {
    const Timestamp& timestamp = check_timestamp(L, 1);
    const std::string_view key = luaL_checkstring(L, 2);
    if (key == "micros")
        lua_pushnumber(L, static_cast<double>(timestamp.micros));
    else if (key == "seconds")
        lua_pushnumber(L, static_cast<double>(timestamp.micros) / 1e6);
    else if (key == "offset" && timestamp.offset)
        lua_pushinteger(L, *timestamp.offset);
    else
        lua_pushnil(L);
    return 1;
}

/// Something that the journal could not store raises its own name when it is used.
int opaque_use(lua_State* L) {
    auto* opaque = get_shared<Opaque>(L, 1, opaque_type);
    return luaL_error(
        L, "this result held a %s, which the journal cannot keep: open it again in this step",
        opaque ? (*opaque)->what.c_str() : "value");
}

int opaque_tostring(lua_State* L) {
    auto* opaque = get_shared<Opaque>(L, 1, opaque_type);
    lua_pushfstring(L, "<%s>", opaque ? (*opaque)->what.c_str() : "value");
    return 1;
}

int null_tostring(lua_State* L) {
    lua_pushliteral(L, "null");
    return 1;
}

void set_functions(lua_State* L, std::initializer_list<luaL_Reg> functions) {
    for (const luaL_Reg& entry : functions) {
        lua_pushcfunction(L, entry.func);
        lua_setfield(L, -2, entry.name);
    }
}

Value from_number(lua_Number number) {
    if (std::floor(number) == number && std::fabs(number) <= static_cast<double>(exact_limit) &&
        !(number == 0 && std::signbit(number)))
        return static_cast<std::int64_t>(number);
    return number;
}

class Reader {
  public:
    explicit Reader(lua_State* L) : L_(L) {}

    Value read(int index) {
        switch (lua_type(L_, index)) {
        case LUA_TNIL:
            return Null{};
        case LUA_TBOOLEAN:
            return lua_toboolean(L_, index) != 0;
        case LUA_TNUMBER:
            return from_number(lua_tonumber(L_, index));
        case LUA_TSTRING: {
            std::size_t size = 0;
            const char* text = lua_tolstring(L_, index, &size);
            return std::string(text, size);
        }
        case LUA_TTABLE:
            return table(index);
        default:
            break;
        }
        if (is_null(L_, index))
            return Null{};
        if (const auto decimal = to_decimal(L_, index))
            return *decimal;
        if (const Timestamp* timestamp = to_timestamp(L_, index))
            return *timestamp;
        if (SecretPtr secret = to_secret(L_, index))
            return secret;
        if (auto* opaque = get_shared<Opaque>(L_, index, opaque_type))
            return **opaque;
        return Opaque{type_word(L_, index)};
    }

  private:
    Value table(int index) {
        const void* identity = lua_topointer(L_, index);
        if (!open_.insert(identity).second)
            throw Error("argument", "a table that contains itself cannot be stored");
        if (open_.size() > nesting_limit || !lua_checkstack(L_, 6))
            throw Error("argument", "a table nested deeper than 100 levels cannot be stored");
        Value result = list_or_map(index);
        open_.erase(identity);
        return result;
    }

    std::string type_tag(int index) {
        std::string tag;
        if (!lua_getmetatable(L_, index))
            return tag;
        lua_pushliteral(L_, "__type");
        lua_rawget(L_, -2);
        if (lua_type(L_, -1) == LUA_TSTRING)
            tag = lua_tostring(L_, -1);
        lua_pop(L_, 2);
        return tag;
    }

    Value list_or_map(int index) {
        const std::size_t length = lua_objlen(L_, index);
        const std::string tag = type_tag(index);
        std::size_t count = 0;
        Map map;
        if (!tag.empty() && tag != "array")
            map.set("$type", tag);
        lua_pushnil(L_);
        bool only_sequence = true;
        while (lua_next(L_, index)) {
            ++count;
            if (lua_type(L_, -2) != LUA_TNUMBER)
                only_sequence = false;
            lua_pop(L_, 1);
        }
        if (only_sequence && count == length && (length > 0 || tag == "array") &&
            (tag.empty() || tag == "array")) {
            List list;
            list.reserve(length);
            for (std::size_t i = 1; i <= length; ++i) {
                lua_rawgeti(L_, index, static_cast<int>(i));
                list.push_back(read(lua_gettop(L_)));
                lua_pop(L_, 1);
            }
            return list;
        }
        std::vector<std::pair<std::string, Value>> entries;
        lua_pushnil(L_);
        while (lua_next(L_, index)) {
            entries.emplace_back(key(), read(lua_gettop(L_)));
            lua_pop(L_, 1);
        }
        std::sort(entries.begin(), entries.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        for (auto& [name, value] : entries)
            map.set(std::move(name), std::move(value));
        return map;
    }

    /// The key below the value on top, as text.
    std::string key() {
        const int index = lua_gettop(L_) - 1;
        if (lua_type(L_, index) == LUA_TSTRING) {
            std::size_t size = 0;
            const char* text = lua_tolstring(L_, index, &size);
            return {text, size};
        }
        if (lua_type(L_, index) == LUA_TNUMBER)
            return fmt::format("{:.17g}", lua_tonumber(L_, index));
        throw Error("argument", fmt::format("a table with a key of type {} cannot be stored",
                                            type_word(L_, index)));
    }

    lua_State* L_;
    std::set<const void*> open_;
};

} // namespace

void register_values(lua_State* L) {
    register_decimal(L);
    new_shared_metatable<const Secret>(L, secret_type);
    set_functions(L, {{"__tostring", secret_tostring},
                      {"__concat", secret_concat},
                      {"__len", secret_length},
                      {"__eq", secret_compare},
                      {"__lt", secret_compare},
                      {"__le", secret_compare},
                      {"__index", secret_index}});
    lua_pop(L, 1);
    new_plain_metatable(L, timestamp_type);
    set_functions(L, {{"__tostring", timestamp_tostring},
                      {"__index", timestamp_index},
                      {"__sub", timestamp_subtract},
                      {"__eq", [](lua_State* S) { return timestamp_compare(S, 0); }},
                      {"__lt", [](lua_State* S) { return timestamp_compare(S, -1); }},
                      {"__le", [](lua_State* S) { return timestamp_compare(S, 1); }}});
    lua_pop(L, 1);
    new_shared_metatable<Opaque>(L, opaque_type);
    set_functions(L, {{"__tostring", opaque_tostring},
                      {"__index", opaque_use},
                      {"__call", opaque_use},
                      {"__newindex", opaque_use}});
    lua_pop(L, 1);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, value_types);
    // null: one light userdata; its metatable is shared by all light userdata, of which a playbook
    // sees no other
    lua_pushlightuserdata(L, nullptr);
    lua_newtable(L);
    lua_pushcfunction(L, null_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void push_null(lua_State* L) {
    lua_pushlightuserdata(L, nullptr);
}

bool is_null(lua_State* L, int index) {
    return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == nullptr;
}

void push_timestamp(lua_State* L, const Timestamp& timestamp) {
    static_assert(std::is_trivially_destructible_v<Timestamp>);
    new (push_plain(L, timestamp_type, sizeof(Timestamp))) Timestamp(timestamp);
}

void push_value(lua_State* L, const Value& value) {
    push_value(L, value, true);
}

void push_value(lua_State* L, const Value& value, bool top_null_is_nil) {
    luaL_checkstack(L, 6, "value nested too deeply");
    struct Pusher {
        lua_State* L;
        bool nil;
        void operator()(Null) const { nil ? lua_pushnil(L) : push_null(L); }
        void operator()(bool v) const { lua_pushboolean(L, v ? 1 : 0); }
        void operator()(std::int64_t v) const {
            if (v >= -exact_limit && v <= exact_limit)
                lua_pushnumber(L, static_cast<lua_Number>(v));
            else
                push_decimal(L, Decimal{std::to_string(v)});
        }
        void operator()(double v) const { lua_pushnumber(L, v); }
        void operator()(const std::string& v) const { lua_pushlstring(L, v.data(), v.size()); }
        void operator()(const Bytes& v) const { lua_pushlstring(L, v.data.data(), v.data.size()); }
        void operator()(const Decimal& v) const { push_decimal(L, v); }
        void operator()(const Timestamp& v) const { push_timestamp(L, v); }
        void operator()(const Opaque& v) const {
            push_shared(L, opaque_type, std::make_shared<Opaque>(v));
        }
        void operator()(const SecretPtr& v) const { push_shared<const Secret>(L, secret_type, v); }
        void operator()(const List& v) const {
            lua_createtable(L, static_cast<int>(v.size()), 0);
            for (std::size_t i = 0; i < v.size(); ++i) {
                push_value(L, v[i], false);
                lua_rawseti(L, -2, static_cast<int>(i + 1));
            }
            if (v.empty())
                mark_array(L); // or it would come back as an object
        }
        void operator()(const Map& v) const {
            lua_createtable(L, 0, static_cast<int>(v.size()));
            for (const auto& [key, item] : v) {
                if (key == "$type")
                    continue;
                lua_pushlstring(L, key.data(), key.size());
                push_value(L, item, false);
                lua_rawset(L, -3);
            }
            const std::string tag = v.text("$type");
            if (tag.empty())
                return;
            lua_getfield(L, LUA_REGISTRYINDEX, value_types);
            lua_getfield(L, -1, tag.c_str());
            lua_remove(L, -2);
            if (lua_istable(L, -1))
                lua_setmetatable(L, -2);
            else
                lua_pop(L, 1);
        }
    };
    std::visit(Pusher{L, top_null_is_nil}, value.variant());
}

Value to_value(lua_State* L, int index) {
    if (index < 0 && index > LUA_REGISTRYINDEX)
        index = lua_gettop(L) + 1 + index;
    const int top = lua_gettop(L);
    try {
        return Reader(L).read(index);
    } catch (const Error&) {
        lua_settop(L, top);
        throw;
    }
}

void mark_array(lua_State* L) {
    if (luaL_newmetatable(L, "runbook.array") != 0) {
        lua_pushliteral(L, "array");
        lua_setfield(L, -2, "__type");
    }
    lua_setmetatable(L, -2);
}

void register_value_type(lua_State* L, const char* name) {
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__type");
    lua_getfield(L, LUA_REGISTRYINDEX, value_types);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

SecretPtr to_secret(lua_State* L, int index) {
    auto* secret = get_shared<const Secret>(L, index, secret_type);
    return secret ? *secret : nullptr;
}

const Timestamp* to_timestamp(lua_State* L, int index) {
    return static_cast<const Timestamp*>(get_plain(L, index, timestamp_type));
}

std::string type_word(lua_State* L, int index) {
    if (is_null(L, index))
        return "null";
    if (lua_isnone(L, index))
        return "nil";
    if (lua_type(L, index) != LUA_TUSERDATA)
        return luaL_typename(L, index);
    std::string word = "userdata";
    if (lua_getmetatable(L, index)) {
        lua_pushliteral(L, "__name");
        lua_rawget(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING)
            word = lua_tostring(L, -1);
        lua_pop(L, 2);
    }
    if (word != "userdata")
        return word;
    if (to_decimal(L, index))
        return "decimal";
    if (to_secret(L, index))
        return "secret";
    if (to_timestamp(L, index))
        return "timestamp";
    return word;
}

} // namespace runbook::vm
