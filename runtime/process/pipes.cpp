#include "runtime/process/pipes.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <unistd.h>

namespace runbook::process {
namespace {

constexpr std::size_t longest_line = 64 * 1024; ///< a "line" without end is handed on in pieces

} // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

void Fd::close() {
    if (fd_ >= 0)
        ::close(fd_);
    fd_ = -1;
}

ssize_t write_pipe(int fd, std::string_view data) {
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t n = ::write(fd, data.data(), data.size());
    int error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        timespec zero{};
        sigtimedwait(&pipe_signal, nullptr, &zero); // take back the one that this write raised
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return n;
}

void OutputStream::append(std::string_view data) {
    total_ += static_cast<std::int64_t>(data.size());
    if (kept_.size() >= keep_)
        earlier_ = std::exchange(kept_, {});
    kept_.append(data);
    if (receiver_)
        hand_on(redactor_.write(data));
}

void OutputStream::hand_on(std::string redacted) {
    if (!line_.empty()) {
        line_ += redacted;
        redacted = std::exchange(line_, {});
    }
    const std::size_t end = redacted.rfind('\n') + 1; // 0: not even one line
    if (redacted.size() - end >= longest_line) {
        redacted += '\n';
    } else if (end < redacted.size()) {
        line_ = redacted.substr(end);
        redacted.erase(end);
    }
    receiver_.lines(name_, std::move(redacted));
}

void OutputStream::finish() {
    if (!receiver_)
        return;
    hand_on(redactor_.finish());
    if (!line_.empty())
        receiver_.lines(name_, std::exchange(line_, {}) + "\n");
}

std::string OutputStream::take() {
    if (kept_.size() < keep_ && !earlier_.empty())
        kept_.insert(0, earlier_,
                     earlier_.size() - std::min(earlier_.size(), keep_ - kept_.size()));
    if (total_ > static_cast<std::int64_t>(kept_.size()) || kept_.size() > keep_) {
        kept_.erase(0, kept_.size() - std::min(kept_.size(), keep_));
        // Not from the middle of a line: half a secret would not be known as one.
        const std::size_t line = kept_.find('\n');
        if (line < longest_line && line + 1 < kept_.size())
            kept_.erase(0, line + 1);
    }
    return std::move(kept_);
}

} // namespace runbook::process
