// Stops Lua code that never waits: a thread of its own that arms an error hook, again and again,
// while the loop thread stays inside one resume for too long. A count hook fires in interpreted
// code only, which is why the JIT is off for playbooks. Never touches Lua beyond lua_sethook
// (documented as callable asynchronously).
#pragma once

#include "runtime/vm/lua.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace runbook::vm {

class Watchdog {
  public:
    explicit Watchdog(lua_State* L);
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    /// Loop thread: Lua code is entered and left.
    void enter();
    void leave();
    void set_limit(double seconds) { limit_ = seconds; }

  private:
    void watch();
    static void hook(lua_State* L, lua_Debug* frame);

    lua_State* L_;
    std::atomic<double> limit_{10.0}, entered_{0.0};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;
};

} // namespace runbook::vm
