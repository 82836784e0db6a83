#include "runtime/backup/follower.h"

#include "runtime/base/error.h"
#include "runtime/base/files.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <vector>

namespace runbook::backup {

Follower::Follower(std::string file, Take take)
    : file_(std::move(file)), take_(std::move(take)),
      thread_([this](std::stop_token leave) { follow(leave); }) {}

Follower::~Follower() = default; // the thread is told to leave, and waited for

bool Follower::finish() {
    ended_ = true;
    thread_.join();
    if (failure_)
        std::rethrow_exception(failure_);
    return taken_ == files::size(file_);
}

void Follower::follow(std::stop_token leave) {
    constexpr std::size_t block_size = 1 << 20;
    constexpr off_t flush_every = 8 << 20;
    const int fd = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
    try {
        if (fd < 0)
            throw Error("fs", fmt::format("{}: cannot read: {}", file_, std::strerror(errno)));
        std::vector<char> block(block_size);
        off_t at = 0, flushed = 0;
        while (!leave.stop_requested()) {
            const bool ended = ended_; // before the read: what was written by then is seen by it
            const ssize_t got = ::pread(fd, block.data(), block.size(), at);
            if (got < 0)
                throw Error("fs", fmt::format("{}: cannot read: {}", file_, std::strerror(errno)));
            if (got == 0 && ended)
                break;
            if (got == 0) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                continue;
            }
            take_({block.data(), static_cast<std::size_t>(got)});
            at += got;
            taken_ = at;
            if (at - flushed >= flush_every) {
                ::sync_file_range(fd, flushed, at - flushed, SYNC_FILE_RANGE_WRITE);
                flushed = at;
            }
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    if (fd >= 0)
        ::close(fd);
}

} // namespace runbook::backup
