// What the files of bindings/db*.cpp share. Internal.
#pragma once

#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "runtime/db/statement.h"

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
/// Worker thread. Reads all of it, at most as many rows as db.query takes. `named`: every column's
/// name must be there once, because a row is a table by name.
ResultSet read_all(db::Cursor& cursor, bool named, Cancel& cancel);
/// Throws Error{`usage`} where there is a second row; `function` names who was called.
void check_one_row(const ResultSet& result, std::string_view function);
/// What an execute returns.
Map executed_map(db::Executed done);
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
/// The first cell of the first row, or nil.
int push_first_cell(lua_State* L, const ResultSet& result);

/// A result in progress; the iterator over it is what Lua gets.
class Rows;
/// Worker thread. Throws Error{`usage`} where two columns have one name.
std::shared_ptr<Rows> begin_rows(const HandlePtr& handle, std::unique_ptr<db::Cursor> cursor);
/// Loop thread. The iterator; the result is closed by the connection's next statement.
int push_rows_iterator(lua_State* L, const HandlePtr& handle, const std::shared_ptr<Rows>& rows);

} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Push<bindings::ResultSet> {
    static int push(lua_State* L, const bindings::ResultSet& result) {
        return bindings::push_rows(L, result);
    }
};
template <>
struct Push<std::shared_ptr<bindings::Rows>> {
    static int push(lua_State* L, const std::shared_ptr<bindings::Rows>& rows);
};
template <>
struct TypeName<db::Statement> {
    static constexpr const char* name = "statement";
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
void register_db_prepare(bind::Area& area, vm::State& state, vm::Registry& registry);
void register_db_server(bind::Area& area, vm::State& state);

} // namespace runbook::bindings
