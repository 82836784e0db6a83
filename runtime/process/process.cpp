// The host's side of a command: starts the helper, moves the bytes, ends it. See child_helper.h for
// the other side.
#include "runtime/process/process.h"

#include "runtime/base/error.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/process/child_helper.h"
#include "runtime/process/command.h"
#include "runtime/process/pipes.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace runbook::process {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds drain_limit{
    200}; ///< silence after the end, while a daemon holds the pipe
constexpr std::chrono::milliseconds tick_every{500};
constexpr int asked_again_ms = 2;                   ///< while who gets the output is behind
constexpr std::chrono::milliseconds farewell{5000}; ///< beyond the grace, see hold_input

/// One running command, on the calling thread.
class Running {
  public:
    Running(const Command& command, Cancel& cancel, Fd given_in, Fd given_out)
        : command_(command), cancel_(cancel), input_(input_text(command.input)),
          out_("stdout", command.keep_bytes, command.sink.get()),
          err_("stderr", command.keep_bytes, command.sink.get()), given_in_(std::move(given_in)),
          given_out_(std::move(given_out)) {
        check(command);
        if (command.pty)
            input_ += typed_end(input_);
        try {
            start(specification(command));
        } catch (...) { // no destructor runs: the command may be on its way already
            end();
            throw;
        }
        given_in_.close(); // held by the command alone, or the other side would never see the end
        given_out_.close();
    }

    ~Running() { end(); }

    Result finish() {
        Cancel::Hook hook(cancel_, [fd = wake_.get()] {
            std::uint64_t one = 1;
            [[maybe_unused]] ssize_t n = ::write(fd, &one, sizeof one);
        });
        while (!done())
            step();
        out_.finish();
        err_.finish();
        Result result;
        result.elapsed = std::chrono::duration<double>(Clock::now() - started_).count();
        result.out = out_.take();
        result.err = err_.take();
        result.out_bytes = out_.total();
        result.err_bytes = err_.total();
        judge(result);
        return result;
    }

  private:
    /// If this is an unwinding, the helper now ends the tree; nothing of it is left afterwards.
    void end() noexcept {
        control_.close();
        if (helper_ > 0)
            while (::waitpid(helper_, nullptr, 0) < 0 && errno == EINTR) {
            }
        helper_ = 0;
    }

