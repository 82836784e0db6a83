// A prepared statement as the language holds it: its SQL, and the session of a Handle that it was
// prepared in. It lives and dies with that session and is never prepared again in silence. Never
// includes a Lua header.
#pragma once

#include "runtime/db/handle.h"
#include "runtime/db/prepared.h"

#include <memory>
#include <string>

namespace runbook::db {

class Statement {
  public:
    Statement(std::shared_ptr<Handle> handle, std::string sql);
    /// Any thread; what the server holds is closed on the connection's worker.
    ~Statement();
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    const std::shared_ptr<Handle>& handle() const { return handle_; }
    const std::string& sql() const { return sql_; }

    /// Worker thread. Prepares it in the handle's session. Errors: those of db::prepare and
    /// Handle::session.
    void prepare(bool may_write, Cancel& cancel);
    /// Worker thread. The statement, its session read-only unless `may_write`; one that was not
    /// prepared yet is prepared now. Throws Error{`usage`} where it was closed, or its session has
    /// ended.
    Prepared& use(bool may_write, Cancel& cancel);
    /// Worker thread. Closing twice does nothing.
    void close();

  private:
    /// What the server holds; touched on the worker only.
    struct Held {
        std::weak_ptr<Connection> session;
        Prepared* prepared = nullptr;
        bool made = false, closed = false;
        void drop();
    };
    std::shared_ptr<Handle> handle_;
    std::string sql_;
    std::shared_ptr<Held> held_;
};

} // namespace runbook::db
