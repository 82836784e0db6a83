// The area `db`: its registration, and the connections that parameters become. Loop thread.
#include "bindings/db.h"

#include "bindings/db_internal.h"
#include "runtime/base/redact.h"

#include <cctype>
#include <cstdlib>

namespace runbook::bindings {
namespace {

constexpr const char* databases_key = "runbook.databases";

/// `tostring(p.target)`: the URL without its password.
int connection_text(lua_State* L) {
    {
        const std::string text = masked_url(L, 1);
        lua_pushlstring(L, text.data(), text.size());
    }
    return 1;
}

/// make_database(url, access, name, password?, user?): the engine's way to a parameter of type
/// database.
int make_database(lua_State* L) {
    int results = 1;
    try {
        push_connection(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                        vm::to_secret(L, 4), vm::to_secret(L, 5));
    } catch (const Error& error) {
        vm::push_error(L, error);
        results = -1;
    }
    return results >= 0 ? results : lua_error(L);
}

std::string password_variable(const std::string& name) {
    std::string out = "RUNBOOK_";
    for (char c : name)
        out += std::isalnum(static_cast<unsigned char>(c))
                   ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                   : '_';
    return out + "_PASSWORD";
}

} // namespace

void register_db(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "db",
                    "PostgreSQL, MySQL, MariaDB and SQLite: statements with bound parameters, rows "
                    "with typed values, "
                    "transactions, facts about the server.");
    register_db_connect(area, state);
    register_db_query(area, state, registry);
    register_db_rows(area, state, registry);
    register_db_facts(area, state);
    register_db_fence(area, state);
    register_db_session(area, state);
    register_db_prepare(area, state, registry);
    register_db_server(area, state);
    area.type<db::Handle>(
            "A database: its address, and a session that opens with the first statement.")
        .field("engine", "string",
               "postgresql, mysql or sqlite (MariaDB is mysql; db.version knows the difference)",
               [](const db::Handle& handle) {
                   switch (handle.url().engine) {
                   case db::Engine::postgresql:
                       return std::string("postgresql");
                   case db::Engine::mysql:
                       return std::string("mysql");
                   default:
                       return std::string("sqlite");
                   }
               })
        .field("host", "string", "host name or address",
               [](const db::Handle& handle) { return handle.url().host; })
        .field("port", "integer", "port, the engine's default where the URL has none",
               [](const db::Handle& handle) { return handle.port(); })
        .field("name", "string", "name of the database; the path for SQLite",
               [](const db::Handle& handle) { return handle.url().name; })
        .field("user", "string", "user name",
               [](const db::Handle& handle) { return handle.url().user; })
        .field("password", "secret", "the URL's password, or nil",
               [](const db::Handle& handle) {
                   return handle.url().password ? std::optional(handle.url().password)
                                                : std::optional<SecretPtr>();
               })
        .method("query")
        .method("one")
        .method("value")
        .method("rows")
        .method("execute")
        .method("prepare")
        .method("script")
        .method("transaction")
        .method("savepoint")
        .method("insert")
        .method("limits")
        .method("timeout")
        .method("close")
        .done("db");
    lua_State* L = state.L();
    luaL_getmetatable(L, bind::Arg<HandlePtr>::metatable().c_str());
    lua_pushcfunction(L, connection_text);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    lua_pushcfunction(L, make_database);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.make_database");
}

void push_connection(lua_State* L, const std::string& url, std::string_view access,
                     const std::string& name, const SecretPtr& password, const SecretPtr& user) {
    if (vm::State::host_of(L).dry_run())
        access = "read"; // the server itself refuses what slips through
    db::Url parsed = db::Url::parse(url, "url:" + name);
    const std::string variable = password_variable(name);
    if (const char* given = std::getenv(variable.c_str());
        !parsed.password && given && *given && parsed.engine != db::Engine::sqlite)
        parsed.password = make_secret(given, "env:" + variable);
    if (!parsed.password && parsed.engine != db::Engine::sqlite)
        parsed.password = password;
    if (parsed.user.empty() && user && parsed.engine != db::Engine::sqlite)
        parsed.user = user->reveal();
    auto handle = std::make_shared<db::Handle>(std::move(parsed), db::parse_access(access), name);
    bind::Push<HandlePtr>::push(L, handle);
    // By the parameter's name, for what finds its database again after a restart (schema.complete).
    lua_getfield(L, LUA_REGISTRYINDEX, databases_key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, databases_key);
    }
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, name.c_str());
    lua_pop(L, 1);
}

std::shared_ptr<db::Handle> database_named(lua_State* L, const std::string& name) {
    lua_getfield(L, LUA_REGISTRYINDEX, databases_key);
    if (lua_istable(L, -1))
        lua_getfield(L, -1, name.c_str());
    else
        lua_pushnil(L);
    auto* handle = vm::get_shared<db::Handle>(L, -1, bind::Arg<HandlePtr>::metatable().c_str());
    auto found = handle ? *handle : nullptr;
    lua_pop(L, 2);
    return found;
}

std::string masked_url(lua_State* L, int index) {
    auto* handle = vm::get_shared<db::Handle>(L, index, bind::Arg<HandlePtr>::metatable().c_str());
    return handle ? (*handle)->url().masked() : std::string();
}

} // namespace runbook::bindings
