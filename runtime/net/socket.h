// Name look-ups and TCP connections with a deadline.
// Owns: the socket. Everything blocks the calling worker thread; a cancel or the deadline ends it
// at once. Never touches Lua.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/net/address.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::net {

using Clock = std::chrono::steady_clock;

/// How long something may take, and who may end it earlier. Waits for a socket and for a cancel at
/// the same time. One thread.
class Patience {
  public:
    /// `doing` is what the errors say: "connecting to db:5432".
    Patience(std::chrono::milliseconds timeout, Cancel& cancel, std::string doing);
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;

    /// Returns when `fd` is ready for `events` (poll(2)). Throws Error{`net.timeout`} at the
    /// deadline, Error{`cancelled`} or Error{`timeout`} where that was asked for.
    void wait(int fd, short events);
    /// The same for at most so long; false where it was not ready by then.
    bool wait_for(int fd, short events, std::chrono::milliseconds most);
    /// Throws as wait() does, without waiting.
    void check() const;
    /// Milliseconds until the deadline, at least 0.
    std::chrono::milliseconds left() const;
    const std::string& doing() const { return doing_; }

  private:
    [[noreturn]] void expired() const;

    std::chrono::milliseconds timeout_;
    Clock::time_point deadline_;
    Cancel& cancel_;
    std::string doing_;
    struct Wake {
        int fd;
        ~Wake();
    };
    Wake wake_;         ///< an eventfd that the cancel writes to
    Cancel::Hook hook_; ///< after it: gone before it
};

/// A connected, non-blocking socket; closed with the object.
class Socket {
  public:
    explicit Socket(int fd) : fd_(fd) {}
    ~Socket();
    Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    int fd() const { return fd_; }
    /// Gives the descriptor away.
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    /// IP address and port of the other side.
    std::string peer() const;
    void write(std::string_view data, Patience& patience) const;
    /// Exactly so many bytes. Throws Error{`net.connection`} where the other side ends before.
    std::string read(std::size_t count, Patience& patience) const;

  private:
    int fd_;
};

/// Waits so long. Throws Error{`cancelled`} or Error{`timeout`} where that was asked for.
void pause(std::chrono::milliseconds length, Cancel& cancel, const std::string& doing);

/// The IP addresses of a host in the order in which the system would try them. Throws
/// Error{`net.dns`}.
std::vector<std::string> resolve(const std::string& host, Patience& patience);

/// Connects to the first address of the host that answers. Throws Error{`net.dns`},
/// Error{`net.connection`} (which names each address and what it said), or as Patience::wait().
Socket connect(const Address& address, Patience& patience);

} // namespace runbook::net
