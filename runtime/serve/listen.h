// Where `runbook serve` listens. Any thread. Owns: the socket until it is handed on.
#pragma once

#include <string>
#include <string_view>

namespace runbook::serve {

class Listener {
  public:
    /// Binds "127.0.0.1:7411", "[::1]:7411" or "localhost:7411" and listens; port 0 takes a free
    /// one. Throws Error{`usage`}: no such address, one that other hosts reach without
    /// `beyond_loopback`, a port that is taken or not for this user.
    Listener(std::string_view address, bool beyond_loopback);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// "http://127.0.0.1:7411/", with the port that was taken.
    const std::string& url() const { return url_; }
    /// Whether other hosts reach it.
    bool beyond_loopback() const { return beyond_; }
    /// The socket, which belongs to the caller from here on.
    int release();

  private:
    int socket_ = -1;
    bool beyond_ = false;
    std::string url_;
};

} // namespace runbook::serve
