#include "bindings/command.h"

namespace runbook::bind {

void push_options(lua_State* L, int i) {
    const int count = static_cast<int>(lua_objlen(L, i));
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, i)) {
        const bool item = lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) >= 1 &&
                          lua_tonumber(L, -2) <= count;
        if (item) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2); // table, key, key, value
        lua_rawset(L, -4);
    }
}

} // namespace runbook::bind

namespace runbook::bindings {

const std::vector<std::string> command_errors = {
    "shell.exit", "shell.signal", "shell.not_found", "shell.timeout", "permission",
    "usage",      "fs",           "cancelled",       "timeout"};
const char* const command_doc =
    "program and arguments, and options beside them: {\"systemctl\", \"stop\", unit, "
    "timeout = \"30s\"}";
const char* const result_doc =
    "{exit, signal, out, err, elapsed, out_bytes, left}; `signal` only where one ended it (exit is "
    "then 128 + its number); `out` and `err` hold the last megabyte, `left` what the command left "
    "running";

std::chrono::milliseconds to_millis(const bind::Duration& duration) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(duration.seconds * 1000));
}

void take_options(CommandTable& table, const std::optional<RunOptions>& apart,
                  const char* function) {
    if (!apart)
        return;
    if (!table.plain)
        throw Error("usage",
                    std::string(function) + ": options stand beside the words or apart, not both");
    table.options = *apart;
}

process::Command to_command(const CommandTable& table, const char* function) {
    const RunOptions& options = table.options;
    process::Command command;
    command.argv = table.argv;
    if (options.shell) {
        if (table.argv.size() != 1)
            throw Error("usage",
                        std::string(function) +
                            ": with shell = true exactly one word is expected, the script");
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
    command.pty = options.pty;
    return command;
}

void confine(const bind::Call& call, process::Command& command) {
    const vm::Permissions& permissions = call.permissions();
    if (permissions.confine)
        command.confined_to = permissions.files;
}

Value to_value(const process::Result& result) {
    List left;
    for (const auto& process : result.left)
        left.push_back(process);
    Map map{{"exit", result.exit},
            {"out", result.out},
            {"err", result.err},
            {"elapsed", result.elapsed},
            {"out_bytes", result.out_bytes},
            {"left", left}};
    if (result.signal)
        map.set("signal", process::signal_name(result.signal));
    return map;
}

} // namespace runbook::bindings
