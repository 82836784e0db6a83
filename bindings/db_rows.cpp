// db.rows: a result read row by row. A row is a userdata that points into its batch; a cell becomes
// a Lua value when it is read. Loop thread; batches are fetched on the connection's worker.
#include "bindings/db_internal.h"

#include "runtime/base/text.h"
#include "runtime/base/worker.h"
#include "runtime/vm/error_table.h"

#include <atomic>

namespace runbook::bindings {
namespace {

constexpr const char* rows_type = "runbook.rows";
constexpr const char* columns_type = "runbook.row_columns";
constexpr const char* batch_type = "runbook.batch";
constexpr const char* factory_key = "runbook.db.rows";

} // namespace

/// What every row of a result shares. `interned` are the addresses of the names' Lua strings,
/// anchored in the metatable: equal strings are one string in LuaJIT, so a comparison of addresses
/// is enough.
struct RowColumns {
    std::vector<const char*> interned;
    std::vector<std::string> names;
};

/// A cursor, and the place it stands in, which outlives it.
using CursorPtr = std::shared_ptr<std::unique_ptr<db::Cursor>>;

/// A result in progress. The cursor is touched on the worker only, everything else on the loop.
class Rows : public db::LiveResult {
  public:
    Rows(HandlePtr handle, CursorPtr cursor, std::vector<db::Column> columns)
        : columns(std::move(columns)), handle_(std::move(handle)), cursor_(std::move(cursor)) {}
    ~Rows() override { drop(); }
    void supersede() override {
        superseded = true;
        drop();
    }
    HandlePtr handle() const { return handle_; }
    CursorPtr cursor() const { return cursor_; }
    void end() {
        ended = true;
        drop();
    }

    std::shared_ptr<RowColumns> shared;
    db::BatchPtr batch, arrived;
    std::atomic<bool> failed{false}; ///< set by the worker
    std::size_t row = 0, count = 0;  ///< next row of the batch, and how many it has
    bool ended = false, superseded = false;
    std::vector<db::Column> columns;

  private:
    // A cursor is closed where it is used. By its address: a wait that is over may still hold the
    // pointer.
    void drop() {
        if (cursor_)
            handle_->worker()->post(
                [closing = std::exchange(cursor_, nullptr)] { closing->reset(); });
    }
    HandlePtr handle_;
    CursorPtr cursor_;
};

namespace {

struct RowRef {
    const db::Batch* batch;    ///< kept alive by the batch userdata in the row's environment
    const RowColumns* columns; ///< kept alive by the rows' metatable
    std::size_t row;
};

int no_such_column(lua_State* L, const RowColumns& columns) {
    std::string key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : vm::type_word(L, 2);
    vm::push_error(L, Error("lua", "the row has no column '" + key + "'" +
                                       text::did_you_mean(key, columns.names)));
    return -1;
}

// Called by the interpreter for `row.name` only, so the first argument is a row: a playbook cannot
// get at this function.
int row_index(lua_State* L) {
    const auto* row = static_cast<const RowRef*>(lua_touserdata(L, 1));
    const RowColumns& columns = *row->columns;
    const std::size_t count = columns.interned.size();
    if (lua_type(L, 2) == LUA_TSTRING) {
        const char* key = lua_tolstring(L, 2, nullptr);
        const char* const* names = columns.interned.data();
        for (std::size_t i = 0; i < count; ++i) {
            if (names[i] == key) {
                push_cell(L, *row->batch, row->row, i);
                return 1;
            }
        }
    } else if (lua_type(L, 2) == LUA_TNUMBER) {
        const lua_Number at = lua_tonumber(L, 2);
        if (at >= 1 && at <= static_cast<lua_Number>(count)) {
            push_cell(L, *row->batch, row->row, static_cast<std::size_t>(at) - 1);
            return 1;
        }
    }
    return no_such_column(L, columns) < 0 ? lua_error(L) : 0;
}

/// Pushes the metatable of a result's rows.
std::shared_ptr<RowColumns> push_row_type(lua_State* L, const std::vector<db::Column>& columns) {
    auto shared = std::make_shared<RowColumns>();
    lua_createtable(L, static_cast<int>(columns.size()), 4);
    for (std::size_t i = 0; i < columns.size(); ++i) {
        lua_pushlstring(L, columns[i].name.data(), columns[i].name.size());
        shared->interned.push_back(lua_tostring(L, -1));
        shared->names.push_back(columns[i].name);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
    vm::push_shared(L, columns_type, shared);
    lua_setfield(L, -2, "columns");
    lua_pushcfunction(L, row_index);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "row");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return shared;
}

Rows& rows_at(lua_State* L) {
    return **static_cast<std::shared_ptr<Rows>*>(lua_touserdata(L, 1));
}

/// Puts the batch that has arrived in place.
void install_batch(lua_State* L, Rows& rows) {
    rows.batch = std::exchange(rows.arrived, nullptr);
    lua_createtable(L, 2, 0);
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
    lua_rawseti(L, -2, 1);
    vm::push_shared<const db::Batch>(L, batch_type, rows.batch);
    lua_rawseti(L, -2, 2);
    lua_setfenv(L, 1);
    rows.row = 0;
    rows.count = rows.batch->rows();
}

/// step(rows): the next row; nil where a batch must be fetched first, false at the end. The
/// environment of the rows userdata is {the rows' metatable, the batch}; each row has the same
/// environment, which keeps its batch alive.
int step(lua_State* L) {
    Rows& rows = rows_at(L);
    if (rows.superseded) {
        vm::push_error(
            L,
            Error("usage",
                  "db.rows: another statement has taken the connection, so the result was closed",
                  "read small results with db.query, or use a second connection"));
        return lua_error(L);
    }
    if (rows.failed) {
        vm::push_error(L, Error("usage", "db.rows: the result ended with an error"));
        return lua_error(L);
    }
    if (rows.arrived)
        install_batch(L, rows);
    if (rows.row >= rows.count) {
        if (rows.ended)
            lua_pushboolean(L, 0);
        else
            lua_pushnil(L);
        return 1;
    }
    auto* row = static_cast<RowRef*>(lua_newuserdata(L, sizeof(RowRef)));
    row->batch = rows.batch.get();
    row->columns = rows.shared.get();
    row->row = rows.row++;
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, 1);
    lua_setmetatable(L, -3);
    lua_setfenv(L, -2);
    return 1;
}

/// fetch(rows): waits for the next batch.
class Fetch final : public vm::Bound {
  public:
    Fetch() { waits = true; }
    int run(lua_State* L) override {
        try {
            auto rows = *static_cast<std::shared_ptr<Rows>*>(lua_touserdata(L, 1));
            auto operation = std::make_shared<vm::Operation>();
            auto batch = std::make_shared<db::BatchPtr>();
            operation->name = "db.rows";
            operation->on = rows->handle()->worker();
            operation->work = [rows, cursor = rows->cursor(), batch](Cancel& cancel) {
                if (!cursor || !*cursor)
                    return;
                try {
                    *batch = (*cursor)->next(cancel);
                } catch (...) {
                    rows->failed = true;
                    throw;
                }
            };
            operation->push = [rows, batch](lua_State*) {
                rows->arrived = *batch;
                if (!*batch)
                    rows->end();
                return 0;
            };
            vm::Scheduler::of(L).park(L, operation);
            return 1;
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
        return -1;
    }
};

/// The iterator's Lua half: what waits must be Lua.
constexpr const char* factory_source = R"(
local step, fetch = ...
return function(rows)
  return function()
    local row = step(rows)
    while row == nil do
      fetch(rows)
      row = step(rows)
    end
    return row or nil
  end
end
)";

int push_iterator(lua_State* L, const std::shared_ptr<Rows>& rows) {
    lua_getfield(L, LUA_REGISTRYINDEX, factory_key);
    vm::push_shared(L, rows_type, rows);
    lua_createtable(L, 2, 0);
    rows->shared = push_row_type(L, rows->columns);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    lua_call(L, 1, 1);
    return 1;
}

} // namespace
} // namespace runbook::bindings

