// A thin face of SQLite for the journal (contract in sqlite.h).
#include "runtime/journal/sqlite.h"

#include "runtime/base/error.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/redact.h"
#include "runtime/journal/holder.h"

#include <cerrno>
#include <cstring>
#include <sqlite3.h>

namespace runbook::journal {
namespace {

constexpr int busy_ms = 10'000;

std::string hint_for(int code) {
    switch (code & 0xFF) {
    case SQLITE_FULL:
        return "free space on its file system, then resume the run";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another process keeps it locked (a backup, an sqlite3 shell); end that one and try "
               "again";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return "make the file and its folder writable for this user, or point XDG_STATE_HOME "
               "elsewhere";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "keep the file for the inquiry, and name another journal";
    default:
        return {};
    }
}

} // namespace

Database::Database(const std::string& uri, std::string path, int flags) : path_(std::move(path)) {
    const int code = sqlite3_open_v2(uri.c_str(), &handle_, flags | SQLITE_OPEN_EXRESCODE, nullptr);
    if (code != SQLITE_OK) {
        const std::string why = reason(code);
        sqlite3_close(handle_);
        throw Error("journal", "journal " + path_ + ": " + why, hint_for(code));
    }
    sqlite3_busy_timeout(handle_, busy_ms);
}

Database::~Database() {
    sqlite3_close(handle_);
}

std::string Database::reason(int code) const {
    const int problem = handle_ ? sqlite3_system_errno(handle_) : 0;
    const std::string system = problem ? std::strerror(problem) : "";
    const bool locked = (code & 0xFF) == SQLITE_BUSY || (code & 0xFF) == SQLITE_LOCKED;
    const std::string who = locked ? who_locks({path_, path_ + "-shm"}) : "";
    switch (code & 0xFF) {
    case SQLITE_FULL:
        return "the disk is full";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "locked by " + (who.empty() ? std::string("another process") : who) +
               " for more than 10 s";
    case SQLITE_READONLY:
        return "it is read-only";
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return "cannot be opened" + (system.empty() ? "" : " (" + system + ")");
    case SQLITE_NOTADB:
        return "this file is not a SQLite database";
    case SQLITE_CORRUPT:
        return "the file is damaged";
    case SQLITE_IOERR:
        if (problem == ENOSPC || problem == EDQUOT)
            return "the disk is full";
        return "input/output error" + (system.empty() ? "" : " (" + system + ")");
    default:
        return redact(handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
    }
}

void Database::fail(int code) {
    throw Error("journal", "journal " + path_ + ": " + reason(code), hint_for(code));
}

void Database::execute(const char* sql) {
    const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK)
        fail(code);
}

bool Database::try_execute(const char* sql) {
    const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK && (code & 0xFF) != SQLITE_BUSY)
        fail(code);
    return code == SQLITE_OK;
}

std::int64_t Database::pragma(const char* name) {
    Statement statement(*this, std::string("PRAGMA ") + name);
    return statement.step() ? statement.integer(0) : 0;
}

bool Database::in_transaction() const {
    return sqlite3_get_autocommit(handle_) == 0;
}

std::int64_t Database::changes() const {
    return sqlite3_changes(handle_);
}

void Database::add_clock(const char* name, std::int64_t (*clock)()) {
    const int code = sqlite3_create_function_v2(
        handle_, name, 0, SQLITE_UTF8, reinterpret_cast<void*>(clock),
        [](sqlite3_context* context, int, sqlite3_value**) {
            const auto now = reinterpret_cast<std::int64_t (*)()>(sqlite3_user_data(context));
            sqlite3_result_int64(context, now());
        },
        nullptr, nullptr, nullptr);
    if (code != SQLITE_OK)
        fail(code);
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
    const int code = sqlite3_prepare_v2(database.handle_, sql.data(), static_cast<int>(sql.size()),
                                        &statement_, nullptr);
    if (code != SQLITE_OK)
        database.fail(code);
}

Statement::~Statement() {
    sqlite3_finalize(statement_);
}

Statement& Statement::bind(std::string_view text) {
    sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
    return *this;
}

Statement& Statement::bind(std::int64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
}

bool Statement::step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        database_.fail(code);
    return false;
}

void Statement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    bound_ = 0;
}

std::string Statement::text(int column) const {
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return data ? std::string(data,
                              static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
                : std::string();
}

std::int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_, column);
}

Transaction::Transaction(Database& database, bool reading) : database_(database) {
    if (!reading)
        failpoint::cross("journal.before");
    database_.execute(reading ? "BEGIN" : "BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
    if (!open_ || !database_.in_transaction())
        return;
    try {
        database_.execute("ROLLBACK");
    } catch (const Error&) { // the caller's own error says more; SQLite rolls back when the handle
                             // closes
    }
}

void Transaction::commit() {
    failpoint::cross("journal.inside");
    try {
        database_.execute("COMMIT");
        open_ = false;
    } catch (const Error& error) {
        throw Error(
            "journal.unknown", error.message() + "; the last entry may or may not be written",
            "nothing was done on top of it: free space or repair the disk, then resume the run");
    }
    failpoint::cross("journal.after");
}

} // namespace runbook::journal
