// One PostgreSQL session over libpq's asynchronous calls. Internal to runtime/db/postgres.
// Owns: the PGconn. Used by one thread at a time; only the cancel hook's PQcancel runs on another
// thread.
#pragma once

#include "runtime/db/detail.h"

#include <libpq-fe.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace runbook::db::postgres {

struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultDeleter>;

/// Parameters in libpq's form; the strings live as long as this.
struct Bound {
    std::vector<std::string> texts;
    std::vector<const char*> values;
    std::vector<Oid> types;
    std::vector<int> lengths, formats;
};
Bound bind(std::span<const Value> params);
/// The same for a statement whose parameters have types already: values that the server would cast
/// from a type of their own are written as that cast gives them, and text for a bytea means its
/// bytes. Throws Error{`argument`} for bytes where the server takes something else.
Bound bind_as(std::span<const Value> params, std::span<const Oid> types);

/// The error kind that a SQLSTATE stands for.
std::string kind_of(std::string_view sqlstate);
/// Error from a failed result: `postgres://…: relation "x" does not exist (42P01)`.
/// `offset` characters stand before the caller's own statement.
Error error_of(const Url& url, const PGresult* result, int offset = 0);

/// Columns of a result; types that are not built in are asked for by Session::name_types.
std::vector<Column> describe(const PGresult* result);
/// Decodes bytea in place, then serves cells straight out of the PGresult.
BatchPtr make_batch(Result result, std::shared_ptr<const std::vector<Column>> columns);
/// Decodes one text cell; `bytea` arrives already decoded.
Cell decode(std::string_view text, Kind kind);
/// Raw bytes from bytea's hex text, in place; returns the new length.
std::size_t unhex_in_place(char* text, std::size_t length);

/// The types that the server has inferred.
std::vector<Oid> parameter_types(const PGresult* described);
/// Whether a string among them is not the same as text and as bytea's input.
bool bytes_differ(std::span<const Value> params);
/// Strings for a bytea as bytes; the rest as it is.
std::vector<Value> with_bytes(std::span<const Value> params, std::span<const Oid> types);

/// What is sent: a statement, or the name of one that the session has prepared.
enum class Send { statement, prepared };

class Session : public PreparingConnection {
  public:
    Session(const Url& url, const ConnectOptions& options, Cancel& cancel);
    ~Session() override;

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
    bool alive() const override;
    void* native() override { return connection_; }

    /// Runs one statement by the extended protocol and returns its last result. Throws on errors.
    Result run(const std::string& sql, const Bound* bound, Cancel& cancel,
               std::chrono::milliseconds timeout = {}, Send what = Send::statement);
    /// Sends the statement and says what it did; `effect` is set by what the session may do.
    Executed run_for_effect(const std::string& sql, const Bound& bound,
                            const StatementOptions& options, Cancel& cancel, Send what);
    /// The next result of a statement in progress (null at its end), waiting so that a cancel or
    /// the timeout reaches the server; throws where the result is an error, after draining the
    /// rest.
    Result next_result(Cancel& cancel);
    /// Of all that a statement gives; a cancel that may still be on its way has struck by then.
    Result last_result(Cancel& cancel);
    void send(const std::string& sql, const Bound* bound, std::chrono::milliseconds timeout,
              Send what = Send::statement);
    /// Reads what is left of a statement, and drops it.
    void drain() noexcept;
    /// The same for one that only reads, outside of a transaction: the server is told to stop.
    void cut_off() noexcept;
    /// Throws Error{`db.read_only`} where a statement has made a read-only session writable, after
    /// taking that back.
    void check_read_only();
    /// Throws where the session is gone or a result is still being read.
    void idle();
    bool read_only() const { return read_only_; }
    void set_statement_timeout(std::chrono::milliseconds timeout, Cancel& cancel);
    /// Fills in names and array kinds of types that are not built in (enums, domains, extensions).
    void name_types(const PGresult* result, std::vector<Column>& columns, Cancel& cancel);

    /// Lets the server parse `sql` under a name of its own, and asks what it takes and gives.
    struct Described {
        std::string name;
        std::vector<Oid> parameters;
        std::vector<Column> columns;
    };
    Described parse(const std::string& sql, Cancel& cancel);
    /// The parameters of a statement, which is asked for their types where text for a bytea would
    /// be read as an escape: there a string means its bytes.
    Bound bind_for(const std::string& sql, std::span<const Value> params, Cancel& cancel);
    void deallocate(const std::string& name) noexcept;

    /// The live cursor; one at a time.
    Cursor* cursor = nullptr;
    /// True while the open transaction is a cursor's own.
    bool cursor_transaction = false;
    /// Whether what runs now may have an effect that a lost connection leaves open.
    bool effect = false;
    /// Characters put before the caller's statement; error positions are given without them.
    int position_offset = 0;

  private:
    void open(const ConnectOptions& options, Cancel& cancel);
    void prepare_session(Cancel& cancel);
    std::unique_ptr<Prepared> make_prepared(std::string_view sql, Cancel& cancel) override;
    bool can_unprepare() const override;
    /// The parsed statement of that name (empty: the unnamed one), as the server describes it.
    Result parse_as(const std::string& name, const std::string& sql, Cancel& cancel);
    void arm(std::chrono::milliseconds timeout);
    void sent(int accepted);
    [[noreturn]] void lost(const std::string& why);
    [[noreturn]] void fail(Error error, std::string_view sqlstate, Cancel& cancel);
    void absorb_late_cancel() noexcept;
    std::vector<std::string> take_notices();

    PGconn* connection_ = nullptr;
    ServerInfo info_;
    bool lost_ = false, read_only_ = false;
    bool cancel_sent_ = false, timed_out_ = false;
    std::chrono::milliseconds server_timeout_{0}; ///< statement_timeout in force; -1: unknown
    std::chrono::steady_clock::time_point deadline_, give_up_;
    std::vector<std::string> notices_;
    std::map<Oid, Column> types_;
    std::uint64_t prepared_count_ = 0;
};

std::unique_ptr<Cursor> open_cursor(Session& session, const std::string& sql, Bound bound,
                                    const StatementOptions& options, bool plain, Cancel& cancel);
/// The rows of a statement that was prepared as `described`.
std::unique_ptr<Cursor> open_prepared_cursor(Session& session, const Session::Described& described,
                                             Bound bound, const StatementOptions& options,
                                             bool plain, Cancel& cancel);

} // namespace runbook::db::postgres