int runbook::bind::Push<std::shared_ptr<runbook::bindings::Rows>>::push(
    lua_State* L, const std::shared_ptr<bindings::Rows>& rows) {
    return bindings::push_iterator(L, rows);
}

namespace runbook::bindings {

std::shared_ptr<Rows> begin_rows(const HandlePtr& handle, std::unique_ptr<db::Cursor> cursor) {
    check_names(cursor->columns());
    auto columns = cursor->columns();
    return std::make_shared<Rows>(handle,
                                  std::make_shared<std::unique_ptr<db::Cursor>>(std::move(cursor)),
                                  std::move(columns));
}

int push_rows_iterator(lua_State* L, const HandlePtr& handle, const std::shared_ptr<Rows>& rows) {
    handle->set_live(rows);
    return push_iterator(L, rows);
}

void register_db_rows(bind::Area& area, vm::State& state, vm::Registry& registry) {
    lua_State* L = state.L();
    if (luaL_loadbuffer(L, factory_source, std::char_traits<char>::length(factory_source),
                        "=[runbook db.rows]") != 0)
        throw Error("internal", lua_tostring(L, -1));
    lua_pushcfunction(L, step);
    vm::push_bound(L, registry.keep(std::make_unique<Fetch>()));
    if (lua_pcall(L, 2, 1, 0) != 0)
        throw Error("internal", lua_tostring(L, -1));
    lua_setfield(L, LUA_REGISTRYINDEX, factory_key);

    area.def("rows", "Iterates over the rows of a statement in bounded memory.")
        .param("connection", "a connection; the loop has it to itself: another statement on it "
                             "ends the loop with an error")
        .param("sql", "one statement; parameters stand as ? (PostgreSQL: also $1)")
        .param("...", "values for the parameters, in order")
        .returns("function", "an iterator for `for row in …`; row.name reads a cell, and a name "
                             "that is no column raises")
        .raises({"db.connection", "db.auth", "db.permission", "db.timeout", "db.syntax", "db.error",
                 "argument", "usage"})
        .reads()
        .example(
            "local c = db.connect 'sqlite::memory:'\nlocal sum = 0\n"
            "for row in db.rows(c, 'select 1 as n union all select 2') do sum = sum + row.n end\n"
            "assert(sum == 3)")
        .native([](bind::Call& call, HandlePtr handle, std::string sql, bind::Rest params) {
            require_writes_for(call, sql);
            using RowsPtr = std::shared_ptr<Rows>;
            auto job = on_session<RowsPtr>(
                call, handle,
                [handle, sql = std::move(sql),
                 params = std::move(params.values)](db::Connection& connection, Cancel& cancel) {
                    db::StatementOptions options;
                    options.timeout = handle->timeout();
                    return begin_rows(handle, connection.query(sql, params, options, cancel));
                });
            job.push = [handle](lua_State* to, RowsPtr& rows) {
                return push_rows_iterator(to, handle, rows);
            };
            return job;
        });
}

} // namespace runbook::bindings
