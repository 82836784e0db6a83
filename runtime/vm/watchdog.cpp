#include "runtime/vm/watchdog.h"

#include "runtime/vm/error_table.h"

#include <chrono>
#include <cstdio>
#include <unistd.h>

namespace runbook::vm {

namespace {
/// Seconds that a single C call (a pathological pattern) may outlast the hook before the process
/// ends.
constexpr double deaf_limit = 10.0;

/// Never the clock of a test, which stands still.
double real_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}
} // namespace

Watchdog::Watchdog(lua_State* L) : L_(L), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

void Watchdog::enter() {
    entered_ = real_seconds();
}

void Watchdog::leave() {
    entered_ = 0.0;
    lua_sethook(L_, nullptr, 0, 0);
}

void Watchdog::hook(lua_State* L, lua_Debug*) {
    lua_sethook(L, nullptr, 0, 0);
    push_error(
        L,
        Error("runaway", "Lua code ran too long without waiting for anything",
              "a loop that never ends? move the work into a binding, or split it with time.sleep"));
    lua_error(L);
}

void Watchdog::watch() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        wake_.wait_for(lock, std::chrono::milliseconds(20));
        const double since = entered_.load();
        if (since == 0.0)
            continue;
        const double over = real_seconds() - since - limit_.load();
        if (over > 0)
            lua_sethook(L_, hook, LUA_MASKCOUNT, 1);
        if (over > deaf_limit) {
            static constexpr char text[] =
                "runbook: one call inside the playbook ran too long and cannot be interrupted; "
                "the process ends, the step is in doubt\n";
            if (::write(2, text, sizeof text - 1) < 0)
                ::_exit(4);
            ::_exit(4);
        }
    }
}

} // namespace runbook::vm
