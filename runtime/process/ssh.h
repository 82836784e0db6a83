// Commands on other hosts, through the system's OpenSSH client: its configuration, keys, agents,
// known hosts and jump hosts are the user's. Owns: nothing between calls; run_remote blocks its
// caller's thread like run(). Never asks for a password (BatchMode), never puts the command's
// environment, input or arguments into an argument list on this side.
//
// The one word that ssh is given starts `sh` there; what to run comes over its standard input,
// which then stays open as the line to this host. When it ends (a cancel, the timeout, this
// program's death, a lost connection) a watcher on the other side ends the command and all that it
// started: SIGTERM, after the grace SIGKILL. It finds them by a mark in their environment (Linux),
// elsewhere by process group. Out of reach there: what sudo runs as another user, what other
// daemons start on the command's behalf, what clears or overwrites its environment, hosts without a
// POSIX shell.
#pragma once

#include "runtime/process/process.h"

namespace runbook::process {

struct Remote {
    std::string target;      ///< host, user@host, or a Host of ssh_config
    std::optional<int> port; ///< of the configuration where it is left out
    std::string identity;    ///< file with the private key; then no other key is offered
    std::string known_hosts; ///< file with the keys of hosts, instead of the user's
    std::string config;      ///< file instead of the user's ssh_config
    std::string jump;        ///< host to go through
    std::chrono::milliseconds connect_timeout{10'000};
};

/// Throws `usage` where it is no name of a host (an option in disguise, blanks).
void check_target(const std::string& target);

/// As run(), on the other host: `argv` arrives as it is, without a shell in between; `cwd`, `env`
/// and `input` count there. A status above 128 may be a signal's, as a shell says it: `signal`
/// stays 0. Also throws `ssh.connection` (no connection, a key or a host key refused, the
/// connection was lost: then in_doubt unless `reads`). After a cancel or the timeout the message
/// says whether the end on the other side was seen. Ignores `secret_file`, `input_file`, `pty` and
/// `confined_to`.
Result run_remote(const Remote& remote, const Command& command, Cancel& cancel);

} // namespace runbook::process
