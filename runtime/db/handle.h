// A database as the language holds it: a URL, what may be done with it, and one session that opens
// on first use. Owns: the session and its worker thread. A statement runs on that worker;
// everything else says where it runs. A lost session is reported once, by the statement that lost
// it; the next statement outside a transaction opens a new one. Never includes a Lua header.
#pragma once

#include "runtime/db/connection.h"

#include <memory>
#include <string>
#include <string_view>

namespace runbook {
class Worker;
}

namespace runbook::db {

/// A result that is still being read: closed when another statement takes the session.
class LiveResult {
  public:
    virtual ~LiveResult() = default;
    /// Loop thread. Reading on raises an error from here on.
    virtual void supersede() = 0;
};

/// "read", "write", "admin"; throws Error{`argument`}.
Access parse_access(std::string_view word);

class Handle {
  public:
    /// `name` is the parameter it came from ("target"), for hints; empty where it has none.
    Handle(Url url, Access access, std::string name);

    const Url& url() const;
    Access access() const;
    const std::string& name() const;
    /// The URL's port, or the engine's default.
    int port() const;
    std::chrono::milliseconds timeout() const { return timeout_; }
    /// The same session, with a limit for each statement.
    std::shared_ptr<Handle> with_timeout(std::chrono::milliseconds timeout) const;
    /// The same session, waiting for locks no longer than this.
    std::shared_ptr<Handle> with_lock_timeout(std::chrono::milliseconds timeout) const;
    const std::shared_ptr<Worker>& worker() const;

    /// Worker thread. The open session, read-only unless `may_write`. Errors: those of connect(),
    /// and `db.connection` where the session of an open transaction is gone.
    Connection& session(bool may_write, Cancel& cancel);
    /// Worker thread. The session that is open, for what ends with it; expired where none is.
    std::weak_ptr<Connection> open_session() const;
    /// Worker thread. Transactions of the language; statements after a loss stay refused until one
    /// of these ends it.
    void begin(bool may_write, Cancel& cancel);
    void commit(Cancel& cancel);
    void rollback(Cancel& cancel);
    /// Worker thread. The next statement connects anew.
    void close();

    /// Loop thread. `task` identifies the caller: throws Error{`usage`} while another task's
    /// transaction is open. Closes the result that is still being read, if any.
    void take(const void* task);
    /// Loop thread. The task whose transaction is open, or null.
    void set_owner(const void* task);
    const void* owner() const;
    void set_live(const std::shared_ptr<LiveResult>& live);

  private:
    struct Core;
    explicit Handle(std::shared_ptr<Core> core) : core_(std::move(core)) {}
    std::shared_ptr<Core> core_;
    void apply_lock_timeout(Cancel& cancel);
    std::chrono::milliseconds timeout_{0}, lock_timeout_{0};
};

} // namespace runbook::db
