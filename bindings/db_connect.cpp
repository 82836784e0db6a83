// db.connect, db.close, db.timeout, db.transaction: connections and what surrounds statements. Loop
// thread.
#include "bindings/db_internal.h"

#include "runtime/base/worker.h"

namespace runbook::bindings {
namespace {

struct ConnectOptions {
    std::string access = "read";
    std::string name;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::ConnectOptions> {
    static const std::vector<Field<bindings::ConnectOptions>>& fields() {
        static const std::vector<Field<bindings::ConnectOptions>> all = {
            field("access", &bindings::ConnectOptions::access, "read (default), write or admin"),
            field("name", &bindings::ConnectOptions::name, "what hints call it")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_db_connect(bind::Area& area, vm::State&) {
    area.def("connect",
             "Opens a session outside the playbook's parameters: for the REPL and for experiments.")
        .param("url",
               "postgres://user:password@host:port/name, mysql://…, mariadb://… or sqlite:PATH; "
               "options: "
               "sslmode, sslrootcert, sslcert, sslkey, socket, connect_timeout, application_name")
        .param("options", "what the session may do")
        .returns("connection", "an open connection, read-only unless access says more")
        .raises({"usage", "db.connection", "db.auth", "permission"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "assert(db.value(c, 'select 1') == 1)")
        .native(
            [](bind::Call& call, std::string url, ConnectOptions options) -> bind::Job<HandlePtr> {
                if (!call.permissions().everything)
                    throw Error(
                        "permission", "db.connect: the databases of a playbook are its parameters",
                        "declare one: params = { target = { \"database\", access = \"read\" } }");
                auto handle = std::make_shared<db::Handle>(
                    db::Url::parse(url, "url"), db::parse_access(options.access), options.name);
                bind::Job<HandlePtr> job;
                job.work = [handle, may_write = call.writes_allowed()](Cancel& cancel) {
                    handle->session(may_write, cancel);
                    return handle;
                };
                job.on = handle->worker();
                return job;
            });

    area.def("close", "Ends the session; the next statement opens a new one.")
        .param("connection", "a connection that is not in a transaction")
        .raises({"usage"})
        .reads()
        .example("local c = db.connect 'sqlite::memory:'\ndb.close(c)")
        .native([](bind::Call& call, HandlePtr handle) -> bind::Job<void> {
            handle->take(call.task());
            if (handle->owner())
                throw Error("usage", "db.close: the connection is in a transaction");
            bind::Job<void> job;
            job.work = [handle](Cancel&) { handle->close(); };
            job.on = handle->worker();
            return job;
        });

    area.def("timeout",
             "The same connection with a time limit for each statement, kept by the server.")
        .param("connection", "the connection to limit; it stays as it is")
        .param("limit", "longest time for one statement")
        .returns("connection", "shares the session and its transaction")
        .example("local c = db.timeout(db.connect 'sqlite::memory:', '5s')\nassert(db.value(c, "
                 "'select 1') == 1)")
        .native([](bind::Call&, HandlePtr handle, bind::Duration limit) -> HandlePtr {
            return handle->with_timeout(std::chrono::milliseconds(
                std::max<std::int64_t>(1, static_cast<std::int64_t>(limit.seconds * 1000))));
        });

    area.def("begin", "Opens a transaction; db.transaction does it and ends it in every case.")
        .param("connection", "a connection that is not in a transaction")
        .raises({"usage", "db.connection"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' "
                 "})\ndb.begin(c)\ndb.rollback(c)")
        .native([](bind::Call& call, HandlePtr handle) -> bind::Job<void> {
            handle->take(call.task());
            if (handle->owner())
                throw Error("usage", "db.begin: the connection is in a transaction already");
            handle->set_owner(call.task());
            bind::Job<void> job;
            job.work = [handle, may_write = call.writes_allowed()](Cancel& cancel) {
                handle->begin(may_write, cancel);
            };
            job.on = handle->worker();
            return job;
        });

    area.def("commit", "Makes the open transaction's changes permanent.")
        .param("connection", "a connection in a transaction")
        .raises({"usage", "db.connection", "db.error"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' "
                 "})\ndb.begin(c)\ndb.commit(c)")
        .native([](bind::Call& call, HandlePtr handle) -> bind::Job<void> {
            handle->take(call.task());
            if (!handle->owner())
                throw Error("usage", "db.commit: the connection is not in a transaction");
            handle->set_owner(nullptr);
            bind::Job<void> job;
            job.work = [handle](Cancel& cancel) { handle->commit(cancel); };
            job.on = handle->worker();
            return job;
        });

    area.def("rollback",
             "Undoes the open transaction's changes; nothing happens where none is open.")
        .param("connection", "a connection")
        .raises({"db.connection"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\ndb.rollback(c)")
        .native([](bind::Call& call, HandlePtr handle) -> bind::Job<void> {
            handle->take(call.task());
            bool open = handle->owner() != nullptr;
            handle->set_owner(nullptr);
            bind::Job<void> job;
            job.work = [handle, open](Cancel& cancel) {
                if (open)
                    handle->rollback(cancel);
            };
            job.on = handle->worker();
            return job;
        });

    area.def("abandon",
             "Rolls back without waiting: what db.transaction does in a task that was cancelled.")
        .param("connection", "a connection")
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' "
                 "})\ndb.begin(c)\ndb.abandon(c)")
        .native([](bind::Call&, HandlePtr handle) {
            if (!handle->owner())
                return;
            handle->set_owner(nullptr);
            handle->worker()->post([handle] {
                Cancel cancel;
                try {
                    handle->rollback(cancel);
                } catch (const std::exception&) {
                    handle->close(); // the server rolls back what loses its session
                }
            });
        });

    area.def("transaction",
             "Runs fn in a transaction: committed when fn returns, rolled back when it raises.")
        .param("connection", "connection", "the statements inside fn use this connection")
        .param("fn", "function", "gets the connection; what it returns is returned")
        .returns("value", "what fn returned")
        .raises({"usage", "db.connection", "db.error"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "db.transaction(c, function() db.execute(c, 'insert into t values (?)', 1) end)\n"
                 "assert(db.value(c, 'select count(*) from t') == 1)")
        .lua();
}

} // namespace runbook::bindings
