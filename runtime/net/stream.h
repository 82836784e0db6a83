// A byte stream to a server, in clear text or inside of TLS. One user at a time; every call blocks
// its thread until the deadline or a cancel. Never touches Lua.
#pragma once

#include "runtime/net/socket.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace runbook::net {

/// Who is trusted, and who the client is.
struct TlsTrust {
    bool verify = true;    ///< false accepts any certificate
    std::string ca;        ///< PEM file of authorities; empty: the system's
    std::string cert, key; ///< PEM files of the client; both or none
};

class Stream {
  public:
    /// Connects; with `trust` in TLS, verified for the host of the address. Throws `net.*`, and
    /// `tls.invalid` where the server is not trusted.
    static Stream open(const Address& address, const std::optional<TlsTrust>& trust,
                       Patience& patience);
    ~Stream();
    Stream(Stream&&) noexcept;
    Stream& operator=(Stream&&) noexcept;

    void write(std::string_view data, Patience& patience);
    /// What has come, at least one byte; empty where the server has closed the connection.
    std::string read(Patience& patience);

  private:
    struct State;
    explicit Stream(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace runbook::net
