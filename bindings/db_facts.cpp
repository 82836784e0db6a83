// db.version, db.tables, db.counts, db.grants, db.tls, db.running: facts about a server, read with
// its own catalogue. Loop thread; the queries run on the connection's worker.
#include "bindings/db_internal.h"
#include "bindings/value_types.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace runbook::bindings {
namespace {

using db::Flavour;

Value one_value(db::Connection& connection, const std::string& sql, std::vector<Value> params,
                Cancel& cancel) {
    ResultSet result = read_all(connection, sql, params, {}, 1000, cancel);
    return result.rows == 0 ? Value() : result.batches.front()->value(0, 0);
}

std::vector<std::string> first_column(db::Connection& connection, const std::string& sql,
                                      std::vector<Value> params, Cancel& cancel) {
    ResultSet result = read_all(connection, sql, params, {}, 1'000'000, cancel);
    std::vector<std::string> out;
    for (const db::BatchPtr& batch : result.batches) {
        for (std::size_t row = 0; row < batch->rows(); ++row) {
            Value value = batch->value(row, 0);
            if (const auto* text = value.get<std::string>())
                out.push_back(*text);
        }
    }
    return out;
}

Map version_map(std::string_view text) {
    db::ServerInfo info;
    info.version = std::string(text);
    int parts[3] = {0, 0, 0};
    std::size_t at = 0;
    for (int& part : parts) {
        std::size_t digits = 0;
        for (; at + digits < text.size() && text[at + digits] >= '0' && text[at + digits] <= '9' &&
               digits < 6;
             ++digits)
            part = part * 10 + (text[at + digits] - '0');
        if (digits == 0)
            break;
        at += digits;
        if (at >= text.size() || text[at] != '.')
            break;
        ++at;
    }
    return Map{{"$type", "db.version"},
               {"text", std::string(text)},
               {"major", parts[0]},
               {"minor", parts[1]},
               {"patch", parts[2]}};
}

std::vector<std::string> tables_of(db::Connection& connection, Cancel& cancel) {
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return first_column(
            connection,
            "select c.relname::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on "
            "n.oid = c.relnamespace where c.relkind in ('r', 'p') and not c.relispartition and "
            "c.relname !~ '^_runbook_' and n.nspname = current_schema() order by c.relname collate "
            "\"C\"",
            {}, cancel);
    case Flavour::mysql:
    case Flavour::mariadb:
        return first_column(
            connection,
            "select convert(table_name using utf8mb4) from information_schema.tables where "
            "table_schema = database() and table_type = 'BASE TABLE' and table_name not like "
            "'\\_runbook\\_%' order by table_name",
            {}, cancel);
    case Flavour::sqlite:
        return first_column(connection,
                            "select name from sqlite_schema where type = 'table' and name not like "
                            "'sqlite\\_%' escape '\\' and name not like '\\_runbook\\_%' "
                            "escape '\\' order by name",
                            {}, cancel);
    }
    return {};
}

/// "schema.table" is quoted part by part.
std::string quoted(db::Connection& connection, const std::string& name) {
    std::vector<std::string> parts = text::split(name, '.');
    for (std::string& part : parts)
        part = connection.quote_name(part);
    return text::join(parts, ".");
}

/// All counts by one statement, so that they are of one snapshot.
Map counts_of(db::Connection& connection, std::vector<std::string> tables,
              std::chrono::milliseconds timeout, Cancel& cancel) {
    Map out{{"$type", "db.counts"}};
    constexpr std::size_t at_once = 200;
    for (std::size_t from = 0; from < tables.size(); from += at_once) {
        std::string sql;
        std::size_t until = std::min(tables.size(), from + at_once);
        for (std::size_t i = from; i < until; ++i)
            sql += fmt::format("{}(select count(*) from {}) as c{}", i == from ? "select " : ", ",
                               quoted(connection, tables[i]), i);
        ResultSet result = read_all(connection, sql, {}, timeout, 1, cancel);
        for (std::size_t i = from; i < until; ++i)
            out.set(tables[i], result.batches.front()->value(0, i - from));
    }
    return out;
}

// What GRANT ALL on a schema stands for.
const std::set<std::string> mysql_all = {"SELECT",         "INSERT",
                                         "UPDATE",         "DELETE",
                                         "CREATE",         "DROP",
                                         "REFERENCES",     "INDEX",
                                         "ALTER",          "EXECUTE",
                                         "CREATE VIEW",    "SHOW VIEW",
                                         "EVENT",          "CREATE TEMPORARY TABLES",
                                         "LOCK TABLES",    "TRIGGER",
                                         "CREATE ROUTINE", "ALTER ROUTINE"};
