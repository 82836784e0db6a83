// db.query, db.one, db.value, db.execute, db.script: statements whose result arrives whole. Loop
// thread; the statement itself runs on the connection's worker.
#include "bindings/db_internal.h"

#include "runtime/base/text.h"
#include "runtime/db/placeholders.h"

namespace runbook::bindings {
namespace {

/// More rows than this are a table that was meant to be streamed.
constexpr std::size_t most_rows = 1'000'000;

db::StatementOptions options_of(const db::Handle& handle) {
    db::StatementOptions options;
    options.timeout = handle.timeout();
    return options;
}

bind::Job<ResultSet> query_job(bind::Call& call, const HandlePtr& handle, std::string sql,
                               bind::Rest params, bool named) {
    require_writes_for(call, sql);
    return on_session<ResultSet>(call, handle,
                                 [handle, sql = std::move(sql), params = std::move(params.values),
                                  named](db::Connection& connection, Cancel& cancel) {
                                     auto cursor =
                                         connection.query(sql, params, options_of(*handle), cancel);
                                     return read_all(*cursor, named, cancel);
                                 });
}

constexpr const char* sql_doc = "one statement; parameters stand as ? (PostgreSQL: also $1)";
constexpr const char* params_doc =
    "values for the parameters, in order; null or nil for NULL; never pasted into the SQL";

} // namespace

void require_writes_for(bind::Call& call, const std::string& sql) {
    if (!call.writes_allowed() || db::is_plain_query(sql))
        return; // where nothing may be written, the server's session says so
    const std::string word = db::first_word(sql);
    if (word != "show" && word != "explain" && word != "describe" && word != "desc" &&
        word != "pragma" && word != "set")
        call.require_writes();
}

namespace {

ResultSet read_up_to(db::Cursor& cursor, std::size_t limit, Cancel& cancel) {
    ResultSet result;
    result.columns = std::make_shared<const std::vector<db::Column>>(cursor.columns());
    while (db::BatchPtr batch = cursor.next(cancel)) {
        result.rows += batch->rows();
        result.batches.push_back(std::move(batch));
        if (result.rows > limit)
            throw Error("usage",
                        "db.query: the result has more than " +
                            text::grouped(static_cast<std::int64_t>(limit)) + " rows",
                        "for row in db.rows(connection, sql) do … end reads them one by one");
    }
    return result;
}

} // namespace

ResultSet read_all(db::Connection& connection, const std::string& sql,
                   const std::vector<Value>& params, std::chrono::milliseconds timeout,
                   std::size_t limit, Cancel& cancel) {
    db::StatementOptions options;
    options.timeout = timeout;
    return read_up_to(*connection.query(sql, params, options, cancel), limit, cancel);
}

ResultSet read_all(db::Cursor& cursor, bool named, Cancel& cancel) {
    ResultSet result = read_up_to(cursor, most_rows, cancel);
    if (named)
        check_names(*result.columns);
    return result;
}

void check_one_row(const ResultSet& result, std::string_view function) {
    if (result.rows > 1)
        throw Error("usage",
                    std::string(function) + ": the statement gave " +
                        text::grouped(static_cast<std::int64_t>(result.rows)) + " rows",
                    "query returns all of them");
}

Map executed_map(db::Executed done) {
    List warnings;
    for (std::string& warning : done.warnings)
        warnings.emplace_back(std::move(warning));
    Map out{{"rows_affected", done.rows_affected}, {"warnings", std::move(warnings)}};
    if (done.last_insert_id != 0)
        out.set("last_insert_id", done.last_insert_id);
    return out;
}

void register_db_query(bind::Area& area, vm::State&, vm::Registry&) {
    const std::vector<std::string> kinds = {"db.connection", "db.auth",         "db.permission",
                                            "db.timeout",    "db.deadlock",     "db.syntax",
                                            "db.constraint", "db.lock_timeout", "db.read_only",
                                            "db.error",      "argument",        "usage"};
    area.def("query", "Runs a statement and returns all of its rows.")
        .param("connection", "a parameter of type database, or what db.connect returned")
        .param("sql", sql_doc)
        .param("...", params_doc)
        .returns("table[]", "one table by column name for each row; NULL is nil, and a name that "
                            "is no column raises")
        .raises(kinds)
        .reads()
        .example("local c = db.connect 'sqlite::memory:'\n"
                 "local rows = db.query(c, 'select ? as id, ? as name', 7, 'seven')\n"
                 "assert(#rows == 1 and rows[1].id == 7 and rows[1].name == 'seven')")
        .native([](bind::Call& call, HandlePtr handle, std::string sql, bind::Rest params) {
            auto job = query_job(call, handle, std::move(sql), std::move(params), true);
            job.push = [](lua_State* L, ResultSet& result) { return push_rows(L, result); };
            return job;
        });

    area.def("one", "Runs a statement and returns its one row.")
        .param("connection", "a connection")
        .param("sql", sql_doc)
        .param("...", params_doc)
        .returns("table", "the row by column name, or nil where there is none; a second row raises")
        .raises(kinds)
        .reads()
        .example(
            "local c = db.connect 'sqlite::memory:'\nassert(db.one(c, 'select 1 as n').n == 1)\n"
            "assert(db.one(c, 'select 1 where 1 = 0') == nil)")
        .native([](bind::Call& call, HandlePtr handle, std::string sql, bind::Rest params) {
            auto job = query_job(call, handle, std::move(sql), std::move(params), true);
            auto read = std::move(job.work);
            job.work = [read = std::move(read)](Cancel& cancel) {
                ResultSet result = read(cancel);
                check_one_row(result, "db.one");
                return result;
            };
            job.push = [](lua_State* L, ResultSet& result) { return push_first_row(L, result); };
            return job;
        });

    area.def("value", "Runs a statement and returns the first column of its first row.")
        .param("connection", "a connection")
        .param("sql", sql_doc)
        .param("...", params_doc)
        .returns("value", "nil for NULL, and where there is no row")
        .raises(kinds)
        .reads()
        .example(
            "local c = db.connect 'sqlite::memory:'\nassert(db.value(c, 'select ? + 1', 41) == 42)")
        .native([](bind::Call& call, HandlePtr handle, std::string sql, bind::Rest params) {
            auto job = query_job(call, handle, std::move(sql), std::move(params), false);
            job.push = [](lua_State* L, ResultSet& result) { return push_first_cell(L, result); };
            return job;
        });

    area.def("execute", "Runs a statement for its effect.")
        .param("connection", "a connection with access write or admin")
        .param("sql", sql_doc)
        .param("...", params_doc)
        .returns("table", "{rows_affected, last_insert_id, warnings}")
        .raises(kinds)
        .writes()
        .example(
            "local c = db.connect('sqlite::memory:', { access = 'write' })\n"
            "db.execute(c, 'create table t (a int)')\n"
            "assert(db.execute(c, 'insert into t values (?), (?)', 1, nil).rows_affected == 2)")
        .native([](bind::Call& call, HandlePtr handle, std::string sql, bind::Rest params) {
            return on_session<Map>(
                call, handle,
                [handle, sql = std::move(sql),
                 params = std::move(params.values)](db::Connection& connection, Cancel& cancel) {
                    return executed_map(
                        connection.execute(sql, params, options_of(*handle), cancel));
                });
        });

    area.def("script",
             "Runs several statements without parameters, as one script; stops at the first error.")
        .param("connection", "a connection with access write or admin")
        .param("sql", "statements with semicolons between them; their rows are dropped")
        .raises(kinds)
        .writes()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\n"
                 "db.script(c, 'create table t (a int); insert into t values (1)')\n"
                 "assert(db.value(c, 'select a from t') == 1)")
        .native([](bind::Call& call, HandlePtr handle, std::string sql) -> bind::Job<void> {
            handle->take(call.task());
            bind::Job<void> job;
            job.work = [handle, may_write = call.writes_allowed(),
                        sql = std::move(sql)](Cancel& cancel) {
                handle->session(may_write, cancel).script(sql, cancel);
            };
            job.on = handle->worker();
            return job;
        });
}

} // namespace runbook::bindings
