// See value_types.h. Loop thread.
#include "bindings/value_types.h"

#include "bindings/core/declare.h"
#include "runtime/base/error.h"
#include "runtime/base/quantity.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

namespace runbook::bindings {

namespace {

/// (name, methods): registers the metatable of a type of values, and returns it. Upvalue: the
/// registry, whose areas name their own types.
int set_type(lua_State* L) {
    bool taken = false;
    {
        const auto* registry =
            static_cast<const vm::Registry*>(lua_touserdata(L, lua_upvalueindex(1)));
        const std::string_view name = lua_tostring(L, 1);
        for (const vm::AreaDoc& area : registry->areas())
            taken = taken || (!area.name.empty() && name.starts_with(area.name + "."));
        if (taken)
            vm::push_error(L, Error("argument",
                                    "values.type: argument 1 'name': '" + std::string(name) +
                                        "' belongs to the language",
                                    "begin with the name of your library"));
    }
    if (taken)
        return lua_error(L);
    lua_newtable(L);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -1);
    vm::register_value_type(L, lua_tostring(L, 1));
    return 1;
}

} // namespace

void install_value_type(vm::State& state, const char* name, std::string_view source) {
    lua_State* L = state.L();
    const std::string chunk = std::string("=[runbook ") + name + "]";
    bool failed = luaL_loadbuffer(L, source.data(), source.size(), chunk.c_str()) != 0;
    if (!failed) {
        state.push_sandbox();
        lua_setfenv(L, -2);
        failed = lua_pcall(L, 0, 1, 0) != 0;
    }
    if (failed) {
        const char* text = lua_tostring(L, -1);
        throw Error("internal", std::string(name) + ": " + (text ? text : "error"));
    }
    vm::register_value_type(L, name);
}

void register_values(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "values",
                    "Tables with methods and numbers with units, for libraries.");
    lua_State* L = state.L();
    state.push_sandbox();
    lua_getfield(L, -1, "values");
    lua_pushlightuserdata(L, &registry);
    lua_pushcclosure(L, set_type, 1);
    lua_setfield(L, -2, "set");
    lua_pop(L, 2);
    area.def("type", "A type of tables whose methods are there again when a result comes back from "
                     "the journal. A library makes it while the file loads.")
        .param("name", "string", "its own name and a dot first: \"shop.rows\"")
        .param("methods", "table", "name = function(self, …)")
        .returns("function", "makes a value of that type of a table, and returns it")
        .raises({"argument"})
        .example("local rows = values.type('shop.rows', { count = function(self) return #self end "
                 "})\nassert(rows { 1, 2 }:count() == 2)")
        .lua();
    area.def("quantity", "A number with its unit, from text.")
        .param("text", "\"5 %\", \"200ms\", \"10 GB\" or \"10/min\"")
        .returns("table?", "{number, unit}: unit is ratio, seconds, bytes or per_second; nil where "
                           "the text has no unit")
        .example("local q = values.quantity '200ms'\nassert(q.number == 0.2 and q.unit == "
                 "'seconds')")
        .native([](bind::Call&, std::string text) {
            const auto found = quantity::parse(text);
            return found ? std::optional<Map>(
                               Map{{"number", found->number}, {"unit", std::string(found->unit)}})
                         : std::nullopt;
        });
    area.def("quantity_text", "A number with its unit, as text for people.")
        .param("number", "how much")
        .param("unit", "ratio, seconds, bytes, per_second or count; the number alone where it is "
                       "left out")
        .returns("string", "\"5 %\", \"200ms\", \"10.0 GB\"")
        .example("assert(values.quantity_text(0.05, 'ratio') == '5 %')")
        .native([](bind::Call&, double number, std::optional<std::string> unit) {
            return quantity::shown(number, unit.value_or(""));
        });
}

} // namespace runbook::bindings
