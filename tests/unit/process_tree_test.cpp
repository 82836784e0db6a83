// Cancel, timeout and the death of the host: nothing of the tree survives, whatever it does to get
// away.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/process/process.h"
#include "tests/unit/process_support.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <thread>

using namespace runbook;
namespace fs = std::filesystem;

namespace {

/// A folder in which the members of a tree write their pids; every test has its own.
struct Pids {
    std::string folder;
    Pids() {
        char name[] = "/tmp/runbook-process-XXXXXX";
        folder = ::mkdtemp(name);
    }
    ~Pids() {
        for (pid_t pid : all())
            ::kill(pid, SIGKILL);
        fs::remove_all(folder);
        fs::remove(folder + ".sh");
    }
    std::vector<pid_t> all() const {
        std::vector<pid_t> pids;
        for (const auto& entry : fs::directory_iterator(folder))
            pids.push_back(std::stoi(entry.path().filename().string()));
        return pids;
    }
    std::size_t alive() const {
        std::size_t count = 0;
        for (pid_t pid : all())
            count += test::is_alive(pid);
        return count;
    }
    std::string mark() const { return "touch " + folder + "/$$; "; }
};

/// Trees that try to get away, as scripts; each member leaves its pid in the folder $1, $0 is the
/// script itself.
const char* const hard_trees[] = {
    // plain children
    "case $2 in member) touch $1/$$; exec sleep 300;; esac\n"
    "sh $0 $1 member & sh $0 $1 member & touch $1/$$; wait",
    // sessions of their own
    "case $2 in member) touch $1/$$; exec sleep 300;; esac\n"
    "setsid sh $0 $1 member & setsid sh $0 $1 member & touch $1/$$; wait",
    // double fork: its parent is gone before it begins
    "case $2 in member) touch $1/$$; exec sleep 300;;\n"
    "middle) setsid sh $0 $1 member & exit;; esac\n"
    "setsid sh $0 $1 middle; touch $1/$$; sleep 300",
    // deaf to SIGTERM
    "trap '' TERM HUP INT; touch $1/$$\n"
    "case $2 in member) while :; do sleep 1; done;; esac\n"
    "sh $0 $1 member & while :; do sleep 1; done",
    // forks on and on: each generation starts the next in a new session and goes
    "touch $1/$$\n"
    "case $2 in member) sleep 0.02; setsid sh $0 $1 member & exit;; esac\n"
    "setsid sh $0 $1 member & sleep 300",
};
constexpr std::size_t tree_count = std::size(hard_trees);

process::Command hard_tree(std::size_t which, const Pids& pids) {
    std::string script = pids.folder + ".sh";
    std::ofstream(script) << hard_trees[which] << '\n';
    process::Command command;
    command.argv = {"sh", script, pids.folder};
    return command;
}

} // namespace

TEST_CASE("process: a timeout ends the whole tree", "[process]") {
    process::Command command = process::shell("sleep 300 & sleep 300");
    command.timeout = std::chrono::milliseconds(200);
    Cancel cancel;
    try {
        process::run(command, cancel);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "shell.timeout");
        CHECK(error.message() == "`sleep 300 & sleep 300` did not finish within 200ms; "
                                 "everything it started has ended");
        CHECK(error.in_doubt());
    }
    command.reads = true;
    try {
        process::run(command, cancel);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK_FALSE(error.in_doubt());
    }
}

TEST_CASE("process: SIGTERM comes first, with time to clean up", "[process]") {
    process::Command command = process::shell(
        "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    struct Watch : ProgressSink {
        std::vector<std::string> lines;
        Cancel* cancel = nullptr;
        std::thread thread;
        void report(const ProgressReport&) override {}
        void line(std::string_view, std::string_view text) override {
            lines.emplace_back(text);
            if (text == "ready")
                thread = std::thread([c = cancel] { c->request(Cancel::Reason::cancelled); });
        }
    };
    auto watch = std::make_shared<Watch>();
    Cancel cancel;
    watch->cancel = &cancel;
    command.sink = watch;
    CHECK_THROWS_AS(process::run(command, cancel), Error);
    watch->thread.join();
    REQUIRE(watch->lines.size() >= 2);
    CHECK(watch->lines.front() == "ready");
    // The shell may say "Terminated" of its sleep, on the other stream: before or after.
    CHECK(std::count(watch->lines.begin(), watch->lines.end(), "cleaned") == 1);
}

