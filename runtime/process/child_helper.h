// The helper process: one per command, between the host and the command.
// It is the host's own program, started again through /proc/self/exe with argv[0] `runbook-child`;
// a constructor (child_helper.cpp) notices that name and takes over before main, so every program
// that links this library is its own helper, always of the same version, also after the file on
// disk was replaced.
//
// It is the subreaper of the command, so that whatever daemonizes below it becomes its child. It
// kills the tree when told, and also when its control socket closes: a host that died by kill -9
// leaves nothing behind. It blocks every signal, sits in a session of its own (Ctrl-C at the
// terminal belongs to the host), and has one thread. Out of reach: what other daemons start on the
// command's behalf (systemd-run, docker, remote hosts) and what sudo runs as another user.
#pragma once

#include <cstdint>

namespace runbook::process::helper {

inline constexpr char program_name[] = "runbook-child";
inline constexpr int control_fd = 3;
/// The secret file, where the specification has one; the command gets it as descriptor 3.
inline constexpr int secret_fd = 4;

/// What the helper tells the host, in order: at most one `failed_*`, else `exited`.
enum class Kind : std::int32_t { failed_exec, failed_cwd, failed_fork, exited, failed_confine };

struct Report {
    Kind kind = Kind::exited;
    std::int32_t value = 0; ///< errno, or the wait status of the command
    std::int32_t unkillable =
        0; ///< processes that survived SIGKILL (another user's, or stuck in the kernel)
    std::int32_t left_bytes = 0; ///< length of the text that follows: one "pid name" a line
};

/// What the host sends after the specification: end the tree.
inline constexpr char terminate = 'T';

/// Runs the protocol on `control_fd`. The specification is a u32 length, then NUL-terminated
/// strings: grace in ms, "1" to kill leftovers, "1" where there is a secret file, "1" where the
/// standard streams are a terminal, "1" to confine, cwd; then three lists, each as its number of
/// strings and the strings: arguments, variables, paths to confine to.
int main();

/// What to execute, with `program_name` as argv[0]. (That the host calls this links the constructor
/// in.)
const char* executable();

} // namespace runbook::process::helper
