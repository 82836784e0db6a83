// The watch over one running statement. Its thread exists only where there is a timeout, or once a
// cancel came.
#include "runtime/db/mysql/session.h"

#include <sys/socket.h>

namespace runbook::db::mysql {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto resend_after = std::chrono::seconds(1);
constexpr auto grace = std::chrono::seconds(10);

} // namespace

Watch::Watch(Session& session, std::chrono::milliseconds timeout, Cancel& cancel)
    : session_(session),
      deadline_(timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max()) {
    if (timeout.count() > 0)
        thread_ = std::thread([this] { work(); });
    hook_ = std::make_unique<Cancel::Hook>(cancel, [this] {
        std::lock_guard lock(mutex_);
        fire_ = true;
        changed_.notify_all();
        if (!thread_.joinable())
            thread_ = std::thread([this] { work(); });
    });
}

Watch::~Watch() {
    hook_.reset();
    {
        std::lock_guard lock(mutex_);
        done_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable())
        thread_.join();
}

bool Watch::fired() {
    std::lock_guard lock(mutex_);
    return fire_;
}

bool Watch::timed_out() {
    std::lock_guard lock(mutex_);
    return timed_out_;
}

void Watch::work() {
    std::unique_lock lock(mutex_);
    auto ready = [this] { return done_ || fire_; };
    if (deadline_ == Clock::time_point::max())
        changed_.wait(lock, ready);
    else if (!changed_.wait_until(lock, deadline_, ready))
        fire_ = timed_out_ = true;
    auto give_up = Clock::now() + grace;
    while (!done_ && Clock::now() < give_up) {
        lock.unlock();
        session_.kill_query();
        lock.lock();
        changed_.wait_for(lock, resend_after, [this] { return done_; });
    }
    if (!done_) {
#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)
        shutdown(mysql_get_socket(session_.handle()), SHUT_RDWR);
#else
        shutdown(session_.handle()->net.fd, SHUT_RDWR);
#endif
    }
}

} // namespace runbook::db::mysql
