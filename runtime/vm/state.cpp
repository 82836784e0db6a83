#include "runtime/vm/state.h"

#include "runtime/base/error.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <cstdlib>

namespace runbook::vm {

namespace {
const char host_key = 0;
} // namespace

void* State::allocate(void* self, void* block, std::size_t old_size, std::size_t new_size) {
    auto& state = *static_cast<State*>(self);
    if (new_size == 0) {
        state.used_ -= block ? old_size : 0;
        std::free(block);
        return nullptr;
    }
    const std::size_t before = block ? old_size : 0;
    if (state.limit_ && new_size > before && state.used_ - before + new_size > state.limit_)
        return nullptr;
    void* result = std::realloc(block, new_size);
    if (result)
        state.used_ = state.used_ - before + new_size;
    return result;
}

State::State(std::unique_ptr<Host> host, std::size_t memory_limit)
    : limit_(memory_limit), host_(std::move(host)), L_(lua_newstate(allocate, this)) {
    if (!L_)
        throw Error("internal", "cannot create a Lua state");
    lua_pushlightuserdata(L_, const_cast<char*>(&host_key));
    lua_pushlightuserdata(L_, host_.get());
    lua_rawset(L_, LUA_REGISTRYINDEX);
    lua_pushthread(L_);
    lua_setfield(L_, LUA_REGISTRYINDEX, "runbook.main");
    static const luaL_Reg libraries[] = {{"", luaopen_base},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math},
                                         {LUA_BITLIBNAME, luaopen_bit},
                                         {LUA_JITLIBNAME, luaopen_jit},
                                         {LUA_DBLIBNAME, luaopen_debug}};
    for (const luaL_Reg& library : libraries) {
        lua_pushcfunction(L_, library.func);
        lua_pushstring(L_, library.name);
        lua_call(L_, 1, 0);
    }
    luaJIT_setmode(L_, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_gc(L_, LUA_GCSETPAUSE, 110);
    register_error_table(L_);
    register_values(L_);
    scheduler_ = std::make_unique<Scheduler>(L_);
    push_scheduler_library(L_);
    push_source_library(L_);                     // adds to the same table
    load_host_file("runtime/vm/sandbox.lua", 1); // returns the environment
    lua_setfield(L_, LUA_REGISTRYINDEX, "runbook.sandbox");
}

State::~State() {
    scheduler_.reset();
    lua_close(L_);
}

void State::load_host_file(std::string_view path, int arguments) {
    const int base = lua_gettop(L_) - arguments;
    if (!load_embedded(L_, path))
        throw Error("internal", fmt::format("{} is not part of this binary", path));
    lua_insert(L_, base + 1);
    lua_pushcfunction(L_, error_handler);
    lua_insert(L_, base + 1);
    if (lua_pcall(L_, arguments, 1, base + 1) != 0) {
        const Error error = to_error(L_, -1);
        lua_settop(L_, base);
        throw Error("internal", fmt::format("{}: {}", path, error.message()));
    }
    lua_remove(L_, base + 1);
}

void State::push_sandbox() {
    lua_getfield(L_, LUA_REGISTRYINDEX, "runbook.sandbox");
}

Host& State::host_of(lua_State* L) {
    lua_pushlightuserdata(L, const_cast<char*>(&host_key));
    lua_rawget(L, LUA_REGISTRYINDEX);
    auto* host = static_cast<Host*>(lua_touserdata(L, -1));
    lua_pop(L, 1);
    return *host;
}

} // namespace runbook::vm
