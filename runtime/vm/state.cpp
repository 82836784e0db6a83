#include "runtime/vm/state.h"

#include "runtime/base/error.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/leaving.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace runbook::vm {

namespace {
const char host_key = 0;

bool near_limit(std::size_t used, std::size_t limit) {
    return limit && used > limit / 4;
}
/// The collector's pause, in percent of what the last collection left.
int pause_at(std::size_t used, std::size_t limit) {
    return near_limit(used, limit) ? 110 : 200;
}

/// Bytes that a heap may have before the collector starts by itself.
constexpr std::size_t small_heap = std::size_t{64} << 20;

bool leaving = false;

/// An allocator for the end: nothing is freed, and what a finalizer wants comes from the heap.
void* left(void*, void* block, std::size_t old_size, std::size_t new_size) {
    if (new_size == 0)
        return nullptr;
    void* fresh = std::malloc(new_size);
    if (fresh && block)
        std::memcpy(fresh, block, std::min(old_size, new_size));
    return fresh;
}

/// The JIT is off: the watchdog's hook never fires in a compiled loop. RUNBOOK_TEST_JIT=1 turns it
/// on, so that tests show that nothing but the watchdog depends on that (jit.playbooks).
bool jit_for_tests() {
    const char* given = std::getenv("RUNBOOK_TEST_JIT");
    return given && std::string_view(given) == "1";
}
} // namespace

// A heap that may double between two collections costs a fraction of the time of one that may grow
// by a tenth, and that is fine as long as the double stays far from the limit. Near it nothing but
// the small pause will do, because nobody collects when an allocation fails. Setting the pause and
// starting the collector touch no object of Lua's, so that the allocator may do it.
void* State::allocate(void* self, void* block, std::size_t old_size, std::size_t new_size) {
    auto& state = *static_cast<State*>(self);
    const std::size_t used = state.used_ - (block ? old_size : 0) + new_size;
    if (state.limit_ && used > state.used_ && used > state.limit_)
        return nullptr;
    if (state.L_ && near_limit(state.used_, state.limit_) != near_limit(used, state.limit_))
        lua_gc(state.L_, LUA_GCSETPAUSE, pause_at(used, state.limit_));
    if (!state.collects_ && (used > small_heap || near_limit(used, state.limit_))) {
        state.collects_ = true;
        lua_gc(state.L_, LUA_GCRESTART, 0); // at once
    }
    void* result = state.system_(state.system_data_, block, old_size, new_size);
    if (!result && new_size > 0)
        return nullptr;
    state.used_ = used;
    return result;
}

State::State(std::unique_ptr<Host> host, std::size_t memory_limit)
    : limit_(memory_limit), host_(std::move(host)), L_(luaL_newstate()) {
    if (!L_)
        throw Error("internal", "cannot create a Lua state");
    system_ = lua_getallocf(L_, &system_data_);
    used_ = static_cast<std::size_t>(lua_gc(L_, LUA_GCCOUNT, 0)) * 1024 +
            static_cast<std::size_t>(lua_gc(L_, LUA_GCCOUNTB, 0));
    lua_setallocf(L_, allocate, this);
    lua_gc(L_, LUA_GCSTOP, 0);
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
    luaJIT_setmode(L_, 0,
                   LUAJIT_MODE_ENGINE | (jit_for_tests() ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
    lua_gc(L_, LUA_GCSETPAUSE, pause_at(used_, limit_));
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
    if (leaving)
        lua_setallocf(L_, left, nullptr);
    else
        lua_setallocf(L_, system_, system_data_); // it gives its memory back as a whole
    lua_close(L_);
}

void State::collect() {
    collects_ = true;
    lua_gc(L_, LUA_GCRESTART, -1); // when the heap has grown by the pause
}

void leave_memory() {
    leaving = true;
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
