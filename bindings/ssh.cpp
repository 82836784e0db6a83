// `ssh`: the Lua face of runtime/process/ssh.h. Loop thread; a command runs on a worker.
#include "bindings/ssh.h"

#include "bindings/command.h"
#include "runtime/process/ssh.h"

namespace runbook::bindings {
namespace {

struct HostOptions {
    std::optional<int> port;
    std::string identity, known_hosts, config, jump;
    bind::Duration connect_timeout{10};
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

template <>
struct Describe<bindings::HostOptions> {
    static const std::vector<Field<bindings::HostOptions>>& fields() {
        using bindings::HostOptions;
        static const std::vector<Field<HostOptions>> all = {
            field("port", &HostOptions::port, "of the user's configuration, else 22"),
            field("identity", &HostOptions::identity, "file with the private key to use"),
            field("known_hosts", &HostOptions::known_hosts, "file with the keys of known hosts"),
            field("config", &HostOptions::config, "file instead of ~/.ssh/config"),
            field("jump", &HostOptions::jump, "host to go through"),
            field("connect_timeout", &HostOptions::connect_timeout, "10s")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

const char* const target_doc = "host, user@host, or a Host of ~/.ssh/config";

process::Remote to_remote(std::string target, const HostOptions& options) {
    process::Remote remote;
    remote.target = std::move(target);
    remote.port = options.port;
    remote.identity = options.identity;
    remote.known_hosts = options.known_hosts;
    remote.config = options.config;
    remote.jump = options.jump;
    remote.connect_timeout = to_millis(options.connect_timeout);
    process::check_target(remote.target);
    return remote;
}

std::vector<std::string> errors() {
    std::vector<std::string> kinds = command_errors;
    kinds.emplace_back("ssh.connection");
    return kinds;
}

} // namespace

void register_ssh(vm::State& state, vm::Registry& registry) {
    bind::Area ssh(state, registry, "ssh",
                   "Commands on the hosts that the playbook declares in needs.ssh, through the "
                   "system's OpenSSH and its keys; what runs there is outside of the other needs.");
    ssh.def("run", "Runs a command on another host to its end, as sh.run does on this one.")
        .param("target", target_doc)
        .param("command", "program and arguments as for sh.run, and its options beside them; they "
                          "arrive as they are, without a shell in between")
        .param("options", "of the connection")
        .returns("table", result_doc)
        .raises(errors())
        .reads()
        .example("local ok, err = pcall(ssh.run, '127.0.0.1', { 'true', reads = true }, { port = 1 "
                 "})\n"
                 "assert(not ok and (err.kind == 'ssh.connection' or err.kind == "
                 "'shell.not_found'))")
        .native([](bind::Call& call, std::string target, CommandTable table,
                   HostOptions options) -> bind::Job<Value> {
            const process::Remote remote = to_remote(std::move(target), options);
            process::Command command = to_command(table, "ssh.run");
            if (command.pty)
                throw Error("usage", "ssh.run: there is no pty on other hosts",
                            "what wants one there can be started with script(1)");
            call.permissions().check_ssh(remote.target);
            if (!command.reads)
                call.require_writes();
            command.sink = call.progress();
            return {[remote, command](Cancel& cancel) {
                return to_value(process::run_remote(remote, command, cancel));
            }};
        });
    ssh.def("host", "A host with the shape of `sh`, for libraries that take either.")
        .param("target", "string", target_doc)
        .param("options", "table", "of the connection, as for ssh.run", true)
        .returns("table", "{target, run, quote, script}: `run(command, options)` runs there")
        .example("local web = ssh.host('deploy@web1', { port = 2222 })\n"
                 "assert(web.target == 'deploy@web1' and web.quote 'a b' == \"'a b'\")")
        .lua();
}

} // namespace runbook::bindings
