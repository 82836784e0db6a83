// Loading of the embedded Lua files (contract in embedded.h).
#include "runtime/vm/embedded.h"

#include "runtime/base/error.h"
#include "runtime/vm/lua.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace runbook {

namespace {

/// From the source tree, while developing.
std::optional<std::string> from_tree(std::string_view path) {
    const char* root = std::getenv("RUNBOOK_LUA_ROOT");
    if (!root || !*root)
        return std::nullopt;
    std::ifstream file(std::string(root) + "/" + std::string(path), std::ios::binary);
    if (!file)
        return std::nullopt;
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
}

/// Whether this LuaJIT is the one that wrote the bytecode. Bytecode has a version of its own, but a
/// library may be replaced below an installed program, and another one's bytecode is not worth a
/// risk.
bool code_fits(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "jit");
    bool fits = false;
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "version");
        const char* version = lua_tostring(L, -1);
        fits = version && embedded_version() == version;
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
    return fits;
}

void load(lua_State* L, std::string_view path, std::string_view chunk, const char* mode) {
    const std::string name = fmt::format("=[{}]", path);
    if (luaL_loadbufferx(L, chunk.data(), chunk.size(), name.c_str(), mode) != 0) {
        const std::string message = lua_tostring(L, -1);
        lua_pop(L, 1);
        throw Error("internal", message);
    }
}

} // namespace

bool load_embedded(lua_State* L, std::string_view path) {
    if (const auto text = from_tree(path)) {
        load(L, path, *text, "t");
        return true;
    }
    const auto files = embedded_files();
    const auto file = std::find_if(files.begin(), files.end(),
                                   [&](const EmbeddedFile& one) { return one.path == path; });
    if (file == files.end())
        return false;
    if (!file->code.empty() && code_fits(L))
        load(L, path, file->code, "b");
    else
        load(L, path, file->text, "t");
    return true;
}

} // namespace runbook
