// db.prepare, and the area `statement`: statements that the server has parsed once. Loop thread;
// they run on their connection's worker, in the session that they were prepared in.
#include "bindings/db_internal.h"

namespace runbook::bindings {
namespace {

using StatementPtr = std::shared_ptr<db::Statement>;

const std::vector<std::string> kinds = {
    "db.connection",   "db.permission", "db.timeout", "db.deadlock", "db.constraint",
    "db.lock_timeout", "db.read_only",  "db.error",   "argument",    "usage"};
constexpr const char* statement_doc = "from db.prepare";
constexpr const char* params_doc = "values for the parameters, in order; null or nil for NULL";

db::StatementOptions options_of(const db::Statement& statement) {
    db::StatementOptions options;
    options.timeout = statement.handle()->timeout();
    return options;
}

template <class R>
bind::Job<R> on_statement(bind::Call& call, const StatementPtr& statement,
                          std::function<R(db::Prepared&, Cancel&)> work) {
    statement->handle()->take(call.task());
    bind::Job<R> job;
    job.work = [statement, may_write = call.writes_allowed(), work = std::move(work)](
                   Cancel& cancel) { return work(statement->use(may_write, cancel), cancel); };
    job.on = statement->handle()->worker();
    return job;
}

/// `one`: a second row raises. `named`: the columns' names must differ.
bind::Job<ResultSet> query_job(bind::Call& call, const StatementPtr& statement, bind::Rest params,
                               bool named, bool one, int (*push)(lua_State*, const ResultSet&)) {
    require_writes_for(call, statement->sql());
    auto job = on_statement<ResultSet>(call, statement,
                                       [statement, params = std::move(params.values), named,
                                        one](db::Prepared& prepared, Cancel& cancel) {
                                           auto cursor = prepared.query(
                                               params, options_of(*statement), cancel);
                                           ResultSet result = read_all(*cursor, named, cancel);
                                           if (one)
                                               check_one_row(result, "statement.one");
                                           return result;
                                       });
    job.push = [push](lua_State* L, ResultSet& result) { return push(L, result); };
    return job;
}

constexpr const char* head = "local c = db.connect('sqlite::memory:', { access = 'write' })\n";

void register_reads(bind::Area& area) {
    area.def("query", "Runs the statement and returns all of its rows.")
        .param("statement", statement_doc)
        .param("...", params_doc)
        .returns("table[]", "one table by column name for each row, as db.query gives them")
        .raises(kinds)
        .reads()
        .example(std::string(head) + "local s = db.prepare(c, 'select ? as id')\n"
                                     "assert(s:query(7)[1].id == 7 and s:query(8)[1].id == 8)")
        .native([](bind::Call& call, StatementPtr statement, bind::Rest params) {
            return query_job(call, statement, std::move(params), true, false, push_rows);
        });
    area.def("one", "Runs the statement and returns its one row.")
        .param("statement", statement_doc)
        .param("...", params_doc)
        .returns("table", "the row by column name, or nil where there is none; a second row raises")
        .raises(kinds)
        .reads()
        .example(std::string(head) + "local s = db.prepare(c, 'select ? as id')\n"
                                     "assert(s:one(7).id == 7)")
        .native([](bind::Call& call, StatementPtr statement, bind::Rest params) {
            return query_job(call, statement, std::move(params), true, true, push_first_row);
        });
    area.def("value", "Runs the statement and returns the first column of its first row.")
        .param("statement", statement_doc)
        .param("...", params_doc)
        .returns("value", "nil for NULL, and where there is no row")
        .raises(kinds)
        .reads()
        .example(std::string(head) + "local s = db.prepare(c, 'select ? + 1')\n"
                                     "assert(s:value(41) == 42 and s:value(nil) == nil)")
        .native([](bind::Call& call, StatementPtr statement, bind::Rest params) {
            return query_job(call, statement, std::move(params), false, false, push_first_cell);
        });
    area.def("rows", "Iterates over the statement's rows in bounded memory.")
        .param("statement", statement_doc)
        .param("...", params_doc)
        .returns("function", "an iterator for `for row in …`, as db.rows gives it")
        .raises(kinds)
        .reads()
        .example(std::string(head) +
                 "local s, sum = db.prepare(c, 'select ? as n union all select 2'), 0\n"
                 "for row in s:rows(1) do sum = sum + row.n end\nassert(sum == 3)")
        .native([](bind::Call& call, StatementPtr statement, bind::Rest params) {
            require_writes_for(call, statement->sql());
            using RowsPtr = std::shared_ptr<Rows>;
            auto job = on_statement<RowsPtr>(
                call, statement,
                [statement, params = std::move(params.values)](db::Prepared& prepared,
                                                               Cancel& cancel) {
                    return begin_rows(statement->handle(),
                                      prepared.query(params, options_of(*statement), cancel));
                });
            job.push = [statement](lua_State* to, RowsPtr& rows) {
                return push_rows_iterator(to, statement->handle(), rows);
            };
            return job;
        });
}

void register_rest(bind::Area& area) {
    area.def("execute", "Runs the statement for its effect.")
        .param("statement", "from db.prepare, of a connection with access write or admin")
        .param("...", params_doc)
        .returns("table", "{rows_affected, last_insert_id, warnings}")
        .raises(kinds)
        .writes()
        .example(std::string(head) + "db.execute(c, 'create table t (a int)')\n"
                                     "local s = db.prepare(c, 'insert into t values (?)')\n"
                                     "for i = 1, 3 do s:execute(i) end\n"
                                     "assert(db.value(c, 'select sum(a) from t') == 6)")
        .native([](bind::Call& call, StatementPtr statement, bind::Rest params) {
            return on_statement<Map>(
                call, statement,
                [statement, params = std::move(params.values)](db::Prepared& prepared,
                                                               Cancel& cancel) {
                    return executed_map(prepared.execute(params, options_of(*statement), cancel));
                });
        });
    area.def("close", "Gives the statement back to the server; using it again is an error.")
        .param("statement", statement_doc)
        .raises({"usage"})
        .reads()
        .example(std::string(head) + "local s = db.prepare(c, 'select 1')\ns:close()\n"
                                     "assert(not pcall(s.value, s))")
        .native([](bind::Call& call, StatementPtr statement) -> bind::Job<void> {
            statement->handle()->take(call.task());
            bind::Job<void> job;
            job.work = [statement](Cancel&) { statement->close(); };
            job.on = statement->handle()->worker();
            return job;
        });
}

} // namespace

void register_db_prepare(bind::Area& db, vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "statement",
                    "Prepared statements, which db.prepare makes: parsed once, run many times.");
    register_reads(area);
    register_rest(area);
    area.type<db::Statement>("A prepared statement. It ends with its session.")
        .field("sql", "string", "what was prepared",
               [](const db::Statement& statement) { return statement.sql(); })
        .method("query")
        .method("one")
        .method("value")
        .method("rows")
        .method("execute")
        .method("close")
        .done("statement");
    db.def("prepare", "Lets the server parse a statement once, to run it many times.")
        .param("connection", "a connection; the statement lives in its session and ends with it")
        .param("sql", "one statement; parameters stand as ? (PostgreSQL: also $1)")
        .returns("statement", "statement:query(…), :one, :value, :rows, :execute, :close")
        .raises({"db.connection", "db.auth", "db.permission", "db.syntax", "db.unsupported",
                 "db.error", "usage"})
        .reads()
        .example(std::string(head) + "local double = db.prepare(c, 'select ? * 2')\n"
                                     "assert(double:value(21) == 42 and double:value(4) == 8)\n"
                                     "double:close()")
        .native([](bind::Call& call, HandlePtr handle, std::string sql) -> bind::Job<StatementPtr> {
            handle->take(call.task());
            bind::Job<StatementPtr> job;
            // A dry run has not made the tables that a write names: its first read prepares.
            const bool later = call.host().dry_run();
            job.work = [handle, sql = std::move(sql), later,
                        may_write = call.writes_allowed()](Cancel& cancel) {
                auto statement = std::make_shared<db::Statement>(handle, sql);
                if (!later)
                    statement->prepare(may_write, cancel);
                return statement;
            };
            job.on = handle->worker();
            return job;
        });
}

} // namespace runbook::bindings
