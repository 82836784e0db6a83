// Whose turn it is on a channel, and when the next message may leave.
// Owns: a queue of waiting threads in the order of their coming. A cancel ends any wait at once.
#pragma once

#include "runtime/base/cancel.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>

namespace runbook::notify {

/// Waits for so long, or until the cancel is requested. Throws `cancelled`, `timeout`.
void nap(std::chrono::milliseconds duration, Cancel& cancel);

/// One at a time, in the order of coming.
class Turns {
  public:
    /// Held from the constructor, which waits, to the destructor.
    class Held {
      public:
        Held(Turns& turns, Cancel& cancel);
        ~Held();
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;

      private:
        Turns& turns_;
        std::uint64_t ticket_;
    };

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t next_ = 0;
    std::set<std::uint64_t> waiting_; ///< the first one's turn it is
};

} // namespace runbook::notify
