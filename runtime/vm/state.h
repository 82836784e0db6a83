// One Lua state: its memory limit, its sandbox, its scheduler.
// Owns: lua_State, the allocator's count, loading of playbook source. Loop thread only. Never knows
// what a step is.
#pragma once

#include "runtime/vm/host.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/scheduler.h"

#include <memory>
#include <string>
#include <string_view>

namespace runbook::vm {

class State {
  public:
    /// `memory_limit` in bytes; 0 for none. An allocation above it fails as "not enough memory",
    /// which a playbook cannot catch.
    explicit State(std::unique_ptr<Host> host, std::size_t memory_limit = std::size_t{1} << 30);
    ~State();
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    lua_State* L() const { return L_; }
    Scheduler& scheduler() { return *scheduler_; }
    Host& host() { return *host_; }
    std::size_t memory_used() const { return used_; }
    /// Starts the collector. Until then nothing is collected while the heap is small: a playbook
    /// that loads and a run that is restored keep nearly all that they allocate.
    void collect();

    /// Runs an embedded host file ("runtime/engine/run.lua") with full globals; leaves its one
    /// result on the stack.
    /// `arguments` values on top of the stack are its arguments (popped). Throws Error{`internal`}.
    void load_host_file(std::string_view path, int arguments);
    /// Pushes the playbook's environment table.
    void push_sandbox();

    /// The host that `L` belongs to.
    static Host& host_of(lua_State* L);

  private:
    static void* allocate(void* self, void* block, std::size_t old_size, std::size_t new_size);

    std::size_t limit_, used_ = 0;
    bool collects_ = false;
    std::unique_ptr<Host> host_;
    lua_State* L_ = nullptr;
    lua_Alloc system_ = nullptr; ///< LuaJIT's own allocator, below the count
    void* system_data_ = nullptr;
    std::unique_ptr<Scheduler> scheduler_;
};

/// Checks playbook source before it is compiled: throws Error{`load`} for bytecode and for the
/// literals 1LL, 1ULL and 1i (they would load FFI). `name` is the file, for the message.
void check_source(std::string_view source, const std::string& name);

/// Compiles text as a playbook chunk named "@name" (check_source first), its environment the value
/// at `environment`; pushes the function. Throws Error{`load`} with line and message.
void load_playbook_text(lua_State* L, std::string_view source, const std::string& name,
                        int environment);

/// Adds check_source, undefined, null and decimal to the host library on top of the stack, for
/// sandbox.lua.
void push_source_library(lua_State* L);

} // namespace runbook::vm
