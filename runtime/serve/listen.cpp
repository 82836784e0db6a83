#include "runtime/serve/listen.h"

#include "runtime/base/error.h"
#include "runtime/net/address.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace runbook::serve {
namespace {

constexpr int waiting_connections = 64;

struct Bound {
    sockaddr_storage storage{};
    socklen_t size = 0;
    bool loopback = false;

    sockaddr* address() { return reinterpret_cast<sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
};

Bound address_of(const net::Address& given) {
    Bound bound;
    in_addr four{};
    in6_addr six{};
    const std::string host = given.host == "localhost" ? "127.0.0.1" : given.host;
    if (::inet_pton(AF_INET, host.c_str(), &four) == 1) {
        auto& place = reinterpret_cast<sockaddr_in&>(bound.storage);
        place.sin_family = AF_INET;
        place.sin_addr = four;
        place.sin_port = htons(static_cast<std::uint16_t>(given.port));
        bound.size = sizeof(sockaddr_in);
        bound.loopback = (ntohl(four.s_addr) >> 24) == 127;
    } else if (::inet_pton(AF_INET6, host.c_str(), &six) == 1) {
        auto& place = reinterpret_cast<sockaddr_in6&>(bound.storage);
        place.sin6_family = AF_INET6;
        place.sin6_addr = six;
        place.sin6_port = htons(static_cast<std::uint16_t>(given.port));
        bound.size = sizeof(sockaddr_in6);
        bound.loopback = IN6_IS_ADDR_LOOPBACK(&six);
    } else {
        throw Error("usage", fmt::format("--listen {}: an IP address expected", given.text()),
                    "for example 127.0.0.1:7411 or [::1]:7411");
    }
    return bound;
}

/// "127.0.0.1:0" asks for any free port, which is no port that could be connected to.
net::Address parse(std::string_view text) {
    const bool any_port = text.ends_with(":0");
    try {
        return net::parse_address(any_port ? text.substr(0, text.size() - 2) : text, !any_port);
    } catch (const Error& error) {
        throw Error("usage", "--listen: " + error.message(),
                    "for example 127.0.0.1:7411 or [::1]:7411");
    }
}

int port_of(int socket) {
    Bound bound;
    bound.size = sizeof bound.storage;
    if (::getsockname(socket, bound.address(), &bound.size) != 0)
        return 0;
    return ntohs(bound.family() == AF_INET6
                     ? reinterpret_cast<sockaddr_in6&>(bound.storage).sin6_port
                     : reinterpret_cast<sockaddr_in&>(bound.storage).sin_port);
}

std::string hint_of(int problem, int port) {
    switch (problem) {
    case EADDRINUSE:
        return fmt::format("another process has it: ss -ltnp 'sport = :{}' names it; or give "
                           "another port",
                           port);
    case EACCES:
        return "ports below 1024 are the superuser's: give a higher one";
    case EADDRNOTAVAIL:
        return "this host has no such address: `ip address` lists its own";
    default:
        return {};
    }
}

} // namespace

Listener::Listener(std::string_view address, bool beyond_loopback) {
    net::Address given = parse(address);
    Bound bound = address_of(given);
    beyond_ = !bound.loopback;
    if (beyond_ && !beyond_loopback)
        throw Error("usage",
                    fmt::format("--listen {}: other hosts could reach it, and what is served is "
                                "not encrypted",
                                address),
                    "listen on 127.0.0.1 behind a proxy with TLS; or say --beyond-loopback");
    socket_ = ::socket(bound.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1;
    if (socket_ >= 0) // a port that was just left may be taken again at once
        ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (socket_ < 0 || ::bind(socket_, bound.address(), bound.size) != 0 ||
        ::listen(socket_, waiting_connections) != 0) {
        const int problem = errno;
        if (socket_ >= 0)
            ::close(socket_);
        throw Error("usage", fmt::format("--listen {}: {}", address, std::strerror(problem)),
                    hint_of(problem, given.port));
    }
    given.port = port_of(socket_);
    url_ = fmt::format("http://{}/", given.text());
}

Listener::~Listener() {
    if (socket_ >= 0)
        ::close(socket_);
}

int Listener::release() {
    return std::exchange(socket_, -1);
}

} // namespace runbook::serve
