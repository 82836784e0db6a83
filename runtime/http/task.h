// Coroutines of the HTTP engine: what looks like a blocking call on the hub's thread and is none,
// so that ten thousand requests wait without ten thousand threads. A Task runs when it is awaited;
// whoever awaits it takes its result or its exception.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace runbook::http {

struct Nothing {};

template <class T = Nothing>
class [[nodiscard]] Task {
  public:
    struct promise_type {
        std::optional<T> value;
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
        void return_value(T result) { value.emplace(std::move(result)); }
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
    T await_resume() {
        if (handle_.promise().error)
            std::rethrow_exception(handle_.promise().error);
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

/// Runs a task to its end; call it on the hub's thread.
template <class T>
Detached drive(Task<T> task, Done<T> done) {
    std::optional<T> value;
    std::exception_ptr error;
    try {
        value.emplace(co_await task);
    } catch (...) {
        error = std::current_exception();
    }
    done(std::move(value), error);
}

} // namespace runbook::http
