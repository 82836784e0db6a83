// Host and port as people write them (contract in address.h).
#include "runtime/net/address.h"

#include "runtime/base/error.h"

#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>
#include <netinet/in.h>

namespace runbook::net {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* why) {
    throw Error("usage", fmt::format("'{}' is no address: {}", text, why),
                "write host:port, for example db.example.com:5432 or [::1]:5432");
}

bool is_ip6(const std::string& host) {
    in6_addr six{};
    return ::inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

} // namespace

bool is_ip(const std::string& host) {
    in_addr four{};
    return ::inet_pton(AF_INET, host.c_str(), &four) == 1 || is_ip6(host);
}

std::string Address::text() const {
    const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return port ? fmt::format("{}:{}", shown, port) : shown;
}

Address parse_address(std::string_view text, bool needs_port) {
    Address address;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos)
            refuse(text, "']' is missing");
        address.host = text.substr(1, end - 1);
        if (!is_ip6(address.host))
            refuse(text, "between brackets stands an IPv6 address");
        std::string_view rest = text.substr(end + 1);
        has_port = rest.starts_with(':');
        if (!rest.empty() && !has_port)
            refuse(text, "after ']' comes :port");
        port = has_port ? rest.substr(1) : rest;
    } else if (is_ip6(std::string(text))) {
        address.host = text;
    } else {
        const std::size_t colon = text.rfind(':');
        address.host = text.substr(0, colon);
        has_port = colon != std::string_view::npos;
        port = has_port ? text.substr(colon + 1) : std::string_view{};
    }
    if (address.host.empty())
        refuse(text, "the host is missing");
    if (address.host.find_first_of("/@ \t\r\n?#") != std::string::npos ||
        (address.host.find(':') != std::string::npos && !is_ip6(address.host)))
        refuse(text, "a host name holds letters, digits, dots and hyphens");
    if (has_port) {
        const auto [end, error] =
            std::from_chars(port.data(), port.data() + port.size(), address.port);
        if (error != std::errc() || end != port.data() + port.size() || address.port < 1 ||
            address.port > 65535)
            refuse(text, "the port is a number from 1 to 65535");
    } else if (needs_port) {
        refuse(text, "the port is missing");
    }
    return address;
}

} // namespace runbook::net
