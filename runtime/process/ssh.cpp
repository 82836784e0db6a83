// See ssh.h; the other side's half stands in ssh_script.cpp.
#include "runtime/process/ssh.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/process/command.h"
#include "runtime/process/ssh_script.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::process {
namespace {

constexpr int ssh_failed = 255; ///< ssh(1): "or with 255 if an error occurred"

std::string new_mark() {
    return "runbook-" + digest::hex(digest::random(8));
}

/// Messages of the other side, which come among the lines of its standard error.
class Messages : public OutputSink {
  public:
    Messages(std::string mark, ProgressPtr sink)
        : mark_(std::move(mark) + " "), sink_(std::move(sink)), receiver_(sink_.get()) {}

    void report(const ProgressReport&) override {}
    void line(std::string_view stream, std::string_view text) override {
        lines(stream, std::string(text) + "\n");
    }
    void lines(std::string_view stream, std::string text) override {
        if (stream == "stderr" && text.find(mark_) != std::string::npos)
            text = taken(text);
        receiver_.lines(stream, std::move(text));
    }
    bool full() const override { return receiver_.full(); }

    bool has(std::string_view message) const {
        return std::find(messages_.begin(), messages_.end(), message) != messages_.end();
    }
    /// What follows `word` in each message that begins with it.
    std::vector<std::string> all(std::string_view word) const {
        std::vector<std::string> found;
        for (const auto& message : messages_)
            if (message.starts_with(word) && message.size() > word.size())
                found.push_back(message.substr(word.size() + 1));
        return found;
    }
    /// The text without the messages in it.
    std::string without(const std::string& text) const {
        std::string kept;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
            const std::string_view line = std::string_view(text).substr(at, end - at);
            kept += line.substr(0, line.find(mark_));
            at = end;
        }
        return kept;
    }

  private:
    /// The block without its messages, which are kept; one may stand behind an unfinished line of
    /// the command's own.
    std::string taken(std::string_view block) {
        std::string own;
        each_line(block, [&](std::string_view line) {
            const std::size_t at = line.find(mark_);
            if (at != std::string_view::npos)
                messages_.emplace_back(line.substr(at + mark_.size()));
            if (at != 0)
                own.append(line.substr(0, at)) += '\n';
        });
        return own;
    }

    std::string mark_;
    ProgressPtr sink_;
    OutputReceiver receiver_;
    std::vector<std::string> messages_; ///< written on the thread of run_remote alone
};

std::vector<std::string> arguments(const Remote& remote) {
    std::vector<std::string> argv{"ssh", "-T"};
    auto option = [&](const std::string& text) {
        argv.emplace_back("-o");
        argv.push_back(text);
    };
    if (!remote.config.empty())
        argv.insert(argv.end(), {"-F", remote.config});
    option("BatchMode=yes");
    option("LogLevel=ERROR");
    option("ClearAllForwardings=yes");
    option("PermitLocalCommand=no");
    option("RemoteCommand=none");
    option("RequestTTY=no");
    option("EscapeChar=none");
    option("ControlMaster=no"); // uses a master that is there, and leaves none behind
    option("ServerAliveInterval=10");
    option("ServerAliveCountMax=3");
    option(fmt::format("ConnectTimeout={}",
                       std::max<std::int64_t>(1, remote.connect_timeout.count() / 1000)));
    if (remote.port)
        argv.insert(argv.end(), {"-p", std::to_string(*remote.port)});
    if (!remote.identity.empty()) {
        argv.insert(argv.end(), {"-i", remote.identity});
        option("IdentitiesOnly=yes");
    }
    if (!remote.known_hosts.empty())
        option("UserKnownHostsFile=" + remote.known_hosts);
    if (!remote.jump.empty())
        argv.insert(argv.end(), {"-J", remote.jump});
    argv.insert(argv.end(), {"--", remote.target, remote_loader});
    return argv;
}

std::string last_line(const std::string& text) {
    const std::string all = redact(text::trim(text)); // a secret may have several lines
    return text::trim(all.substr(all.rfind('\n') + 1));
}

/// What ssh's own last words mean for who reads them.
std::string advice(const std::string& said) {
    auto has = [&](std::string_view words) { return said.find(words) != std::string::npos; };
    if (has("Permission denied"))
        return "no key was accepted: try `ssh -o BatchMode=yes` with the same target, check the "
               "agent "
               "(SSH_AUTH_SOCK) and `identity`";
    if (has("Host key verification failed") || has("HOST IDENTIFICATION HAS CHANGED"))
        return "the host's key is not the known one, or none is known: connect once by hand and "
               "compare its fingerprint, or give `known_hosts`";
    return "";
}

