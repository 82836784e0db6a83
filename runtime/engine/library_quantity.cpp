// The part of the host library that reads and shows numbers with a unit. Loop thread.
#include "runtime/base/quantity.h"
#include "runtime/engine/library.h"

namespace runbook::engine {

namespace {

/// parse_quantity("200ms"): 0.2, "seconds"; nil where the text has no unit.
int host_parse_quantity(lua_State* L) {
    return guarded(L, [L] {
        const auto found =
            lua_type(L, 1) == LUA_TSTRING ? quantity::parse(text_at(L, 1)) : std::nullopt;
        if (!found)
            return 0;
        lua_pushnumber(L, found->number);
        lua_pushlstring(L, found->unit.data(), found->unit.size());
        return 2;
    });
}

/// quantity_text(0.2, "seconds"): "200ms". Without a unit the number alone.
int host_quantity_text(lua_State* L) {
    return guarded(L, [L] {
        return push_text(L, quantity::shown(lua_tonumber(L, 1),
                                            lua_isstring(L, 2) ? text_at(L, 2) : std::string()));
    });
}

} // namespace

void add_quantity_library(lua_State* L) {
    static const luaL_Reg functions[] = {{"parse_quantity", host_parse_quantity},
                                         {"quantity_text", host_quantity_text},
                                         {nullptr, nullptr}};
    luaL_register(L, nullptr, functions);
}

} // namespace runbook::engine
