#include "runtime/repl/session.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/base/worker.h"
#include "runtime/db/password.h"
#include "runtime/repl/line.h"
#include "runtime/repl/native.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/userdata.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace runbook::repl {

namespace {

constexpr const char* environment_key = "runbook.prompt";
constexpr const char* connection_type = "runbook.connection"; // bind::TypeName<db::Handle>

/// Parks the task on the operation that the upvalue points to.
int start_operation(lua_State* L) {
    bool parked = false;
    {
        auto* operation = static_cast<vm::OperationPtr*>(lua_touserdata(L, lua_upvalueindex(1)));
        try {
            vm::Scheduler::of(L).park(L, *operation);
            parked = true;
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return parked ? lua_yield(L, 1) : lua_error(L);
}

bool is_lua_name(const std::string& name) {
    static const std::vector<std::string> reserved = {
        "and",      "break",  "do",   "else", "elseif", "end",  "false", "for",
        "function", "goto",   "if",   "in",   "local",  "nil",  "not",   "or",
        "repeat",   "return", "then", "true", "until",  "while"};
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front())))
        return false;
    for (const char c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
            return false;
    return std::find(reserved.begin(), reserved.end(), name) == reserved.end();
}

std::string names_query(db::Engine engine) {
    switch (engine) {
    case db::Engine::postgresql:
        return "select c.relname, a.attname from pg_class c join pg_namespace n on n.oid = "
               "c.relnamespace "
               "left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not "
               "a.attisdropped "
               "where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', "
               "'information_schema') and n.nspname not like 'pg_toast%' limit 5000";
    case db::Engine::mysql:
        return "select table_name, column_name from information_schema.columns "
               "where table_schema = database() limit 5000";
    default:
        return "select m.name, c.name from sqlite_master m join pragma_table_info(m.name) c "
               "where m.type in ('table', 'view') limit 5000";
    }
}

/// Reads at most `most` rows and says whether there were more.
bool read_rows(db::Cursor& cursor, std::size_t most, Grid& grid, Cancel& cancel) {
    for (const db::Column& column : cursor.columns())
        grid.columns.push_back(column.name);
    while (const db::BatchPtr batch = cursor.next(cancel))
        for (std::size_t r = 0; r < batch->rows(); ++r) {
            if (grid.rows.size() == most)
                return true;
            grid.rows.emplace_back();
            for (std::size_t c = 0; c < grid.columns.size(); ++c)
                grid.rows.back().push_back(batch->value(r, c));
        }
    return false;
}

} // namespace

Session::Session(engine::RegisterBindings register_bindings, Output output)
    : state_(std::make_unique<vm::State>(make_host(output))) {
    register_bindings(*state_, registry_);
    lua_State* L = state_->L();
    lua_newtable(L);
    vm::push_source_library(L);
    state_->load_host_file("runtime/repl/repl.lua", 1);
    state_->push_sandbox();
    push_native_library(L, registry_, output);
    lua_call(L, 2, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, environment_key);
    state_->scheduler().on_interrupt([this](int) { interrupt(); });
    state_->collect();
}

Session::~Session() {
    connections_.clear();
    state_.reset();
}

vm::TaskPtr Session::spawn(int arguments) {
    vm::TaskPtr task = state_->scheduler().spawn(state_->L(), arguments, "prompt");
    task->allowance = {vm::Effect::writes, "", ""};
    return task;
}

/// Runs a task to its end; throws what it raised.
void Session::run_task(const vm::TaskPtr& task) {
    interrupted_ = false;
    running_ = task;
    state_->scheduler().run(task);
    running_.reset();
    if (task->failed) {
        const Error error = vm::to_error(task->L, -1);
        trace_ = vm::error_map(task->L, -1).text("traceback");
        luaL_unref(state_->L(), LUA_REGISTRYINDEX, task->anchor);
        throw error;
    }
}

void Session::interrupt() {
    interrupted_ = true;
    if (running_)
        state_->scheduler().cancel(running_, Error("cancelled", "cancelled"));
}

void Session::on_worker(const std::shared_ptr<db::Handle>& handle, const std::string& name,
                        std::function<void(Cancel&)> work) {
    auto operation = std::make_shared<vm::Operation>();
    operation->name = name;
    operation->work = std::move(work);
    operation->on = handle->worker();
    lua_State* L = state_->L();
    lua_pushlightuserdata(L, &operation);
    vm::push_waiting_function(L, start_operation, 1);
    const vm::TaskPtr task = spawn(0);
    handle->take(task.get());
    run_task(task);
    luaL_unref(L, LUA_REGISTRYINDEX, task->anchor);
}

Connection* Session::current() {
    return current_;
}

