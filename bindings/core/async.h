// A call that waits without a thread of its own: its work goes on elsewhere (the hub of
// runtime/http) and says when it is done. Returned from a declared C++ function like a Job: Lua
// code waits, the loop goes on.
#pragma once

#include "bindings/core/declare.h"
#include "bindings/core/dry.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/rehearsal.h"

#include <exception>

namespace runbook::bind {

template <class T>
struct Async {
    /// Called once, from any thread, also after a cancel: the result or the exception.
    using Done = std::function<void(std::optional<T>, std::exception_ptr)>;

    std::string name; ///< "http.get", for messages
    std::function<void(const CancelPtr&, Done)> start;
    std::function<int(lua_State*, T&)> push = nullptr; ///< replaces Push<T>; loop thread
    bool writes = false; ///< it may change something: a test may want to fail behind it
};

template <class T>
struct IsJob<Async<T>> : std::true_type {};

/// Parks the task; pushes the park token.
template <class T>
struct Push<Async<T>> {
    static int push(lua_State* L, Async<T>& async) {
        if (rehearsal::active())
            throw unfaked(async.name); // its arguments and `needs` are checked by now
        auto operation = std::make_shared<vm::Operation>();
        auto result = std::make_shared<std::optional<T>>();
        operation->name = async.name;
        operation->push = [push = async.push, result](lua_State* to) {
            return push ? push(to, **result) : Push<T>::push(to, **result);
        };
        vm::Scheduler& scheduler = vm::Scheduler::of(L);
        scheduler.park(L, operation);
        operation->work = [](Cancel&) {
        }; // it has some: a scheduler that ends cancels and awaits it
        auto done = [&scheduler, operation, result,
                     writes = async.writes](std::optional<T> value, std::exception_ptr error) {
            try {
                if (error)
                    std::rethrow_exception(error);
                if (writes)
                    failpoint::cross("effect.after");
                *result = std::move(value);
            } catch (const Error& raised) {
                operation->error = raised;
            } catch (const std::exception& raised) {
                operation->error = Error("internal", operation->name + ": " + raised.what());
            }
            scheduler.post([&scheduler, operation] { scheduler.complete(operation); });
        };
        try {
            async.start(operation->cancel, done);
        } catch (...) {
            done(std::nullopt, std::current_exception());
        }
        return 1;
    }
};

} // namespace runbook::bind
