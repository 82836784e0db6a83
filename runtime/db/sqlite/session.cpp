// SQLite behind the Connection interface. Runs on the connection's own thread; sqlite3_interrupt
// also on the cancel thread. Opens read-only where access is read, honours WAL, never changes
// journal_mode.
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/db/detail.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>

namespace runbook::db {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto longest_lock_wait = std::chrono::seconds(5);
constexpr auto lock_poll = std::chrono::milliseconds(10);

std::string kind_of(int code) {
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "db.lock_timeout";
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return "db.constraint";
    case SQLITE_READONLY:
        return "db.read_only";
    case SQLITE_FULL:
        return "db.disk_full";
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "db.permission";
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return "db.connection";
    case SQLITE_ERROR:
        return "db.syntax";
    default:
        return "db.error";
    }
}

/// By the declared type, as SQLite's own affinity rules read it; the value's storage class still
/// has the last word.
Kind declared_kind(std::string_view declared) {
    std::string type = text::lower(declared);
    auto has = [&](std::string_view part) { return type.find(part) != std::string::npos; };
    if (has("bool"))
        return Kind::boolean;
    if (has("int"))
        return Kind::integer;
    if (has("json"))
        return Kind::json;
    if (has("dec") || has("numeric"))
        return Kind::decimal;
    if (has("char") || has("clob") || has("text"))
        return Kind::text;
    if (has("blob"))
        return Kind::bytes;
    if (has("real") || has("floa") || has("doub"))
        return Kind::number;
    if (type.starts_with("timestamp") || type.starts_with("datetime"))
        return Kind::timestamp;
    return Kind::null;
}

bool is_decimal_text(std::string_view text) {
    std::size_t at = text.starts_with('-') ? 1 : 0;
    bool digits = false, point = false;
    for (; at < text.size(); ++at) {
        if (text[at] == '.' && !point)
            point = true;
        else if (text[at] >= '0' && text[at] <= '9')
            digits = true;
        else
            return false;
    }
    return digits && text.back() != '.';
}

struct StatementDeleter {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementDeleter>;
/// What a prepared statement and the cursor over its rows hold together.
using SharedStatement = std::shared_ptr<sqlite3_stmt>;

class SqliteSession;

class SqliteCursor : public Cursor {
  public:
    SqliteCursor(SqliteSession& session, SharedStatement statement,
                 const StatementOptions& options);
    ~SqliteCursor() override;
    const std::vector<Column>& columns() const override { return *columns_; }
    BatchPtr next(Cancel& cancel) override;

  private:
    void add_row(CopiedBatch& batch);
    /// SQLite parses a statement anew where a table has changed: its rows must still be those that
    /// were announced.
    void check_columns() const;
    /// Lets go of locks; a prepared statement can then run again.
    void release() {
        if (statement_)
            sqlite3_reset(statement_.get());
        statement_.reset();
    }

    SqliteSession& session_;
    SharedStatement statement_;
    StatementOptions options_;
    std::shared_ptr<const std::vector<Column>> columns_;
    bool ended_ = false, began_ = false;
};

class SqliteSession : public PreparingConnection {
  public:
    SqliteSession(const Url& url, const ConnectOptions& options)
        : PreparingConnection(url, options.access) {
        open();
        info_.flavour = Flavour::sqlite;
        info_.version = sqlite3_libversion();
        parse_version(info_);
        std::error_code ignored;
        auto path = std::filesystem::weakly_canonical(url_.name, ignored);
        info_.identity = ignored ? url_.name : path.string();
    }
    ~SqliteSession() override {
        forget_prepared();
        sqlite3_close_v2(database_);
    }

    const ServerInfo& server() const override { return info_; }
    bool in_transaction() const override { return sqlite3_get_autocommit(database_) == 0; }
    bool alive() const override { return database_ != nullptr; }
    void* native() override { return database_; }
    std::string quote_name(std::string_view name) const override {
        std::string out = "\"";
        for (char c : name) {
            out += c;
            if (c == '"')
                out += c;
        }
        return out + '"';
    }

