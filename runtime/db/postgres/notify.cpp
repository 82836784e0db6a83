// See runtime/db/notify.h.
#include "runtime/db/notify.h"

#include "runtime/base/text.h"
#include "runtime/db/ask.h"
#include "runtime/db/detail.h"
#include "runtime/db/postgres/session.h"

#include <algorithm>
#include <poll.h>

namespace runbook::db {
namespace {

using Clock = std::chrono::steady_clock;

PGconn* require_postgres(Connection& connection) {
    if (connection.server().flavour != Flavour::postgresql)
        throw Error("db.unsupported",
                    connection.url().masked() + ": only PostgreSQL has channels to listen to");
    return static_cast<PGconn*>(connection.native());
}

struct NotifyDeleter {
    void operator()(PGnotify* notification) const { PQfreemem(notification); }
};

} // namespace

void listen(Connection& connection, const std::string& channel, Cancel& cancel) {
    require_postgres(connection);
    tell(connection, "listen " + connection.quote_name(channel), cancel);
}

std::optional<Notification> next_notification(Connection& connection,
                                              std::chrono::milliseconds within, Cancel& cancel) {
    PGconn* raw = require_postgres(connection);
    if (!ask_one(connection, "select exists (select pg_listening_channels()) as l", {}, cancel)
             .boolean("l"))
        throw Error("usage",
                    connection.url().masked() +
                        ": the session listens to no channel: what was sent may be lost",
                    "db.listen first; after a lost connection listen again, and look for what "
                    "came meanwhile");
    const auto until = Clock::now() + within;
    while (true) {
        if (!PQconsumeInput(raw)) {
            // The session notices by its next statement; this one says it in the same words.
            std::string why = text::trim(PQerrorMessage(raw));
            throw lost_connection(connection.url(), why.substr(0, why.find('\n')));
        }
        if (std::unique_ptr<PGnotify, NotifyDeleter> got(PQnotifies(raw)); got)
            return Notification{got->relname, got->extra ? got->extra : "", got->be_pid};
        cancel.check("waiting for a notification");
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
        if (left <= 0)
            return std::nullopt;
        pollfd waited{PQsocket(raw), POLLIN, 0};
        poll(&waited, 1, static_cast<int>(std::min<std::int64_t>(left, 100)));
    }
}

void notify(Connection& connection, const std::string& channel, const std::string& payload,
            Cancel& cancel) {
    require_postgres(connection);
    ask(connection, "select pg_notify(?, ?)", {channel, payload}, cancel);
}

} // namespace runbook::db
