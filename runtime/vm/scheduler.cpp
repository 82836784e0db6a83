#include "runtime/vm/scheduler.h"

#include "runtime/base/worker.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/virtual_time.h"
#include "runtime/vm/watchdog.h"

#include <fmt/format.h>
#include <uv.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <mutex>

namespace runbook::vm {

namespace {

const char registry_key = 0;
const char park_token = 0;

struct Timer {
    uv_timer_t handle{};
    std::function<void()> fn;
    std::shared_ptr<bool> loop_alive;
};

/// Drops a timer; where its loop has ended before it (an operation that Lua's collector keeps),
/// only the memory is left.
void close_timer(Timer* timer) {
    if (!*timer->loop_alive) {
        delete timer;
        return;
    }
    uv_timer_stop(&timer->handle);
    timer->fn = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&timer->handle),
             [](uv_handle_t* handle) { delete static_cast<Timer*>(handle->data); });
}

} // namespace

struct Scheduler::Loop {
    explicit Loop(lua_State* L) : watchdog(L) {
        uv_loop_init(&uv);
        async.data = this;
        uv_async_init(&uv, &async,
                      [](uv_async_t* handle) { static_cast<Loop*>(handle->data)->drain(); });
        for (uv_signal_t* signal : {&interrupt, &terminate}) {
            uv_signal_init(&uv, signal);
            signal->data = this;
        }
    }
    ~Loop() {
        pool.reset();
        cancels.reset();
        drain();
        uv_walk(
            &uv,
            [](uv_handle_t* handle, void*) {
                if (!uv_is_closing(handle))
                    uv_close(handle, nullptr);
            },
            nullptr);
        *alive = false; // a timer that somebody still holds is closed now
        while (uv_run(&uv, UV_RUN_NOWAIT) != 0) {
        }
        uv_loop_close(&uv);
    }
    void drain() {
        std::vector<std::function<void()>> batch;
        {
            std::lock_guard lock(mutex);
            batch.swap(queue);
        }
        for (auto& fn : batch)
            fn();
    }

    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    uv_loop_t uv{};
    uv_async_t async{};
    uv_signal_t interrupt{}, terminate{};
    std::function<void(int)> on_signal;
    std::mutex mutex;
    std::vector<std::function<void()>> queue;
    std::unique_ptr<WorkerPool> pool = std::make_unique<WorkerPool>();
    std::unique_ptr<Worker> cancels = std::make_unique<Worker>();
    Watchdog watchdog;
    std::vector<OperationPtr> operations; ///< started, not completed
    std::unique_ptr<VirtualTime> virtual_time;

    bool idle() {
        std::lock_guard lock(mutex);
        return queue.empty() && std::none_of(operations.begin(), operations.end(),
                                             [](const auto& one) { return one->work != nullptr; });
    }
    void changed() const {
        if (virtual_time)
            virtual_time->changed();
    }
};

Scheduler::Scheduler(lua_State* main) : main_(main), loop_(std::make_unique<Loop>(main)) {
    lua_pushlightuserdata(main_, const_cast<char*>(&registry_key));
    lua_pushlightuserdata(main_, this);
    lua_rawset(main_, LUA_REGISTRYINDEX);
}

Scheduler::~Scheduler() {
    // Work that still runs is told to stop, and is waited for while the loop still stands: a job
    // that ends posts to it. No Lua code runs from here on.
    closing_ = true;
    loop_->on_signal = [](int) {};
    for (const OperationPtr& operation : std::vector<OperationPtr>(loop_->operations)) {
        operation->task.reset();
        if (operation->work)
            operation->cancel->request(Cancel::Reason::cancelled);
        else
            std::erase(loop_->operations, operation);
    }
    while (!loop_->operations.empty())
        uv_run(&loop_->uv, UV_RUN_ONCE);
    loop_->pool.reset();
    loop_->cancels.reset();
    loop_->drain();
    tasks_.clear();
    loop_.reset();
}

Scheduler& Scheduler::of(lua_State* L) {
    lua_pushlightuserdata(L, const_cast<char*>(&registry_key));
    lua_rawget(L, LUA_REGISTRYINDEX);
    auto* scheduler = static_cast<Scheduler*>(lua_touserdata(L, -1));
    lua_pop(L, 1);
    return *scheduler;
}