const std::set<std::string> postgres_all = {"SELECT",   "INSERT",     "UPDATE", "DELETE",
                                            "TRUNCATE", "REFERENCES", "TRIGGER"};

Map grants_map(const std::string& user, const std::string& on, const std::set<std::string>& held,
               const std::set<std::string>& partial, const std::set<std::string>& all) {
    List list, some, whole;
    for (const std::string& privilege : held)
        list.emplace_back(privilege);
    for (const std::string& privilege : partial)
        some.emplace_back(privilege);
    for (const std::string& privilege : all)
        whole.emplace_back(privilege);
    return Map{{"$type", "db.grants"}, {"user", user},    {"on", on},
               {"list", list},         {"partial", some}, {"all", whole}};
}

Map postgres_grants(db::Connection& connection, std::string user, Cancel& cancel) {
    if (user.empty())
        user = *one_value(connection, "select current_user::text", {}, cancel).get<std::string>();
    // A privilege counts where the role has it on every table of the current schema; on some only,
    // it is partial.
    ResultSet result = read_all(
        connection,
        "select p, coalesce(bool_and(has_table_privilege($1, c.oid, p)), false), "
        "coalesce(bool_or(has_table_privilege($1, c.oid, p)), false) "
        "from unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) "
        "p left join "
        "pg_catalog.pg_class c on c.relkind in ('r', 'p') and c.relnamespace = (select oid from "
        "pg_catalog.pg_namespace "
        "where nspname = current_schema()) group by p",
        {user}, {}, 100, cancel);
    std::set<std::string> held, partial;
    for (const db::BatchPtr& batch : result.batches) {
        for (std::size_t row = 0; row < batch->rows(); ++row) {
            std::string privilege(batch->cell(row, 0).text);
            if (batch->cell(row, 1).integer)
                held.insert(privilege);
            else if (batch->cell(row, 2).integer)
                partial.insert(privilege);
        }
    }
    return grants_map(user, connection.url().name, held, partial, postgres_all);
}

Map mysql_grants(db::Connection& connection, std::string user, Cancel& cancel) {
    std::string own =
        *one_value(connection, "select substring_index(current_user(), '@', 1)", {}, cancel)
             .get<std::string>();
    if (user.empty())
        user = own;
    std::string name = connection.url().name;
    std::string like = "'" + user + "'@%";
    auto privileges = [&](const std::string& sql, std::vector<Value> params) {
        auto list = first_column(connection, sql, std::move(params), cancel);
        return std::set<std::string>(list.begin(), list.end());
    };
    std::set<std::string> held =
        privileges("select convert(privilege_type using utf8mb4) from "
                   "information_schema.user_privileges where grantee like ? and "
                   "privilege_type <> 'USAGE'",
                   {like});
    bool seen =
        one_value(connection,
                  "select count(*) from information_schema.user_privileges where grantee like ?",
                  {like}, cancel) != Value(0);
    // In a schema grant, _ and % of the name are patterns unless escaped.
    for (const std::string& privilege : privileges(
             "select convert(privilege_type using utf8mb4) from "
             "information_schema.schema_privileges where "
             "grantee like ? and (table_schema = ? or replace(table_schema, '\\\\', '') = ?)",
             {like, name, name}))
        held.insert(privilege);
    std::set<std::string> partial = privileges("select distinct convert(privilege_type using "
                                               "utf8mb4) from information_schema.table_privileges "
                                               "where grantee like ? and table_schema = ?",
                                               {like, name});
    if (!seen && held.empty() && partial.empty())
        throw Error(
            "db.permission",
            fmt::format("{}: the privileges of '{}' cannot be seen, or there is no such user",
                        connection.url().masked(), user),
            "only a user who may read the schema 'mysql' sees the privileges of others");
    return grants_map(user, name, held, partial, mysql_all);
}

std::string running_sql(Flavour flavour) {
    if (flavour == Flavour::postgresql)
        return "select pid::int8 as id, usename::text as user, extract(epoch from "
               "clock_timestamp() - query_start)::float8 "
               "as seconds, state::text as state, query::text as sql from "
               "pg_catalog.pg_stat_activity where state = "
               "'active' and backend_type = 'client backend' and pid <> pg_backend_pid() and "
               "clock_timestamp() - "
               "query_start >= $1::float8 * interval '1 second' order by query_start";
    return "select id as id, convert(user using utf8mb4) as user, cast(time as double) as seconds, "
           "convert(coalesce(state, "
           "'') using utf8mb4) as state, convert(coalesce(info, '') using utf8mb4) as `sql` from "
           "information_schema.processlist where command in ('Query', 'Execute') and id <> "
           "connection_id() and time >= ? "
           "order by time desc";
}

