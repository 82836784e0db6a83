// The scheduler's Lua face for sandbox.lua and the engine. Loop thread only; a playbook never sees
// these functions.
#include "runtime/base/time.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/scheduler.h"
#include "runtime/vm/userdata.h"

#include <fmt/format.h>

namespace runbook::vm {

namespace {

constexpr const char* operation_type = "runbook.operation";
constexpr const char* task_type = "runbook.task";

/// A task's Lua handle; drops the anchor with itself, so that an ended coroutine can be collected.
struct TaskHandle {
    TaskPtr task;
    lua_State* main;
    ~TaskHandle() {
        if (task->ended)
            luaL_unref(main, LUA_REGISTRYINDEX, task->anchor);
    }
};

TaskPtr& check_task(lua_State* L, int index) {
    auto* handle = get_shared<TaskHandle>(L, index, task_type);
    if (!handle)
        luaL_argerror(L, index, "task expected");
    return (*handle)->task;
}

/// Parks on `operation`; on failure leaves the error table and raises it after every C++ owner is
/// gone.
int park_or_raise(lua_State* L, const OperationPtr& operation) {
    bool parked = false;
    try {
        Scheduler::of(L).park(L, operation);
        parked = true;
    } catch (const Error& error) {
        push_error(L, error);
    }
    return parked ? 1 : -1;
}

int finish_operation(lua_State* L) {
    auto* handle = get_shared<Operation>(L, 1, operation_type);
    if (!handle)
        return luaL_argerror(L, 1, "operation expected");
    int results = -1;
    {
        OperationPtr operation = *handle;
        if (operation->error) {
            push_error(L, *operation->error);
        } else {
            try {
                lua_settop(L, 1);
                results = operation->push ? operation->push(L) : 0;
            } catch (const std::exception& error) {
                results = -1;
                push_error(L, Error("internal", error.what()));
            }
        }
    }
    return results >= 0 ? results : lua_error(L);
}

int spawn(lua_State* L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    Scheduler& scheduler = Scheduler::of(L);
    auto handle = std::make_shared<TaskHandle>();
    handle->task = scheduler.spawn(L, lua_gettop(L) - 1, "task");
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.main");
    handle->main = lua_tothread(L, -1);
    lua_pop(L, 1);
    push_shared(L, task_type, std::move(handle));
    return 1;
}

int start_join(lua_State* L) {
    int status = 0;
    {
        TaskPtr task = check_task(L, 1);
        auto operation = std::make_shared<Operation>();
        operation->name = "join";
        operation->steadfast =
            lua_toboolean(L, 2) != 0; // whoever is cancelled still waits for its own
        operation->push = [task](lua_State* to) {
            lua_pushboolean(to, task->failed ? 0 : 1);
            for (int i = 1; i <= task->results; ++i)
                lua_pushvalue(task->L, -task->results); // each push moves the next one there
            lua_xmove(task->L, to, task->results);
            return task->results + 1;
        };
        Scheduler* scheduler = &Scheduler::of(L);
        std::weak_ptr<Operation> weak = operation;
        operation->on_cancel = [scheduler, weak](Cancel::Reason) {
            if (OperationPtr self = weak.lock()) {
                self->error = Error("cancelled", "cancelled while waiting for a parallel task");
                scheduler->complete(self);
            }
        };
        status = park_or_raise(L, operation);
        if (status >= 0) {
            if (task->ended)
                scheduler->post([scheduler, operation] { scheduler->complete(operation); });
            else
                task->joiners.push_back(operation);
        }
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// sleep(seconds), and poll(seconds, left): for whoever looks again and again whether something has
/// happened; `left` seconds at most, nil for no end.
int start_wait(lua_State* L, bool polls) {
    int status = 0;
    const double seconds = luaL_checknumber(L, 1);
    const double left = luaL_optnumber(L, 2, -1);
    {
        auto operation = std::make_shared<Operation>();
        operation->name = "sleep";
        operation->quiet = polls;
        Scheduler* scheduler = &Scheduler::of(L);
        std::weak_ptr<Operation> weak = operation;
        status = park_or_raise(L, operation);
        if (status >= 0) {
            const auto wake = [scheduler, weak] {
                if (OperationPtr self = weak.lock())
                    scheduler->complete(self);
            };
            auto timer = std::make_shared<std::shared_ptr<void>>(
                polls ? scheduler->poll(seconds, left, wake) : scheduler->after(seconds, wake));
            operation->push = [timer](lua_State*) { return 0; };
            operation->on_cancel = [scheduler, weak, timer](Cancel::Reason reason) {
                timer->reset();
                OperationPtr self = weak.lock();
                if (!self)
                    return;
                self->error = reason == Cancel::Reason::timeout
                                  ? Error("timeout", "time limit reached while sleeping")
                                  : Error("cancelled", "cancelled while sleeping");
                scheduler->complete(self);
            };
        }
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

int start_sleep(lua_State* L) {
    return start_wait(L, false);
}
int start_poll(lua_State* L) {
    return start_wait(L, true);
}

int cancel_task(lua_State* L) {
    TaskPtr task = check_task(L, 1);
    const char* message = luaL_optstring(L, 2, "cancelled");
    const bool timeout = lua_toboolean(L, 3) != 0;
    Scheduler::of(L).cancel(task, Error(timeout ? "timeout" : "cancelled", message),
                            timeout ? Cancel::Reason::timeout : Cancel::Reason::cancelled);
    return 0;
}

/// cancel_wait(task, why): cancels the native work that the task waits for now, if any; the task
/// itself is not cancelled. Whether there was some.
int cancel_wait(lua_State* L) {
    TaskPtr task = check_task(L, 1);
    const bool native = !task->ended && !task->cancelled && task->waiting && task->waiting->work &&
                        !task->waiting->steadfast;
    if (native) {
        Scheduler::of(L).cancel(task, Error("cancelled", luaL_optstring(L, 2, "cancelled")));
        task->cancelled.reset();
    }
    lua_pushboolean(L, native);
    return 1;
}

int task_ended(lua_State* L) {
    lua_pushboolean(L, check_task(L, 1)->ended);
    return 1;
}

int push_deadline(lua_State* L) {
    lua_pushnumber(L,
                   static_cast<lua_Number>(Scheduler::of(L).push_deadline(luaL_checknumber(L, 1))));
    return 1;
}

int pop_deadline(lua_State* L) {
    lua_pushboolean(
        L, Scheduler::of(L).pop_deadline(static_cast<std::int64_t>(luaL_checknumber(L, 1))));
    return 1;
}

int clear_cancel(lua_State* L) {
    if (Task* task = Scheduler::of(L).current())
        task->cancelled.reset();
    return 0;
}

int enter(lua_State* L) {
    if (Task* task = Scheduler::of(L).current())
        task->nest.push_back(lua_tothread(L, 1));
    return 0;
}

int leave(lua_State* L) {
    Task* task = Scheduler::of(L).current();
    if (task && !task->nest.empty())
        task->nest.pop_back();
    return 0;
}

int nested(lua_State* L) {
    Task* task = Scheduler::of(L).current();
    lua_pushboolean(L, task && !task->nest.empty());
    return 1;
}

int set_allowance(lua_State* L) {
    Task* task = Scheduler::of(L).current();
    const std::string_view word = luaL_checkstring(L, 1);
    if (task)
        task->allowance = {word == "writes"  ? Effect::writes
                           : word == "reads" ? Effect::reads
                                             : Effect::none,
                           luaL_optstring(L, 2, ""), luaL_optstring(L, 3, "")};
    return 0;
}

int monotonic(lua_State* L) {
    lua_pushnumber(L, time::monotonic());
    return 1;
}

} // namespace

void push_shared_operation(lua_State* L, const OperationPtr& operation) {
    push_shared(L, operation_type, operation);
}

void push_waiting_function(lua_State* L, lua_CFunction start, int upvalues) {
    lua_pushcclosure(L, start, upvalues);
    // A Lua function around the C one, because there is no lua_yieldk: what the resume passes
    // arrives as the result of `start`, and `finish` raises with the playbook's frame right above
    // it.
    static constexpr std::string_view source =
        "local start, finish = ... return function(...) return finish(start(...)) end";
    static char maker; // its address: where the registry keeps the chunk, compiled once a state
    lua_pushlightuserdata(L, &maker);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        if (luaL_loadbuffer(L, source.data(), source.size(), "=[runbook]") != 0)
            lua_error(L);
        lua_pushlightuserdata(L, &maker);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_insert(L, -2);
    lua_pushcfunction(L, finish_operation);
    lua_call(L, 2, 1);
}

void push_scheduler_library(lua_State* L) {
    static const luaL_Reg functions[] = {{"spawn", spawn},
                                         {"cancel", cancel_task},
                                         {"cancel_wait", cancel_wait},
                                         {"push_deadline", push_deadline},
                                         {"pop_deadline", pop_deadline},
                                         {"enter", enter},
                                         {"leave", leave},
                                         {"nested", nested},
                                         {"ended", task_ended},
                                         {"allow", set_allowance},
                                         {"clear_cancel", clear_cancel},
                                         {"monotonic", monotonic},
                                         {nullptr, nullptr}};
    lua_newtable(L);
    for (const luaL_Reg* entry = functions; entry->name; ++entry) {
        lua_pushcfunction(L, entry->func);
        lua_setfield(L, -2, entry->name);
    }
    push_waiting_function(L, start_join, 0);
    lua_setfield(L, -2, "join");
    push_waiting_function(L, start_sleep, 0);
    lua_setfield(L, -2, "sleep");
    push_waiting_function(L, start_poll, 0);
    lua_setfield(L, -2, "poll");
    push_park_token(L);
    lua_setfield(L, -2, "park_token");
}

} // namespace runbook::vm
