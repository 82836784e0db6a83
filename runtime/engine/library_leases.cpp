// What Vault lent to the run, for run/leases.lua (contract in library.h).
#include "runtime/engine/library.h"
#include "runtime/secret/leases.h"
#include "runtime/vm/values.h"

namespace runbook::engine {
namespace {

/// taken_leases(): those since the last call, a list of {lease, path}; nil where there is none.
int host_taken_leases(lua_State* L) {
    return guarded(L, [L] {
        List list;
        for (const secret::Taken& taken : secret::taken_leases())
            list.push_back(Map{{"lease", taken.id}, {"path", taken.path}});
        if (list.empty())
            return 0;
        vm::push_value(L, Value(list));
        return 1;
    });
}

/// revoke_leases(ids): waits; a list of {lease, problem} of those that could not be revoked.
int start_revoke_leases(lua_State* L) {
    return wait_after(L, [L] {
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "revoke_leases";
        std::vector<std::string> ids;
        const Value given = vm::to_value(L, 1);
        const List* list = given.get<List>();
        for (const Value& id : list ? *list : List{})
            ids.push_back(*id.get<std::string>());
        auto problems = std::make_shared<List>();
        operation->work = [ids, problems](Cancel& cancel) {
            for (const auto& [id, why] : secret::revoke_leases(ids, cancel))
                problems->push_back(Map{{"lease", id}, {"problem", why}});
        };
        operation->push = [problems](lua_State* to) {
            vm::push_value(to, Value(*problems));
            return 1;
        };
        vm::Scheduler::of(L).park(L, operation);
    });
}

} // namespace

void add_lease_library(lua_State* L) {
    lua_pushcfunction(L, host_taken_leases);
    lua_setfield(L, -2, "taken_leases");
    vm::push_waiting_function(L, start_revoke_leases, 0);
    lua_setfield(L, -2, "revoke_leases");
}

} // namespace runbook::engine