// Methods of the tables above; `$type` in a stored result brings them back.
constexpr const char* version_methods = R"(
local function key(v) return v.major * 1000000000000 + v.minor * 1000000 + v.patch end
local methods = {}
return {
  __eq = function(a, b) return key(a) == key(b) end,
  __lt = function(a, b) return key(a) < key(b) end,
  __le = function(a, b) return key(a) <= key(b) end,
  __tostring = function(v) return v.text end,
}
)";

constexpr const char* counts_methods = R"(
local methods = {}
function methods.equals(a, b)
  if type(b) ~= "table" then return false end
  for name, count in pairs(a) do if rawget(b, name) ~= count then return false end end
  for name in pairs(b) do if rawget(a, name) == nil then return false end end
  return true
end
return {
  __index = function(counts, name)
    if name == "total" then
      local sum = 0
      for _, count in pairs(counts) do sum = sum + count end
      return sum
    end
    return methods[name]
  end,
}
)";

constexpr const char* grants_methods = R"(
local methods = {}
local function set(list)
  local result, count = {}, 0
  for _, name in ipairs(list) do
    local upper = string.upper(name)
    if not result[upper] then result[upper], count = true, count + 1 end
  end
  return result, count
end
local function expand(grants, wanted)
  if type(wanted) == "string" then wanted = { wanted } end
  for _, name in ipairs(wanted) do
    if string.upper(name) == "ALL" then return grants.all end
  end
  return wanted
end
function methods.covers(grants, wanted)
  local held = set(grants.list)
  for name in pairs((set(expand(grants, wanted)))) do if not held[name] then return false end end
  return true
end
function methods.equals(grants, wanted)
  if type(wanted) == "table" and wanted.on ~= nil and wanted.on ~= grants.on then return false end
  local _, held = set(grants.list)
  local _, count = set(expand(grants, wanted))
  return held == count and #grants.partial == 0 and methods.covers(grants, wanted)
end
return { __index = methods }
)";

} // namespace

