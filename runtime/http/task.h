// Coroutines of the HTTP engine: what looks like a blocking call on the hub's thread and is none,
// so that ten thousand requests wait without ten thousand threads. A Task runs when it is awaited;
// whoever awaits it takes its result or its exception.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace runbook::http {

struct Nothing {};

template <class T = Nothing>
class [[nodiscard]] Task {
  public:
    struct promise_type {
        std::unique_ptr<T> value; ///< apart: thousands of frames wait, few have a result
        std::exception_ptr error;
        std::coroutine_handle<> next;

        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
                return h.promise().next ? h.promise().next : std::noop_coroutine();
            }
            void await_resume() noexcept {}
        };
        Task get_return_object() {
            return Task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        Final final_suspend() noexcept { return {}; }
        void return_value(T result) { value = std::make_unique<T>(std::move(result)); }
        void unhandled_exception() { error = std::current_exception(); }
    };

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle_)
            handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
        handle_.promise().next = waiter;
        return handle_;
    }
    /// Throws where the task did.
    void check() const {
        if (handle_.promise().error)
            std::rethrow_exception(handle_.promise().error);
    }
    T await_resume() {
        check();
        return std::move(*handle_.promise().value);
    }

  private:
    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

/// Called once, on the hub's thread: the result, or the exception.
template <class T>
using Done = std::function<void(std::optional<T>, std::exception_ptr)>;

/// A coroutine that nobody awaits.
struct Detached {
    struct promise_type {
        Detached get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

/// Awaits a task without taking its result.
template <class T>
auto ended(Task<T>& task) {
    struct End {
        Task<T>& task;
        bool await_ready() const noexcept { return false; }
        auto await_suspend(std::coroutine_handle<> waiter) noexcept {
            return task.await_suspend(waiter);
        }
        void await_resume() { task.check(); }
    };
    return End{task};
}

/// Outside of the coroutine, whose frame would keep room for the result while it waits.
template <class T>
void hand_over(Task<T>& task, const Done<T>& done, const std::exception_ptr& error) {
    if (error)
        done(std::nullopt, error);
    else
        done(task.await_resume(), nullptr);
}

/// Runs a task to its end; call it on the hub's thread.
template <class T>
Detached drive(Task<T> task, Done<T> done) {
    std::exception_ptr error;
    try {
        co_await ended(task);
    } catch (...) {
        error = std::current_exception();
    }
    hand_over(task, done, error);
}

} // namespace runbook::http