    Executed execute(std::string_view sql, std::span<const Value> params,
                     const StatementOptions& options, Cancel& cancel) override {
        idle();
        Statement statement = parse(sql);
        bind_all(statement.get(), params);
        return run_for_effect(statement.get(), options, cancel);
    }

    std::unique_ptr<Cursor> query(std::string_view sql, std::span<const Value> params,
                                  const StatementOptions& options, Cancel& cancel) override {
        idle();
        cancel.check("a statement");
        Statement statement = parse(sql);
        bind_all(statement.get(), params);
        return open_cursor(std::move(statement), options);
    }

    Executed run_for_effect(sqlite3_stmt* statement, const StatementOptions& options,
                            Cancel& cancel) {
        Timed timed(*this, options.timeout, cancel);
        std::int64_t before = sqlite3_total_changes64(database_);
        while (step(statement, cancel) == SQLITE_ROW) {
        }
        Executed executed;
        bool changed = sqlite3_total_changes64(database_) != before;
        executed.rows_affected = changed ? sqlite3_changes64(database_) : 0;
        executed.last_insert_id = sqlite3_last_insert_rowid(database_);
        return executed;
    }

    std::unique_ptr<Cursor> open_cursor(SharedStatement statement,
                                        const StatementOptions& options) {
        auto opened = std::make_unique<SqliteCursor>(*this, std::move(statement), options);
        cursor = opened.get();
        return opened;
    }

    void script(std::string_view sql, Cancel& cancel) override {
        idle();
        Timed timed(*this, {}, cancel);
        std::string rest(sql);
        for (const char* at = rest.c_str(); *at != '\0';) {
            sqlite3_stmt* raw = nullptr;
            const char* tail = nullptr;
            if (int code = sqlite3_prepare_v2(database_, at, -1, &raw, &tail); code != SQLITE_OK)
                fail(code);
            Statement statement(raw);
            at = tail;
            while (statement && step(statement.get(), cancel) == SQLITE_ROW) {
            }
        }
    }

    void begin(Cancel& cancel) override {
        if (in_transaction())
            throw Error("usage", "the connection is in a transaction already");
        // IMMEDIATE: the wait for the write lock is here, and not in the middle as a deadlock.
        simple(read_only_ ? "BEGIN" : "BEGIN IMMEDIATE", cancel);
    }
    void commit(Cancel& cancel) override {
        if (!in_transaction())
            throw Error("usage", "the connection is not in a transaction");
        simple("COMMIT", cancel);
    }
    void rollback(Cancel&) override {
        // Some errors (disk full, out of memory) have rolled back already.
        Cancel unstoppable;
        if (in_transaction())
            simple("ROLLBACK", unstoppable);
    }
    void set_read_only(bool read_only, Cancel& cancel) override {
        if (!read_only && access_ == Access::read)
            throw Error("db.read_only",
                        url_.masked() + ": the connection is declared access = \"read\"",
                        "declare access = \"write\" where the playbook means to write");
        simple(read_only ? "PRAGMA query_only = on" : "PRAGMA query_only = off", cancel);
        read_only_ = read_only;
    }

    /// One step under the cancel hook; SQLITE_ROW or SQLITE_DONE, throws on anything else.
    int step(sqlite3_stmt* statement, Cancel& cancel) {
        cancel.check("a statement");
        int code = 0;
        {
            Cancel::Hook hook(cancel, [this] { sqlite3_interrupt(database_); });
            running_ = &cancel;
            code = sqlite3_step(statement);
            running_ = nullptr;
        }
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            fail(code, &cancel);
        return code;
    }