TaskPtr Scheduler::spawn(lua_State* from, int nargs, std::string name) {
    auto task = std::make_shared<Task>();
    task->name = std::move(name);
    task->L = lua_newthread(from);
    task->anchor = luaL_ref(from, LUA_REGISTRYINDEX);
    lua_getfield(from, LUA_REGISTRYINDEX, "runbook.sandbox"); // what a raw `load` would see
    if (lua_istable(from, -1)) {
        lua_xmove(from, task->L, 1);
        lua_replace(task->L, LUA_GLOBALSINDEX);
    } else {
        lua_pop(from, 1);
    }
    lua_xmove(from, task->L, nargs + 1);
    if (current_) {
        task->allowance = current_->allowance;
        task->step = current_->step;
        task->step_label = current_->step_label;
        task->cancelled = current_->cancelled;
    }
    tasks_.push_back(task);
    loop_->changed();
    post([this, task] { resume(task, nullptr); });
    return task;
}

void Scheduler::run(const TaskPtr& task) {
    run_until([&task] { return task->ended; });
}

bool Scheduler::run_until(const std::function<bool()>& over) {
    while (!over()) {
        if (!loop_->virtual_time) {
            uv_run(&loop_->uv, UV_RUN_ONCE);
            continue;
        }
        loop_->drain();
        if (over())
            break;
        if (!loop_->idle())
            uv_run(&loop_->uv, UV_RUN_ONCE); // native work is going on, or what it posted waits
        else if (!loop_->virtual_time->step())
            return false;
    }
    return true;
}

void Scheduler::use_virtual_time() {
    loop_->virtual_time = std::make_unique<VirtualTime>();
}

void Scheduler::abandon(const TaskPtr& kept) {
    for (const TaskPtr& task : tasks_) {
        if (task == kept)
            continue;
        task->ended = true; // whoever completes its operation finds nobody to resume
        task->deadlines.clear();
        luaL_unref(main_, LUA_REGISTRYINDEX, task->anchor);
        task->anchor = LUA_NOREF;
        for (const OperationPtr& operation : std::vector<OperationPtr>(loop_->operations))
            if (operation->task.lock() == task && !operation->work)
                std::erase(loop_->operations, operation);
    }
    std::erase_if(tasks_, [&kept](const TaskPtr& task) { return task != kept; });
    while (!loop_->idle()) // native work that has begun is waited for
        uv_run(&loop_->uv, UV_RUN_ONCE);
}

void Scheduler::post(std::function<void()> fn) {
    {
        std::lock_guard lock(loop_->mutex);
        loop_->queue.push_back(std::move(fn));
    }
    uv_async_send(&loop_->async);
}

void Scheduler::check_can_wait(lua_State* L, const Operation& operation) {
    const std::string& name = operation.name;
    if (!current_)
        throw Error("lua", fmt::format("{}: can only wait inside a run", name));
    if (!operation.steadfast) {
        if (current_->cancelled)
            throw *current_->cancelled;
        for (const auto& deadline : current_->deadlines)
            if (deadline.expired)
                throw Error("timeout", fmt::format("{}: time limit reached", name));
    }
    bool can = lua_isyieldable(current_->L) != 0;
    for (lua_State* nested : current_->nest)
        can = can && lua_isyieldable(nested) != 0;
    can = can && L == (current_->nest.empty() ? current_->L : current_->nest.back());
    if (!can)
        throw Error(
            "lua",
            fmt::format("{}: cannot wait here, inside a callback of table.sort or string.gsub, "
                        "a load reader, or a module that is being required",
                        name),
            "collect the items first and wait in a plain loop");
}

void Scheduler::park(lua_State* L, const OperationPtr& operation) {
    check_can_wait(L, *operation);
    operation->task = current_;
    current_->waiting = operation;
    loop_->operations.push_back(operation);
    push_park_token(L);
    if (!operation->work)
        return;
    auto job = [this, operation] {
        try {
            operation->cancel->check(operation->name.c_str());
            operation->work(*operation->cancel);
        } catch (const Error& error) {
            operation->error = error;
        } catch (const std::exception& error) {
            operation->error =
                Error("internal", fmt::format("{}: {}", operation->name, error.what()));
        }
        post([this, operation] { complete(operation); });
    };
    if (operation->on)
        operation->on->post(std::move(job));
    else
        loop_->pool->post(std::move(job));
}

void Scheduler::complete(const OperationPtr& operation) {
    if (operation->completed)
        return;
    operation->completed = true;
    std::erase(loop_->operations, operation);
    if (!operation->quiet)
        loop_->changed();
    if (TaskPtr task = operation->task.lock(); task && task->waiting == operation) {
        task->waiting.reset();
        resume(task, operation);
    }
}

