// process::run over real processes: results, errors with their exact texts, input, environment,
// limits.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/process/process.h"
#include "tests/unit/process_support.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace runbook;
using process::Command;
using process::Result;

namespace {

Result run(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    Cancel cancel;
    return process::run(command, cancel);
}

Error error_of(const Command& command) {
    Cancel cancel;
    try {
        process::run(command, cancel);
    } catch (const Error& error) {
        return error;
    }
    FAIL("no error was raised");
    return Error("", "");
}

Error error_of(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    return error_of(command);
}

struct Lines : ProgressSink {
    std::vector<std::string> lines;
    void report(const ProgressReport&) override {}
    void line(std::string_view stream, std::string_view text) override {
        lines.push_back(std::string(stream) + ": " + std::string(text));
    }
};

} // namespace

TEST_CASE("process: output, streams and exit code", "[process]") {
    auto result = run({"sh", "-c", "echo out; echo err >&2"});
    CHECK(result.exit == 0);
    CHECK(result.signal == 0);
    CHECK(result.out == "out\n");
    CHECK(result.err == "err\n");
    CHECK(result.left.empty());
    CHECK(result.elapsed > 0);
}

TEST_CASE("process: arguments arrive as they are, without a shell", "[process]") {
    auto result = run({"printf", "%s|", "a b", "$HOME", "*", "'", "", "ünï"});
    CHECK(result.out == "a b|$HOME|*|'||ünï|");
}

TEST_CASE("process: an unexpected exit code is an error with the last line", "[process]") {
    auto error = error_of(process::shell("echo first >&2; echo 'disk is full' >&2; exit 7"));
    CHECK(error.kind() == "shell.exit");
    CHECK(error.message() ==
          "`echo first >&2; echo 'disk is full' >&2; exit 7` exited with status 7: disk is full");
    CHECK_FALSE(error.in_doubt());
    CHECK(error_of({"false"}).message() == "`false` exited with status 1");
}

TEST_CASE("process: expected exit codes", "[process]") {
    Command command = process::shell("exit 3");
    command.expected = {0, 3};
    Cancel cancel;
    CHECK(process::run(command, cancel).exit == 3);
    command.expected = {};
    CHECK(process::run(command, cancel).exit == 3);
    command.expected = {0};
    CHECK(error_of(command).message() == "`exit 3` exited with status 3");
}

TEST_CASE("process: death by a signal is told apart from an exit code", "[process]") {
    auto error = error_of(process::shell("kill -SEGV $$"));
    CHECK(error.kind() == "shell.signal");
    CHECK(error.message() == "`kill -SEGV $$` was killed by SIGSEGV");
}

TEST_CASE("process: programs that cannot be run", "[process]") {
    auto missing = error_of({"no-such-program", "x"});
    CHECK(missing.kind() == "shell.not_found");
    CHECK(missing.message() == "`no-such-program x`: no program 'no-such-program' in PATH");
    auto path = error_of({"/nowhere/tool"});
    CHECK(path.kind() == "shell.not_found");
    CHECK(path.message() ==
          "`/nowhere/tool`: '/nowhere/tool' cannot be run: no such file or directory");
    auto folder = error_of({"/tmp"});
    CHECK(folder.message() == "`/tmp`: '/tmp' cannot be run: permission denied");
    auto empty = error_of(std::vector<std::string>{});
    CHECK(empty.kind() == "usage");
    CHECK(empty.message() == "a command needs at least the name of a program");
}

TEST_CASE("process: working folder", "[process]") {
    Command command;
    command.argv = {"pwd"};
    command.cwd = "/usr";
    Cancel cancel;
    CHECK(process::run(command, cancel).out == "/usr\n");
    command.cwd = "/nowhere";
    auto error = error_of(command);
    CHECK(error.kind() == "fs");
    CHECK(error.message() == "`pwd`: working folder '/nowhere': no such file or directory");
}

TEST_CASE("process: environment is inherited, added to and removed from", "[process]") {
    ::setenv("PROCESS_TEST_KEPT", "kept", 1);
    ::setenv("PROCESS_TEST_GONE", "gone", 1);
    Command command =
        process::shell("echo $PROCESS_TEST_KEPT-$PROCESS_TEST_GONE-$ADDED-$NUMBER-$FLAG");
    command.env = {{"PROCESS_TEST_GONE", Null{}}, {"ADDED", "a b"}, {"NUMBER", 42}, {"FLAG", true}};
    Cancel cancel;
    CHECK(process::run(command, cancel).out == "kept--a b-42-true\n");
    command.env = {{"A=B", "x"}};
    CHECK(error_of(command).message() == "'A=B' is not a name for an environment variable");
    command.env = {{"LIST", List{}}};
    CHECK(error_of(command).message() ==
          "environment variable LIST: text, number, boolean or secret expected, got list");
}

TEST_CASE("process: secrets go through env and stdin, never through arguments", "[process]") {
    auto secret = make_secret("s3cret-Wort!", "test");
    Command command = process::shell("printf %s \"$TOKEN\" | md5sum; md5sum");
    command.env = {{"TOKEN", secret}};
    command.input = secret;
    Cancel cancel;
    CHECK(process::run(command, cancel).out ==
          "72f9e86bcaf9063f3150d8710db07f34  -\n72f9e86bcaf9063f3150d8710db07f34  -\n");

    command.argv = {"mysql", "-ps3cret-Wort!"};
    auto error = error_of(command);
    CHECK(error.kind() == "usage");
    CHECK(error.message() ==
          "`mysql '-p***'`: a secret may not stand in the arguments of a command");
    CHECK(error.hint() ==
          "every user of the machine can read arguments; pass it in `env` or `stdin`");

    // The last line of the output comes into the message: without the secret.
    command = process::shell("echo \"denied: $TOKEN\"; exit 1");
    command.env = {{"TOKEN", secret}};
    CHECK(error_of(command).message() ==
          "`echo \"denied: $TOKEN\"; exit 1` exited with status 1: denied: ***");
}

