#include "runtime/db/statement.h"

#include "runtime/base/error.h"
#include "runtime/base/worker.h"

namespace runbook::db {

Statement::Statement(std::shared_ptr<Handle> handle, std::string sql)
    : handle_(std::move(handle)), sql_(std::move(sql)), held_(std::make_shared<Held>()) {}

Statement::~Statement() {
    handle_->worker()->post([held = held_] { held->drop(); });
}

void Statement::Held::drop() {
    closed = true;
    if (auto open = session.lock(); open && prepared)
        unprepare(*open, *prepared);
    prepared = nullptr;
}

void Statement::prepare(bool may_write, Cancel& cancel) {
    Connection& connection = handle_->session(may_write, cancel);
    held_->prepared = &db::prepare(connection, sql_, cancel);
    held_->session = handle_->open_session();
    held_->made = true;
}

Prepared& Statement::use(bool may_write, Cancel& cancel) {
    const std::string at = handle_->url().masked();
    if (held_->closed)
        throw Error("usage", at + ": the prepared statement was closed",
                    "db.prepare makes a new one");
    if (!held_->made)
        prepare(may_write, cancel);
    auto open = held_->session.lock();
    if (!open || !open->alive())
        throw Error("usage", at + ": the prepared statement has ended with its session",
                    "nothing was sent; db.prepare makes a new one in the new session");
    handle_->session(may_write, cancel);
    return *held_->prepared;
}

void Statement::close() {
    held_->drop();
}

} // namespace runbook::db
