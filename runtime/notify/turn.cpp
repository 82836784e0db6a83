#include "runtime/notify/turn.h"

namespace runbook::notify {

void nap(std::chrono::milliseconds duration, Cancel& cancel) {
    std::mutex mutex;
    std::condition_variable woken;
    {
        Cancel::Hook hook(cancel, [&] {
            std::lock_guard lock(mutex);
            woken.notify_all();
        });
        std::unique_lock lock(mutex);
        woken.wait_for(lock, duration, [&] { return cancel.requested(); });
        lock.unlock();
    }
    cancel.check("notify");
}

Turns::Held::Held(Turns& turns, Cancel& cancel) : turns_(turns) {
    {
        std::lock_guard lock(turns_.mutex_);
        ticket_ = turns_.next_++;
        turns_.waiting_.insert(ticket_);
    }
    {
        Cancel::Hook hook(cancel, [&] {
            std::lock_guard lock(turns_.mutex_);
            turns_.changed_.notify_all();
        });
        std::unique_lock lock(turns_.mutex_);
        turns_.changed_.wait(
            lock, [&] { return *turns_.waiting_.begin() == ticket_ || cancel.requested(); });
        if (!cancel.requested())
            return;
        turns_.waiting_.erase(ticket_);
        turns_.changed_.notify_all();
    }
    cancel.check("notify");
}

Turns::Held::~Held() {
    std::lock_guard lock(turns_.mutex_);
    turns_.waiting_.erase(ticket_);
    turns_.changed_.notify_all();
}

} // namespace runbook::notify
