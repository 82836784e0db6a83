// What the files of bindings/db*.cpp share. Internal.
#pragma once

#include "bindings/core/declare.h"
#include "bindings/db.h"

namespace runbook::bindings {

using HandlePtr = std::shared_ptr<db::Handle>;

/// A whole result; checked on the worker (no two columns of one name, not more rows than db.query
/// takes).
struct ResultSet {
    std::vector<db::BatchPtr> batches;
    std::shared_ptr<const std::vector<db::Column>> columns;
    std::size_t rows = 0;
};

/// Worker thread. Runs the statement and reads all of it, at most `limit` rows.
ResultSet read_all(db::Connection& connection, const std::string& sql,
                   const std::vector<Value>& params, std::chrono::milliseconds timeout,
                   std::size_t limit, Cancel& cancel);
/// Loop thread. A statement with rows that does not plainly read counts as an effect of the step.
void require_writes_for(bind::Call& call, const std::string& sql);
/// Throws Error{`usage`}: a row is a table by column name, so every name must be there once.
void check_names(const std::vector<db::Column>& columns);

/// Loop thread. One cell, as the language has it; NULL is nil.
void push_cell(lua_State* L, const db::Batch& batch, std::size_t row, std::size_t column);
/// An array of tables by column name; a name that is no column raises.
int push_rows(lua_State* L, const ResultSet& result);
/// The first row, or nil.
int push_first_row(lua_State* L, const ResultSet& result);

} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Push<bindings::ResultSet> {
    static int push(lua_State* L, const bindings::ResultSet& result) {
        return bindings::push_rows(L, result);
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

/// A job on the connection's worker, with its session open and read-only where the task may not
/// write.
template <class R>
bind::Job<R> on_session(bind::Call& call, const HandlePtr& handle,
                        std::function<R(db::Connection&, Cancel&)> work) {
    handle->take(call.task());
    bool may_write = call.writes_allowed();
    bind::Job<R> job;
    job.work = [handle, may_write, work = std::move(work)](Cancel& cancel) {
        return work(handle->session(may_write, cancel), cancel);
    };
    job.on = handle->worker();
    return job;
}

void register_db_connect(bind::Area& area, vm::State& state);
void register_db_query(bind::Area& area, vm::State& state, vm::Registry& registry);
void register_db_rows(bind::Area& area, vm::State& state, vm::Registry& registry);
void register_db_facts(bind::Area& area, vm::State& state);
void register_db_fence(bind::Area& area, vm::State& state);
void register_db_session(bind::Area& area, vm::State& state);
void register_db_server(bind::Area& area, vm::State& state);

} // namespace runbook::bindings
