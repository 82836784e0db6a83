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
    kept_.append(data);
    if (kept_.size() > 2 * keep_)
        kept_.erase(0, kept_.size() - keep_);
    if (sink_)
        split(redactor_.write(data));
}

void OutputStream::split(std::string_view data) {
    for (std::size_t at = 0; at < data.size();) {
        std::size_t end = data.find('\n', at);
        std::size_t stop = end == std::string_view::npos ? data.size() : end;
        line_.append(data.substr(at, stop - at));
        if (end != std::string_view::npos || line_.size() >= longest_line) {
            emit(line_);
            line_.clear();
        }
        at = end == std::string_view::npos ? stop : end + 1;
    }
}

void OutputStream::finish() {
    if (sink_)
        split(redactor_.finish());
    if (sink_ && !line_.empty())
        emit(line_);
    line_.clear();
}

std::string OutputStream::take() {
    if (total_ > static_cast<std::int64_t>(kept_.size()) || kept_.size() > keep_) {
        kept_.erase(0, kept_.size() - std::min(kept_.size(), keep_));
        // Not from the middle of a line: half a secret would not be known as one.
        const std::size_t line = kept_.find('\n');
        if (line < longest_line && line + 1 < kept_.size())
            kept_.erase(0, line + 1);
    }
    return std::move(kept_);
}

void OutputStream::emit(std::string_view line) {
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    sink_->line(name_, line);
}

} // namespace runbook::process
