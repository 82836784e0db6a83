// What `sh` and `ssh` share: a command as a list of words with options beside them. Loop thread;
// for sh.cpp, sh_pipe.cpp and ssh.cpp only.
#pragma once

#include "bindings/core/declare.h"
#include "runtime/process/process.h"

namespace runbook::bindings {

struct RunOptions {
    std::optional<std::string> cwd;
    Map env;
    Value input;
    bind::Duration timeout, grace{5};
    std::vector<int> exit{0};
    bool any_exit = false, shell = false, reads = false, kill_leftovers = false, pty = false;
};

/// The words, and the options that stood beside them; `plain`: none did.
struct CommandTable {
    std::vector<std::string> argv;
    RunOptions options;
    bool plain = true;
};

/// Throws `usage` where options stand both beside the words and apart: one would be lost.
void take_options(CommandTable& table, const std::optional<RunOptions>& apart,
                  const char* function);
process::Command to_command(const CommandTable& table, const char* function);
Value to_value(const process::Result& result);
/// Confines the command to needs.files where the playbook wants that.
void confine(const bind::Call& call, process::Command& command);
std::chrono::milliseconds to_millis(const bind::Duration& duration);

extern const std::vector<std::string> command_errors;
extern const char* const command_doc;
extern const char* const result_doc;

} // namespace runbook::bindings

namespace runbook::bind {

/// Pushes a table with everything of the one at `i` but its items 1..n.
void push_options(lua_State* L, int i);

template <class T>
std::vector<Field<T>> run_fields() {
    using bindings::RunOptions;
    auto as = [](auto RunOptions::*member) {
        return static_cast<std::remove_reference_t<decltype(std::declval<T>().*member)> T::*>(
            member);
    };
    return {
        field("cwd", as(&RunOptions::cwd), "working folder"),
        field("env", as(&RunOptions::env),
              "variables added to the environment: text, number, boolean or secret; null "
              "removes one"),
        field("stdin", as(&RunOptions::input),
              "text or secret for standard input; without it, empty"),
        field("timeout", as(&RunOptions::timeout), "then the command and all it started are ended"),
        field("grace", as(&RunOptions::grace), "between SIGTERM and SIGKILL; 5s"),
        field("exit", as(&RunOptions::exit),
              "exit codes that are success; 0. A signal counts as 128 + its number"),
        field("any_exit", as(&RunOptions::any_exit),
              "every exit code and signal is success, look at `exit` and `signal`"),
        field("shell", as(&RunOptions::shell), "the one word is a script for sh -c"),
        field("reads", as(&RunOptions::reads),
              "the command changes nothing: allowed where effects are not"),
        field("kill_leftovers", as(&RunOptions::kill_leftovers),
              "end what the command leaves running, instead of naming it in `left`"),
        field("pty", as(&RunOptions::pty),
              "on a terminal of its own, without echo: all output is in `out`; here, not on "
              "other hosts")};
}

template <>
struct Describe<bindings::RunOptions> {
    static const std::vector<Field<bindings::RunOptions>>& fields() {
        static const auto all = run_fields<bindings::RunOptions>();
        return all;
    }
};

template <>
struct Arg<bindings::CommandTable> {
    static std::string type() { return "string[]"; }

    static Mismatch mismatch(lua_State* L, int i) {
        if (!lua_istable(L, i))
            return expected("list of words", L, i);
        const int count = static_cast<int>(lua_objlen(L, i));
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, i, item);
            Mismatch problem;
            if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
                problem =
                    "word " + std::to_string(item) + ": " + *expected("string", L, lua_gettop(L));
            lua_pop(L, 1);
            if (problem)
                return problem;
        }
        if (count == 0)
            return "at least the name of a program expected, got an empty list";
        push_options(L, i);
        Mismatch problem = Arg<bindings::RunOptions>::mismatch(L, lua_gettop(L));
        lua_pop(L, 1);
        return problem;
    }

    static bindings::CommandTable read(lua_State* L, int i) {
        bindings::CommandTable table;
        const int count = static_cast<int>(lua_objlen(L, i));
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, i, item);
            std::size_t size = 0;
            const char* text = lua_tolstring(L, -1, &size);
            table.argv.emplace_back(text, size);
            lua_pop(L, 1);
        }
        push_options(L, i);
        lua_pushnil(L);
        if (lua_next(L, -2)) {
            table.plain = false;
            lua_pop(L, 2);
        }
        table.options = Arg<bindings::RunOptions>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        return table;
    }
};

} // namespace runbook::bind