void Scheduler::resume(const TaskPtr& task, const OperationPtr& done) {
    if (task->ended || closing_)
        return;
    int arguments = lua_gettop(task->L) - 1; // a new task: its function and arguments
    if (done) {
        push_shared_operation(task->L, done);
        arguments = 1;
    }
    TaskPtr outer = current_;
    current_ = task;
    loop_->watchdog.enter();
    const int status = lua_resume(task->L, arguments);
    loop_->watchdog.leave();
    current_ = outer;
    if (status == LUA_YIELD) {
        lua_settop(task->L, 0); // the park token, already registered in task->waiting
        return;
    }
    end(task, status);
}

void Scheduler::end(const TaskPtr& task, int status) {
    task->ended = true;
    task->failed = status != 0;
    task->results = task->failed ? 1 : lua_gettop(task->L);
    task->deadlines.clear();
    std::erase(tasks_, task);
    for (const OperationPtr& joiner : std::vector<OperationPtr>(std::move(task->joiners)))
        complete(joiner);
}

void Scheduler::request(const OperationPtr& operation, Cancel::Reason reason) {
    if (operation->steadfast)
        return;
    if (operation->on_cancel)
        post([operation, reason] { operation->on_cancel(reason); });
    else // PQcancel and KILL QUERY block: never on the loop thread
        loop_->cancels->post([operation, reason] { operation->cancel->request(reason); });
}

void Scheduler::cancel(const TaskPtr& task, const Error& error, Cancel::Reason reason) {
    if (task->ended || task->cancelled)
        return;
    task->cancelled = error;
    loop_->changed();
    if (task->waiting)
        request(task->waiting, reason);
}

std::shared_ptr<void> Scheduler::poll(double seconds, double left, std::function<void()> fn) {
    if (loop_->virtual_time)
        return loop_->virtual_time->poll(left, std::move(fn));
    return after(left >= 0 ? std::min(seconds, left) : seconds, std::move(fn));
}

std::shared_ptr<void> Scheduler::after(double seconds, std::function<void()> fn) {
    if (loop_->virtual_time)
        return loop_->virtual_time->after(seconds, std::move(fn));
    auto* timer = new Timer;
    timer->handle.data = timer;
    timer->fn = std::move(fn);
    timer->loop_alive = loop_->alive;
    uv_timer_init(&loop_->uv, &timer->handle);
    uv_update_time(&loop_->uv);
    uv_timer_start(
        &timer->handle,
        [](uv_timer_t* handle) {
            if (auto action = std::move(static_cast<Timer*>(handle->data)->fn))
                action();
        },
        static_cast<std::uint64_t>(std::llround(std::max(0.0, seconds) * 1000.0)), 0);
    return {timer, close_timer};
}

std::int64_t Scheduler::push_deadline(double seconds) {
    const std::int64_t id = ++last_deadline_;
    std::weak_ptr<Task> weak = current_;
    auto expire = [this, weak, id] {
        TaskPtr task = weak.lock();
        if (!task)
            return;
        for (auto& deadline : task->deadlines)
            if (deadline.id == id)
                deadline.expired = true;
        if (task->waiting)
            request(task->waiting, Cancel::Reason::timeout);
    };
    current_->deadlines.push_back({id, seconds, false, after(seconds, expire)});
    return id;
}

bool Scheduler::pop_deadline(std::int64_t id) {
    auto& deadlines = current_->deadlines;
    for (std::size_t i = deadlines.size(); i-- > 0;) {
        if (deadlines[i].id != id)
            continue;
        const bool expired = deadlines[i].expired;
        deadlines.erase(deadlines.begin() + static_cast<std::ptrdiff_t>(i), deadlines.end());
        return expired;
    }
    return false;
}

void Scheduler::on_interrupt(std::function<void(int)> fn) {
    loop_->on_signal = std::move(fn);
    auto handler = [](uv_signal_t* handle, int signal) {
        static_cast<Loop*>(handle->data)->on_signal(signal);
    };
    uv_signal_start(&loop_->interrupt, handler, SIGINT);
    uv_signal_start(&loop_->terminate, handler, SIGTERM);
}

std::size_t Scheduler::pending() const {
    return loop_->operations.size();
}

void Scheduler::set_runaway_limit(double seconds) {
    loop_->watchdog.set_limit(seconds);
}

void push_park_token(lua_State* L) {
    lua_pushlightuserdata(L, const_cast<char*>(&park_token));
}

} // namespace runbook::vm
