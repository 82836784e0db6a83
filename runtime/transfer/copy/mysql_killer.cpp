// KILL QUERY (see mysql_killer.h).
#include "runtime/transfer/copy/mysql_killer.h"

#include <fmt/format.h>
#include <mysql.h>

namespace runbook::copy {

MysqlKiller::MysqlKiller(const db::Url& url, db::Connection& connection)
    : url_(url), id_(mysql_thread_id(static_cast<MYSQL*>(connection.native()))) {}

void MysqlKiller::kill() const noexcept {
    try {
        Cancel unstoppable;
        db::ConnectOptions options;
        options.access = db::Access::write;
        db::connect(url_, options, unstoppable)
            ->script(fmt::format("KILL QUERY {}", id_), unstoppable);
    } catch (const std::exception&) {
        // The session may be gone already.
    }
}

} // namespace runbook::copy
