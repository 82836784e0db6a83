// Timers of a test: nobody waits for them. When nothing else is left to do, the clock
// (rehearsal::stopped_at) jumps to the next one. Owns: those timers. Loop thread. Whoever only
// looks now and then whether something has happened (a poller) is asked after every change, and
// does not keep the clock going.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace runbook::vm {

class VirtualTime {
  public:
    /// Fires once after `seconds` of virtual time, at least a microsecond, unless the handle is
    /// dropped first.
    std::shared_ptr<void> after(double seconds, std::function<void()> fn);
    /// Fires once after the next change; with `left` >= 0 at the latest after so many seconds.
    std::shared_ptr<void> poll(double left, std::function<void()> fn);
    /// Something has happened that a poller may be waiting for.
    void changed() { changed_ = true; }
    /// Nothing else is left to do: fires the pollers after a change, else the next timer. False
    /// where there is neither.
    bool step();

  private:
    struct Timers {
        /// Due micros and a number, so that equal ones fire in order.
        std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> due;
        std::map<std::uint64_t, std::function<void()>> pollers;
    };
    std::shared_ptr<Timers> timers_ = std::make_shared<Timers>();
    std::uint64_t last_ = 0;
    bool changed_ = true;
};

} // namespace runbook::vm
