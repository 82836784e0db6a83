// What the files of the host library share. Loop thread.
#pragma once

#include "runtime/engine/session.h"
#include "runtime/vm/error_table.h"

namespace runbook::engine {

/// The session that `L` belongs to.
Session& session_of(lua_State* L);
std::string text_at(lua_State* L, int index);
int push_text(lua_State* L, const std::string& text);

/// Runs `fn`; what it throws becomes the error table, raised after every C++ owner is gone.
template <class Fn>
int guarded(lua_State* L, Fn fn) {
    int results = -1;
    try {
        results = fn();
    } catch (const Error& error) {
        vm::push_error(L, error);
    } catch (const std::exception& error) {
        vm::push_error(L, Error("internal", error.what()));
    }
    return results >= 0 ? results : lua_error(L);
}

/// The end of a function that waits: `fn` parks the coroutine; what it throws is raised instead,
/// after every C++ owner is gone.
template <class Fn>
int wait_after(lua_State* L, Fn fn) {
    bool parked = false;
    try {
        fn();
        parked = true;
    } catch (const Error& error) {
        vm::push_error(L, error);
    }
    return parked ? lua_yield(L, 1) : lua_error(L);
}

/// Parks on work in the journal's thread; steadfast, because a cancelled run must still be able to
/// say so. `quiet`: it only looks whether there is something new.
int park_on_journal(lua_State* L, std::function<void(Cancel&)> work,
                    std::function<int(lua_State*)> push, bool quiet = false);

/// Pushes events as the engine's Lua files read them: a list of {event, step, at, data}.
void push_history(lua_State* L, const std::vector<journal::Event>& events);

/// Adds to the library on top of the stack: dates, channels, files beside the playbook, earlier
/// runs.
void add_time_library(lua_State* L);
/// Leases of Vault.
void add_lease_library(lua_State* L);
/// Numbers with a unit.
void add_quantity_library(lua_State* L);
/// What checks and dry runs need.
void add_dry_library(lua_State* L);

} // namespace runbook::engine
