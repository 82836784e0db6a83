#include "runtime/db/handle.h"

#include "runtime/base/error.h"
#include "runtime/base/worker.h"
#include "runtime/db/detail.h"

#include <atomic>
#include <cctype>
#include <string>

namespace runbook::db {

struct Handle::Core {
    Url url;
    Access access;
    std::string name;
    std::shared_ptr<Worker> worker = std::make_shared<Worker>();
    // Worker thread.
    std::shared_ptr<Connection> connection;
    bool transaction = false;
    std::chrono::milliseconds lock_timeout{0}; ///< in force in the session; negative: unknown
    std::atomic<bool> begin_failed{false};     ///< set by the worker, taken by the loop
    // Loop thread.
    const void* owner = nullptr;
    std::weak_ptr<LiveResult> live;

    ~Core() {
        // A session is closed where it is used.
        if (connection)
            worker->post([closing = std::move(connection)]() mutable { closing.reset(); });
    }
};

Access parse_access(std::string_view word) {
    if (word == "read")
        return Access::read;
    if (word == "write")
        return Access::write;
    if (word == "admin")
        return Access::admin;
    throw Error("argument",
                "access must be 'read', 'write' or 'admin', got '" + std::string(word) + "'");
}

Handle::Handle(Url url, Access access, std::string name) : core_(std::make_shared<Core>()) {
    core_->url = std::move(url);
    core_->access = access;
    core_->name = std::move(name);
}

const Url& Handle::url() const {
    return core_->url;
}
Access Handle::access() const {
    return core_->access;
}
const std::string& Handle::name() const {
    return core_->name;
}
const std::shared_ptr<Worker>& Handle::worker() const {
    return core_->worker;
}

int Handle::port() const {
    if (core_->url.port != 0)
        return core_->url.port;
    switch (core_->url.engine) {
    case Engine::postgresql:
        return 5432;
    case Engine::mysql:
        return 3306;
    default:
        return 0;
    }
}

std::shared_ptr<Handle> Handle::with_timeout(std::chrono::milliseconds timeout) const {
    auto limited = std::shared_ptr<Handle>(new Handle(core_));
    limited->timeout_ = timeout;
    limited->lock_timeout_ = lock_timeout_;
    return limited;
}

std::shared_ptr<Handle> Handle::with_lock_timeout(std::chrono::milliseconds timeout) const {
    if (core_->url.engine == Engine::sqlite)
        throw Error("db.unsupported",
                    core_->url.masked() +
                        ": SQLite waits for a lock as long as the statement may take",
                    "limit the statement");
    auto limited = std::shared_ptr<Handle>(new Handle(core_));
    limited->timeout_ = timeout_;
    limited->lock_timeout_ = timeout;
    return limited;
}

/// Worker thread. A setting of the session, sent only where it differs from what is in force.
void Handle::apply_lock_timeout(Cancel& cancel) {
    Core& core = *core_;
    if (lock_timeout_ == core.lock_timeout)
        return;
    const auto ms = lock_timeout_.count();
    std::string sql;
    if (core.url.engine == Engine::postgresql) {
        sql = ms == 0 ? "reset lock_timeout" : "set lock_timeout = " + std::to_string(ms);
    } else {
        // Whole seconds there, and 0 would be the shortest of all.
        const std::string s =
            ms == 0 ? "default" : std::to_string(std::max<std::int64_t>(1, (ms + 999) / 1000));
        sql = "set session innodb_lock_wait_timeout = " + s + ", lock_wait_timeout = " + s;
    }
    core.lock_timeout = std::chrono::milliseconds(-1);
    core.connection->execute(sql, {}, {}, cancel);
    core.lock_timeout = lock_timeout_;
}

namespace {

/// The driver does not know which parameter its URL came from.
[[noreturn]] void rethrow_named(const Error& error, const std::string& name) {
    std::string hint = error.hint(), upper;
    for (char c : name)
        upper += std::isalnum(static_cast<unsigned char>(c))
                     ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                     : '_';
    if (auto at = hint.find("<NAME>"); at != std::string::npos && !upper.empty())
        hint.replace(at, 6, upper);
    Error named(error.kind(), error.message(), hint, error.sqlstate());
    named.set_in_doubt(error.in_doubt());
    throw named;
}

} // namespace

Connection& Handle::session(bool may_write, Cancel& cancel) {
    Core& core = *core_;
    if (core.connection && !core.connection->alive() && !core.transaction)
        core.connection.reset();
    if (core.transaction && (!core.connection || !core.connection->alive()))
        throw lost_connection(core.url, "its transaction is gone with it");
    if (!core.connection) {
        ConnectOptions options;
        options.access = core.access;
        try {
            core.connection = connect(core.url, options, cancel);
            core.lock_timeout = std::chrono::milliseconds(0);
        } catch (const Error& error) {
            rethrow_named(error, core.name);
        }
    }
    if (core.access != Access::read)
        core.connection->set_read_only(!may_write, cancel);
    apply_lock_timeout(cancel);
    return *core.connection;
}

std::weak_ptr<Connection> Handle::open_session() const {
    return core_->connection;
}

void Handle::begin(bool may_write, Cancel& cancel) {
    try {
        session(may_write, cancel).begin(cancel);
        core_->transaction = true;
    } catch (...) {
        core_->begin_failed = true;
        throw;
    }
}

void Handle::commit(Cancel& cancel) {
    Core& core = *core_;
    bool open = std::exchange(core.transaction, false);
    if (!open || !core.connection || !core.connection->alive())
        throw lost_connection(core.url, "its transaction is gone with it");
    core.connection->commit(cancel);
}

void Handle::rollback(Cancel& cancel) {
    Core& core = *core_;
    core.transaction = false;
    // Without the session there is nothing left to roll back: the server has done it.
    if (core.connection && core.connection->alive())
        core.connection->rollback(cancel);
    // SET is undone with the transaction that it was in.
    if (core.lock_timeout.count() != 0)
        core.lock_timeout = std::chrono::milliseconds(-1);
}

void Handle::close() {
    core_->transaction = false;
    core_->connection.reset();
}

void Handle::take(const void* task) {
    if (owner() && core_->owner != task)
        throw Error("usage",
                    core_->url.masked() + ": another task's transaction is open on this connection",
                    "give each parallel task a connection of its own");
    if (auto live = core_->live.lock()) {
        core_->live.reset();
        live->supersede();
    }
}

void Handle::set_owner(const void* task) {
    core_->owner = task;
}
const void* Handle::owner() const {
    if (core_->begin_failed.exchange(false))
        core_->owner = nullptr;
    return core_->owner;
}
void Handle::set_live(const std::shared_ptr<LiveResult>& live) {
    core_->live = live;
}

} // namespace runbook::db
