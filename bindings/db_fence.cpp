// db.write_fence, db.mark, db.written_since. Loop thread; the work runs on the connection's worker.
#include "bindings/db_fence.h"

#include "bindings/db_internal.h"
#include "runtime/db/written/written.h"

namespace runbook::bindings {
namespace {

struct MarkOptions {
    bool counted = true;
};

void need_admin(const HandlePtr& handle) {
    if (handle->access() != db::Access::admin)
        throw Error("permission",
                    "db.write_fence: " + handle->url().masked() +
                        " is not open with access = \"admin\"",
                    "declare the parameter with access = \"admin\": a fence changes what others "
                    "may do");
}

using Fn = Map (*)(db::Connection&, const db::FenceOptions&, Cancel&);

template <Fn fn>
bind::Job<Map> fence_job(bind::Call& call, HandlePtr handle, FenceOptions given) {
    auto options = fence_options(given);
    need_admin(handle);
    return on_session<Map>(call, handle, [options](db::Connection& connection, Cancel& cancel) {
        return fn(connection, options, cancel);
    });
}

const std::vector<std::string> kinds = {"db.fence",      "db.lock_timeout", "db.permission",
                                        "db.connection", "db.unsupported",  "db.error",
                                        "permission",    "argument"};
constexpr const char* options_doc = "whom it keeps out";
constexpr const char* connection_doc =
    "a connection with access admin, as a role or user of its own, which owns the tables or may "
    "grant on them";

} // namespace

db::FenceOptions fence_options(const FenceOptions& from) {
    if (!from.role.empty() && !from.except.empty())
        throw Error("argument",
                    "option 'except': goes with a fence for everybody, not with 'role'");
    db::FenceOptions to;
    to.roles = from.role;
    to.except = from.except;
    to.within = std::chrono::milliseconds(static_cast<std::int64_t>(from.within.seconds * 1000));
    to.counted = from.counted;
    return to;
}

} // namespace runbook::bindings

namespace runbook::bind {
using MarkFields = runbook::bindings::MarkOptions;
template <>
struct Describe<MarkFields> {
    static const std::vector<Field<MarkFields>>& fields() {
        static const std::vector<Field<MarkFields>> all = {
            field("counted", &MarkFields::counted,
                  "false: tables are not counted, and rows deleted from PostgreSQL are not seen "
                  "(default true)")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

void register_marks(bind::Area& area) {
    area.def("mark", "This moment of a database, for db.written_since.")
        .param("connection", "a connection")
        .param("options", "how much is kept")
        .returns("table", "plain data that a step may return")
        .raises({"db.connection", "db.auth", "db.permission", "db.unsupported", "db.timeout",
                 "db.error"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "local before = db.mark(c)\n"
                 "assert(db.written_since(c, before).nothing)")
        .native([](bind::Call& call, HandlePtr handle, MarkOptions options) {
            return on_session<Map>(call, handle,
                                   [options](db::Connection& connection, Cancel& cancel) {
                                       return db::take_mark(connection, options.counted, cancel);
                                   });
        });
    area.def("written_since",
             "How many rows were written to a database since a moment, by anybody: what a rollback "
             "from here would lose.")
        .param("connection", "a connection to the same database")
        .param("mark", "from db.mark, or a result of backup.create")
        .returns("table", "{rows, tables = {name = {written, deleted}}, nothing}: at least so many "
                          "rows; nothing is true only where it is certain")
        .raises({"db.connection", "db.auth", "db.permission", "db.timeout", "db.error", "argument"})
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local before = db.mark(c)\n"
                 "db.execute(c, 'insert into t values (1), (2)')\n"
                 "local since = db.written_since(c, before)\n"
                 "assert(since.rows == 2 and since.tables.t.written == 2)")
        .native([](bind::Call& call, HandlePtr handle, Map mark) {
            return on_session<Map>(
                call, handle, [mark = std::move(mark)](db::Connection& connection, Cancel& cancel) {
                    return db::written_since(connection, mark, cancel);
                });
        });
}

} // namespace

std::optional<Map> mark_of(const db::Url& url, Cancel& cancel) {
    try {
        auto session = db::connect(url, {}, cancel);
        return db::take_mark(*session, false, cancel);
    } catch (const Error& error) {
        if (error.kind() != "db.unsupported" && error.kind() != "db.permission")
            throw;
        return std::nullopt;
    }
}

void register_db_fence(bind::Area& area, vm::State&) {
    register_marks(area);
    area.def("fence_on", "Closes a write fence; db.write_fence makes a step of it.")
        .param("connection", connection_doc)
        .param("options", options_doc)
        .returns("table", "{fenced, tables, ended}: names, number of tables, sessions ended")
        .raises(kinds)
        .writes()
        .example("local c = db.connect('sqlite::memory:', { access = 'admin' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "assert(db.fence_on(c).tables == 1)\n"
                 "assert(not pcall(db.execute, c, 'insert into t values (1)'))")
        .native(fence_job<db::fence_on>);
    area.def("fence_off", "Opens a write fence: gives back exactly what was taken.")
        .param("connection", connection_doc)
        .param("options", "as given to db.fence_on")
        .returns("table", "{given_back, gone}: grants restored; tables and roles that are gone")
        .raises(kinds)
        .writes()
        .example("local c = db.connect('sqlite::memory:', { access = 'admin' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "db.fence_on(c)\ndb.fence_off(c)\n"
                 "db.execute(c, 'insert into t values (1)')")
        .native(fence_job<db::fence_off>);
    area.def("fence_state", "Whether a write fence stands.")
        .param("connection", connection_doc)
        .param("options", "as given to db.fence_on")
        .returns("string", "\"on\", \"off\", or \"between\" where it was interrupted")
        .raises(kinds)
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'admin' })\n"
                 "assert(db.fence_state(c) == 'off')")
        .native([](bind::Call& call, HandlePtr handle, FenceOptions given) {
            auto options = fence_options(given);
            need_admin(handle);
            return on_session<std::string>(call, handle,
                                           [options](db::Connection& connection, Cancel& cancel) {
                                               return db::fence_state(connection, options, cancel);
                                           });
        });
    area.def("fence_held", "The proof that nothing was written since a fence was closed.")
        .param("connection", connection_doc)
        .param("options", "as given to db.fence_on")
        .returns("table", "{held, why, rows, tables, since}: held is true only where the fence "
                          "stands, nobody whom it keeps out may write, and nothing was written")
        .raises(kinds)
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'admin' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "assert(not db.fence_held(c).held)\n"
                 "db.fence_on(c)\nassert(db.fence_held(c).held)")
        .native(fence_job<db::fence_held>);
    area.def("write_fence",
             "A toggle that keeps other people's writers out of a database, reading goes on, and "
             "proves that nothing was written while it was on.")
        .param("connection", "connection", connection_doc)
        .param("options", "table", "{role, except, within, counted}: see db.fence_on", true)
        .returns("table", "{on, off, state, held}: on and off are actions for steps; held() is the "
                          "proof, as from db.fence_held")
        .example("-- local fence = db.write_fence(p.prod, { role = 'app' })\n"
                 "-- step \"fence on\" { fence.on, owner = \"dba\" }")
        .lua();
}

} // namespace runbook::bindings
