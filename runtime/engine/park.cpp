// Waiting for the journal: in its thread, or between two pieces of Lua where it is a file (contract
// in library.h).
#include "runtime/base/time.h"
#include "runtime/base/worker.h"
#include "runtime/engine/library.h"
#include "runtime/vm/scheduler.h"

#include <fmt/format.h>

namespace runbook::engine {

namespace {

/// A write that takes longer than this would hold up Ctrl-C and drawing; for a while the next ones
/// get a thread.
constexpr double slow_write_s = 0.05, avoided_s = 1.0;

/// Runs `work` at the next turn of the loop, on its thread: outside of Lua, and without the two
/// changes of threads that cost more than a write to a fast disk does.
void park_on_loop(lua_State* L, const vm::OperationPtr& operation,
                  std::function<void(Cancel&)> work) {
    vm::Scheduler& scheduler = vm::Scheduler::of(L);
    scheduler.park(L, operation);
    scheduler.post([&scheduler, &session = session_of(L), operation, work = std::move(work)] {
        if (operation->task.expired())
            return; // the scheduler closes
        const double begun = time::monotonic();
        try {
            work(*operation->cancel);
        } catch (const Error& error) {
            operation->error = error;
        } catch (const std::exception& error) {
            operation->error = Error("internal", fmt::format("journal: {}", error.what()));
        }
        const double now = time::monotonic();
        if (now - begun > slow_write_s)
            session.journal_avoids_loop_until = now + avoided_s;
        scheduler.complete(operation);
    });
}

} // namespace

int park_on_journal(lua_State* L, std::function<void(Cancel&)> work,
                    std::function<int(lua_State*)> push, bool quiet) {
    int parked = -1;
    {
        Session& session = session_of(L);
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "journal";
        operation->steadfast = true;
        operation->quiet = quiet;
        operation->push = std::move(push);
        try {
            if (session.journal_is_file && time::monotonic() >= session.journal_avoids_loop_until) {
                park_on_loop(L, operation, std::move(work));
            } else {
                operation->on = session.journal_worker;
                operation->work = std::move(work);
                vm::Scheduler::of(L).park(L, operation);
            }
            parked = 1;
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return parked;
}

} // namespace runbook::engine
