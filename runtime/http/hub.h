// The one thread on which every transfer of this process runs: a libcurl multi handle over epoll,
// and timers. Owns: that thread, from the first request to the end of the process. `post` from any
// thread; everything else on the hub's own. Connections are never reused: a request on one that the
// server has closed would be sent twice.
#pragma once

#include "runtime/base/error.h"
#include "runtime/http/task.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

namespace runbook::http {

class Hub {
  public:
    using Clock = std::chrono::steady_clock;

    static Hub& one();

    /// Runs `fn` on the hub's thread, at its next turn. Any thread.
    void post(std::function<void()> fn);

    /// Starts a transfer of libcurl's easy handle; `done` is called with its CURLcode when it has
    /// ended, unless it was removed before.
    void add(void* easy, std::function<void(int)>* done);
    void remove(void* easy);
    /// Runs `fn` once; `drop` forgets it.
    std::uint64_t after(std::chrono::milliseconds delay, std::function<void()> fn);
    void drop(std::uint64_t timer);

  private:
    Hub();
    void loop();
    void turn();
    int wait_ms() const;
    void run_posted();
    void run_timers();
    void take_finished();
    static int on_socket(void* easy, int socket, int what, void* self, void* known);
    static int on_timer(void* multi, long ms, void* self);

    void* multi_ = nullptr; ///< libcurl's multi handle
    int epoll_ = -1, wake_ = -1;
    std::optional<Clock::time_point> curl_timer_;
    std::map<std::pair<Clock::time_point, std::uint64_t>, std::function<void()>> timers_;
    std::map<std::uint64_t, Clock::time_point> due_;
    std::uint64_t last_timer_ = 0;
    std::size_t transfers_ = 0;
    std::mutex mutex_;
    std::vector<std::function<void()>> posted_;
};

/// What an exception says, as a value: an exception object that two threads hold is freed by
/// whichever is last.
Error error_of(const std::exception_ptr& thrown);

/// Blocks the calling thread, which is not the hub's, until the task that `begin` makes has ended.
template <class Begin>
auto wait_for(Begin begin) {
    using T = decltype(begin().await_resume());
    auto promise = std::make_shared<std::promise<std::variant<T, Error>>>();
    auto future = promise->get_future();
    Hub::one().post([&begin, promise] {
        drive<T>(begin(), [promise](std::optional<T> value, const std::exception_ptr& error) {
            if (error)
                promise->set_value(error_of(error));
            else
                promise->set_value(std::move(*value));
        });
    });
    std::variant<T, Error> answer = future.get();
    if (const Error* error = std::get_if<Error>(&answer))
        throw *error;
    return std::get<T>(std::move(answer));
}

} // namespace runbook::http
