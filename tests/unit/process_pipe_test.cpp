// Pipes, terminals, confinement and script templates: what a command is connected to, and what it
// may reach.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/process/confine.h"
#include "runtime/process/process.h"
#include "runtime/process/script.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace runbook;
using process::Command;

namespace {

Command command(std::vector<std::string> argv) {
    Command one;
    one.argv = std::move(argv);
    return one;
}

process::PipeResult pipe(std::vector<Command> members) {
    Cancel cancel;
    return process::run_pipe(std::move(members), cancel);
}

template <class Fn>
Error error_of(Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error;
    }
    FAIL("no error was raised");
    return Error("", "");
}

std::size_t open_files() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/var/tmp/runbook-confine-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

} // namespace

TEST_CASE("pipe: every member has its status", "[process]") {
    const std::size_t before = open_files();
    Command first = command({"cat"});
    first.input = std::string("b\na\nc\n");
    Command grep = command({"grep", "-v", "c"});
    auto result = pipe({first, grep, command({"sort"})});
    REQUIRE(result.members.size() == 3);
    CHECK(result.members[2].out == "a\nb\n");
    CHECK(result.members[0].out.empty());
    CHECK(open_files() == before);
}

TEST_CASE("pipe: the member that failed is named, with the statuses of all", "[process]") {
    auto error = error_of([] {
        pipe({command({"sh", "-c", "echo 'no such table' >&2; exit 3"}), command({"cat"})});
    });
    CHECK(error.kind() == "shell.exit");
    CHECK(error.message() ==
          "member 1 of 2 of the pipe: `echo 'no such table' >&2; exit 3` exited with "
          "status 3: no such table (statuses: 3, 0)");
    error = error_of([] { pipe({command({"yes"}), command({"false"})}); });
    CHECK(error.message() ==
          "member 2 of 2 of the pipe: `false` exited with status 1 (statuses: SIGPIPE, 1)");
    error = error_of([] { pipe({command({"true"}), command({"no-such-program-here"})}); });
    CHECK(error.message() == "member 2 of 2 of the pipe: `no-such-program-here`: no program "
                             "'no-such-program-here' in PATH (statuses: 0, -)");
    Command second = command({"cat"});
    second.input = std::string("x");
    CHECK(error_of([&] {
              pipe({command({"echo"}), second});
          }).message() == "`cat`: only the first member of a pipe has an input");
}

TEST_CASE("pipe: a lost reader is an error unless it is expected", "[process]") {
    Command yes = command({"yes"});
    CHECK(error_of([&] { pipe({yes, command({"head", "-n", "1"})}); }).kind() == "shell.signal");
    yes.expected = {0, 128 + 13};
    auto result = pipe({yes, command({"head", "-n", "1"})});
    CHECK(result.members[0].signal == 13);
    CHECK(result.members[1].out == "y\n");
}

TEST_CASE("pipe: a limit and a cancel end all members", "[process]") {
    const std::size_t before = open_files();
    Command first = command({"sleep", "300"});
    first.timeout = std::chrono::milliseconds(200);
    auto error = error_of([&] { pipe({first, command({"sleep", "300"})}); });
    CHECK(error.kind() == "shell.timeout");
    CHECK(error.in_doubt());
    Cancel cancel;
    std::thread later([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        cancel.request(Cancel::Reason::cancelled);
    });
    error = error_of([&] {
        process::run_pipe({command({"sleep", "300"}), command({"sleep", "300"})}, cancel);
    });
    later.join();
    CHECK(error.kind() == "cancelled");
    CHECK(open_files() == before);
}

TEST_CASE("process: a signal can be a value", "[process]") {
    Command kill = process::shell("kill -KILL $$");
    kill.expected.clear();
    Cancel cancel;
    auto result = process::run(kill, cancel);
    CHECK(result.exit == 137);
    CHECK(process::signal_name(result.signal) == "SIGKILL");
}