TEST_CASE("process: a secret file is memory that only the command can read", "[process]") {
    Command command;
    command.argv = {"sh", "-c",
                    "cat /dev/fd/3 /dev/fd/3; stat -L -c %a /dev/fd/3; ls /proc/self/fd"};
    command.secret_file = make_secret("[client]\npassword=x\n", "test");
    Cancel cancel;
    CHECK(process::run(command, cancel).out ==
          "[client]\npassword=x\n[client]\npassword=x\n600\n0\n1\n2\n3\n4\n"); // 4 is ls itself
}

TEST_CASE("process: a RUNBOOK_ variable that holds a secret is not handed on", "[process]") {
    ::setenv("RUNBOOK_TEST_PASSWORD", "hidden-value-77", 1);
    ::setenv("RUNBOOK_TEST_PLAIN", "plain", 1);
    auto secret = make_secret("hidden-value-77", "env:RUNBOOK_TEST_PASSWORD");
    auto result = run({"sh", "-c", "echo ${RUNBOOK_TEST_PASSWORD-unset} $RUNBOOK_TEST_PLAIN"});
    CHECK(result.out == "unset plain\n");
    ::unsetenv("RUNBOOK_TEST_PASSWORD");
}

TEST_CASE("process: standard input", "[process]") {
    Command command;
    command.argv = {"wc", "-c"};
    Cancel cancel;
    CHECK(process::run(command, cancel).out == "0\n");
    command.input = std::string(3'000'000, 'x');
    CHECK(process::run(command, cancel).out == "3000000\n");
    command.argv = {"true"}; // does not read its input
    CHECK(process::run(command, cancel).exit == 0);
    command.input = Null{};
    command.input_file = "/nowhere/in";
    auto error = error_of(command);
    CHECK(error.kind() == "fs");
    CHECK(error.message() == "/nowhere/in: No such file or directory");
}

TEST_CASE("process: both ways at once do not block each other", "[process]") {
    Command command;
    command.argv = {"cat"};
    command.input = std::string(5'000'000, 'y');
    command.keep_bytes = 10'000'000;
    Cancel cancel;
    auto result = process::run(command, cancel);
    CHECK(result.out_bytes == 5'000'000);
    CHECK(result.out.size() == 5'000'000);
}

TEST_CASE("process: the end of long output is kept, all of it is streamed", "[process]") {
    auto lines = std::make_shared<Lines>();
    Command command = process::shell("seq 1 100000; printf 'no newline'; printf 'e\\r\\n' >&2");
    command.keep_bytes = 1000;
    command.sink = lines;
    Cancel cancel;
    auto result = process::run(command, cancel);
    CHECK(result.out.size() == 995); // whole lines: half a secret would not be masked
    CHECK(result.out.starts_with("99837\n"));
    CHECK(result.out.ends_with("99999\n100000\nno newline"));
    CHECK(result.out_bytes == 588895 + 10);
    REQUIRE(lines->lines.size() == 100'002);
    CHECK(lines->lines[0] == "stdout: 1");
    CHECK(std::count(lines->lines.begin(), lines->lines.end(), "stdout: no newline") == 1);
    CHECK(std::count(lines->lines.begin(), lines->lines.end(), "stderr: e") == 1);
}

TEST_CASE("process: a daemon that keeps the output open does not hold the caller", "[process]") {
    auto result = run({"sh", "-c", "sleep 300 & echo started"});
    CHECK(result.out == "started\n");
    REQUIRE(result.left.size() == 1);
    CHECK(result.left[0].ends_with(" sleep"));
    pid_t pid = std::stoi(result.left[0]);
    CHECK(test::is_alive(pid)); // a started daemon lives on, and is named
    ::kill(pid, SIGKILL);
}

TEST_CASE("process: leftovers are killed where asked", "[process]") {
    Command command = process::shell("sleep 300 & echo $!");
    command.kill_leftovers = true;
    Cancel cancel;
    auto result = process::run(command, cancel);
    CHECK(result.left.empty());
    CHECK_FALSE(test::is_alive(std::stoi(result.out)));
}

TEST_CASE("process: the command has no descriptor but its streams", "[process]") {
    std::ofstream leak("/tmp/process_test_leak"); // opened by us without O_CLOEXEC
    int fd = ::dup(0);
    auto result = run({"ls", "/proc/self/fd"});
    CHECK(result.out == "0\n1\n2\n3\n"); // 3 is ls reading the folder
    ::close(fd);
    std::filesystem::remove("/tmp/process_test_leak");
}

TEST_CASE("process: signals and mask are reset", "[process]") {
    auto before = ::signal(SIGPIPE, SIG_IGN);
    auto result = run({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"});
    ::signal(SIGPIPE, before);
    CHECK(result.out.starts_with("SigBlk:\t0000000000000000\nSigIgn:\t"));
    CHECK(result.out.ends_with("0000000\n")); // 1 to 28; 32 and 33 are the C library's own
}

TEST_CASE("process: find_program and signal names", "[process]") {
    CHECK(process::find_program("sh").ends_with("/sh"));
    CHECK(process::find_program("no-such-program") == "");
    CHECK(process::find_program("/bin/sh") == "/bin/sh");
    CHECK(process::signal_name(9) == "SIGKILL");
    CHECK(process::signal_name(250) == "signal 250");
}
