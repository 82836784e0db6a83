// db.savepoint, db.limits, db.insert, db.listen, db.notification, db.notify, db.pool: what a
// session can do besides single statements. Loop thread; the work runs on the connection's worker.
#include "bindings/db_internal.h"

#include "runtime/base/worker.h"
#include "runtime/db/ask.h"
#include "runtime/db/insert.h"
#include "runtime/db/notify.h"
#include "runtime/db/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace runbook::bindings {
namespace {

struct LimitOptions {
    std::optional<bind::Duration> statement, lock;
};

struct PoolOptions {
    int size = 4;
};

constexpr std::array<std::string_view, 3> savepoint_verbs = {"savepoint", "release savepoint",
                                                             "rollback to savepoint"};

std::chrono::milliseconds milliseconds(const bind::Duration& duration) {
    return std::chrono::milliseconds(
        std::max<std::int64_t>(1, static_cast<std::int64_t>(duration.seconds * 1000)));
}

const std::vector<std::string> kinds = {"db.connection", "db.auth", "db.permission", "db.timeout",
                                        "db.error"};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
using LimitFields = runbook::bindings::LimitOptions;
template <>
struct Describe<LimitFields> {
    static const std::vector<Field<LimitFields>>& fields() {
        static const std::vector<Field<LimitFields>> all = {
            field("statement", &LimitFields::statement, "longest time for one statement"),
            field("lock", &LimitFields::lock,
                  "longest wait for a lock (MySQL: in whole seconds), then db.lock_timeout")};
        return all;
    }
};
using PoolFields = runbook::bindings::PoolOptions;
template <>
struct Describe<PoolFields> {
    static const std::vector<Field<PoolFields>>& fields() {
        static const std::vector<Field<PoolFields>> all = {
            field("size", &PoolFields::size, "sessions at most, 1 to 64 (default 4)")};
        return all;
    }
};
template <>
struct TypeName<db::Pool> {
    static constexpr const char* name = "pool";
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

void register_savepoints(bind::Area& area) {
    area.def("set_savepoint", "One verb of a savepoint; db.savepoint does it in every case.")
        .param("connection", "a connection in a transaction")
        .param("verb", "savepoint, release savepoint or rollback to savepoint")
        .param("depth", "how many savepoints stand around it")
        .raises({"usage", "db.connection", "db.error"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.transaction(c, function() db.set_savepoint(c, 'savepoint', 1) end)")
        .native([](bind::Call& call, HandlePtr handle, std::string verb,
                   int depth) -> bind::Job<void> {
            if (std::find(savepoint_verbs.begin(), savepoint_verbs.end(), verb) ==
                savepoint_verbs.end())
                throw Error("argument", "db.set_savepoint: argument 2 'verb': savepoint, release "
                                        "savepoint or rollback to savepoint expected, got '" +
                                            verb + "'");
            handle->take(call.task());
            if (!handle->owner())
                throw Error("usage", "db.savepoint: the connection is not in a transaction",
                            "db.transaction(connection, function() … db.savepoint … end)");
            bind::Job<void> job;
            job.work = [handle, may_write = call.writes_allowed(),
                        sql = fmt::format("{} runbook_{}", verb, depth)](Cancel& cancel) {
                db::tell(handle->session(may_write, cancel), sql, cancel);
            };
            job.on = handle->worker();
            return job;
        });
    area.def("savepoint", "Runs fn inside the open transaction: where fn raises, what it did is "
                          "undone, the transaction goes on, and the error is raised.")
        .param("connection", "connection", "a connection in a transaction")
        .param("fn", "function", "gets the connection; what it returns is returned")
        .returns("value", "what fn returned")
        .raises({"usage", "db.connection", "db.error"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int unique)')\n"
                 "db.transaction(c, function()\n"
                 "  db.execute(c, 'insert into t values (1)')\n"
                 "  local ok = pcall(db.savepoint, c, function() db.execute(c, 'insert into t "
                 "values (2), (1)') end)\n"
                 "  assert(not ok)\n"
                 "end)\n"
                 "assert(db.value(c, 'select count(*) from t') == 1)")
        .lua();
}

void register_insert(bind::Area& area) {
    area.def("limits", "The same connection with limits, kept by the server.")
        .param("connection", "the connection to limit; it stays as it is")
        .param("options", "the limits")
        .returns("connection", "shares the session and its transaction")
        .raises({"db.unsupported"})
        .example("local c = db.limits(db.connect 'sqlite::memory:', { statement = '5s' })\n"
                 "assert(db.value(c, 'select 1') == 1)")
        .native([](bind::Call&, HandlePtr handle, LimitOptions options) -> HandlePtr {
            if (options.statement)
                handle = handle->with_timeout(milliseconds(*options.statement));
            if (options.lock)
                handle = handle->with_lock_timeout(milliseconds(*options.lock));
            return handle;
        });
    area.def("insert",
             "Inserts many rows, in statements of up to a thousand with bound parameters: "
             "all of them or none.")
        .param("connection", "a connection with access write or admin")
        .param("table", "its name, or schema.table")
        .param("rows", "a list of tables by column name; a column that a row lacks is NULL")
        .returns("integer", "how many rows")
        .raises({"db.connection", "db.auth", "db.permission", "db.timeout", "db.deadlock",
                 "db.constraint", "db.lock_timeout", "db.read_only", "db.error", "argument"})
        .writes()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int, b text)')\n"
                 "assert(db.insert(c, 't', { { a = 1, b = 'x' }, { a = 2 } }) == 2)\n"
                 "assert(db.value(c, 'select b from t where a = 2') == nil)")
        .native([](bind::Call& call, HandlePtr handle, std::string table, std::vector<Value> rows) {
            return on_session<std::int64_t>(
                call, handle,
                [handle, table = std::move(table), rows = List(rows.begin(), rows.end())](
                    db::Connection& connection, Cancel& cancel) {
                    db::StatementOptions options;
                    options.timeout = handle->timeout();
                    return db::insert_rows(connection, table, rows, options, cancel);
                });
        });
}

void register_notify(bind::Area& area) {
    const std::vector<std::string> notify_kinds = {"db.unsupported", "db.connection", "usage",
                                                   "db.error"};
    area.def("listen", "Listens to a channel of PostgreSQL: what is sent from now on waits for "
                       "db.notification.")
        .param("connection", "a connection; while it listens, give other work another one")
        .param("channel", "name of the channel")
        .raises(notify_kinds)
        .reads()
        .example("assert(not pcall(db.listen, db.connect 'sqlite::memory:', 'jobs'))")
        .native([](bind::Call& call, HandlePtr handle, std::string channel) -> bind::Job<void> {
            handle->take(call.task());
            bind::Job<void> job;
            job.work = [handle, may_write = call.writes_allowed(),
                        channel = std::move(channel)](Cancel& cancel) {
                db::listen(handle->session(may_write, cancel), channel, cancel);
            };
            job.on = handle->worker();
            return job;
        });
    area.def("notification", "Waits for the next notification.")
        .param("connection", "a connection that listens")
        .param("within", "how long")
        .returns("table", "{channel, payload, pid}, or nil where none came within that time")
        .raises(notify_kinds)
        .reads()
        .example("assert(not pcall(db.notification, db.connect 'sqlite::memory:', '1s'))")
        .native([](bind::Call& call, HandlePtr handle, bind::Duration within) {
            return on_session<Value>(
                call, handle,
                [limit = milliseconds(within)](db::Connection& connection, Cancel& cancel) {
                    auto got = db::next_notification(connection, limit, cancel);
                    if (!got)
                        return Value();
                    return Value(Map{
                        {"channel", got->channel}, {"payload", got->payload}, {"pid", got->pid}});
                });
        });
    area.def("notify", "Sends a notification to whoever listens.")
        .param("connection", "a connection with access write or admin")
        .param("channel", "name of the channel")
        .param("payload", "text that goes with it, below 8000 bytes")
        .raises(notify_kinds)
        .writes()
        .example("assert(not pcall(db.notify, db.connect('sqlite::memory:', { access = 'write' }), "
                 "'jobs'))")
        .native([](bind::Call& call, HandlePtr handle, std::string channel,
                   std::optional<std::string> payload) -> bind::Job<void> {
            handle->take(call.task());
            bind::Job<void> job;
            job.work = [handle, may_write = call.writes_allowed(), channel = std::move(channel),
                        payload = payload ? *payload : std::string()](Cancel& cancel) {
                db::notify(handle->session(may_write, cancel), channel, payload, cancel);
            };
            job.on = handle->worker();
            return job;
        });
}

void register_pool(bind::Area& area) {
    using PoolPtr = std::shared_ptr<db::Pool>;
    area.def("pool", "A bounded number of sessions like a connection's, for branches that run side "
                     "by side.")
        .param("connection", "whose address and rights they have")
        .param("options", "how many")
        .returns("pool", "pool:use(fn) lends one; each opens with its first statement")
        .raises({"argument"})
        .example("local pool = db.pool(db.connect 'sqlite::memory:', { size = 2 })\n"
                 "assert(pool:use(function(c) return db.value(c, 'select 7') end) == 7)\n"
                 "assert(pool.used == 0)")
        .native([](bind::Call&, HandlePtr handle, PoolOptions options) -> PoolPtr {
            if (options.size < 1 || options.size > 64)
                throw Error("argument",
                            fmt::format("db.pool: argument 2 'options': option 'size': 1 to 64 "
                                        "expected, got {}",
                                        options.size));
            return std::make_shared<db::Pool>(*handle, static_cast<std::size_t>(options.size));
        });
    area.def("lend", "Takes a connection out of a pool, waiting for a free one; db.use does it and "
                     "gives it back in every case.")
        .param("pool", "from db.pool")
        .returns("connection", "nobody else has it until db.give_back")
        .raises({"cancelled", "timeout"})
        .reads()
        .example("local pool = db.pool(db.connect 'sqlite::memory:')\n"
                 "db.give_back(pool, db.lend(pool))")
        .native([](bind::Call&, PoolPtr pool) -> bind::Job<HandlePtr> {
            return {[pool](Cancel& cancel) { return pool->take(cancel); }};
        });
    area.def("give_back", "Gives a connection back to its pool.")
        .param("pool", "from db.pool")
        .param("connection", "from db.lend")
        .reads()
        .example("local pool = db.pool(db.connect 'sqlite::memory:')\n"
                 "db.give_back(pool, db.lend(pool))")
        .native([](bind::Call&, PoolPtr pool, HandlePtr lease) { pool->give(lease); });
    area.def("use", "Runs fn with a connection of a pool; waits where all are in use.")
        .param("pool", "pool", "from db.pool")
        .param("fn", "function", "gets the connection, which is its own until it returns")
        .returns("value", "what fn returned")
        .raises({"cancelled", "timeout", "db.connection"})
        .reads()
        .example("local pool = db.pool(db.connect 'sqlite::memory:')\n"
                 "assert(db.use(pool, function(c) return db.value(c, 'select 7') end) == 7)")
        .lua();
    area.type<db::Pool>("A bounded number of sessions to one database.")
        .field("size", "integer", "sessions at most",
               [](const db::Pool& pool) { return static_cast<std::int64_t>(pool.size()); })
        .field("used", "integer", "lent right now",
               [](const db::Pool& pool) { return static_cast<std::int64_t>(pool.used()); })
        .method("use")
        .done("db");
}

} // namespace

void register_db_session(bind::Area& area, vm::State&) {
    register_savepoints(area);
    register_insert(area);
    register_notify(area);
    register_pool(area);
}

} // namespace runbook::bindings
