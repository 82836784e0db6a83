// `sh`: the Lua face of runtime/process. Loop thread; a command runs on a worker.
#include "bindings/sh.h"

#include "bindings/command.h"
#include "runtime/base/text.h"
#include "runtime/process/script.h"

namespace runbook::bindings {
namespace {

/// `sh.pipe`'s argument: the members, and options for all beside them.
struct PipeOptions {
    bind::Duration timeout;
    bool reads = false;
};

struct PipeTable {
    std::vector<CommandTable> members;
    PipeOptions options;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

template <>
struct Describe<bindings::PipeOptions> {
    static const std::vector<Field<bindings::PipeOptions>>& fields() {
        static const std::vector<Field<bindings::PipeOptions>> all = {
            field("timeout", &bindings::PipeOptions::timeout,
                  "then all members and all they started are ended"),
            field("reads", &bindings::PipeOptions::reads,
                  "no member changes anything: allowed where effects are not")};
        return all;
    }
};

template <>
struct Arg<bindings::PipeTable> {
    static std::string type() { return "table[]"; }
    static Mismatch mismatch(lua_State* L, int i) {
        if (!lua_istable(L, i))
            return expected("list of commands", L, i);
        push_words(L, i);
        Mismatch problem = Arg<std::vector<bindings::CommandTable>>::mismatch(L, lua_gettop(L));
        if (!problem && lua_objlen(L, -1) == 0)
            problem = "at least one command expected, got an empty list";
        lua_pop(L, 1);
        if (problem)
            return problem;
        push_options(L, i);
        problem = Arg<bindings::PipeOptions>::mismatch(L, lua_gettop(L));
        lua_pop(L, 1);
        return problem;
    }
    static bindings::PipeTable read(lua_State* L, int i) {
        bindings::PipeTable table;
        push_words(L, i);
        table.members = Arg<std::vector<bindings::CommandTable>>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        push_options(L, i);
        table.options = Arg<bindings::PipeOptions>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        return table;
    }

  private:
    static void push_words(lua_State* L, int i) {
        const int count = static_cast<int>(lua_objlen(L, i));
        lua_createtable(L, count, 0);
        for (int item = 1; item <= count; ++item) {
            lua_rawgeti(L, i, item);
            lua_rawseti(L, -2, item);
        }
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

bind::Job<Value> run_pipe(const bind::Call& call, const PipeTable& table) {
    std::vector<process::Command> members;
    for (const CommandTable& member : table.members) {
        members.push_back(to_command(member, "sh.pipe"));
        call.permissions().check_shell(members.back().argv);
    }
    members[0].timeout = to_millis(table.options.timeout);
    bool reads = true;
    for (process::Command& member : members) {
        member.reads |= table.options.reads;
        reads &= member.reads;
        member.sink = call.progress();
    }
    if (!reads)
        call.require_writes();
    for (process::Command& member : members)
        bindings::confine(call, member);
    return {[members](Cancel& cancel) -> Value {
        const process::PipeResult result = process::run_pipe(members, cancel);
        List all;
        for (const process::Result& member : result.members)
            all.push_back(to_value(member));
        return Map{
            {"out", result.members.back().out}, {"members", all}, {"elapsed", result.elapsed}};
    }};
}

} // namespace

void register_sh(vm::State& state, vm::Registry& registry) {
    bind::Area sh(state, registry, "sh",
                  "Commands on this host, as lists of words; no shell in between. `shell` is "
                  "another name for `sh`.");
    sh.def("run", "Runs a command to its end. Its lines of output appear as they come.")
        .param("command", command_doc)
        .param("options", "the same options, apart from the words")
        .returns("table", result_doc)
        .raises(command_errors)
        .reads()
        .example("assert(sh.run({ 'echo', 'a b', reads = true }).out == 'a b\\n')\n"
                 "local r = sh.run({ 'sh', '-c', 'exit 3' }, { exit = { 0, 3 }, reads = true })\n"
                 "assert(r.exit == 3)")
        .native([](bind::Call& call, CommandTable table,
                   std::optional<RunOptions> options) -> bind::Job<Value> {
            take_options(table, options, "sh.run");
            process::Command command = to_command(table, "sh.run");
            call.permissions().check_shell(command.argv);
            if (!command.reads)
                call.require_writes();
            bindings::confine(call, command);
            command.sink = call.progress();
            return {[command](Cancel& cancel) { return to_value(process::run(command, cancel)); }};
        });
    sh.def("pipe", "Runs commands side by side, each one's output the next one's input.")
        .param("commands",
               "list of commands, each as for sh.run with its own options (exit, env, cwd; stdin: "
               "the first); for all, beside them: timeout, reads")
        .returns("table", "{out, members, elapsed}: `out` of the last, in `members` the result of "
                          "every one")
        .raises(command_errors)
        .reads()
        .example("local r = sh.pipe { { 'printf', 'b\\na\\n' }, { 'sort' }, reads = true }\n"
                 "assert(r.out == 'a\\nb\\n' and r.members[1].exit == 0)")
        .native([](bind::Call& call, PipeTable table) { return run_pipe(call, table); });
    sh.def("quote", "A word for a POSIX shell, quoted only where needed.")
        .param("word", "any text")
        .returns("string", "the word as a shell would have to read it")
        .example("assert(sh.quote \"it's\" == [['it'\\''s']])")
        .native([](bind::Call&, std::string word) { return text::shell_quote(word); });
    sh.def("script", "A script for a shell from a template: each {name} becomes a value, quoted.")
        .param("template", "shell text; {name} outside of quotes is replaced, {{ is a brace")
        .param("values", "name = text, number, boolean, or a list of them (several words)")
        .returns("string", "the script, for sh.run { script, shell = true }")
        .raises({"usage"})
        .example("local s = sh.script('pg_dump {db} | gzip > {file}', { db = 'my shop', file = "
                 "'/tmp/x.gz' })\n"
                 "assert(s == \"pg_dump 'my shop' | gzip > /tmp/x.gz\")")
        .native([](bind::Call&, std::string text, Map values) {
            return process::fill_script(text, values);
        });
    sh.def("which", "Where a program is found.")
        .param("name", "name of a program")
        .returns("string", "its full path, or nil")
        .reads()
        .example("assert(sh.which 'sh')")
        .native([](bind::Call&, std::string name) -> std::optional<std::string> {
            std::string path = process::find_program(name);
            return path.empty() ? std::nullopt : std::optional(path);
        });
    lua_State* L = state.L();
    state.push_sandbox();
    lua_pushliteral(L, "shell");
    lua_pushliteral(L, "sh");
    lua_rawget(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

} // namespace runbook::bindings
