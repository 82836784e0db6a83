// db.disk, db.archiving, db.facts, db.cancel: a server as people look at it before a change. Loop
// thread; the queries run on the connection's worker.
#include "bindings/db_internal.h"

#include "runtime/db/server.h"

namespace runbook::bindings {
namespace {

using Fact = Map (*)(db::Connection&, Cancel&);

template <Fact fact>
bind::Job<Map> fact_job(bind::Call& call, HandlePtr handle) {
    return on_session<Map>(call, handle, fact);
}

const std::vector<std::string> kinds = {"db.connection",  "db.auth",    "db.permission",
                                        "db.unsupported", "db.timeout", "db.error"};

} // namespace

void register_db_server(bind::Area& area, vm::State&) {
    area.def("disk", "The size of the database, and the room on the disk under it.")
        .param("connection",
               "a connection; the server must be on this host (or be MariaDB with its "
               "plugin disks): no SQL tells it otherwise")
        .returns("table", "{bytes, free, total, free_ratio, folder}")
        .raises(kinds)
        .reads()
        .example("assert(db.disk(db.connect 'sqlite::memory:').free_ratio >= 0)")
        .native(fact_job<db::disk_of>);
    area.def("archiving", "Whether changes are archived, so that a point in time can be restored.")
        .param("connection", "a connection")
        .returns("table", "{healthy, on, why, last, failed}: PostgreSQL by its archiver, MySQL and "
                          "MariaDB by the binary log")
        .raises(kinds)
        .reads()
        .example("assert(not pcall(db.archiving, db.connect 'sqlite::memory:'))")
        .native(fact_job<db::archiving_of>);
    area.def("facts", "What to compare before and after a change.")
        .param("connection", "a connection")
        .returns("table", "{flavour, version, bytes, unvalidated, invalid_indexes, orphans, "
                          "sessions, most_sessions}: orphans are rows whose foreign key points "
                          "nowhere, of keys that the engine does not vouch for")
        .raises(kinds)
        .reads()
        .example("assert(db.facts(db.connect 'sqlite::memory:').orphans == 0)")
        .native(fact_job<db::facts_of>);
    area.def("cancel", "Tells the server to cancel the statement that another session runs.")
        .param("connection", "a connection with access admin")
        .param("id", "as in db.running")
        .returns("boolean", "false where there is no such session")
        .raises(kinds)
        .writes()
        .example("assert(not pcall(db.cancel, db.connect('sqlite::memory:', { access = 'admin' }), "
                 "7))")
        .native([](bind::Call& call, HandlePtr handle, std::int64_t id) {
            if (handle->access() != db::Access::admin)
                throw Error("permission",
                            "db.cancel: " + handle->url().masked() +
                                " is not open with access = \"admin\"",
                            "declare the parameter with access = \"admin\"");
            return on_session<bool>(call, handle, [id](db::Connection& connection, Cancel& cancel) {
                return db::cancel_statement(connection, id, cancel);
            });
        });
}

} // namespace runbook::bindings