    [[noreturn]] void fail(int code, const Cancel* cancel = nullptr) {
        int extended = sqlite3_extended_errcode(database_);
        std::string why = sqlite3_errmsg(database_);
        bool stopped = (cancel && cancel->requested()) || Clock::now() >= deadline_;
        if ((code & 0xff) == SQLITE_INTERRUPT || ((code & 0xff) == SQLITE_BUSY && stopped)) {
            if (cancel && cancel->reason() == Cancel::Reason::cancelled)
                throw Error("cancelled", url_.masked() + ": the statement was cancelled");
            if (cancel && cancel->reason() == Cancel::Reason::timeout)
                throw Error("timeout",
                            url_.masked() + ": the time limit ended: the statement was cancelled");
            throw Error(Clock::now() >= deadline_ ? "db.timeout" : "db.cancelled",
                        url_.masked() +
                            ": the statement took longer than its timeout and was cancelled");
        }
        std::string hint;
        if ((code & 0xff) == SQLITE_BUSY)
            hint = "another process holds the file's lock";
        if ((code & 0xff) == SQLITE_READONLY)
            hint = "the connection is declared access = \"read\"";
        throw Error(kind_of(code), fmt::format("{}: {} ({})", url_.masked(), why, extended), hint);
    }

    void start_clock(std::chrono::milliseconds timeout) {
        deadline_ = timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
    }
    void stop_clock() { deadline_ = Clock::time_point::max(); }

    void idle() {
        if (cursor)
            refuse_second_cursor();
    }

    /// Binds every placeholder; throws where their number or a value does not fit.
    void bind_all(sqlite3_stmt* statement, std::span<const Value> params) {
        check_parameter_count(static_cast<std::size_t>(sqlite3_bind_parameter_count(statement)),
                              params.size());
        for (std::size_t i = 0; i < params.size(); ++i)
            if (int bound = bind(statement, static_cast<int>(i) + 1, params[i]); bound != SQLITE_OK)
                fail(bound);
    }

    Cursor* cursor = nullptr;

  private:
    std::unique_ptr<Prepared> make_prepared(std::string_view sql, Cancel& cancel) override;
    bool can_unprepare() const override { return cursor == nullptr; }

    /// Sets the deadline that the progress handler looks at.
    struct Timed {
        Timed(SqliteSession& session, std::chrono::milliseconds timeout, Cancel& cancel)
            : session(session) {
            cancel.check("a statement");
            session.start_clock(timeout);
        }
        ~Timed() { session.stop_clock(); }
        SqliteSession& session;
    };

    void open() {
        int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        bool memory = url_.name == ":memory:";
        if (access_ == Access::read && !memory)
            flags |= SQLITE_OPEN_READONLY;
        else
            flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        int code = sqlite3_open_v2(url_.name.c_str(), &database_, flags, nullptr);
        if (code == SQLITE_OK)
            code = sqlite3_exec(database_,
                                "PRAGMA foreign_keys = on; SELECT count(*) FROM sqlite_schema",
                                nullptr, nullptr, nullptr);
        if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) {
            std::string why = sqlite3_errmsg(database_);
            sqlite3_close_v2(database_);
            database_ = nullptr;
            std::error_code ignored;
            std::string hint =
                access_ == Access::read && !std::filesystem::exists(url_.name, ignored)
                    ? "there is no such file, and a read-only connection does not make one"
                    : "does the folder exist, and may this user open the file?";
            throw Error("db.connection", fmt::format("{}: {} ({})", url_.masked(), why, code),
                        hint);
        }
        // Not sqlite3_busy_timeout: its wait would not end with a cancel.
        sqlite3_busy_handler(database_, wait_for_lock, this);
        sqlite3_progress_handler(database_, 4000, past_deadline, this);
        if (access_ == Access::read) {
            sqlite3_exec(database_, "PRAGMA query_only = on", nullptr, nullptr, nullptr);
            read_only_ = true;
        }
    }

    static int wait_for_lock(void* self, int tries) {
        auto& session = *static_cast<SqliteSession*>(self);
        auto now = Clock::now();
        if (tries == 0)
            session.lock_wait_ = now;
        if (now - session.lock_wait_ > longest_lock_wait || now >= session.deadline_ ||
            (session.running_ && session.running_->requested()))
            return 0;
        std::this_thread::sleep_for(lock_poll);
        return 1;
    }

