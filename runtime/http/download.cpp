// Bodies into files: beside the target first, whole and checked before it takes the target's place.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/http/attempt.h"
#include "runtime/http/hub.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::http {
namespace {

[[noreturn]] void fail(const std::string& path, int error) {
    throw Error("fs", fmt::format("{}: {}", path, text::lower(std::strerror(error))));
}

/// The partial file: its descriptor, how much of it is there, and the digest of that.
class Partial {
  public:
    Partial(const Download& to, Cancel& cancel) : path_(to.path + ".partial") {
        fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd_ < 0)
            fail(path_, errno);
        if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            ::close(fd_);
            throw Error("fs", fmt::format("{}: another download is writing it", path_));
        }
        if (to.resume)
            take_over(cancel);
        else
            restart();
    }
    ~Partial() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    Partial(const Partial&) = delete;
    Partial& operator=(const Partial&) = delete;

    std::int64_t size() const { return size_; }
    int problem() const { return problem_; }

    void restart() {
        if (::ftruncate(fd_, 0) != 0)
            fail(path_, errno);
        size_ = 0;
        digest_.emplace();
    }

    bool append(std::string_view data) {
        while (!data.empty()) {
            const ssize_t n = ::pwrite(fd_, data.data(), data.size(), size_);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0) {
                problem_ = n < 0 ? errno : ENOSPC;
                return false;
            }
            digest_->update(data.substr(0, static_cast<std::size_t>(n)));
            data.remove_prefix(static_cast<std::size_t>(n));
            size_ += n;
        }
        return true;
    }

    std::string hex() { return digest_->hex(); }

    /// Durable under its own name: the file, then the name.
    void take_place(const Download& to) {
        struct stat old {};
        const bool replaces = ::stat(to.path.c_str(), &old) == 0;
        const mode_t mode = replaces ? old.st_mode & 07777 : static_cast<mode_t>(to.mode);
        if (::fchmod(fd_, mode) != 0 || ::fsync(fd_) != 0)
            fail(path_, errno);
        if (::rename(path_.c_str(), to.path.c_str()) != 0)
            fail(to.path, errno);
        const auto slash = to.path.rfind('/');
        const std::string folder = slash == std::string::npos ? "."
                                   : slash == 0               ? "/"
                                                              : to.path.substr(0, slash);
        const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0) {
            ::fsync(directory);
            ::close(directory);
        }
    }

    void remove() { ::unlink(path_.c_str()); }

  private:
    void take_over(Cancel& cancel) {
        std::string block(1 << 20, '\0');
        for (ssize_t n; (n = ::pread(fd_, block.data(), block.size(), size_)) != 0;) {
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                fail(path_, errno);
            cancel.check("http.download");
            digest_->update({block.data(), static_cast<std::size_t>(n)});
            size_ += n;
        }
    }

    std::string path_;
    int fd_ = -1, problem_ = 0;
    std::int64_t size_ = 0;
    std::optional<digest::Sha256> digest_{std::in_place};
};

/// Where the part that the server sends begins; -1 where it does not say.
std::int64_t begins_at(const Response& response) {
    const std::string text(response.header("content-range"));
    return text.starts_with("bytes ") ? std::atoll(text.c_str() + 6) : -1;
}

Response attempt_download(const Request& request, Partial& partial, Cancel& cancel) {
    Request one = request;
    one.retry = {};
    one.any_status = true;
    const std::int64_t from = partial.size();
    if (from > 0)
        one.headers.emplace_back("Range", fmt::format("bytes={}-", from));
    bool begun = false;
    one.sink = [&](int status, std::string_view data) {
        if (!begun && status != 206)
            partial.restart(); // the whole, whatever was asked for
        begun = true;
        return partial.append(data);
    };
    Response response;
    try {
        response = http::request(one, cancel);
    } catch (const Error&) {
        if (partial.problem())
            fail("http.download", partial.problem());
        throw;
    }
    if (response.status == 206 && begins_at(response) != from)
        throw Error("http.status",
                    fmt::format("GET {}: asked for the bytes from {}, got '{}'",
                                mask_url(request.url), from, response.header("content-range")));
    if (!begun && response.status >= 200 && response.status < 300)
        partial.restart(); // an empty body
    return response;
}

bool may_help(const Error& error) {
    return error.kind() == "http.connection" || error.kind() == "http.timeout";
}

} // namespace

Downloaded download(const Request& request, const Download& to, Cancel& cancel) {
    if (to.resume && to.sha256.empty())
        throw Error("usage", fmt::format("GET {}: resume wants sha256", mask_url(request.url)),
                    "without a digest nothing tells whether the rest belongs to what is there");
    Partial partial(to, cancel);
    Downloaded result;
    result.resumed_from = partial.size();
    const std::vector<int>& again = request.retry.statuses;
    for (result.attempts = 1;; ++result.attempts) {
        const bool last = result.attempts >= request.retry.attempts;
        auto delay = request.retry.initial;
        for (int i = 1; i < result.attempts; ++i)
            delay = std::min(request.retry.max_delay,
                             std::chrono::milliseconds(static_cast<std::int64_t>(
                                 static_cast<double>(delay.count()) * request.retry.backoff)));
        try {
            const Response response = attempt_download(request, partial, cancel);
            if (response.status == 416 && partial.size() > 0) { // what is there is not of this file
                partial.restart();
                result.resumed_from = 0;
                if (!last)
                    continue;
            }
            if (response.status == 200)
                result.resumed_from = 0;
            if (response.status == 200 || response.status == 206)
                break;
            if (last || std::find(again.begin(), again.end(), response.status) == again.end())
                throw unexpected_status(request, response);
        } catch (const Error& error) {
            if (!to.resume && (last || !may_help(error)))
                partial.remove();
            if (last || !may_help(error))
                throw;
            if (!to.resume)
                partial.restart();
        }
        wait_for([&] { return pause(delay, cancel, "GET " + mask_url(request.url)); });
    }
    result.bytes = partial.size();
    result.sha256 = partial.hex();
    if (!to.sha256.empty() && result.sha256 != text::lower(to.sha256)) {
        partial.remove();
        throw Error("http.digest",
                    fmt::format("GET {}: the digest of the {} received is {}, expected {}",
                                mask_url(request.url), text::bytes(result.bytes), result.sha256,
                                text::lower(to.sha256)),
                    "it was thrown away; the file is as it was before");
    }
    partial.take_place(to);
    return result;
}

} // namespace runbook::http
