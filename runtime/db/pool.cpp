// See pool.h.
#include "runtime/db/pool.h"

#include "runtime/base/error.h"

#include <algorithm>

namespace runbook::db {

struct Pool::LeaseEnd {
    std::shared_ptr<Pool> pool;
    std::size_t place;
    std::uint64_t lease;
    void operator()(Handle*) const { pool->free_place(place, lease); }
};

Pool::Pool(const Handle& like, std::size_t size) : leases_(size, 0) {
    for (std::size_t i = 0; i < size; ++i)
        handles_.push_back(std::make_shared<Handle>(like.url(), like.access(), like.name()));
}

std::size_t Pool::used() const {
    std::lock_guard lock(mutex_);
    return leases_.size() -
           static_cast<std::size_t>(std::count(leases_.begin(), leases_.end(), std::uint64_t{0}));
}

std::shared_ptr<Handle> Pool::take(Cancel& cancel) {
    std::uint64_t ticket = 0, lease = 0;
    std::size_t place = 0;
    {
        std::lock_guard lock(mutex_);
        ticket = ++last_ticket_;
        queue_.push_back(ticket);
    }
    {
        Cancel::Hook wake(cancel, [this] {
            std::lock_guard lock(mutex_);
            changed_.notify_all();
        });
        std::unique_lock lock(mutex_);
        auto free = leases_.end();
        changed_.wait(lock, [&] {
            free = std::find(leases_.begin(), leases_.end(), std::uint64_t{0});
            return cancel.requested() || (queue_.front() == ticket && free != leases_.end());
        });
        queue_.erase(std::find(queue_.begin(), queue_.end(), ticket));
        if (!cancel.requested()) {
            place = static_cast<std::size_t>(free - leases_.begin());
            *free = lease = ++last_lease_;
        }
        changed_.notify_all();
    }
    if (lease == 0)
        cancel.check("waiting for a connection of the pool");
    return {handles_[place].get(), LeaseEnd{shared_from_this(), place, lease}};
}

void Pool::give(const std::shared_ptr<Handle>& lease) {
    if (const auto* end = std::get_deleter<LeaseEnd>(lease))
        free_place(end->place, end->lease);
}

void Pool::free_place(std::size_t place, std::uint64_t lease) {
    std::lock_guard lock(mutex_);
    if (leases_[place] == lease)
        leases_[place] = 0;
    changed_.notify_all();
}

} // namespace runbook::db
