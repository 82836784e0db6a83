#include "runtime/engine/libraries.h"

#include "runtime/base/error.h"
#include "runtime/base/value.h"
#include "runtime/engine/lists.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <set>

namespace runbook::engine {

namespace {

constexpr std::string_view folder = "stdlib/";

/// require, of embedded modules only. Upvalues: the modules that are loaded, the environment that
/// they run in.
int require_embedded(lua_State* L) {
    const char* name = luaL_checkstring(L, 1);
    lua_getfield(L, lua_upvalueindex(1), name);
    if (!lua_isnil(L, -1))
        return 1;
    bool fine = false;
    try {
        std::string path = name;
        for (char& c : path)
            c = c == '.' ? '/' : c;
        fine = load_embedded(L, fmt::format("{}{}.lua", folder, path));
        if (!fine)
            vm::push_error(L, Error("internal", fmt::format("no module '{}'", path)));
    } catch (const Error& error) {
        vm::push_error(L, error);
    }
    if (!fine)
        return lua_error(L);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(1), name);
    return 1;
}

/// An environment for modules, with a `require` that knows nothing of playbooks; pushes that
/// `require`.
void push_require(lua_State* L) {
    lua_newtable(L); // the modules
    lua_newtable(L); // their environment
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.sandbox");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_insert(L, -3); // environment, modules, environment
    lua_pushcclosure(L, require_embedded, 2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "require");
    lua_remove(L, -2);
}

/// Calls fn with each table of a list.
template <class Fn>
void each(const Map& map, std::string_view key, Fn fn) {
    for (const Value& value : list_at(map, key))
        if (const Map* entry = value.get<Map>())
            fn(*entry);
}

std::vector<vm::FieldDoc> fields_of(const Map& owner) {
    std::vector<vm::FieldDoc> fields;
    each(owner, "fields", [&](const Map& field) {
        fields.push_back({field.text("name"), field.text("type"), field.text("doc"),
                          field.boolean("optional", true)});
    });
    return fields;
}

vm::FunctionDoc function_of(const Map& map) {
    vm::FunctionDoc function{map.text("name"),
                             map.text("doc"),
                             {},
                             map.text("returns"),
                             map.text("returns_doc"),
                             {},
                             vm::Effect::none,
                             true,
                             map.text("example")};
    each(map, "parameters", [&](const Map& parameter) {
        function.parameters.push_back({parameter.text("name"), parameter.text("type"),
                                       parameter.text("doc"), parameter.boolean("optional"),
                                       fields_of(parameter)});
    });
    for (const Value& kind : list_at(map, "raises"))
        if (const auto* text = kind.get<std::string>())
            function.raises.push_back(*text);
    const std::string effect = map.text("effect");
    function.effect = effect == "writes"  ? vm::Effect::writes
                      : effect == "reads" ? vm::Effect::reads
                                          : vm::Effect::none;
    return function;
}

void add_area(vm::Registry& into, const Map& declared) {
    const std::string name = declared.text("name"), needs = declared.text("needs");
    vm::AreaDoc& area = into.area(
        name, fmt::format("{} In a playbook: `local {} = require \"{}\"`{}.", declared.text("doc"),
                          name, name, needs.empty() ? "" : ", and " + needs));
    each(declared, "types", [&](const Map& type) {
        vm::TypeDoc doc{type.text("name"), type.text("doc"), fields_of(type), {}};
        each(type, "methods",
             [&](const Map& method) { doc.methods.push_back(function_of(method)); });
        area.types.push_back(std::move(doc));
    });
    each(declared, "functions",
         [&](const Map& function) { area.functions.push_back(function_of(function)); });
}

} // namespace

void declare_libraries(lua_State* L, vm::Registry& into) {
    std::set<std::string> modules;
    for (const EmbeddedFile& file : embedded_files())
        if (file.path.starts_with(folder) && file.path.ends_with(".lua"))
            modules.emplace(file.path.substr(folder.size(), file.path.size() - folder.size() - 4));
    const int top = lua_gettop(L);
    push_require(L);
    for (const std::string& module : modules) {
        lua_pushvalue(L, top + 1);
        lua_pushlstring(L, module.data(), module.size());
        if (lua_pcall(L, 1, 1, 0) != 0) {
            const Error error = vm::to_error(L, -1);
            lua_settop(L, top);
            throw Error("internal", fmt::format("module {}: {}", module, error.message()));
        }
        if (lua_getmetatable(L, -1)) {
            lua_getfield(L, -1, "declared");
            if (lua_istable(L, -1))
                if (const Value value = vm::to_value(L, -1); const Map* declared = value.get<Map>())
                    add_area(into, *declared);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

std::string module_stubs(const vm::AreaDoc& module) {
    vm::Registry one;
    one.area(module.name, module.doc) = module;
    std::string text = one.stubs();
    const auto replace = [&](const std::string& from, const std::string& to) {
        if (const std::size_t at = text.find(from); at != std::string::npos)
            text.replace(at, from.size(), to);
    };
    replace(
        text.substr(0, text.find("\n\n")),
        fmt::format("---@meta {}\n-- Generated from the declarations in stdlib/.", module.name));
    replace(fmt::format("\n{} = {{}}\n", module.name),
            fmt::format("\nlocal {} = {{}}\n", module.name));
    return text + fmt::format("return {}\n", module.name);
}

} // namespace runbook::engine