    static int past_deadline(void* self) {
        return Clock::now() >= static_cast<SqliteSession*>(self)->deadline_ ? 1 : 0;
    }

    void simple(const char* sql, Cancel& cancel) {
        idle();
        Statement statement = parse(sql);
        while (step(statement.get(), cancel) == SQLITE_ROW) {
        }
    }

    Statement parse(std::string_view sql) {
        sqlite3_stmt* raw = nullptr;
        const char* tail = nullptr;
        int code =
            sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &raw, &tail);
        Statement statement(raw);
        if (code != SQLITE_OK)
            fail(code);
        if (!raw)
            throw Error("db.syntax", url_.masked() + ": the statement is empty");
        sqlite3_stmt* second = nullptr;
        auto left = static_cast<int>(sql.data() + sql.size() - tail);
        code = sqlite3_prepare_v2(database_, tail, left, &second, nullptr);
        Statement more(second);
        if (code != SQLITE_OK || second)
            throw Error("db.syntax",
                        url_.masked() + ": there is a second statement after the first",
                        "db.script runs several statements");
        return statement;
    }

    int bind(sqlite3_stmt* statement, int at, const Value& value) {
        auto text = [&](const std::string& text) {
            return sqlite3_bind_text64(statement, at, text.data(), text.size(), SQLITE_TRANSIENT,
                                       SQLITE_UTF8);
        };
        if (value.is_null())
            return sqlite3_bind_null(statement, at);
        if (const auto* flag = value.get<bool>())
            return sqlite3_bind_int(statement, at, *flag);
        if (const auto* integer = value.get<std::int64_t>())
            return sqlite3_bind_int64(statement, at, *integer);
        if (const auto* number = value.get<double>()) {
            if (std::isnan(*number)) // it would become NULL
                throw Error("argument", fmt::format("parameter {}: SQLite has no NaN", at),
                            "bind null, or text");
            return sqlite3_bind_double(statement, at, *number);
        }
        if (const auto* decimal = value.get<Decimal>())
            return text(decimal->text);
        if (const auto* timestamp = value.get<Timestamp>())
            return text(time::iso(*timestamp));
        if (const auto* bytes = value.get<Bytes>())
            return sqlite3_bind_blob64(statement, at, bytes->data.data(), bytes->data.size(),
                                       SQLITE_TRANSIENT);
        if (const auto* secret = value.get<SecretPtr>())
            return text((*secret)->reveal());
        const auto* string = value.get<std::string>();
        if (!string)
            refuse_parameter(static_cast<std::size_t>(at - 1), value);
        return text(*string);
    }

    sqlite3* database_ = nullptr;
    ServerInfo info_;
    bool read_only_ = false;
    Clock::time_point deadline_ = Clock::time_point::max(), lock_wait_;
    const Cancel* running_ = nullptr;
};

SqliteCursor::SqliteCursor(SqliteSession& session, SharedStatement statement,
                           const StatementOptions& options)
    : session_(session), statement_(std::move(statement)), options_(options) {
    std::vector<Column> columns(static_cast<std::size_t>(sqlite3_column_count(statement_.get())));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        int at = static_cast<int>(i);
        columns[i].name = sqlite3_column_name(statement_.get(), at);
        const char* declared = sqlite3_column_decltype(statement_.get(), at);
        columns[i].type = declared ? declared : "";
        columns[i].kind = declared ? declared_kind(declared) : Kind::null;
    }
    columns_ = std::make_shared<const std::vector<Column>>(std::move(columns));
    session_.start_clock(options_.timeout);
}

SqliteCursor::~SqliteCursor() {
    release();
    if (session_.cursor == this)
        session_.cursor = nullptr;
    session_.stop_clock();
}

