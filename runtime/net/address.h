// Host and port as people write them. Any thread, no state.
#pragma once

#include <string>
#include <string_view>

namespace runbook::net {

struct Address {
    std::string host; ///< a name, or an IP address without brackets
    int port = 0;     ///< 0: none was given
    /// "db:5432", "[::1]:5432"; without a port the host alone.
    std::string text() const;
};

/// Parses "host:port", "[::1]:port", "host" or an IP address. Throws Error{`usage`} that quotes the
/// text where it is none; where `needs_port`, also where the port is missing.
Address parse_address(std::string_view text, bool needs_port = true);

/// Whether the text is an IP address (4 or 6) and no name.
bool is_ip(const std::string& host);

} // namespace runbook::net
