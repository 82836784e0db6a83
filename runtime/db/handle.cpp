#include "runtime/db/handle.h"

#include "runtime/base/error.h"
#include "runtime/base/worker.h"
#include "runtime/db/detail.h"

#include <atomic>
#include <cctype>

namespace runbook::db {

struct Handle::Core {
    Url url;
    Access access;
    std::string name;
    std::shared_ptr<Worker> worker = std::make_shared<Worker>();
    // Worker thread.
    std::shared_ptr<Connection> connection;
    bool transaction = false;
    std::atomic<bool> begin_failed{false}; ///< set by the worker, taken by the loop
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
    return limited;
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
        } catch (const Error& error) {
            rethrow_named(error, core.name);
        }
    }
    if (core.access != Access::read)
        core.connection->set_read_only(!may_write, cancel);
    return *core.connection;
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