void register_db_facts(bind::Area& area, vm::State& state) {
    install_value_type(state, "db.version", version_methods);
    install_value_type(state, "db.counts", counts_methods);
    install_value_type(state, "db.grants", grants_methods);
    const std::vector<std::string> kinds = {"db.connection", "db.auth", "db.permission",
                                            "db.timeout", "db.error"};

    area.def("parse_version", "A version from text, for comparing.")
        .param("text", "\"8.0.34\"")
        .returns("table", "{major, minor, patch, text}; compares with == < <=")
        .example("assert(db.parse_version '8.0.9' < db.parse_version '8.0.34')")
        .native([](bind::Call&, std::string text) { return version_map(text); });

    area.def("server_version", "The version of the server behind a connection.")
        .param("connection", "a connection")
        .returns("table", "{major, minor, patch, text, flavour}")
        .raises(kinds)
        .reads()
        .example("assert(db.server_version(db.connect 'sqlite::memory:').major == 3)")
        .native([](bind::Call& call, HandlePtr handle) {
            return on_session<Map>(call, handle, [](db::Connection& connection, Cancel&) {
                Map out = version_map(connection.server().version);
                out.set("flavour", std::string(db::flavour_name(connection.server().flavour)));
                return out;
            });
        });

    area.def("identity", "What tells a server from every other, whatever name it is reached by.")
        .param("connection", "a connection")
        .returns("string",
                 "PostgreSQL: the system identifier (host and port where the role may not see it); "
                 "MySQL: server_uuid; MariaDB: a hash of what stays; SQLite: the file's real path")
        .raises(kinds)
        .reads()
        .example("local c = db.connect 'sqlite::memory:'\nassert(type(db.identity(c)) == 'string')")
        .native([](bind::Call& call, HandlePtr handle) {
            return on_session<std::string>(call, handle, [](db::Connection& connection, Cancel&) {
                return connection.server().identity;
            });
        });

    area.def("version", "The version of a server, or of a text, for comparing.")
        .param("of", "connection|string", "a connection, or \"8.0.34\"")
        .returns("table", "{major, minor, patch, text, flavour}; compares with == < <=; flavour is "
                          "PostgreSQL, MySQL, "
                          "MariaDB or SQLite")
        .raises(kinds)
        .example(
            "local c = db.connect 'sqlite::memory:'\nassert(db.version(c) >= db.version '3.30')\n"
            "assert(db.version(c).flavour == 'SQLite')")
        .lua();

    area.def("tables",
             "The names of the tables of the database (PostgreSQL: of the current schema), sorted.")
        .param("connection", "a connection")
        .returns(
            "string[]",
            "base tables; views, partitions of other tables and the program's own (_runbook_…) are "
            "left out")
        .raises(kinds)
        .reads()
        .example("local c = db.connect('sqlite::memory:', { access = 'write' })\ndb.execute(c, "
                 "'create table t (a int)')\n"
                 "assert(#db.tables(c) == 1 and db.tables(c)[1] == 't')")
        .native([](bind::Call& call, HandlePtr handle) {
            return on_session<std::vector<std::string>>(call, handle, tables_of);
        });

    area.def("counts", "The exact number of rows of each table, all of one moment.")
        .param("connection", "a connection")
        .param("tables", "names; all tables where it is left out")
        .returns("table", "counts by name, with :equals(other) and .total")
        .raises(kinds)
        .reads()
        .example(
            "local c = db.connect('sqlite::memory:', { access = 'write' })\n"
            "db.script(c, 'create table t (a int); insert into t values (1), (2)')\n"
            "local counts = db.counts(c)\n"
            "assert(counts.t == 2 and counts.total == 2 and counts:equals(db.counts(c, { 't' })))")
        .native([](bind::Call& call, HandlePtr handle,
                   std::optional<std::vector<std::string>> tables) {
            return on_session<Map>(
                call, handle, [handle, tables](db::Connection& connection, Cancel& cancel) {
                    return counts_of(connection, tables ? *tables : tables_of(connection, cancel),
                                     handle->timeout(), cancel);
                });
        });

    area.def("grants", "What a user may do with the tables of the database.")
        .param("connection", "a connection whose user may see the privileges")
        .param("user", "whose privileges; the connection's own user where it is left out")
        .returns("table", "{user, on, list, partial}, with :equals { \"SELECT\", on = name } and "
                          ":covers \"ALL\"; partial: "
                          "held on some tables only")
        .raises({"db.permission", "db.unsupported", "db.connection"})
        .reads()
        .example("assert(not pcall(db.grants, db.connect 'sqlite::memory:'))")
        .native([](bind::Call& call, HandlePtr handle, std::optional<std::string> user) {
            return on_session<Map>(
                call, handle, [user](db::Connection& connection, Cancel& cancel) {
                    switch (connection.server().flavour) {
                    case Flavour::postgresql:
                        return postgres_grants(connection, user.value_or(""), cancel);
                    case Flavour::mysql:
                    case Flavour::mariadb:
                        return mysql_grants(connection, user.value_or(""), cancel);
                    default:
                        throw Error("db.unsupported", "db.grants: SQLite has no users");
                    }
                });
        });

    area.def("tls", "How the connection is encrypted.")
        .param("connection", "a connection")
        .returns("table", "{cipher}; cipher is nil where the connection is not encrypted")
        .raises(kinds)
        .reads()
        .example("assert(db.tls(db.connect 'sqlite::memory:').cipher == nil)")
        .native([](bind::Call& call, HandlePtr handle) {
            return on_session<Map>(call, handle, [](db::Connection& connection, Cancel&) {
                Map out;
                if (!connection.server().tls_cipher.empty())
                    out.set("cipher", connection.server().tls_cipher);
                return out;
            });
        });

    area.def("running", "Statements that other sessions are running now.")
        .param(
            "connection",
            "a connection; without the server's monitoring privilege it sees its own user's only")
        .param("longer_than", "leave out statements younger than this; default 0")
        .returns("table[]", "{id, user, seconds, state, sql}, the longest first")
        .raises(kinds)
        .reads()
        .example("assert(#db.running(db.connect 'sqlite::memory:', '5s') == 0)")
        .native([](bind::Call& call, HandlePtr handle, std::optional<bind::Duration> longer_than) {
            double seconds = longer_than ? longer_than->seconds : 0;
            auto job = on_session<ResultSet>(
                call, handle, [seconds](db::Connection& connection, Cancel& cancel) {
                    if (connection.server().flavour == Flavour::sqlite) {
                        ResultSet none;
                        none.columns = std::make_shared<const std::vector<db::Column>>();
                        return none;
                    }
                    return read_all(connection, running_sql(connection.server().flavour), {seconds},
                                    {}, 100'000, cancel);
                });
            job.push = [](lua_State* L, ResultSet& result) { return push_rows(L, result); };
            return job;
        });
}

} // namespace runbook::bindings
