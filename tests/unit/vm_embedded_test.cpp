// The Lua files in the binary: compiled while building, by the LuaJIT that runs them, with names
// and lines left in.
#include "runtime/base/error.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/lua.h"
#include "tests/unit/catch.h"

#include <cstdlib>
#include <memory>
#include <string>

using namespace runbook;

namespace {

struct Closes {
    void operator()(lua_State* L) const { lua_close(L); }
};
using Lua = std::unique_ptr<lua_State, Closes>;

Lua fresh() {
    Lua lua(luaL_newstate());
    luaL_openlibs(lua.get());
    return lua;
}

/// Without RUNBOOK_LUA_ROOT, which tests may run with.
class Installed {
  public:
    Installed() {
        if (const char* root = std::getenv("RUNBOOK_LUA_ROOT"))
            root_ = root;
        unsetenv("RUNBOOK_LUA_ROOT");
    }
    ~Installed() {
        if (!root_.empty())
            setenv("RUNBOOK_LUA_ROOT", root_.c_str(), 1);
    }

  private:
    std::string root_;
};

std::string where(lua_State* L) {
    lua_Debug found{};
    lua_getinfo(L, ">S", &found);
    return std::string(found.source) + ":" + std::to_string(found.linedefined) + "-" +
           std::to_string(found.lastlinedefined);
}

} // namespace

TEST_CASE("vm embedded: every file has its bytecode, and it says the same of itself",
          "[vm][embedded]") {
    const Installed installed;
    const Lua lua = fresh();
    lua_State* L = lua.get();
    lua_getglobal(L, "jit");
    lua_getfield(L, -1, "version");
    CHECK(embedded_version() == lua_tostring(L, -1));
    REQUIRE(embedded_files().size() > 50);
    for (const EmbeddedFile& file : embedded_files()) {
        INFO(file.path);
        CHECK(file.code.starts_with("\x1bLJ"));
        const std::string name = "=[" + std::string(file.path) + "]";
        REQUIRE(luaL_loadbuffer(L, file.text.data(), file.text.size(), name.c_str()) == 0);
        const std::string text = where(L);
        REQUIRE(load_embedded(L, file.path));
        CHECK(where(L) == text);
    }
}

TEST_CASE("vm embedded: another LuaJIT gets the text", "[vm][embedded]") {
    const Installed installed;
    const Lua lua = fresh();
    lua_State* L = lua.get();
    lua_getglobal(L, "jit");
    lua_pushliteral(L, "LuaJIT 9.9");
    lua_setfield(L, -2, "version");
    REQUIRE(load_embedded(L, "runtime/vm/sandbox.lua"));
    CHECK(where(L).starts_with("=[runtime/vm/sandbox.lua]:0-"));
}

TEST_CASE("vm embedded: a file that is not there is no error", "[vm][embedded]") {
    const Lua lua = fresh();
    CHECK_FALSE(load_embedded(lua.get(), "stdlib/no_such.lua"));
    CHECK(lua_gettop(lua.get()) == 0);
}

TEST_CASE("vm embedded: a source tree is read as text only", "[vm][embedded]") {
    const Installed installed;
    char folder[] = "/tmp/rb-embedded-XXXXXX";
    REQUIRE(mkdtemp(folder));
    const std::string path = std::string(folder) + "/x.lua";
    setenv("RUNBOOK_LUA_ROOT", folder, 1);
    const Lua lua = fresh();
    const auto write = [&](const std::string& text) {
        FILE* file = std::fopen(path.c_str(), "w");
        std::fwrite(text.data(), 1, text.size(), file);
        std::fclose(file);
    };
    write("return 1");
    CHECK(load_embedded(lua.get(), "x.lua"));
    write(std::string(embedded_files().front().code));
    std::string refused;
    try {
        load_embedded(lua.get(), "x.lua");
    } catch (const Error& error) {
        refused = error.message();
    }
    CHECK(refused.find("attempt to load chunk with wrong mode") != std::string::npos);
    std::remove(path.c_str());
    rmdir(folder);
    unsetenv("RUNBOOK_LUA_ROOT");
}
