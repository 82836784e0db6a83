// The fence of PostgreSQL: one transaction that waits for the writers under EXCLUSIVE locks,
// revokes the privileges to write and records them. Statements check privileges when they start, so
// open sessions need not be ended.
#include "runtime/base/text.h"
#include "runtime/db/fence/detail.h"

#include <fmt/format.h>

namespace runbook::db::fence {
namespace {

List names(const std::vector<std::string>& from) {
    List list;
    for (const std::string& name : from)
        list.emplace_back(name);
    return list;
}

/// Tables and whatever else takes rows, outside of the system's schemas.
constexpr const char* relations = R"(
relations as (
  select c.oid, c.relkind, c.relacl, c.relowner, c.relname,
         quote_ident(n.nspname) || '.' || quote_ident(c.relname) as object
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'f') and n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema' and c.relpersistence <> 't'
))";

/// Whom the fence is for: `$1` the roles (empty: everybody), `$2` the exceptions. PUBLIC is 0.
constexpr const char* fenced_roles = R"(
fenced as (
  select oid, rolname::text as name from pg_catalog.pg_roles
  where case when cardinality($1::text[]) > 0 then rolname = any($1::text[])
             else not rolsuper and rolname <> current_user and rolname <> all($2::text[])
                  and rolname !~ '^pg_' end
  union all select 0, 'public' where cardinality($1::text[]) = 0
))";

std::vector<Value> who(const FenceOptions& options) {
    return {names(options.roles), names(options.except)};
}

void check_roles(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    for (const auto* list : {&options.roles, &options.except})
        for (const std::string& role : *list) {
            const Map row = ask_one(connection,
                                    "select rolsuper as super, rolname = current_user as own from "
                                    "pg_catalog.pg_roles where rolname = ?",
                                    {role}, cancel);
            if (row.empty())
                refuse(connection, fmt::format("there is no role '{}' to fence", role),
                       "write the role's name as PostgreSQL has it");
            if (list == &options.roles && row.boolean("super"))
                refuse(connection,
                       fmt::format("role '{}' is a superuser: no fence keeps it out", role),
                       "let the application log in as a role without superuser");
            if (list == &options.roles && row.boolean("own"))
                refuse(connection,
                       fmt::format("role '{}' is the one that the fence's connection logs in as",
                                   role),
                       "the fence needs a role of its own, which owns the tables or may grant on "
                       "them");
        }
}

/// The fence cannot tell the run's sessions from others of the same role.
void check_own_sessions(Connection& connection, Cancel& cancel) {
    const Map row = ask_one(
        connection,
        "select current_user::text as own, count(*) as n, coalesce(string_agg(distinct "
        "nullif(application_name, ''), ', '), 'unnamed') as apps from "
        "pg_catalog.pg_stat_activity where datname = current_database() and usename = current_user "
        "and backend_type = 'client backend' and application_name !~ '^runbook'",
        {}, cancel);
    if (row.integer("n") > 0)
        refuse(connection,
               fmt::format("{} other session{} ({}) use{} the role '{}', which may write through "
                           "its own fence",
                           row.integer("n"), row.integer("n") == 1 ? "" : "s", row.text("apps"),
                           row.integer("n") == 1 ? "s" : "", row.text("own")),
               "stop them, or give the fence a role of its own");
}

void lock_tables(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    tell(connection, fmt::format("set local lock_timeout = {}", options.within.count()), cancel);
    std::vector<std::string> objects;
    for (const Map& row : ask(connection,
                              fmt::format("with {} select object from relations where relkind in "
                                          "('r', 'p') order by 1",
                                          relations),
                              cancel))
        objects.push_back(row.text("object"));
    if (objects.empty())
        return;
    try {
        tell(connection, "lock table " + text::join(objects, ", ") + " in exclusive mode", cancel);
    } catch (const Error& error) {
        if (error.kind() != "db.lock_timeout" && error.kind() != "db.deadlock")
            throw;
        throw Error(
            error.kind(),
            fmt::format("{}: open transactions that write did not end within {}; nothing "
                        "was fenced",
                        connection.url().masked(),
                        text::duration(std::chrono::duration<double>(options.within).count())),
            "look at db.running, end them, or raise `within`", error.sqlstate());
    }
}

} // namespace

