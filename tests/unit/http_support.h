// A real HTTP server on a free port of the loopback, answering from a function. One request a
// connection.
#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <fmt/format.h>
#include <functional>
#include <mutex>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace test {

class Server {
  public:
    struct Seen {
        std::string head, body; ///< head: request line and headers, as they came
    };
    /// `number` counts the requests from 1. The function returns the raw answer; empty closes
    /// without one.
    using Answer = std::function<std::string(const Seen&, int number)>;

    explicit Server(Answer answer) : answer_(std::move(answer)) {
        listen_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        ::bind(listen_, reinterpret_cast<sockaddr*>(&address), size);
        ::listen(listen_, 16);
        ::getsockname(listen_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~Server() {
        stopping_ = true;
        ::shutdown(listen_, SHUT_RDWR);
        thread_.join();
        ::close(listen_);
    }
    int port() const { return port_; }
    std::string url(const std::string& path = "/") const {
        return fmt::format("http://127.0.0.1:{}{}", port_, path);
    }
    std::vector<Seen> seen() {
        std::lock_guard lock(mutex_);
        return seen_;
    }

  private:
    void serve() {
        for (int number = 1; !stopping_; ++number) {
            int fd = ::accept4(listen_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0)
                return;
            Seen seen = read_request(fd);
            {
                std::lock_guard lock(mutex_);
                seen_.push_back(seen);
            }
            std::string answer = answer_(seen, number);
            for (std::size_t at = 0; at < answer.size();) {
                ssize_t n = ::send(fd, answer.data() + at, answer.size() - at, MSG_NOSIGNAL);
                if (n <= 0)
                    break;
                at += static_cast<std::size_t>(n);
            }
            ::close(fd);
        }
    }
    static Seen read_request(int fd) {
        std::string text;
        std::size_t end = std::string::npos, want = 0;
        char block[65536];
        while (end == std::string::npos || text.size() < end + 4 + want) {
            ssize_t n = ::recv(fd, block, sizeof block, 0);
            if (n <= 0)
                break;
            text.append(block, static_cast<std::size_t>(n));
            end = text.find("\r\n\r\n");
            std::size_t length = text.find("Content-Length: ");
            if (end != std::string::npos && length < end)
                want = std::stoul(text.substr(length + 16));
        }
        if (end == std::string::npos)
            return {text, ""};
        return {text.substr(0, end + 2), text.substr(end + 4)};
    }

    Answer answer_;
    int listen_ = -1, port_ = 0;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
    std::mutex mutex_;
    std::vector<Seen> seen_;
};

inline std::string answer(int status, const std::string& body = "",
                          const std::string& headers = "") {
    return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}",
                       status, body.size(), headers, body);
}

/// A port on which nobody listens.
inline int free_port() {
    Server server([](const Server::Seen&, int) { return std::string(); });
    return server.port();
}

} // namespace test