TEST_CASE("process: cancel before the start starts nothing", "[process]") {
    Pids pids;
    Cancel cancel;
    cancel.request(Cancel::Reason::cancelled);
    try {
        process::run(process::shell(pids.mark()), cancel);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "cancelled");
    }
    CHECK(pids.all().empty());
}

TEST_CASE("process: cancel leaves nothing of trees that run away", "[process]") {
    for (std::size_t which = 0; which < tree_count; ++which) {
        for (int round = 0; round < 4; ++round) {
            Pids pids;
            auto command = hard_tree(which, pids);
            command.grace = std::chrono::milliseconds(round == 0 ? 300 : 0);
            Cancel cancel;
            std::string kind;
            std::thread work([&] {
                try {
                    process::run(command, cancel);
                } catch (const Error& error) {
                    kind = error.kind();
                }
            });
            CHECK(test::eventually([&] { return pids.all().size() >= 2; }));
            cancel.request(Cancel::Reason::cancelled);
            work.join();
            INFO("tree " << which << ", round " << round);
            CHECK(kind == "cancelled");
            CHECK(pids.alive() == 0);
            std::size_t seen = pids.all().size();
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            CHECK(pids.all().size() == seen); // nobody forks on
        }
    }
}

TEST_CASE("process: kill -9 of the host leaves nothing", "[process]") {
    for (std::size_t which = 0; which < tree_count; ++which) {
        Pids pids;
        auto command = hard_tree(which, pids);
        command.grace = std::chrono::milliseconds(100);
        pid_t host = ::fork(); // a host of its own, that this test can kill
        if (host == 0) {
            Cancel cancel;
            try {
                process::run(command, cancel);
            } catch (...) {
            }
            ::_exit(0);
        }
        CHECK(test::eventually([&] { return pids.all().size() >= 2; }));
        ::kill(host, SIGKILL);
        ::waitpid(host, nullptr, 0);
        INFO("tree " << which);
        CHECK(test::eventually([&] { return pids.alive() == 0; }));
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        CHECK(pids.alive() == 0);
    }
}

TEST_CASE("process: a killed helper takes the command with it, and that is in doubt", "[process]") {
    Pids pids;
    auto command = process::shell(pids.mark() + "exec sleep 300");
    Cancel cancel;
    std::string kind;
    bool in_doubt = false;
    std::thread work([&] {
        try {
            process::run(command, cancel);
        } catch (const Error& error) {
            kind = error.kind();
            in_doubt = error.in_doubt();
        }
    });
    REQUIRE(test::eventually([&] { return pids.all().size() == 1; }));
    pid_t command_pid = pids.all()[0];
    std::ifstream stat("/proc/" + std::to_string(command_pid) + "/stat");
    std::string text;
    std::getline(stat, text, '\0');
    pid_t helper = std::stoi(text.substr(text.rfind(") ") + 4));
    REQUIRE(helper != ::getpid());
    ::kill(helper, SIGKILL);
    work.join();
    CHECK(kind == "internal");
    CHECK(in_doubt);
    CHECK(test::eventually([&] { return !test::is_alive(command_pid); }));
}

TEST_CASE("process: many at once from many threads, no zombie and no descriptor left",
          "[process]") {
    auto count_fds = [] {
        std::size_t n = 0;
        for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd"))
            ++n;
        return n;
    };
    std::size_t before = count_fds();
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
            for (int k = 0; k < 10; ++k) {
                process::Command command;
                command.argv = {"echo", std::to_string(i * 100 + k)};
                Cancel cancel;
                good += process::run(command, cancel).out == std::to_string(i * 100 + k) + "\n";
            }
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(good == 80);
    CHECK(count_fds() == before);
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
}
