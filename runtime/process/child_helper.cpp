// See child_helper.h. Runs in a process of its own with one thread; no other part of the host is
// alive in it.
#include "runtime/process/child_helper.h"

#include "runtime/process/confine.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <poll.h>
#include <set>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace runbook::process::helper {
namespace {

constexpr std::int64_t host_died_grace_ms =
    1000; ///< a resumed run may start soon: the old tree must be gone
constexpr std::int64_t settle_ms = 100;
constexpr std::int64_t give_up_ms =
    10'000; ///< after SIGKILL: then it is stuck in the kernel, or not ours

struct Spec {
    std::int64_t grace_ms = 5000;
    bool kill_leftovers = false, secret_file = false, terminal = false, confined = false;
    std::string cwd;
    std::vector<std::string> argv, env, paths;
};

std::int64_t now_ms() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1'000'000;
}

bool read_all(int fd, void* data, std::size_t size) {
    auto* at = static_cast<char*>(data);
    while (size > 0) {
        ssize_t n = ::read(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

bool read_spec(Spec& spec) {
    std::uint32_t size = 0;
    if (!read_all(control_fd, &size, sizeof size))
        return false;
    std::string text(size, '\0');
    if (!read_all(control_fd, text.data(), size))
        return false;
    std::vector<std::string> fields;
    for (std::size_t at = 0; at < text.size();) {
        fields.emplace_back(text.c_str() + at);
        at += fields.back().size() + 1;
    }
    std::size_t next = 0;
    auto take = [&]() { return next < fields.size() ? fields[next++] : std::string(); };
    auto take_list = [&](std::vector<std::string>& list) {
        for (long n = std::atol(take().c_str()); n > 0; --n)
            list.push_back(take());
    };
    spec.grace_ms = std::atoll(take().c_str());
    spec.kill_leftovers = take() == "1";
    spec.secret_file = take() == "1";
    spec.terminal = take() == "1";
    spec.confined = take() == "1";
    spec.cwd = take();
    take_list(spec.argv);
    take_list(spec.env);
    take_list(spec.paths);
    return !spec.argv.empty();
}

void send_report(Report report, const std::string& left = {}) {
    report.left_bytes = static_cast<std::int32_t>(left.size());
    std::string data(reinterpret_cast<const char*>(&report), sizeof report);
    data += left;
    for (std::size_t at = 0; at < data.size();) {
        ssize_t n = ::send(control_fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        at += static_cast<std::size_t>(n);
    }
}

std::string read_small(const std::string& path) {
    std::string text;
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return text;
    char block[4096];
    for (ssize_t n; (n = ::read(fd, block, sizeof block)) > 0;)
        text.append(block, static_cast<std::size_t>(n));
    ::close(fd);
    return text;
}

std::vector<std::string> numbers_in(const std::string& folder) {
    std::vector<std::string> names;
    if (DIR* dir = ::opendir(folder.c_str())) {
        while (dirent* entry = ::readdir(dir))
            if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
                names.emplace_back(entry->d_name);
        ::closedir(dir);
    }
    return names;
}

void append_children(pid_t parent, std::vector<pid_t>& into) {
    std::string tasks = "/proc/" + std::to_string(parent) + "/task/";
    for (const auto& task : numbers_in(tasks)) {
        std::string text = read_small(tasks + task + "/children");
        char* at = text.data();
        for (char* end = nullptr;; at = end) {
            long pid = std::strtol(at, &end, 10);
            if (end == at)
                break;
            into.push_back(static_cast<pid_t>(pid));
        }
    }
}

/// Parent of every process, for kernels without /proc/*/task/*/children.
std::map<pid_t, std::vector<pid_t>> all_children() {
    std::map<pid_t, std::vector<pid_t>> children;
    for (const auto& name : numbers_in("/proc")) {
        std::string stat = read_small("/proc/" + name + "/stat");
        std::size_t end = stat.rfind(") ");
        if (end == std::string::npos || end + 4 >= stat.size())
            continue;
        children[std::atoi(stat.c_str() + end + 4)].push_back(std::atoi(name.c_str()));
    }
    return children;
}

/// Everything below this process; a snapshot, exact only for what is stopped.
std::vector<pid_t> descendants() {
    static const bool have_children_file =
        ::access(("/proc/self/task/" + std::to_string(::getpid()) + "/children").c_str(), R_OK) ==
        0;
    std::map<pid_t, std::vector<pid_t>> table;
    if (!have_children_file)
        table = all_children();
    std::vector<pid_t> found;
    auto expand = [&](pid_t pid) {
        if (have_children_file)
            append_children(pid, found);
        else
            found.insert(found.end(), table[pid].begin(), table[pid].end());
    };
    expand(::getpid());
    for (std::size_t i = 0; i < found.size() && found.size() < 100'000; ++i) {
        pid_t pid = found[i]; // expand() may move the vector
        expand(pid);
    }
    return found;
}

void signal_tree(int number) {
    for (pid_t pid : descendants())
        ::kill(pid, number);
}

/// Stops round after round until a scan shows nobody new, so that nothing can fork away, then
/// kills.
void kill_tree() {
    std::set<pid_t> stopped;
    for (bool found_new = true; found_new;) {
        found_new = false;
        for (pid_t pid : descendants())
            if (stopped.insert(pid).second) {
                found_new = true;
                ::kill(pid, SIGSTOP);
            }
    }
    signal_tree(SIGKILL);
}

std::string list_left() {
    std::string text;
    for (pid_t pid : descendants()) {
        std::string name = read_small("/proc/" + std::to_string(pid) + "/comm");
        if (name.empty() || text.size() > 4000)
            continue;
        text += std::to_string(pid) + " " + name; // comm ends in a newline
    }
    return text;
}

[[noreturn]] void become_command(const Spec& spec, pid_t helper, int failure_fd) {
    auto fail = [&](Kind kind) {
        std::int32_t report[2] = {static_cast<std::int32_t>(kind), errno};
        [[maybe_unused]] ssize_t n = ::write(failure_fd, report, sizeof report);
        ::_exit(127);
    };
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG,
            SIGKILL); // even a helper that is itself killed takes the command with it
    if (::getppid() != helper)
        ::_exit(127);
    for (int number = 1; number < NSIG; ++number)
        ::signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (spec.secret_file)
        ::dup2(secret_fd, control_fd);
    else
        ::close(control_fd);
    if (spec.terminal)
        ::ioctl(0, TIOCSCTTY, 0);
    if (!spec.cwd.empty() && ::chdir(spec.cwd.c_str()) != 0)
        fail(Kind::failed_cwd);
    if (spec.confined && !confine(spec.paths))
        fail(Kind::failed_confine);
    std::vector<char*> argv, env;
    for (const auto& word : spec.argv)
        argv.push_back(const_cast<char*>(word.c_str()));
    for (const auto& variable : spec.env)
        env.push_back(const_cast<char*>(variable.c_str()));
    argv.push_back(nullptr);
    env.push_back(nullptr);
    environ = env.data(); // so that execvp searches the command's PATH
    ::execvp(argv[0], argv.data());
    fail(Kind::failed_exec);
    std::abort();
}

/// Starts the command; 0 where that failed and was reported.
pid_t start(const Spec& spec) {
    int failure[2];
    if (::pipe2(failure, O_CLOEXEC) != 0) {
        send_report({Kind::failed_fork, errno});
        return 0;
    }
    pid_t helper = ::getpid();
    pid_t pid = ::fork();
    if (pid == 0)
        become_command(spec, helper, failure[1]);
    int fork_errno = errno;
    ::close(failure[1]);
    if (pid < 0) {
        send_report({Kind::failed_fork, fork_errno});
        return 0;
    }
    std::int32_t report[2];
    bool failed = read_all(failure[0], report, sizeof report);
    ::close(failure[0]);
    if (!failed)
        return pid;
    ::waitpid(pid, nullptr, 0);
    send_report({static_cast<Kind>(report[0]), report[1]});
    return 0;
}

/// Standard streams belong to the command alone, or their readers would never see the end.
void release_streams() {
    int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd)
        ::dup2(null, fd);
    if (null > 2)
        ::close(null);
}

class Guard {
  public:
    Guard(const Spec& spec, pid_t command, int signals)
        : spec_(spec), command_(command), signals_(signals) {}

    void run() {
        for (;;) {
            reap();
            if (command_done_ && no_children_)
                return report({});
            if (phase_ == Phase::running && command_done_)
                end_or_kill_leftovers();
            if (phase_ == Phase::settling && now_ms() >= deadline_)
                return report(list_left());
            if (phase_ == Phase::terminating && now_ms() >= deadline_)
                begin_kill();
            else if (phase_ == Phase::killing) {
                if (now_ms() >= deadline_) {
                    unkillable_ = static_cast<std::int32_t>(descendants().size());
                    return report(list_left());
                }
                kill_tree();
            }
            wait();
        }
    }

  private:
    enum class Phase { running, settling, terminating, killing };

    void reap() {
        for (;;) {
            int status = 0;
            pid_t pid = ::waitpid(-1, &status, WNOHANG);
            if (pid < 0)
                no_children_ = errno == ECHILD;
            if (pid <= 0)
                return;
            if (pid == command_) {
                command_done_ = true;
                status_ = status;
            }
        }
    }

    /// The command has ended by itself, what it started has not. The rest of a pipeline gets a
    /// moment to end.
    void end_or_kill_leftovers() {
        if (spec_.kill_leftovers)
            return begin_terminate(spec_.grace_ms);
        phase_ = Phase::settling;
        deadline_ = now_ms() + settle_ms;
    }

    void begin_terminate(std::int64_t grace_ms) {
        if (phase_ == Phase::killing)
            return;
        std::int64_t deadline = now_ms() + grace_ms;
        if (phase_ == Phase::terminating) { // the host died meanwhile: only ever sooner
            deadline_ = std::min(deadline_, deadline);
            return;
        }
        phase_ = Phase::terminating;
        deadline_ = deadline;
        signal_tree(SIGTERM);
        signal_tree(SIGCONT); // a stopped process gets its SIGTERM only when it goes on
    }

    void begin_kill() {
        phase_ = Phase::killing;
        deadline_ = now_ms() + give_up_ms;
        kill_tree();
    }

    void wait() {
        pollfd fds[2] = {{signals_, POLLIN, 0}, {control_open_ ? control_fd : -1, POLLIN, 0}};
        int timeout = -1;
        if (phase_ == Phase::terminating || phase_ == Phase::settling)
            timeout = static_cast<int>(std::max<std::int64_t>(0, deadline_ - now_ms())) + 1;
        if (phase_ == Phase::killing)
            timeout = 10;
        if (::poll(fds, 2, timeout) <= 0)
            return;
        if (fds[0].revents) {
            signalfd_siginfo info[8];
            [[maybe_unused]] ssize_t n = ::read(signals_, info, sizeof info);
        }
        if (fds[1].revents) {
            char word = 0;
            ssize_t n = ::read(control_fd, &word, 1);
            if (n == 1 && word == terminate) {
                begin_terminate(spec_.grace_ms);
            } else if (n == 0 || (n < 0 && errno != EINTR)) {
                control_open_ = false;
                begin_terminate(std::min(spec_.grace_ms, host_died_grace_ms));
            }
        }
    }

    void report(const std::string& left) {
        send_report({Kind::exited, status_, unkillable_}, left);
    }

    const Spec& spec_;
    pid_t command_;
    int signals_;
    Phase phase_ = Phase::running;
    std::int64_t deadline_ = 0;
    bool command_done_ = false, no_children_ = false, control_open_ = true;
    std::int32_t status_ = SIGKILL, unkillable_ = 0;
};

} // namespace

int main() {
    ::setsid();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_NAME, program_name);
    ::close_range(secret_fd + 1, ~0U, 0); // what a client library opened without O_CLOEXEC
    ::fcntl(control_fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(secret_fd, F_SETFD, FD_CLOEXEC);
    sigset_t all, child;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::signal(SIGCHLD,
             SIG_DFL); // an ignored SIGCHLD is inherited, and would swallow the exit status
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    Spec spec;
    if (!read_spec(spec))
        return 127;
    if (!spec.secret_file)
        ::close(secret_fd); // whatever the host had open there
    int signals = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return 127;
    pid_t command = start(spec);
    if (command == 0)
        return 127;
    if (spec.secret_file)
        ::close(secret_fd);
    release_streams();
    Guard(spec, command, signals).run();
    return 0;
}

const char* executable() {
    return "/proc/self/exe";
}

namespace {

/// Before main and before every other initializer of the program. glibc passes main's arguments.
__attribute__((constructor(101))) void take_over(int argc, char** argv, char**) {
    if (argc > 0 && argv && std::strcmp(argv[0], program_name) == 0)
        ::_exit(main());
}

} // namespace
} // namespace runbook::process::helper
