// One MySQL or MariaDB session over the C client library. Internal to runtime/db/mysql.
// Owns: the MYSQL handle. Used by one thread at a time; KILL QUERY goes through a second
// connection, from the cancel thread or a watch thread. The same source builds against MariaDB
// Connector/C and Oracle's libmysqlclient.
#pragma once

#include "runtime/db/detail.h"

#include <mysql.h>
#include <mysqld_error.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace runbook::db::mysql {

#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)
constexpr bool connector_c = true;
using Flag = my_bool;
#else
constexpr bool connector_c = false;
using Flag = bool;
#endif

struct HandleDeleter {
    void operator()(MYSQL* handle) const { mysql_close(handle); }
};
using Handle = std::unique_ptr<MYSQL, HandleDeleter>;
struct ResultDeleter {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};
using Result = std::unique_ptr<MYSQL_RES, ResultDeleter>;
struct StatementDeleter {
    void operator()(MYSQL_STMT* statement) const { mysql_stmt_close(statement); }
};
using Statement = std::unique_ptr<MYSQL_STMT, StatementDeleter>;
/// What a prepared statement and the cursor over its rows hold together.
using SharedStatement = std::shared_ptr<MYSQL_STMT>;

/// The error kind of an error number and its SQLSTATE.
std::string kind_of(unsigned number, std::string_view sqlstate);
/// `mysql://…: access denied for user 'app' (1045)`.
Error make_error(const Url& url, unsigned number, const std::string& sqlstate, std::string text);
/// True for the numbers that mean that the session is gone.
bool is_lost(unsigned number);

/// Before a connect on this thread: whether a server without TLS may be given a password, in
/// whatever form it could read. Never in clear text.
void guard_logins(MYSQL* handle, bool required);

/// Connects once, TLS checked; throws `db.connection` or `db.auth`. Blocks up to the timeout.
Handle open_handle(const Url& url, const ConnectOptions& options);

std::vector<Column> describe(MYSQL_RES* metadata, bool mariadb);
/// A cell of the text protocol.
Cell decode(std::string_view text, const Column& column, const MYSQL_FIELD& field);
/// A cell of the binary protocol's MYSQL_TIME; `text` keeps what the cell points at.
Cell decode_time(const MYSQL_TIME& time, const MYSQL_FIELD& field, std::string& text);

/// Parameters in the binary protocol's form.
class Bound {
  public:
    explicit Bound(std::span<const Value> params);
    MYSQL_BIND* binds() { return binds_.data(); }
    bool empty() const { return binds_.empty(); }

  private:
    void add(std::size_t index, const Value& value);
    std::vector<MYSQL_BIND> binds_;
    std::vector<std::string> texts_;
    std::vector<MYSQL_TIME> times_;
    std::vector<std::int64_t> integers_;
    std::vector<double> numbers_;
};

class Watch;

class Session : public PreparingConnection {
  public:
    Session(const Url& url, const ConnectOptions& options, Cancel& cancel);
    ~Session() override { forget_prepared(); }

    const ServerInfo& server() const override { return info_; }
    Executed execute(std::string_view sql, std::span<const Value> params,
                     const StatementOptions& options, Cancel& cancel) override;
    std::unique_ptr<Cursor> query(std::string_view sql, std::span<const Value> params,
                                  const StatementOptions& options, Cancel& cancel) override;
    void script(std::string_view sql, Cancel& cancel) override;
    void begin(Cancel& cancel) override;
    void commit(Cancel& cancel) override;
    void rollback(Cancel& cancel) override;
    bool in_transaction() const override;
    void set_read_only(bool read_only, Cancel& cancel) override;
    std::string quote_name(std::string_view name) const override;
    bool alive() const override { return !lost_; }
    void* native() override { return handle_.get(); }

    MYSQL* handle() { return handle_.get(); }
    /// KILL QUERY (or CONNECTION) for this session's id, over a connection of its own. Never
    /// throws.
    void kill_query() noexcept;
    /// Throws what the last call on the handle (or the statement) failed with.
    [[noreturn]] void fail(MYSQL_STMT* statement, Cancel& cancel, bool timed_out);
    /// One statement of our own without parameters or rows.
    void run(const std::string& sql, Cancel& cancel);
    /// After a KILL that may have come late: lets it strike a statement that does nothing.
    void absorb_late_kill() noexcept;
    /// Ends a statement that ended by itself although it was told to stop.
    void after_kill(Cancel& cancel, bool timed_out, bool reading);

    /// Lets the server parse `sql`.
    Statement parse(std::string_view sql, Watch& watch, Cancel& cancel);
    /// Sends one that was parsed, with its parameters.
    void send(MYSQL_STMT* statement, Bound& bound, Watch& watch, Cancel& cancel);
    /// A statement of the caller's that may begin now, by what it is: sets `effect`.
    void start(std::string_view sql, bool reading, Cancel& cancel);
    /// What a statement without wanted rows did: they are read and dropped.
    Executed take_effect(MYSQL_STMT* statement, Watch& watch, Cancel& cancel);
    /// What follows every statement: a KILL that may have cut it short, warnings, and a read-only
    /// session that stays so.
    void finish(Executed& executed, std::string_view sql, bool reading, bool stopped,
                bool timed_out, Cancel& cancel);
    /// Throws where the session is gone or a result is still being read.
    void idle();

    Cursor* cursor = nullptr;
    bool effect = false;

  private:
    void connect(Cancel& cancel);
    void prepare_session(Cancel& cancel);
    std::unique_ptr<Prepared> make_prepared(std::string_view sql, Cancel& cancel) override;
    bool can_unprepare() const override { return !cursor; }
    /// Throws Error{`usage`} where the statement would commit the transaction that is open.
    void keep_transaction(std::string_view sql) const;
    std::vector<std::string> take_warnings();

    Handle handle_;
    ConnectOptions options_;
    ServerInfo info_;
    unsigned long id_ = 0;
    bool lost_ = false, read_only_ = false, begun_ = false, aborted_ = false;
};

/// While a statement runs: KILL QUERY on a cancel or at the deadline, again every second, and after
/// ten seconds without an answer the socket is shut, so that the blocked call returns.
class Watch {
  public:
    Watch(Session& session, std::chrono::milliseconds timeout, Cancel& cancel);
    ~Watch();
    bool fired();
    bool timed_out();

  private:
    void start();
    void work();

    Session& session_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool done_ = false, fire_ = false, timed_out_ = false;
    std::chrono::steady_clock::time_point deadline_;
    std::thread thread_;
    std::unique_ptr<Cancel::Hook> hook_;
};

/// Reads and drops what is left of a statement's results, and a CALL's status with them.
void drop_results(MYSQL_STMT* statement);
std::unique_ptr<Cursor> open_text_cursor(Session& session, const StatementOptions& options,
                                         bool plain, Cancel& cancel);
/// Statements whose result may be cut off by a KILL without undoing an effect.
bool reads_only(std::string_view sql);
std::unique_ptr<Cursor> open_binary_cursor(Session& session, SharedStatement statement,
                                           const StatementOptions& options, bool plain);

} // namespace runbook::db::mysql