std::optional<std::string> leak_postgres(Connection& connection, const FenceOptions& options,
                                         Cancel& cancel) {
    // A role that cannot log in writes through those that are members of it.
    const std::string sql = fmt::format(
        R"(with {}, {}
select f.name, r.object, p.word
from fenced f join pg_catalog.pg_roles l on l.oid = f.oid
cross join relations r cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) p(word)
where (cardinality($1::text[]) > 0 or l.rolcanlogin) and r.relname <> '_runbook_fence'
  and (has_table_privilege(f.oid, r.oid, p.word)
       or p.word in ('INSERT', 'UPDATE') and has_any_column_privilege(f.oid, r.oid, p.word))
order by 1, 2, 3 limit 1)",
        relations, fenced_roles);
    const Map row = ask_one(connection, sql, who(options), cancel);
    if (row.empty())
        return std::nullopt;
    return fmt::format("role '{}' may {} on {}", row.text("name"), row.text("word"),
                       row.text("object"));
}

Map close_postgres(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    check_roles(connection, options, cancel);
    if (options.roles.empty())
        check_own_sessions(connection, cancel);
    const std::string name = name_of(options);
    List fenced;
    std::int64_t objects = 0;
    connection.begin(cancel);
    try {
        tell(connection,
             "create table if not exists _runbook_fence (fence text not null, object text not "
             "null, grantee text not null, statement text not null, at timestamptz not null "
             "default now())",
             cancel);
        // Whoever reads the database reads this too: a dump by another role must not fail here.
        tell(connection, "grant select on _runbook_fence to public", cancel);
        if (!header(connection, name, cancel)) {
            lock_tables(connection, options, cancel);
            const std::string grants = fmt::format(
                R"(with {}, {}, acl as (
  select r.object, a.grantee, a.privilege_type::text as word, a.is_grantable, null::text as col
  from relations r, aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) a
  where a.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  union all
  select r.object, a.grantee, a.privilege_type::text, a.is_grantable, quote_ident(t.attname)
  from relations r join pg_catalog.pg_attribute t on t.attrelid = r.oid and t.attnum > 0
    and not t.attisdropped and t.attacl is not null, aclexplode(t.attacl) a
  where a.privilege_type in ('INSERT', 'UPDATE')
)
select acl.object, f.name, case when f.oid = 0 then 'PUBLIC' else quote_ident(f.name) end as grantee,
       string_agg(distinct acl.word || coalesce(' (' || acl.col || ')', ''), ', ') as words,
       acl.is_grantable as grantable
from acl join fenced f on f.oid = acl.grantee
group by acl.object, f.oid, f.name, acl.is_grantable order by 1, 2)",
                relations, fenced_roles);
            std::string last;
            for (const Map& row : ask(connection, grants, who(options), cancel)) {
                const std::string object = row.text("object"), grantee = row.text("grantee");
                tell(connection,
                     "insert into _runbook_fence (fence, object, grantee, statement) values (?, ?, "
                     "?, ?)",
                     {name, object, grantee,
                      fmt::format("grant {} on table {} to {}{}", row.text("words"), object,
                                  grantee, row.boolean("grantable") ? " with grant option" : "")},
                     cancel);
                tell(connection,
                     fmt::format("revoke insert, update, delete, truncate on table {} from {}",
                                 object, grantee),
                     cancel);
                if (object != last)
                    ++objects;
                last = object;
                const Value role = row.text("name");
                if (std::find(fenced.begin(), fenced.end(), role) == fenced.end())
                    fenced.push_back(role);
            }
            if (auto hole = leak_postgres(connection, options, cancel))
                refuse(connection,
                       fmt::format("{} still: through PUBLIC, a role it is a member of, or a grant "
                                   "of somebody else; nothing was fenced",
                                   *hole),
                       "fence that role too, or let the fence's role own the table");
            set_header(connection, name, Map{{"state", "closing"}}, cancel);
        }
        connection.commit(cancel);
    } catch (...) {
        if (connection.alive() && connection.in_transaction())
            connection.rollback(cancel);
        throw;
    }
    return Map{{"fenced", std::move(fenced)}, {"tables", objects}, {"ended", 0}};
}

Map open_postgres(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    const std::string name = name_of(options);
    List gone;
    std::int64_t given = 0;
    connection.begin(cancel);
    try {
        tell(connection, "lock table _runbook_fence in exclusive mode", cancel);
        for (const Map& row :
             ask(connection,
                 "select object, grantee, statement, to_regclass(object) is not null and (grantee "
                 "= 'PUBLIC' or to_regrole(grantee) is not null) as there from _runbook_fence "
                 "where fence = ? and object <> '' order by object",
                 {name}, cancel)) {
            if (row.boolean("there")) {
                tell(connection, row.text("statement"), cancel);
                ++given;
            } else {
                gone.emplace_back(row.text("object") + " for " + row.text("grantee"));
            }
        }
        forget(connection, name, cancel);
        connection.commit(cancel);
    } catch (...) {
        if (connection.alive() && connection.in_transaction())
            connection.rollback(cancel);
        throw;
    }
    return Map{{"given_back", given}, {"gone", std::move(gone)}};
}

} // namespace runbook::db::fence
