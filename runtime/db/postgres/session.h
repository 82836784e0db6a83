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

class Session : public Connection {
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
               std::chrono::milliseconds timeout = {});
    /// The next result of a statement in progress (null at its end), waiting so that a cancel or
    /// the timeout reaches the server; throws where the result is an error, after draining the
    /// rest.
    Result next_result(Cancel& cancel);
    void send(const std::string& sql, const Bound* bound, std::chrono::milliseconds timeout);
    /// Reads what is left of a statement, and drops it.
    void drain() noexcept;
    void set_statement_timeout(std::chrono::milliseconds timeout, Cancel& cancel);
    /// Fills in names and array kinds of types that are not built in (enums, domains, extensions).
    void name_types(const PGresult* result, std::vector<Column>& columns, Cancel& cancel);

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
    void idle();
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
};

std::unique_ptr<Cursor> open_cursor(Session& session, const std::string& sql, Bound bound,
                                    const StatementOptions& options, bool plain, Cancel& cancel);

} // namespace runbook::db::postgres
