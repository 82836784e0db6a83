// Exact decimals in Lua: what a BIGINT above 2^53 or a NUMERIC is. Arithmetic (+ - *), comparison
// and text are exact (Boost.Multiprecision); `:tonumber()` is the only lossy way out. Loop thread
// only.
#pragma once

#include "runtime/base/value.h"
#include "runtime/vm/lua.h"

#include <optional>
#include <string_view>

namespace runbook::vm {

void register_decimal(lua_State* L);
void push_decimal(lua_State* L, const Decimal& decimal);
/// `text` is canonical already.
void push_decimal(lua_State* L, std::string_view text);
/// Canonical form of "-12.50", "1e3"…; nothing where it is not a number.
std::optional<Decimal> parse_decimal(std::string_view text);
/// `decimal "1.50"`: the constructor of the playbook language.
int decimal_constructor(lua_State* L);

} // namespace runbook::vm
