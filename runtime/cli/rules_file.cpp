// Rules of a copy from the command line (see rules_file.h).
#include "runtime/cli/rules_file.h"

#include "runtime/base/error.h"
#include "runtime/vm/lua.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <sstream>

namespace runbook::cli {
namespace {

struct Close {
    void operator()(lua_State* L) const { lua_close(L); }
};

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        throw Error("usage", "--rules: cannot read '" + path + "'");
    return std::move(text).str();
}

/// Texts, tables and numbers are at hand, nothing else: a list of rules is data.
Value run_file(const std::string& path) {
    const std::string source = read_file(path);
    vm::check_source(source, path);
    std::unique_ptr<lua_State, Close> state(luaL_newstate());
    lua_State* L = state.get();
    for (lua_CFunction open : {luaopen_base, luaopen_string, luaopen_table, luaopen_math}) {
        lua_pushcfunction(L, open);
        lua_call(L, 0, 0);
    }
    for (const char* name :
         {"dofile", "loadfile", "load", "loadstring", "print", "collectgarbage"}) {
        lua_pushnil(L);
        lua_setglobal(L, name);
    }
    if (luaL_loadbuffer(L, source.data(), source.size(), ("@" + path).c_str()) != 0 ||
        lua_pcall(L, 0, 1, 0) != 0) {
        const char* message = lua_tostring(L, -1);
        throw Error("load", message ? message : path + ": it failed without a message");
    }
    if (!lua_istable(L, -1))
        throw Error(
            "load",
            fmt::format("{}: a list of rules expected, it returns {}", path, luaL_typename(L, -1)),
            "as in: return { { type = \"uuid\", to = \"binary(16)\" } }");
    return vm::to_value(L, -1);
}

/// NAME=REST of an option.
std::pair<std::string, std::string> halves(const char* option, const std::string& given,
                                           const char* form) {
    const std::size_t equals = given.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == given.size())
        throw Error("usage", fmt::format("--{} needs {}, got '{}'", option, form, given));
    return {given.substr(0, equals), given.substr(equals + 1)};
}

/// A table, or a table's column.
void name_in(rules::Rule& rule, const std::string& name) {
    const std::size_t dot = name.find('.');
    rule.table = name.substr(0, dot);
    if (dot != std::string::npos)
        rule.column = name.substr(dot + 1);
}

} // namespace

rules::Rules rules_of(const Arguments& arguments) {
    rules::Rules rules;
    if (arguments.has("rules")) {
        const std::string path = arguments.text("rules");
        try {
            rules = rules::parse(run_file(path));
        } catch (const Error& error) {
            if (error.kind() != "argument")
                throw;
            throw Error("argument", path + ": " + error.message(), error.hint());
        }
    }
    auto add = [&](rules::Rule rule) {
        rule.number = rules.size() + 1;
        rules.push_back(std::move(rule));
    };
    for (const std::string& given : arguments.all("rename")) {
        rules::Rule rule;
        auto [name, other] = halves("rename", given, "NAME=NEW or TABLE.COLUMN=NEW");
        name_in(rule, name);
        rule.rename = other;
        add(std::move(rule));
    }
    for (const std::string& given : arguments.all("omit")) {
        rules::Rule rule;
        name_in(rule, given);
        if (rule.column.empty() || rule.table.empty())
            throw Error("usage", fmt::format("--omit needs TABLE.COLUMN, got '{}'", given));
        rule.exclude = true;
        add(std::move(rule));
    }
    for (const std::string& given : arguments.all("where")) {
        rules::Rule rule;
        auto [name, condition] = halves("where", given, "TABLE=CONDITION");
        rule.table = name;
        rule.filter = condition;
        add(std::move(rule));
    }
    return rules;
}

} // namespace runbook::cli
