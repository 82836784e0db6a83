// Name look-ups and TCP connections with a deadline (contract in socket.h).
#include "runtime/net/socket.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace runbook::net {
namespace {

std::string reason(int error) {
    return text::lower(std::strerror(error));
}

std::string ip_of(const sockaddr* address, socklen_t size) {
    char host[NI_MAXHOST] = "";
    ::getnameinfo(address, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
    return host;
}

/// A look-up that runs on a thread of its own, because getaddrinfo cannot be interrupted: whoever
/// gives up leaves it behind, and it frees what it found.
struct Lookup {
    std::mutex mutex;
    bool done = false, abandoned = false;
    int error = 0, system_error = 0;
    addrinfo* found = nullptr;
    int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ~Lookup() {
        if (found)
            ::freeaddrinfo(found);
        ::close(wake);
    }
};

std::shared_ptr<Lookup> look_up(const Address& address, Patience& patience) {
    auto lookup = std::make_shared<Lookup>();
    std::thread([lookup, address] {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_ADDRCONFIG;
        addrinfo* found = nullptr;
        const std::string port = std::to_string(address.port);
        int error = ::getaddrinfo(address.host.c_str(), address.port ? port.c_str() : nullptr,
                                  &hints, &found);
        const int system_error = errno;
        std::lock_guard lock(lookup->mutex);
        lookup->error = error;
        lookup->system_error = system_error;
        lookup->found = error == 0 ? found : nullptr;
        lookup->done = true;
        ::eventfd_write(lookup->wake, 1);
    }).detach();
    patience.wait(lookup->wake, POLLIN);
    std::lock_guard lock(lookup->mutex);
    if (lookup->error != 0)
        throw Error("net.dns",
                    fmt::format("{}: cannot look up '{}': {}", patience.doing(), address.host,
                                lookup->error == EAI_SYSTEM
                                    ? reason(lookup->system_error)
                                    : text::lower(::gai_strerror(lookup->error))));
    return lookup;
}

} // namespace

Patience::Patience(std::chrono::milliseconds timeout, Cancel& cancel, std::string doing)
    : timeout_(timeout), deadline_(Clock::now() + timeout), cancel_(cancel),
      doing_(std::move(doing)), wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
      hook_(cancel, [this] { ::eventfd_write(wake_.fd, 1); }) {
    check();
}

Patience::Wake::~Wake() {
    ::close(fd);
}

std::chrono::milliseconds Patience::left() const {
    using std::chrono::milliseconds;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - Clock::now());
    return std::max(left + milliseconds(1), milliseconds(0)); // never wakes before the deadline
}

void Patience::expired() const {
    throw Error("net.timeout",
                fmt::format("{}: no answer within {}", doing_,
                            text::duration(static_cast<double>(timeout_.count()) / 1000)));
}

void Patience::check() const {
    cancel_.check(doing_.c_str());
    if (Clock::now() >= deadline_)
        expired();
}

void Patience::wait(int fd, short events) {
    while (!wait_for(fd, events, left())) {
    }
}

bool Patience::wait_for(int fd, short events, std::chrono::milliseconds most) {
    const auto until = Clock::now() + most;
    for (;;) {
        check();
        const auto now = Clock::now();
        if (now >= until)
            return false;
        const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(until - now);
        pollfd watched[2] = {{fd, events, 0}, {wake_.fd, POLLIN, 0}};
        const int ready =
            ::poll(watched, 2, static_cast<int>(std::min<std::int64_t>(rest.count(), 1 << 30)) + 1);
        if (ready < 0 && errno != EINTR)
            throw Error("internal", fmt::format("{}: poll: {}", doing_, reason(errno)));
        cancel_.check(doing_.c_str());
        if (ready > 0 && watched[0].revents != 0)
            return true;
    }
}

void pause(std::chrono::milliseconds length, Cancel& cancel, const std::string& doing) {
    Patience patience(length + std::chrono::hours(1), cancel, doing);
    patience.wait_for(-1, 0, length); // poll() passes over a negative descriptor
}

Socket::~Socket() {
    if (fd_ >= 0)
        ::close(fd_);
}

std::string Socket::peer() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (::getpeername(fd_, plain, &size) != 0)
        return "";
    return ip_of(plain, size);
}

void Socket::write(std::string_view data, Patience& patience) const {
    while (!data.empty()) {
        const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
        if (sent >= 0)
            data.remove_prefix(static_cast<std::size_t>(sent));
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            patience.wait(fd_, POLLOUT);
        else if (errno != EINTR)
            throw Error("net.connection", fmt::format("{}: {}", patience.doing(), reason(errno)));
    }
}

std::string Socket::read(std::size_t count, Patience& patience) const {
    std::string data(count, '\0');
    for (std::size_t have = 0; have < count;) {
        const ssize_t got = ::recv(fd_, data.data() + have, count - have, 0);
        if (got > 0)
            have += static_cast<std::size_t>(got);
        else if (got == 0)
            throw Error("net.connection", patience.doing() + ": the server closed the connection");
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            patience.wait(fd_, POLLIN);
        else if (errno != EINTR)
            throw Error("net.connection", fmt::format("{}: {}", patience.doing(), reason(errno)));
    }
    return data;
}

std::vector<std::string> resolve(const std::string& host, Patience& patience) {
    auto lookup = look_up({host, 0}, patience);
    std::vector<std::string> addresses;
    for (const addrinfo* at = lookup->found; at; at = at->ai_next) {
        std::string ip = ip_of(at->ai_addr, at->ai_addrlen);
        if (std::find(addresses.begin(), addresses.end(), ip) == addresses.end())
            addresses.push_back(std::move(ip));
    }
    return addresses;
}

Socket connect(const Address& address, Patience& patience) {
    auto lookup = look_up(address, patience);
    int rest = 0;
    for (const addrinfo* at = lookup->found; at; at = at->ai_next)
        ++rest;
    std::string failures;
    for (const addrinfo* at = lookup->found; at; at = at->ai_next, --rest) {
        Socket socket(
            ::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol));
        int error = socket.fd() < 0 ? errno : 0;
        if (!error && ::connect(socket.fd(), at->ai_addr, at->ai_addrlen) != 0) {
            error = errno;
            // An address that swallows packets leaves time for those after it.
            if (error == EINPROGRESS &&
                patience.wait_for(socket.fd(), POLLOUT, patience.left() / rest)) {
                socklen_t size = sizeof error;
                ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
            }
        }
        if (!error) {
            const int on = 1;
            ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return socket;
        }
        failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ",
                                ip_of(at->ai_addr, at->ai_addrlen),
                                error == EINPROGRESS ? "no answer" : reason(error));
    }
    throw Error("net.connection", fmt::format("{}: {}", patience.doing(), failures));
}

} // namespace runbook::net