void SqliteCursor::check_columns() const {
    auto same =
        static_cast<std::size_t>(sqlite3_column_count(statement_.get())) == columns_->size();
    for (std::size_t i = 0; same && i < columns_->size(); ++i)
        same = (*columns_)[i].name == sqlite3_column_name(statement_.get(), static_cast<int>(i));
    if (!same)
        throw Error("db.error",
                    session_.url().masked() +
                        ": the statement gives other columns than when it was prepared",
                    "a table has changed since: db.prepare makes a new one");
}

void SqliteCursor::add_row(CopiedBatch& batch) {
    for (std::size_t i = 0; i < columns_->size(); ++i) {
        int at = static_cast<int>(i);
        Kind declared = (*columns_)[i].kind;
        Cell cell;
        switch (sqlite3_column_type(statement_.get(), at)) {
        case SQLITE_NULL:
            break;
        case SQLITE_INTEGER:
            cell.integer = sqlite3_column_int64(statement_.get(), at);
            cell.kind = declared == Kind::boolean && (cell.integer == 0 || cell.integer == 1)
                            ? Kind::boolean
                            : Kind::integer;
            break;
        case SQLITE_FLOAT:
            cell.kind = Kind::number;
            cell.number = sqlite3_column_double(statement_.get(), at);
            break;
        default: {
            bool blob = sqlite3_column_type(statement_.get(), at) == SQLITE_BLOB;
            const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), at));
            auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), at));
            cell.text = {data ? data : "", data ? size : 0};
            cell.kind = blob ? Kind::bytes : Kind::text;
            if (blob)
                break;
            if (declared == Kind::json)
                cell.kind = Kind::json;
            if (declared == Kind::decimal && is_decimal_text(cell.text))
                cell.kind = Kind::decimal;
            if (declared == Kind::timestamp) {
                if (auto parsed = parse_timestamp(cell.text))
                    cell = *parsed;
            }
        }
        }
        batch.add(cell);
    }
}

BatchPtr SqliteCursor::next(Cancel& cancel) {
    if (ended_)
        return nullptr;
    auto batch = std::make_shared<CopiedBatch>(columns_);
    try {
        while (batch->rows() < std::max<std::size_t>(1, options_.batch_rows) &&
               batch->bytes() < batch_bytes) {
            if (session_.step(statement_.get(), cancel) == SQLITE_DONE) {
                ended_ = true;
                break;
            }
            if (columns_->empty())
                continue;
            if (!std::exchange(began_, true))
                check_columns();
            add_row(*batch);
        }
    } catch (...) {
        ended_ = true;
        session_.cursor = nullptr;
        release();
        throw;
    }
    if (ended_) {
        session_.cursor = nullptr;
        release();
    }
    return batch->rows() > 0 ? batch : nullptr;
}

class SqlitePrepared final : public Prepared {
  public:
    SqlitePrepared(SqliteSession& session, SharedStatement statement)
        : session_(session), statement_(std::move(statement)) {}

    Executed execute(std::span<const Value> params, const StatementOptions& options,
                     Cancel& cancel) override {
        session_.idle();
        Reset reset{statement_.get()};
        session_.bind_all(statement_.get(), params);
        return session_.run_for_effect(statement_.get(), options, cancel);
    }

    std::unique_ptr<Cursor> query(std::span<const Value> params, const StatementOptions& options,
                                  Cancel& cancel) override {
        session_.idle();
        cancel.check("a statement");
        session_.bind_all(statement_.get(), params);
        return session_.open_cursor(statement_, options);
    }

  private:
    struct Reset {
        sqlite3_stmt* statement;
        ~Reset() { sqlite3_reset(statement); }
    };
    SqliteSession& session_;
    SharedStatement statement_;
};

std::unique_ptr<Prepared> SqliteSession::make_prepared(std::string_view sql, Cancel& cancel) {
    idle();
    cancel.check("a statement");
    return std::make_unique<SqlitePrepared>(*this, parse(sql));
}

} // namespace

std::unique_ptr<Connection> connect_sqlite(const Url& url, const ConnectOptions& options, Cancel&) {
    return std::make_unique<SqliteSession>(url, options);
}

} // namespace runbook::db
