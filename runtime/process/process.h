// Child processes: start, feed, read, limit, and kill with everything they started.
// Owns: nothing between calls. `run` blocks its caller's thread (a worker) and may be used from
// many threads at once. It never uses a shell of its own accord, never puts a secret into an
// argument list, and never touches Lua. How the tree is killed stands in child_helper.h.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runbook::process {

struct Command {
    std::vector<std::string> argv; ///< program (searched in the child's PATH) and its arguments
    std::string cwd;               ///< empty: the host's working folder
    /// Added to the inherited environment: text, number, boolean or Secret sets, null removes.
    std::vector<std::pair<std::string, Value>> env;
    Value input; ///< text, bytes or Secret for standard input; null: empty input
    /// Text or Secret that the command can read as the file /dev/fd/3: memory only, never on a
    /// disk.
    Value secret_file;
    std::string input_file;                ///< a file as standard input instead of `input`
    std::chrono::milliseconds timeout{0};  ///< 0: none
    std::chrono::milliseconds grace{5000}; ///< between SIGTERM and SIGKILL
    std::vector<int> expected{0};          ///< exit codes that are success; empty: any exit code is
    bool reads = false;          ///< has no effect, so that a kill leaves nothing in doubt
    bool kill_leftovers = false; ///< kill what the command leaves running when it ends
    /// The command runs on a terminal of its own (80 columns, no echo): both output streams arrive
    /// as `out`, and the end of the input as Ctrl-D.
    bool pty = false;
    /// Standard input stays open after `input` while the command runs; a cancel or the timeout
    /// closes it, and signals follow only `grace` and 5 s later: for a command that ends its work
    /// elsewhere by itself.
    bool hold_input = false;
    /// Descriptors as standard input and output, instead of `input` and `out`; run() takes them
    /// over and closes them. -1: none.
    int input_fd = -1, output_fd = -1;
    /// What the kernel lets the command and all that it starts write, and read outside of the
    /// system's folders (Landlock, see confine.h); nothing: no confinement.
    std::optional<std::vector<std::string>> confined_to;
    std::string label; ///< what messages call the command, redacted; empty: its arguments
    std::size_t keep_bytes = 1 << 20; ///< how much of the end of each output stream is returned
    ProgressPtr sink;                 ///< receives each line of output; may be null
    std::function<void()> tick;       ///< called about twice a second on the calling thread
};

/// `sh -c script`, for the one who asks for a shell.
Command shell(std::string script);

struct Result {
    int exit = 0;   ///< exit code; 128 + signal where it was killed by one
    int signal = 0; ///< 0: it exited by itself
    std::string out, err;
    std::int64_t out_bytes = 0,
                 err_bytes = 0; ///< all that was written; more than returned where it was cut
    double elapsed = 0;         ///< seconds
    /// Processes that the command left running, as "pid name" (a daemon it started, usually).
    std::vector<std::string> left;
};

/// Runs to the end. On a cancel or at the timeout the whole tree gets SIGTERM, then SIGKILL after
/// `grace`, and the call returns only when none of it is left. Throws `usage` (empty argv, NUL
/// bytes, a secret in the arguments), `shell.not_found` (no such program, not executable), `fs`
/// (working folder, input file), `shell.exit`, `shell.signal`, `shell.timeout`, `cancelled`,
/// `timeout` (the enclosing limit), `internal`. A kill sets in_doubt unless `reads`.
Result run(const Command& command, Cancel& cancel);

/// The members of a pipe, each one's output the next one's input; `out` is empty but for the last.
struct PipeResult {
    std::vector<Result> members;
    double elapsed = 0;
};

/// Runs the commands side by side, connected by pipes, and returns when all have ended. A member
/// that fails (or cannot be started) does not kill the others: they see the end of a stream, as in
/// a shell. Throws the error of the first member that failed, its place in the pipe in the message;
/// in_doubt where any member's is. `timeout` of the first member bounds the pipe. Otherwise as
/// run().
PipeResult run_pipe(std::vector<Command> members, Cancel& cancel);

/// The command as people would type it, redacted and cut to a line: for messages.
std::string describe(const Command& command);

/// Full path of a program in PATH, or empty.
std::string find_program(std::string_view name);

/// "SIGKILL" for 9; "signal 77" for one without a name.
std::string signal_name(int number);

} // namespace runbook::process
