// Threads for native work.
// Owns: Worker, one thread with an ordered queue (a database connection has one, so that a query
// never waits for another connection's), and WorkerPool, which always has a thread free. Jobs are
// pure C++: they never see a lua_State, and never throw (a job hands its error on by itself; one
// that escapes ends the process).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace runbook {

class Worker {
  public:
    /// The thread starts with the first job.
    Worker();
    /// Runs what is queued, then joins. On its own thread (a job that drops the last reference):
    /// the rest still runs, the thread ends by itself.
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Jobs run one at a time, in the order of their posting. Any thread. Throws Error{`internal`}
    /// where no thread can be started.
    void post(std::function<void()> job);

  private:
    struct State;
    std::shared_ptr<State> state_;
    std::thread thread_;
    std::mutex starting_;
};

class WorkerPool {
  public:
    WorkerPool() = default;
    /// Runs what is queued, then joins all.
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// Runs on an idle thread, or on a new one: a job that blocks never delays another. Any thread,
    /// also from a job. Throws Error{`internal`} where no thread can be started; the job has then
    /// not run.
    void post(std::function<void()> job);
    /// Threads started so far.
    std::size_t size() const;

  private:
    void run(std::function<void()> job);

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::function<void()>> queue_; ///< never longer than the number of idle threads
    std::vector<std::thread> threads_;
    std::size_t idle_ = 0;
    bool closing_ = false;
};

} // namespace runbook