TEST_CASE("process: a terminal on request", "[process]") {
    Cancel cancel;
    Command plain = process::shell("test -t 0 || test -t 1 || echo none");
    CHECK(process::run(plain, cancel).out == "none\n");
    Command on = process::shell("test -t 0 && test -t 1 && test -t 2 && stty size; read -r x; echo "
                                "\"got $x\" >&2; cat");
    on.pty = true;
    on.input = std::string("pass word\nthe rest\n");
    auto result = process::run(on, cancel);
    CHECK(result.out == "24 80\ngot pass word\nthe rest\n"); // nothing typed is echoed
    CHECK(result.err.empty());
    on = command({"cat"});
    on.pty = true;
    on.input = std::string("no newline");
    CHECK(process::run(on, cancel).out == "no newline");
    // The terminal outlives a command that closes it before it ends.
    on.argv = {"sh", "-c", "cat; exec <&- >&- 2>&-; sleep 0.3; exit 0"};
    CHECK(process::run(on, cancel).out == "no newline");
    on.argv = {"cat"};
    on.input = std::string(5000, 'x');
    CHECK(error_of([&] { process::run(on, cancel); }).message() ==
          "`cat`: a line of more than 4,095 bytes cannot be typed on a terminal");
    on = command({"sleep", "300"});
    on.pty = true;
    on.timeout = std::chrono::milliseconds(200);
    CHECK(error_of([&] { process::run(on, cancel); }).kind() == "shell.timeout");
}

TEST_CASE("process: confined to what is declared", "[process]") {
    if (process::confinement() == 0) {
        WARN("skipped: this kernel has no Landlock");
        return;
    }
    Folder mine, other;
    std::ofstream(other.path + "/secret") << "x";
    Cancel cancel;
    decltype(Command::env) env = {{"MINE", mine.path}, {"OTHER", other.path}};
    auto run = [&](const std::string& script) {
        Command command = process::shell(script);
        command.expected.clear();
        command.env = env;
        command.confined_to = {mine.path + "/", "/var/tmp/does-not-exist/at-all"};
        return process::run(command, cancel);
    };
    CHECK(run("echo hi > $MINE/a && cat $MINE/a && mkdir $MINE/d && rm -r $MINE/d").out == "hi\n");
    CHECK(run("ls /usr/bin/env && echo > /dev/null && cat /etc/passwd > /dev/null").exit == 0);
    // Temporary folders are open to everyone and stay so: what is shut lies where this test is run.
    const std::string shut = std::filesystem::current_path().string() + "/confine-test";
    if (shut.starts_with("/tmp/") || shut.starts_with("/var/tmp/")) {
        WARN("run below a temporary folder: nothing there is shut");
        return;
    }
    std::filesystem::create_directory(shut);
    std::ofstream(shut + "/secret") << "x";
    env.emplace_back("SHUT", shut);
    auto result = run("cat $SHUT/secret");
    CHECK(result.exit != 0);
    CHECK(result.err.find("Permission denied") != std::string::npos);
    CHECK(run("echo x > $SHUT/new").exit != 0);
    CHECK(run("rm $SHUT/secret").exit != 0);
    CHECK(run("(setsid sh -c 'rm $SHUT/secret'; sh -c 'echo > /usr/runbook-x')").exit != 0);
    CHECK(std::filesystem::exists(shut + "/secret"));
    std::filesystem::remove_all(shut);
}

TEST_CASE("script: values are quoted, and nothing else is guessed", "[process]") {
    using process::fill_script;
    CHECK(fill_script("pg_dump {db} | gzip > {to}", {{"db", "a b; rm -rf /"}, {"to", "x.gz"}}) ==
          "pg_dump 'a b; rm -rf /' | gzip > x.gz");
    CHECK(fill_script("rm {files} {n}", {{"files", List{"a", "it's"}}, {"n", 3}}) ==
          "rm a 'it'\\''s' 3");
    CHECK(fill_script("echo ${x} {a,b} { ls; } {{x}", {}) == "echo ${x} {a,b} { ls; } {x}");
    CHECK(fill_script("awk '{{print $1}' {f}", {{"f", "x"}}) == "awk '{print $1}' x");
    auto message = [](std::string_view text, const Map& values) {
        return error_of([&] { fill_script(text, values); }).message();
    };
    CHECK(message("echo {x}", {}) == "script: no value for {x}");
    CHECK(message("echo '{x}'", {{"x", "1"}}) == "script: {x} stands inside quotes");
    CHECK(message("echo \"{x}\"", {{"x", "1"}}) == "script: {x} stands inside quotes");
    CHECK(message("echo", {{"x", "1"}}) == "script: the value 'x' is never used");
    CHECK(message("echo {x}", {{"x", make_secret("s3cret-word-7", "test")}}) ==
          "script: {x} is a secret, and a script stands in the arguments of a command");
    CHECK(message("echo {x}", {{"x", Map{}}}) ==
          "script: {x}: text, number, boolean or a list of them expected, got table");
}
