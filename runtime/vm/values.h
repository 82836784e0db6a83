// Value to and from Lua, and the userdata types of the language: null, decimal, timestamp, secret.
// Loop thread. Integers to ±2^53 are Lua numbers, larger ones and NUMERIC are exact decimals.
#pragma once

#include "runtime/base/value.h"
#include "runtime/vm/lua.h"

#include <optional>
#include <string>

namespace runbook::vm {

void register_values(lua_State* L);

void push_null(lua_State* L);
bool is_null(lua_State* L, int index);

/// Pushes any Value. A Map with "$type" gets the metatable registered under that name.
void push_value(lua_State* L, const Value& value);
void push_timestamp(lua_State* L, const Timestamp& timestamp);
/// Null inside a List or Map as the sentinel; `top_null_is_nil` decides for the value itself.
void push_value(lua_State* L, const Value& value, bool top_null_is_nil);

/// A Lua value as data. Functions, threads and foreign userdata become Opaque ("function",
/// "connection"); a table with keys 1..n a List, an empty one a Map unless json.array made it;
/// other keys must be strings or integers (these become text). Throws Error{`argument`} for a cycle
/// or nesting above 100.
Value to_value(lua_State* L, int index);

/// Marks the table on top of the stack as an array also while it is empty; what an empty List is
/// pushed as.
void mark_array(lua_State* L);

/// Registers the metatable on top of the stack (popped) under `name`: values of this type survive
/// the journal as
/// {"$type": name, …}.
void register_value_type(lua_State* L, const char* name);

/// The exact decimal at `index`, if it is one.
std::optional<Decimal> to_decimal(lua_State* L, int index);
/// The secret at `index`, or null.
SecretPtr to_secret(lua_State* L, int index);
/// The timestamp at `index`, or null.
const Timestamp* to_timestamp(lua_State* L, int index);
/// The word for a value's type in messages: nil, null, boolean, number, string, decimal,
/// connection…
std::string type_word(lua_State* L, int index);

} // namespace runbook::vm
