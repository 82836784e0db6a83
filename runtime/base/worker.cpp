// Threads for native work (contract in worker.h).
#include "runtime/base/worker.h"

#include "runtime/base/error.h"

#include <deque>
#include <system_error>

namespace runbook {
namespace {

[[noreturn]] void no_thread(const std::system_error& problem) {
    throw Error("internal", std::string("cannot start a thread: ") + problem.code().message(),
                "raise the limit of processes (ulimit -u) or run fewer things at once");
}

} // namespace

struct Worker::State {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> queue;
    bool closing = false;

    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            wake.wait(lock, [this] { return closing || !queue.empty(); });
            if (queue.empty())
                return;
            std::function<void()> job = std::move(queue.front());
            queue.pop_front();
            lock.unlock();
            job();
            job = nullptr; // what it holds is released outside the lock
            lock.lock();
        }
    }
};

Worker::Worker() : state_(std::make_shared<State>()) {}

Worker::~Worker() {
    {
        std::lock_guard lock(state_->mutex);
        state_->closing = true;
    }
    state_->wake.notify_one();
    if (thread_.get_id() == std::this_thread::get_id())
        thread_.detach();
    else if (thread_.joinable())
        thread_.join();
}

void Worker::post(std::function<void()> job) {
    std::lock_guard starting(starting_);
    if (!thread_.joinable()) {
        try {
            thread_ = std::thread([state = state_] { state->run(); });
        } catch (const std::system_error& problem) {
            no_thread(problem);
        }
    }
    {
        std::lock_guard lock(state_->mutex);
        state_->queue.push_back(std::move(job));
    }
    state_->wake.notify_one();
}

WorkerPool::~WorkerPool() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    // A job still running may post, and so add a thread, while this waits.
    for (std::size_t i = 0;; ++i) {
        std::thread thread;
        {
            std::lock_guard lock(mutex_);
            if (i == threads_.size())
                return;
            thread = std::move(threads_[i]);
        }
        thread.join();
    }
}

void WorkerPool::post(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    if (idle_ > queue_.size() && !closing_) {
        queue_.push_back(std::move(job));
        wake_.notify_one();
        return;
    }
    try {
        threads_.emplace_back([this, job = std::move(job)]() mutable { run(std::move(job)); });
    } catch (const std::system_error& problem) {
        no_thread(problem);
    }
}

std::size_t WorkerPool::size() const {
    std::lock_guard lock(mutex_);
    return threads_.size();
}

void WorkerPool::run(std::function<void()> job) {
    for (;;) {
        job();
        job = nullptr;
        std::unique_lock lock(mutex_);
        ++idle_;
        wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
        --idle_;
        if (queue_.empty())
            return;
        job = std::move(queue_.front());
        queue_.erase(queue_.begin());
    }
}

} // namespace runbook
