// KILL QUERY for one session of MySQL or MariaDB, over a connection of its own: what stops a
// statement from another thread. Internal to runtime/transfer/copy.
#pragma once

#include "runtime/db/connection.h"

#include <cstdint>

namespace runbook::copy {

class MysqlKiller {
  public:
    MysqlKiller(const db::Url& url, db::Connection& connection);
    /// Never throws: where the session is gone already, its thread finds out by itself.
    void kill() const noexcept;

  private:
    db::Url url_;
    unsigned long id_;
};

} // namespace runbook::copy
