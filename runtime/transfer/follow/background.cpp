// Threads that follow (see background.h).
#include "runtime/transfer/follow/background.h"

#include "runtime/base/error.h"

#include <thread>

namespace runbook::follow {

struct Background::Job {
    std::mutex mutex;
    std::optional<Status> latest;
    std::optional<Error> error;
    std::atomic<bool> ended{false};
    Cancel cancel;
    std::thread thread;

    Job(const db::Url& source, const db::Url& target, const Options& options)
        : thread([this, source, target, options] { work(source, target, options); }) {}
    ~Job() {
        cancel.request(Cancel::Reason::cancelled);
        thread.join();
    }
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    void work(const db::Url& source, const db::Url& target, const Options& options) noexcept {
        auto keep = [this](Error raised) {
            std::lock_guard lock(mutex);
            error = std::move(raised);
        };
        try {
            run(
                source, target, options, Until::cancelled,
                [this](const Status& status) {
                    std::lock_guard lock(mutex);
                    latest = status;
                },
                nullptr, cancel);
        } catch (const Error& raised) {
            keep(raised);
        } catch (const std::exception& raised) {
            keep(Error("internal", std::string("following: ") + raised.what()));
        }
        ended = true;
    }
};

Background& Background::instance() {
    static Background background;
    return background;
}

Background::~Background() = default;

std::string Background::key_of(const db::Url& source, const db::Url& target) {
    return source.masked() + "\n" + target.masked();
}

void Background::ensure(const db::Url& source, const db::Url& target, const Options& options) {
    std::lock_guard lock(mutex_);
    std::unique_ptr<Job>& job = jobs_[key_of(source, target)];
    if (job && !job->ended)
        return;
    std::optional<Error> error;
    if (job) {
        std::lock_guard inner(job->mutex);
        error = job->error;
    }
    job.reset();
    if (error)
        throw Error(*error);
    job = std::make_unique<Job>(source, target, options);
}

std::optional<Status> Background::latest(const db::Url& source, const db::Url& target) {
    std::lock_guard lock(mutex_);
    auto found = jobs_.find(key_of(source, target));
    if (found == jobs_.end() || !found->second)
        return std::nullopt;
    std::lock_guard inner(found->second->mutex);
    return found->second->latest;
}

void Background::end(const db::Url& source, const db::Url& target) noexcept {
    std::unique_ptr<Job> job;
    {
        std::lock_guard lock(mutex_);
        auto found = jobs_.find(key_of(source, target));
        if (found == jobs_.end())
            return;
        job = std::move(found->second);
        jobs_.erase(found);
    }
} // joined here, without the lock

} // namespace runbook::follow
