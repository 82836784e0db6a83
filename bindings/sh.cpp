// `sh`: the Lua face of runtime/process. Loop thread; a command runs on a worker.
#include "bindings/sh.h"

#include "bindings/core/declare.h"
#include "runtime/base/text.h"
#include "runtime/process/process.h"

namespace runbook::bindings {
namespace {

struct RunOptions {
    std::optional<std::string> cwd;
    Map env;
    Value input;
    bind::Duration timeout, grace{5};
    std::vector<int> exit{0};
    bool any_exit = false, shell = false, reads = false, kill_leftovers = false;
};

/// `sh.run`'s first argument: the words, and options beside them.
struct CommandTable {
    std::vector<std::string> argv;
    RunOptions options;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

using bindings::CommandTable;
using bindings::RunOptions;

template <>
struct Describe<RunOptions> {
    static const std::vector<Field<RunOptions>>& fields() {
        static const std::vector<Field<RunOptions>> all = {
            field("cwd", &RunOptions::cwd, "working folder"),
            field("env", &RunOptions::env,
                  "variables added to the environment: text, number, boolean or secret; null "
                  "removes one"),
            field("stdin", &RunOptions::input,
                  "text or secret for standard input; without it, empty"),
            field("timeout", &RunOptions::timeout, "then the command and all it started are ended"),
            field("grace", &RunOptions::grace, "between SIGTERM and SIGKILL; 5s"),
            field("exit", &RunOptions::exit, "exit codes that are success; 0"),
            field("any_exit", &RunOptions::any_exit, "every exit code is success, look at `exit`"),
            field("shell", &RunOptions::shell, "the one word is a script for sh -c"),
            field("reads", &RunOptions::reads,
                  "the command changes nothing: allowed where effects are not"),
            field("kill_leftovers", &RunOptions::kill_leftovers,
                  "end what the command leaves running, instead of naming it in `left`")};
        return all;
    }
};

template <>
struct Arg<CommandTable> {
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
        Mismatch problem = Arg<RunOptions>::mismatch(L, lua_gettop(L));
        lua_pop(L, 1);
        return problem;
    }

    static CommandTable read(lua_State* L, int i) {
        CommandTable table;
        const int count = static_cast<int>(lua_objlen(L, i));
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, i, item);
            std::size_t size = 0;
            const char* text = lua_tolstring(L, -1, &size);
            table.argv.emplace_back(text, size);
            lua_pop(L, 1);
        }
        push_options(L, i);
        table.options = Arg<RunOptions>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        return table;
    }

  private:
    /// A table with everything but the words.
    static void push_options(lua_State* L, int i) {
        const int count = static_cast<int>(lua_objlen(L, i));
        lua_newtable(L);
        lua_pushnil(L);
        while (lua_next(L, i)) {
            const bool word = lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) >= 1 &&
                              lua_tonumber(L, -2) <= count;
            if (word) {
                lua_pop(L, 1);
                continue;
            }
            lua_pushvalue(L, -2);
            lua_insert(L, -2); // table, key, key, value
            lua_rawset(L, -4);
        }
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

std::chrono::milliseconds to_millis(const bind::Duration& duration) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(duration.seconds * 1000));
}

process::Command to_command(const CommandTable& table) {
    const RunOptions& options = table.options;
    process::Command command;
    command.argv = table.argv;
    if (options.shell) {
        if (table.argv.size() != 1)
            throw Error("usage",
                        "sh.run: with shell = true exactly one word is expected, the script");
        command = process::shell(table.argv[0]);
    }
    command.cwd = options.cwd.value_or("");
    for (const auto& [name, value] : options.env)
        command.env.emplace_back(name, value);
    command.input = options.input;
    command.timeout = to_millis(options.timeout);
    command.grace = to_millis(options.grace);
    command.expected = options.any_exit ? std::vector<int>{} : options.exit;
    command.reads = options.reads;
    command.kill_leftovers = options.kill_leftovers;
    return command;
}

Value to_value(const process::Result& result) {
    List left;
    for (const auto& process : result.left)
        left.push_back(process);
    return Map{{"exit", result.exit},
               {"out", result.out},
               {"err", result.err},
               {"elapsed", result.elapsed},
               {"out_bytes", result.out_bytes},
               {"left", left}};
}

} // namespace

void register_sh(vm::State& state, vm::Registry& registry) {
    bind::Area sh(state, registry, "sh",
                  "Commands on this host, as lists of words; no shell in between.");
    sh.def("run", "Runs a command to its end. Its lines of output appear as they come.")
        .param(
            "command",
            "program and arguments, and options beside them: {\"systemctl\", \"stop\", unit, "
            "timeout = \"30s\"}; options: cwd, env, stdin, timeout, grace, exit, any_exit, shell, "
            "reads, kill_leftovers")
        .param("options", "the same options, apart")
        .returns("table", "{exit, out, err, elapsed, out_bytes, left}; `out` and `err` hold the "
                          "last megabyte, `left` "
                          "what the command left running")
        .raises({"shell.exit", "shell.signal", "shell.not_found", "shell.timeout", "permission",
                 "usage", "fs", "cancelled", "timeout"})
        .reads()
        .example("assert(sh.run({ 'echo', 'a b', reads = true }).out == 'a b\\n')\n"
                 "local r = sh.run({ 'sh', '-c', 'exit 3' }, { exit = { 0, 3 }, reads = true })\n"
                 "assert(r.exit == 3)")
        .native([](bind::Call& call, CommandTable table,
                   std::optional<RunOptions> options) -> bind::Job<Value> {
            if (options)
                table.options = *options;
            process::Command command = to_command(table);
            call.permissions().check_shell(command.argv);
            if (!command.reads)
                call.require_writes();
            command.sink = call.progress();
            return {[command](Cancel& cancel) { return to_value(process::run(command, cancel)); }};
        });
    sh.def("quote", "A word for a POSIX shell, quoted only where needed.")
        .param("word", "any text")
        .returns("string", "the word as a shell would have to read it")
        .example("assert(sh.quote \"it's\" == [['it'\\''s']])")
        .native([](bind::Call&, std::string word) { return text::shell_quote(word); });
    sh.def("which", "Where a program is found.")
        .param("name", "name of a program")
        .returns("string", "its full path, or nil")
        .reads()
        .example("assert(sh.which 'sh')")
        .native([](bind::Call&, std::string name) -> std::optional<std::string> {
            std::string path = process::find_program(name);
            return path.empty() ? std::nullopt : std::optional(path);
        });
}

} // namespace runbook::bindings
