// A table of a test's own on one of the lab's servers, and other sessions ended there.
#pragma once

#include "tests/unit/db_lab.h"

#include <fmt/format.h>

namespace runbook::db::lab {

inline constexpr const char* servers[] = {"RUNBOOK_LAB_PG_SCRATCH", "RUNBOOK_LAB_MYSQL_SCRATCH",
                                          "RUNBOOK_LAB_MARIADB_SCRATCH"};

/// A table of the test's own, dropped at its end.
struct Fresh {
    explicit Fresh(const char* variable) : url(lab::url(variable)) {
        if (!url)
            return;
        table = lab::unique("rb_session");
        admin = lab::open(*url, Access::admin);
        lab::execute(*admin, "create table " + table + " (id int primary key, v varchar(40))");
    }
    ~Fresh() {
        if (admin)
            lab::execute(*admin, "drop table " + table);
    }
    explicit operator bool() const { return admin != nullptr; }
    bool postgres() const { return url->engine == Engine::postgresql; }
    Value count() { return lab::value(*admin, "select count(*) from " + table); }
    Value session_id(Connection& connection) {
        return lab::value(connection,
                          postgres() ? "select pg_backend_pid()" : "select connection_id()");
    }
    void end_session(const Value& id) {
        if (postgres())
            lab::value(*admin, "select pg_terminate_backend(?, 5000)", {id});
        else
            lab::execute(*admin, fmt::format("kill {}", *id.get<std::int64_t>()));
    }
    /// True while a session sleeps, or waits for a lock, in a statement that contains `text`. On
    /// PostgreSQL a query runs in a cursor, so its text is not that of what runs: the wait itself
    /// is looked for.
    bool runs(const Value& id, const std::string& text) {
        if (postgres())
            return lab::value(*admin,
                              "select count(*) from pg_stat_activity where pid = ? and state = "
                              "'active' and (wait_event = 'PgSleep' or wait_event_type = 'Lock')",
                              {id}) == Value(1);
        return lab::value(*admin,
                          "select count(*) from information_schema.processlist where id = ? and "
                          "command in ('Query', 'Execute') and locate(?, coalesce(info, '')) > 0",
                          {id, text}) == Value(1);
    }

    std::optional<Url> url;
    std::string table;
    std::unique_ptr<Connection> admin;
};

} // namespace runbook::db::lab
