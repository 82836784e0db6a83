// A Redis server (or Valkey): one connection, commands one after the other. The protocol is
// hiredis'; the socket, its TLS, deadlines and cancelling are runtime/net's.
// Owns: the connection, which opens with the first command, and again after one that was lost. No
// command is ever sent twice. Blocks the calling worker thread, one at a time. Never touches Lua.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"
#include "runtime/net/stream.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runbook::redis {

struct Settings {
    net::Address address;
    std::string user, password; ///< empty: none
    int database = 0;
    std::optional<net::TlsTrust> tls;
    std::chrono::milliseconds timeout{10'000}; ///< of connecting, and of each command
};

/// Settings from redis://[user:password@]host[:port][/database], rediss:// for TLS. Throws
/// Error{`usage`}. A password in it becomes known to the redactor.
Settings parse_url(const std::string& url);

class Client {
  public:
    explicit Client(Settings settings);
    ~Client();
    const Settings& settings() const { return settings_; }
    /// "redis://host:6379/0", without user and password.
    std::string url() const;

    /// The server's answer: text, integer, null, a list. Throws Error{`redis.auth`,
    /// `redis.permission`, `redis.readonly`, `redis.busy`, `redis.command`} for what the server
    /// refused, `net.*` and `tls.invalid` for the connection. Where the answer to a command was
    /// lost after it was sent, the error is in doubt unless `reads`.
    Value command(const std::vector<std::string>& words, bool reads, Cancel& cancel);

    /// Calls `each` with the keys that match, batch by batch; a key may come twice (SCAN).
    void scan(const std::string& pattern, std::int64_t batch, Cancel& cancel,
              const std::function<void(std::vector<std::string>)>& each);

  private:
    struct Connection;
    Value exchange(const std::vector<std::string>& words, bool reads, Cancel& cancel);
    void connect(Cancel& cancel);

    Settings settings_;
    std::unique_ptr<Connection> connection_;
};

using ClientPtr = std::shared_ptr<Client>;

/// Keys that match, each once, sorted. Throws Error{`redis.limit`} where they are more than
/// `limit`.
std::vector<std::string> keys(Client& client, const std::string& pattern, std::int64_t limit,
                              Cancel& cancel);
/// Removes the keys that match (UNLINK, in batches), after it has counted them: with more than
/// `limit` nothing is removed, Error{`redis.limit`}. A pattern that matches everything is
/// Error{`usage`}. Returns how many were removed.
std::int64_t remove_matching(Client& client, const std::string& pattern, std::int64_t limit,
                             Cancel& cancel);
/// What INFO says: name = text or number, of one section or all.
Map info(Client& client, const std::string& section, Cancel& cancel);

} // namespace runbook::redis
