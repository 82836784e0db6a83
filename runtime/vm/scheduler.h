// Coroutines over libuv: what makes playbook code look blocking.
// Owns: the loop, the tasks (top-level coroutines), the worker pool, the cancel thread. Everything
// here runs on the loop thread except what says otherwise. Worker threads run an Operation's `work`
// and never see a lua_State. Never knows what a step or a database is.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/error.h"
#include "runtime/vm/host.h"
#include "runtime/vm/lua.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runbook {
class Worker;
}

namespace runbook::vm {

struct Task;

/// One thing a coroutine waits for. Its life: parked → work (worker thread) → completed (loop
/// thread) → the coroutine is resumed and `push` puts the results on its stack, or the error is
/// raised there.
struct Operation {
    std::string name;                    ///< "db.query", for messages
    std::function<void(Cancel&)> work;   ///< worker thread; throws to fail
    std::function<int(lua_State*)> push; ///< loop thread; returns the number of results
    std::shared_ptr<Worker> on;          ///< where work runs; null: the pool
    /// For an operation without work (a timer, a join): runs on the loop thread when cancellation
    /// is requested.
    std::function<void(Cancel::Reason)> on_cancel;
    CancelPtr cancel = std::make_shared<Cancel>();
    std::optional<Error> error;
    bool completed = false;
    bool steadfast = false; ///< neither cancelled nor refused: the journal's own writes
    bool quiet = false;     ///< only looks whether something has happened; see virtual_time.h
    std::weak_ptr<Task> task;
};
using OperationPtr = std::shared_ptr<Operation>;

/// A scheduled coroutine. It stays alive until it has ended and been joined.
struct Task {
    lua_State* L = nullptr;
    int anchor = LUA_NOREF; ///< registry reference that keeps the coroutine from the collector
    std::string name;
    std::string step, step_label;   ///< what it works for; inherited by what it spawns
    OperationPtr waiting;           ///< what it is parked on
    std::vector<lua_State*> nest;   ///< user coroutines running inside it, outermost first
    Allowance allowance;            ///< inherited by what it spawns
    std::optional<Error> cancelled; ///< sticky: every further wait raises it
    struct Deadline {
        std::int64_t id;
        double seconds;
        bool expired;
        std::shared_ptr<void> timer;
    };
    std::vector<Deadline> deadlines;
    bool ended = false, failed = false;
    int results = 0; ///< on its stack when it has ended
    std::vector<OperationPtr> joiners;
};
using TaskPtr = std::shared_ptr<Task>;

class Scheduler {
  public:
    explicit Scheduler(lua_State* main);
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    /// The scheduler that `L` belongs to.
    static Scheduler& of(lua_State* L);

    /// A new task from the function and its `nargs` arguments on top of `from`'s stack (popped). It
    /// starts at the next turn of the loop.
    TaskPtr spawn(lua_State* from, int nargs, std::string name);
    /// Runs the loop until `task` has ended; its results or its error value are then on its own
    /// stack.
    void run(const TaskPtr& task);
    /// Runs the loop until `over()`. False where nothing can happen any more (virtual time only).
    bool run_until(const std::function<bool()>& over);
    /// The task whose Lua code runs now, or null.
    Task* current() const { return current_.get(); }

    /// Parks the running coroutine on `operation`: checks that every enclosing coroutine can yield
    /// and that the task is not cancelled (both throw Error), starts the work, and pushes the park
    /// token. The caller returns lua_yield(L, 1) at once. The binding layer does all that.
    void park(lua_State* L, const OperationPtr& operation);
    /// Completes an operation; loop thread.
    void complete(const OperationPtr& operation);
    /// Runs `fn` on the loop thread at its next turn. Any thread.
    void post(std::function<void()> fn);

    /// Cancels a task: its wait is cancelled for real, and every later wait raises `error`.
    void cancel(const TaskPtr& task, const Error& error,
                Cancel::Reason reason = Cancel::Reason::cancelled);

    /// Runs `fn` once after `seconds`, unless the handle is dropped first.
    std::shared_ptr<void> after(double seconds, std::function<void()> fn);
    /// As `after`, for whoever looks again and again whether something has happened: at the latest
    /// after `left` seconds (negative: no end). In virtual time it fires after every change
    /// instead.
    std::shared_ptr<void> poll(double seconds, double left, std::function<void()> fn);
    /// From here on timers are met by jumping to them, once nothing else is left to do; the clock
    /// is rehearsal::stopped_at.
    void use_virtual_time();
    /// Drops every task but `kept`, where it stands: nothing of it runs again, not even its
    /// cleanup. For a test that ends a run as a crash would. Not from inside a task.
    void abandon(const TaskPtr& kept);
    /// Deadlines nest; `push` returns an id, `pop` says whether it had expired. Of the current
    /// task.
    std::int64_t push_deadline(double seconds);
    bool pop_deadline(std::int64_t id);
    /// Called on the loop thread at SIGINT or SIGTERM; the default ends the process.
    void on_interrupt(std::function<void(int signal)> fn);

    /// Operations that were started and have not completed; a test fails where it is not zero at
    /// its end.
    std::size_t pending() const;
    std::size_t live_tasks() const { return tasks_.size(); }
    /// Seconds of Lua without a wait before the watchdog stops it.
    void set_runaway_limit(double seconds);

  private:
    struct Loop;
    void resume(const TaskPtr& task, const OperationPtr& done);
    void end(const TaskPtr& task, int status);
    void check_can_wait(lua_State* L, const Operation& operation);
    void request(const OperationPtr& operation, Cancel::Reason reason);

    lua_State* main_;
    TaskPtr current_;
    std::vector<TaskPtr> tasks_;
    std::unique_ptr<Loop> loop_;
    std::int64_t last_deadline_ = 0;
    bool closing_ = false;
};

/// The private functions for sandbox and engine, as one table on the stack: spawn, join, sleep,
/// cancel, push_deadline, pop_deadline, enter, leave, park_token, yieldable.
void push_scheduler_library(lua_State* L);
/// Pushes what a park yields; compared by identity in sandbox.lua.
void push_park_token(lua_State* L);
/// Pushes the handle that a resumed coroutine receives; only finish, in the same wrapper, opens it.
void push_shared_operation(lua_State* L, const OperationPtr& operation);
/// Pushes a host function that parks on the operation which `start(L)` returns and ends in its
/// results: the Lua pattern `return finish(start(...))`. `start` is a C function that leaves the
/// park token and yields.
void push_waiting_function(lua_State* L, lua_CFunction start, int upvalues);

} // namespace runbook::vm
