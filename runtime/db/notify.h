// PostgreSQL's LISTEN and NOTIFY. Runs on the connection's thread; waiting ends at the limit, by a
// cancel, or with the session. A session that was lost listens no more: the wait says so.
#pragma once

#include "runtime/db/connection.h"

#include <chrono>
#include <optional>
#include <string>

namespace runbook::db {

struct Notification {
    std::string channel, payload;
    int pid = 0; ///< the server process that sent it
};

/// Errors of all three: `db.unsupported` on other engines, `db.connection`.
void listen(Connection& connection, const std::string& channel, Cancel& cancel);
/// The next notification, or nothing within that time. Error{`usage`} where the session listens to
/// no channel (it was opened anew since).
std::optional<Notification> next_notification(Connection& connection,
                                              std::chrono::milliseconds within, Cancel& cancel);
void notify(Connection& connection, const std::string& channel, const std::string& payload,
            Cancel& cancel);

} // namespace runbook::db