class RemoteRun {
  public:
    RemoteRun(const Remote& remote, const Command& command)
        : remote_(remote), command_(command), mark_(new_mark()),
          messages_(std::make_shared<Messages>(mark_, command.sink)) {
        command_.label = fmt::format("{}` on `{}", describe(command), remote.target);
    }

    Result run(Cancel& cancel) {
        check(command_);
        const Command local = to_local();
        const auto begun_at = std::chrono::steady_clock::now();
        Result result;
        try {
            result = process::run(local, cancel);
        } catch (const Error& error) {
            if (error.kind() == "shell.not_found")
                throw Error("shell.not_found", error.message(),
                            "install OpenSSH's client (openssh-client)");
            if (error.kind() != "shell.timeout" && error.kind() != "timeout" &&
                error.kind() != "cancelled")
                throw;
            throw_ended(error);
        }
        result.elapsed =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_at).count();
        result.err = messages_->without(result.err);
        result.left = messages_->all("left");
        judge(result);
        return result;
    }

  private:
    Command to_local() const {
        Command local;
        local.argv = arguments(remote_);
        local.input = remote_stream(command_, mark_, input_text(command_.input));
        local.hold_input = true;
        local.timeout = command_.timeout;
        local.grace = command_.grace;
        local.expected.clear();
        local.reads = command_.reads;
        local.kill_leftovers = true; // of ssh itself: a proxy command
        local.keep_bytes = command_.keep_bytes;
        local.sink = messages_;
        local.tick = command_.tick;
        local.label = command_.label;
        return local;
    }

    /// A cancel or a limit: what is known of the other side.
    [[noreturn]] void throw_ended(const Error& error) {
        if (!messages_->has("begun")) {
            Error before(error.kind(), error.message() + "; it had not begun there", error.hint());
            throw before.set_in_doubt(false);
        }
        const bool seen = messages_->has("ended");
        Error after(error.kind(),
                    error.message() + (seen ? "; everything it started there has ended"
                                            : "; whether it goes on there is not known"),
                    seen ? error.hint() : "look on the host before going on");
        throw after.set_in_doubt(!command_.reads);
    }

    void judge(Result& result) {
        const std::string last = last_line(result.err);
        const std::string what = last.empty() ? "" : ": " + last;
        if (!messages_->has("begun")) {
            if (result.exit == ssh_failed && !result.signal)
                throw Error("ssh.connection", fmt::format("ssh {}{}", remote_.target, what),
                            advice(result.err));
            throw Error("ssh.connection",
                        fmt::format("ssh {}: the host did not run the command (status {}){}",
                                    remote_.target, result.exit, what),
                        "it wants a POSIX shell `sh`, and a login shell that runs it");
        }
        const bool own = messages_->has(fmt::format("exit {}", ssh_failed));
        if (result.signal || (result.exit == ssh_failed && !own)) {
            Error error(
                "ssh.connection",
                fmt::format("`{}`: the connection was lost while it ran{}", command_.label, what),
                "what it started there is ended as soon as the host notices");
            throw error.set_in_doubt(!command_.reads);
        }
        if (const auto reasons = messages_->all("cwd"); !reasons.empty())
            throw Error("fs", fmt::format("`{}`: working folder '{}': {}", command_.label,
                                          command_.cwd, redact(reasons[0])));
        if (messages_->has("missing"))
            throw Error("shell.not_found", fmt::format("`{}`: no program '{}' in PATH",
                                                       command_.label, redact(command_.argv[0])));
        if (auto error = status_error(command_, result))
            throw *error;
    }

    const Remote& remote_;
    Command command_;
    std::string mark_;
    std::shared_ptr<Messages> messages_;
};

} // namespace

void check_target(const std::string& target) {
    const bool fine =
        !target.empty() && target[0] != '-' && target.find("@-") == std::string::npos &&
        std::none_of(target.begin(), target.end(), [](unsigned char c) {
            return c <= ' ' || c == 127 ||
                   std::string_view("'\"`\\$;&|<>(){}*?!").find(static_cast<char>(c)) !=
                       std::string_view::npos;
        });
    if (!fine)
        throw Error("usage", fmt::format("ssh: '{}' is not a host", redact(target)),
                    "write host or user@host");
}

Result run_remote(const Remote& remote, const Command& command, Cancel& cancel) {
    check_target(remote.target);
    if (!remote.jump.empty())
        check_target(remote.jump);
    return RemoteRun(remote, command).run(cancel);
}

} // namespace runbook::process
