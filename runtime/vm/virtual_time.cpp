// Jumping from timer to timer (contract in virtual_time.h).
#include "runtime/vm/virtual_time.h"

#include "runtime/base/rehearsal.h"

#include <algorithm>
#include <cmath>

namespace runbook::vm {

std::shared_ptr<void> VirtualTime::after(double seconds, std::function<void()> fn) {
    // At least a microsecond: a loop that waits for a moment which rounding keeps ahead of it must
    // get there.
    const double micros = std::clamp(std::ceil(seconds * 1e6 - 1e-3), 1.0, 1e17);
    const std::pair key{rehearsal::stopped_at.load() + static_cast<std::int64_t>(micros), ++last_};
    timers_->due.emplace(key, std::move(fn));
    return {nullptr, [timers = std::weak_ptr(timers_), key](void*) {
                if (const auto held = timers.lock())
                    held->due.erase(key);
            }};
}

std::shared_ptr<void> VirtualTime::poll(double left, std::function<void()> fn) {
    const std::uint64_t number = ++last_;
    timers_->pollers.emplace(number, fn);
    std::shared_ptr<void> end;
    if (left >= 0)
        end = after(left, [timers = timers_, number, fn = std::move(fn)] {
            if (timers->pollers.erase(number) > 0)
                fn();
        });
    return {nullptr, [timers = std::weak_ptr(timers_), number, end](void*) {
                if (const auto held = timers.lock())
                    held->pollers.erase(number);
            }};
}

bool VirtualTime::step() {
    if (changed_ && !timers_->pollers.empty()) {
        changed_ = false;
        for (auto waiting = std::exchange(timers_->pollers, {}); auto& [number, fn] : waiting)
            fn();
        return true;
    }
    if (timers_->due.empty())
        return false;
    auto first = timers_->due.extract(timers_->due.begin());
    rehearsal::stopped_at = std::max(rehearsal::stopped_at.load(), first.key().first);
    changed_ = true;
    first.mapped()();
    return true;
}

} // namespace runbook::vm
