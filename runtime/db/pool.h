// A bounded number of sessions to one database, lent one at a time to whoever asks.
// Owns: the handles, each with a session and a thread of its own, opened with their first
// statement. A lease that nobody holds any more goes back by itself. Any thread.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/db/handle.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace runbook::db {

class Pool : public std::enable_shared_from_this<Pool> {
  public:
    /// `size` handles like this one: same address, rights and name.
    Pool(const Handle& like, std::size_t size);

    /// Waits for a free one, first come first served. Throws Error{`cancelled`} or
    /// Error{`timeout`}.
    std::shared_ptr<Handle> take(Cancel& cancel);
    /// Gives a lease back before its last reference goes; again is nothing.
    void give(const std::shared_ptr<Handle>& lease);
    std::size_t size() const { return handles_.size(); }
    std::size_t used() const;

  private:
    struct LeaseEnd; ///< the deleter of a lease: its place and number
    void free_place(std::size_t place, std::uint64_t lease);

    std::vector<std::shared_ptr<Handle>> handles_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::uint64_t> leases_; ///< number of the lease that holds a handle, 0: free
    std::deque<std::uint64_t> queue_;
    std::uint64_t last_lease_ = 0, last_ticket_ = 0;
};

} // namespace runbook::db