    void start(const std::string& spec) {
        int control[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0)
            fail_start("socketpair", errno);
        control_ = Fd(control[0]);
        Fd child_control = high(Fd(control[1]));
        wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        Fd child_in, child_out, child_err;
        if (command_.pty) {
            child_in = open_terminal();
            child_out = high(Fd(::dup(child_in.get())));
            child_err = high(Fd(::dup(child_in.get())));
        } else {
            child_in = open_input();
            child_out = given_out_ ? high(Fd(::dup(given_out_.get()))) : pipe_end(out_fd_);
            child_err = pipe_end(err_fd_);
        }
        Fd child_secret = open_secret_file();

        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, child_in.get(), 0);
        posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
        posix_spawn_file_actions_adddup2(&actions, child_err.get(), 2);
        posix_spawn_file_actions_adddup2(&actions, child_control.get(), helper::control_fd);
        if (child_secret)
            posix_spawn_file_actions_adddup2(&actions, child_secret.get(), helper::secret_fd);
        char name[] = "runbook-child";
        std::string shown = command_.argv[0].substr(command_.argv[0].rfind('/') + 1);
        char* argv[] = {name, shown.data(), nullptr};
        started_ = Clock::now();
        int failed =
            ::posix_spawn(&helper_, helper::executable(), &actions, nullptr, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (failed) {
            helper_ = 0;
            fail_start("starting the helper process", failed);
        }
        child_control.close();
        for (std::size_t at = 0; at < spec.size();) {
            ssize_t n = ::send(control_.get(), spec.data() + at, spec.size() - at, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                fail_start("talking to the helper process", errno);
            at += static_cast<std::size_t>(n);
        }
        failpoint::cross("effect.inside");
    }

    [[noreturn]] void fail_start(const char* what, int error) {
        throw Error("internal",
                    fmt::format("`{}`: {}: {}", describe(command_), what, std::strerror(error)));
    }

    /// The command's side of a new terminal; ours reads its output and types its input.
    Fd open_terminal() {
        Fd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        char name[64];
        if (!ours || ::grantpt(ours.get()) != 0 || ::unlockpt(ours.get()) != 0 ||
            ::ptsname_r(ours.get(), name, sizeof name) != 0)
            fail_start("opening a terminal", errno);
        Fd theirs(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
        termios modes{};
        if (!theirs || ::tcgetattr(theirs.get(), &modes) != 0)
            fail_start("opening a terminal", errno);
        modes.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL); // what is typed may be a password
        modes.c_oflag &= ~static_cast<tcflag_t>(OPOST);
        winsize size{24, 80, 0, 0};
        ::tcsetattr(theirs.get(), TCSANOW, &modes);
        ::ioctl(theirs.get(), TIOCSWINSZ, &size);
        in_fd_ = Fd(::fcntl(ours.get(), F_DUPFD_CLOEXEC, 0));
        out_fd_ = std::move(ours);
        ::fcntl(out_fd_.get(), F_SETFL, O_NONBLOCK);
        return high(std::move(theirs));
    }

    /// What has to be typed so that the reader sees an end: Ctrl-D, twice behind an unfinished
    /// line.
    std::string typed_end(const std::string& typed) {
        constexpr std::size_t longest = 4095; // what a terminal's line holds (termios(3))
        for (const auto& line : text::split(typed, '\n'))
            if (line.size() > longest)
                throw Error(
                    "usage",
                    fmt::format("`{}`: a line of more than 4,095 bytes cannot be typed on a "
                                "terminal",
                                describe(command_)),
                    "leave pty out, or pass the text in a file");
        return typed.empty() || typed.back() == '\n' ? "\x04" : "\x04\x04";
    }

    Fd open_input() {
        if (given_in_)
            return high(Fd(::dup(given_in_.get())));
        const bool held = command_.hold_input;
        if (!held && (!command_.input_file.empty() || command_.input.is_null())) {
            const char* path =
                command_.input_file.empty() ? "/dev/null" : command_.input_file.c_str();
            Fd file(::open(path, O_RDONLY | O_CLOEXEC));
            if (!file)
                throw Error("fs", fmt::format("{}: {}", path, std::strerror(errno)));
            return high(std::move(file));
        }
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            fail_start("pipe", errno);
        in_fd_ = Fd(ends[1]);
        ::fcntl(in_fd_.get(), F_SETFL, O_NONBLOCK);
        return high(Fd(ends[0]));
    }

    Fd open_secret_file() {
        if (command_.secret_file.is_null())
            return {};
        Fd file(::memfd_create("secret", MFD_CLOEXEC));
        std::string text = input_text(command_.secret_file);
        if (!file || ::fchmod(file.get(), 0600) != 0 ||
            ::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            fail_start("memfd", errno);
        return high(std::move(file));
    }

    Fd pipe_end(Fd& ours) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            fail_start("pipe", errno);
        ours = Fd(ends[0]);
        ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
        return high(Fd(ends[1]));
    }

    /// Above the numbers that the helper's own descriptors get, so that no dup2 hits another.
    Fd high(Fd fd) {
        Fd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 16));
        if (!moved)
            fail_start("fcntl", errno);
        return moved;
    }

    bool done() const {
        if (!ended_)
            return false;
        return (!out_fd_ && !err_fd_) || Clock::now() >= drain_until_;
    }

    void step() {
        // One receiver for both; what is left after the end is no more than the pipes hold.
        waiting_ = !ended_ && out_.full();
        pollfd fds[5] = {{control_.get(), POLLIN, 0},
                         {wake_.get(), POLLIN, 0},
                         {waiting_ ? -1 : out_fd_.get(), POLLIN, 0},
                         {waiting_ ? -1 : err_fd_.get(), POLLIN, 0},
                         {in_fd_.get(), static_cast<short>(input_left() ? POLLOUT : 0), 0}};
        int ready = ::poll(fds, 5, poll_timeout());
        if (ready > 0) {
            if (fds[4].revents)
                input_left() ? write_input() : in_fd_.close(); // nobody reads it any more
            if (fds[2].revents)
                read_stream(out_fd_, out_);
            if (fds[3].revents)
                read_stream(err_fd_, err_);
            if (fds[0].revents)
                read_control();
            if (fds[1].revents) {
                std::uint64_t count = 0;
                [[maybe_unused]] ssize_t n = ::read(wake_.get(), &count, sizeof count);
                terminate();
            }
        }
        if (deadline() && Clock::now() >= *deadline()) {
            timed_out_ = true;
            terminate();
        }
        if (signals_at_ && Clock::now() >= *signals_at_)
            send_terminate();
        if (command_.tick && Clock::now() >= next_tick_) {
            next_tick_ = Clock::now() + tick_every;
            command_.tick();
        }
    }

    std::optional<Clock::time_point> deadline() const {
        if (command_.timeout.count() <= 0 || terminated_ || ended_)
            return std::nullopt;
        return started_ + command_.timeout;
    }

    int poll_timeout() const {
        auto until = [](Clock::time_point t) {
            auto ms = std::chrono::ceil<std::chrono::milliseconds>(t - Clock::now()).count();
            return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
        };
        int timeout = -1;
        auto sooner = [&](int ms) { timeout = timeout < 0 ? ms : std::min(timeout, ms); };
        if (deadline())
            sooner(until(*deadline()));
        if (command_.tick)
            sooner(until(next_tick_));
        if (signals_at_ && !ended_)
            sooner(until(*signals_at_));
        if (ended_)
            sooner(until(drain_until_));
        if (waiting_)
            sooner(asked_again_ms);
        return timeout;
    }

    void terminate() {
        if (terminated_ || ended_)
            return;
        terminated_ = true;
        if (command_.hold_input && in_fd_) {
            in_fd_.close();
            signals_at_ = Clock::now() + command_.grace + farewell;
            return;
        }
        send_terminate();
    }

    void send_terminate() {
        signals_at_.reset();
        ::send(control_.get(), &helper::terminate, 1, MSG_NOSIGNAL);
    }

    void write_input() {
        ssize_t n = write_pipe(in_fd_.get(), std::string_view(input_).substr(input_at_));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            input_at_ += static_cast<std::size_t>(n);
        if (n < 0 || (!input_left() && !command_.hold_input))
            in_fd_.close(); // a command that does not read its input is no error
    }

    bool input_left() const { return input_at_ < input_.size(); }

    void read_stream(Fd& fd, OutputStream& stream) {
        char block[65536];
        ssize_t n = ::read(fd.get(), block, sizeof block);
        if (n > 0) {
            stream.append({block, static_cast<std::size_t>(n)});
            if (ended_)
                drain_until_ = Clock::now() + drain_limit;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            // A command may close its terminal before it ends: it would die of SIGHUP if ours went
            // too.
            if (command_.pty)
                terminal_ = std::move(fd);
            else
                fd.close();
        }
    }

    void read_control() {
        char block[4096];
        ssize_t n = ::read(control_.get(), block, sizeof block);
        if (n < 0 && errno == EINTR)
            return;
        if (n > 0) {
            heard_.append(block, static_cast<std::size_t>(n));
            return;
        }
        control_.close();
        ended_ = true;
        drain_until_ = Clock::now() + drain_limit;
    }

    void judge(Result& result) {
        helper::Report report;
        if (heard_.size() < sizeof report) {
            Error error(
                "internal",
                fmt::format("`{}`: its helper process was killed; what the command did is unknown",
                            describe(command_)));
            throw error.set_in_doubt(!command_.reads);
        }
        std::memcpy(&report, heard_.data(), sizeof report);
        if (report.kind != helper::Kind::exited)
            throw_not_started(report);
        for (const auto& line : text::split(std::string_view(heard_).substr(sizeof report), '\n'))
            if (!line.empty())
                result.left.push_back(line);
        result.signal = WIFSIGNALED(report.value) ? WTERMSIG(report.value) : 0;
        result.exit = result.signal ? 128 + result.signal : WEXITSTATUS(report.value);
        if (terminated_)
            throw_terminated(report, result);
        if (auto error = status_error(command_, result))
            throw *error;
    }

    [[noreturn]] void throw_not_started(const helper::Report& report) {
        const std::string& program = command_.argv[0];
        std::string reason = std::strerror(report.value);
        if (report.kind == helper::Kind::failed_cwd)
            throw Error("fs", fmt::format("`{}`: working folder '{}': {}", describe(command_),
                                          command_.cwd, text::lower(reason)));
        if (report.kind == helper::Kind::failed_fork)
            fail_start("fork", report.value);
        if (report.kind == helper::Kind::failed_confine)
            throw Error("permission",
                        fmt::format("`{}`: the kernel cannot confine it to needs.files: {}",
                                    describe(command_), text::lower(reason)),
                        "needs.confine wants Landlock: Linux 5.13 or newer, switched on (lsm=)");
        if (report.value == ENOENT && program.find('/') == std::string::npos)
            throw Error("shell.not_found",
                        fmt::format("`{}`: no program '{}' in PATH", describe(command_), program));
        if (report.value == E2BIG)
            throw Error("usage",
                        fmt::format("`{}`: the arguments are too long", describe(command_)),
                        "pass them in `stdin` or in a file");
        throw Error("shell.not_found",
                    fmt::format("`{}`: '{}' cannot be run: {}", describe(command_), program,
                                text::lower(reason)));
    }

    [[noreturn]] void throw_terminated(const helper::Report& report, const Result& result) {
        std::string kind = "shell.timeout", what;
        if (timed_out_) {
            what =
                fmt::format("did not finish within {}",
                            text::duration(static_cast<double>(command_.timeout.count()) / 1000));
        } else if (cancel_.reason() == Cancel::Reason::timeout) {
            kind = "timeout";
            what = fmt::format("was stopped at the time limit after {}", seconds(result.elapsed));
        } else {
            kind = "cancelled";
            what = fmt::format("was cancelled after {}", seconds(result.elapsed));
        }
        std::string end = "; everything it started has ended", hint;
        if (command_.hold_input)
            end.clear(); // it worked elsewhere: what became of that, its caller knows
        if (report.unkillable) {
            end = fmt::format("; still running and not ours to kill: {}",
                              text::join(result.left, ", "));
            hint = "end them by hand before going on";
        }
        Error error(kind, fmt::format("`{}` {}{}", describe(command_), what, end), hint);
        throw error.set_in_doubt(!command_.reads);
    }

    static std::string seconds(double value) { return fmt::format("{:.1f} s", value); }

    const Command& command_;
    Cancel& cancel_;
    std::string input_;
    std::size_t input_at_ = 0;
    OutputStream out_, err_;
    Fd given_in_, given_out_; ///< of the caller, see Command::input_fd
    Fd control_, wake_, in_fd_, out_fd_, err_fd_, terminal_;
    std::optional<Clock::time_point> signals_at_; ///< when a held input's end was not enough
    pid_t helper_ = 0;
    std::string heard_;
    bool terminated_ = false, timed_out_ = false, ended_ = false, waiting_ = false;
    Clock::time_point started_, drain_until_, next_tick_ = Clock::now() + tick_every;
};

std::string last_line(const Result& result) {
    for (const auto* stream : {&result.err, &result.out}) {
        const std::string all = redact(text::trim(*stream)); // a secret may have several lines
        if (!all.empty())
            return ": " + text::trim(all.substr(all.rfind('\n') + 1));
    }
    return {};
}

} // namespace

std::optional<Error> status_error(const Command& command, const Result& result) {
    const auto& expected = command.expected;
    if (expected.empty() ||
        std::find(expected.begin(), expected.end(), result.exit) != expected.end())
        return std::nullopt;
    if (result.signal)
        return Error("shell.signal", fmt::format("`{}` was killed by {}{}", describe(command),
                                                 signal_name(result.signal), last_line(result)));
    return Error("shell.exit", fmt::format("`{}` exited with status {}{}", describe(command),
                                           result.exit, last_line(result)));
}

Result run(const Command& command, Cancel& cancel) {
    Fd given_in(command.input_fd), given_out(command.output_fd); // taken over, also by a failure
    cancel.check(describe(command).c_str());
    return Running(command, cancel, std::move(given_in), std::move(given_out)).finish();
}

} // namespace runbook::process