/// Makes the handle a global of the prompt, in the place of what had that name.
void Session::publish(const Connection& connection) {
    lua_State* L = state_->L();
    lua_getfield(L, LUA_REGISTRYINDEX, environment_key);
    lua_pushlstring(L, connection.name.data(), connection.name.size());
    vm::push_shared<db::Handle>(L, connection_type, connection.handle);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void Session::connect(const std::string& name, const std::string& url, bool read_write) {
    if (!is_lua_name(name))
        throw Error("usage", fmt::format("'{}' is no name for a connection", name),
                    "letters, digits and _, not a word of Lua: NAME=URL");
    lua_State* L = state_->L();
    state_->push_sandbox();
    lua_pushlstring(L, name.data(), name.size());
    lua_rawget(L, -2);
    const bool taken = !lua_isnil(L, -1);
    lua_pop(L, 2);
    if (taken)
        throw Error("usage", fmt::format("'{}' is a name of the language already", name),
                    "choose another name for the connection");
    auto made = std::make_unique<Connection>();
    made->name = name;
    made->url = url;
    made->read_write = read_write;
    made->handle = std::make_shared<db::Handle>(
        db::parse_named(url, name), read_write ? db::Access::write : db::Access::read, name);
    on_worker(made->handle, "connect",
              [handle = made->handle, read_write, server = &made->server](Cancel& cancel) {
                  *server = handle->session(read_write, cancel).server();
              });
    std::erase_if(connections_, [&](const auto& other) { return other->name == name; });
    connections_.push_back(std::move(made));
    current_ = connections_.back().get();
    publish(*current_);
}

void Session::use(const std::string& name) {
    std::vector<std::string> names;
    for (const auto& connection : connections_) {
        names.push_back(connection->name);
        if (connection->name == name) {
            current_ = connection.get();
            return;
        }
    }
    throw Error("usage", fmt::format("no connection '{}'{}", name, text::did_you_mean(name, names)),
                names.empty() ? ":connect NAME=URL opens one" : "open: " + text::join(names, ", "));
}

void Session::set_read_write(bool read_write) {
    if (!current_)
        throw Error("usage", "no connection is open", ":connect NAME=URL opens one");
    if (current_->read_write == read_write)
        return;
    bool open = false;
    on_worker(current_->handle, "look",
              [handle = current_->handle, was = current_->read_write, &open](Cancel& cancel) {
                  open = handle->session(was, cancel).in_transaction();
              });
    if (open)
        throw Error("usage", fmt::format("{}: a transaction is open", current_->name),
                    "commit or rollback first");
    const std::string name = current_->name;
    connect(name, std::string(current_->url), read_write);
}

Outcome Session::sql(const std::string& statement, const std::vector<Value>& params) {
    if (!current_)
        throw Error("usage", "no connection is open", ":connect NAME=URL opens one");
    auto outcome = std::make_shared<Outcome>();
    const auto handle = current_->handle;
    const bool may_write = current_->read_write;
    const double start = time::monotonic();
    on_worker(handle, "sql", [handle, may_write, statement, params, outcome](Cancel& cancel) {
        db::Connection& connection = handle->session(may_write, cancel);
        if (gives_rows(statement)) {
            const auto cursor = connection.query(statement, params, {}, cancel);
            outcome->has_rows = !cursor->columns().empty();
            outcome->more = read_rows(*cursor, most_rows, outcome->grid, cancel);
        } else {
            outcome->executed = connection.execute(statement, params, {}, cancel);
        }
    });
    outcome->seconds = time::monotonic() - start;
    if (!outcome->has_rows)
        current_->names_read = false;
    return std::move(*outcome);
}

/// Leaves the compiled function on the stack, or nothing. Throws Error{`load`}.
bool Session::compile(const std::string& text, const std::string& name) const {
    lua_State* L = state_->L();
    lua_getfield(L, LUA_REGISTRYINDEX, environment_key);
    try {
        vm::load_playbook_text(L, text, name, -1);
    } catch (const Error&) {
        lua_pop(L, 1);
        throw;
    }
    lua_remove(L, -2);
    return true;
}

bool Session::lua_incomplete(const std::string& text) const {
    bool unfinished = false;
    for (const std::string& form : {"return " + text, text}) {
        try {
            compile(form, "prompt");
            lua_pop(state_->L(), 1);
            return false;
        } catch (const Error& error) {
            unfinished = unfinished || error.message().ends_with("near '<eof>'");
        }
    }
    return unfinished;
}

bool Session::is_statement(const std::string& text) const {
    try {
        compile(text, "prompt");
        lua_pop(state_->L(), 1);
        return true;
    } catch (const Error&) {
        return false;
    }
}

std::vector<Value> Session::lua(const std::string& text, const std::string& name) {
    lua_State* L = state_->L();
    // A local would be gone with its line: at the prompt it becomes a name that stays.
    std::string code = text::trim(text);
    if (name == "prompt" && code.starts_with("local "))
        code.erase(0, 6);
    bool compiled = false;
    if (name == "prompt") {
        try {
            compiled = compile("return " + code, name);
        } catch (const Error&) { // not an expression
        }
    }
    if (!compiled)
        compile(code, name);
    const vm::TaskPtr task = spawn(0);
    run_task(task);
    std::vector<Value> values;
    const int first = lua_gettop(task->L) - task->results + 1;
    for (int i = 0; i < task->results; ++i)
        values.push_back(vm::to_value(task->L, first + i));
    luaL_unref(L, LUA_REGISTRYINDEX, task->anchor);
    return values;
}

const std::vector<std::string>& Session::database_names() {
    static const std::vector<std::string> none;
    if (!current_)
        return none;
    if (!current_->names_read) {
        current_->names_read = true;
        current_->names.clear();
        try {
            Connection* connection = current_;
            const std::string query = names_query(connection->handle->url().engine);
            on_worker(connection->handle, "names", [connection, query](Cancel& cancel) {
                db::Connection& session =
                    connection->handle->session(connection->read_write, cancel);
                Grid grid;
                const auto cursor = session.query(query, {}, {}, cancel);
                read_rows(*cursor, 5000, grid, cancel);
                for (const auto& row : grid.rows)
                    for (const Value& value : row)
                        if (const auto* text = value.get<std::string>())
                            connection->names.push_back(*text);
            });
        } catch (const Error&) { // completion is silent
        }
        std::sort(current_->names.begin(), current_->names.end());
        current_->names.erase(std::unique(current_->names.begin(), current_->names.end()),
                              current_->names.end());
    }
    return current_->names;
}

std::vector<std::string> Session::globals() const {
    std::vector<std::string> names;
    lua_State* L = state_->L();
    lua_getfield(L, LUA_REGISTRYINDEX, environment_key);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            names.emplace_back(lua_tostring(L, -2));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace runbook::repl
