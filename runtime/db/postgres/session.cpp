// Statements of a PostgreSQL session: sending, waiting, cancelling, transactions. Runs on the
// connection's own thread; PQcancel also on the cancel thread. Nothing is ever sent twice.
#include "runtime/db/postgres/session.h"

#include "runtime/base/failpoint.h"
#include "runtime/base/text.h"
#include "runtime/db/placeholders.h"

#include <fmt/format.h>

#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>

namespace runbook::db::postgres {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto resend_cancel_after = std::chrono::milliseconds(500);
constexpr auto cancel_grace = std::chrono::seconds(10);
constexpr std::size_t most_notices = 200;

struct CancelDeleter {
    void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};
using CancelHandle = std::unique_ptr<PGcancel, CancelDeleter>;

void send_cancel(PGcancel* handle) {
    char why[256];
    PQcancel(handle, why, sizeof why);
}

void keep_notice(void* kept, const PGresult* result) {
    auto& notices = *static_cast<std::vector<std::string>*>(kept);
    if (notices.size() >= most_notices)
        return;
    const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    notices.push_back(
        fmt::format("{}: {}", text::lower(severity ? severity : "notice"), text ? text : ""));
}

bool is_error(ExecStatusType status) {
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

} // namespace

Session::Session(const Url& url, const ConnectOptions& options, Cancel& cancel)
    : PreparingConnection(url, options.access) {
    try {
        open(options, cancel);
        PQsetNoticeReceiver(connection_, keep_notice, &notices_);
        prepare_session(cancel);
    } catch (...) {
        PQfinish(connection_);
        throw;
    }
}

Session::~Session() {
    lost_ = true; // the server closes what it holds for the session
    forget_prepared();
    PQfinish(connection_);
}

bool Session::alive() const {
    return !lost_ && PQstatus(connection_) == CONNECTION_OK;
}

bool Session::in_transaction() const {
    if (!alive() || cursor_transaction)
        return false;
    return PQtransactionStatus(connection_) != PQTRANS_IDLE;
}

std::string Session::quote_name(std::string_view name) const {
    std::string out = "\"";
    for (char c : name) {
        out += c;
        if (c == '"')
            out += c;
    }
    return out + '"';
}

void Session::lost(const std::string& why) {
    lost_ = true;
    if (PQsocket(connection_) >= 0)
        shutdown(PQsocket(connection_), SHUT_RDWR);
    Error error = lost_connection(url_, why);
    error.set_in_doubt(effect);
    throw error;
}

void Session::arm(std::chrono::milliseconds timeout) {
    if (!alive())
        throw lost_connection(url_, "it is closed");
    cancel_sent_ = timed_out_ = false;
    deadline_ = timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
    give_up_ = Clock::time_point::max();
}

void Session::sent(int accepted) {
    if (accepted)
        return;
    if (PQstatus(connection_) != CONNECTION_OK)
        lost(text::trim(PQerrorMessage(connection_)));
    throw Error("internal", "libpq: " + text::trim(PQerrorMessage(connection_)));
}

void Session::send(const std::string& sql, const Bound* bound, std::chrono::milliseconds timeout,
                   Send what) {
    arm(timeout);
    int count = bound ? static_cast<int>(bound->values.size()) : 0;
    if (count > 65535)
        throw Error("argument", "PostgreSQL takes at most 65535 parameters in one statement");
    const char* const* values = bound ? bound->values.data() : nullptr;
    const int* lengths = bound ? bound->lengths.data() : nullptr;
    const int* formats = bound ? bound->formats.data() : nullptr;
    sent(what == Send::prepared
             ? PQsendQueryPrepared(connection_, sql.c_str(), count, values, lengths, formats, 0)
             : PQsendQueryParams(connection_, sql.c_str(), count,
                                 bound ? bound->types.data() : nullptr, values, lengths, formats,
                                 0));
    if (failpoint::armed && effect) { // on its way, and nobody has read an answer
        PQflush(connection_);
        failpoint::cross("effect.inside");
    }
}

Result Session::next_result(Cancel& cancel) {
    CancelHandle handle;
    std::optional<Cancel::Hook> hook;
    auto last_sent = Clock::time_point::min();
    while (PQisBusy(connection_)) {
        // Registered only when there is something to wait for: results that have arrived cost
        // nothing.
        if (!hook) {
            handle.reset(PQgetCancel(connection_));
            hook.emplace(cancel, [&handle] { send_cancel(handle.get()); });
        }
        pollfd waited{PQsocket(connection_), POLLIN, 0};
        int ready = poll(&waited, 1, 100);
        auto now = Clock::now();
        if (ready > 0 && !PQconsumeInput(connection_))
            lost(text::trim(PQerrorMessage(connection_)));
        bool wanted = cancel.requested() || now > deadline_;
        if (!wanted || ready > 0)
            continue;
        if (!cancel_sent_) {
            cancel_sent_ = true;
            timed_out_ = !cancel.requested();
            give_up_ = now + cancel_grace;
            // The hook has sent one; a cancel that overtook its statement does nothing, so one more
            // follows later.
            last_sent = timed_out_ ? Clock::time_point::min() : now;
        }
        if (now > give_up_) {
            effect = true;
            lost("the server did not confirm the cancel");
        }
        if (last_sent == Clock::time_point::min() || now - last_sent > resend_cancel_after) {
            send_cancel(handle.get());
            last_sent = now;
        }
    }
    hook.reset();
    Result result(PQgetResult(connection_));
    if (!result || !is_error(PQresultStatus(result.get())))
        return result;
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    if (!state || PQstatus(connection_) == CONNECTION_BAD) {
        drain();
        std::string why = text::trim(PQresultErrorMessage(result.get()));
        lost(why.substr(0, why.find('\n')));
    }
    Error error = error_of(url_, result.get(), position_offset);
    std::string sqlstate = state;
    drain();
    fail(std::move(error), sqlstate, cancel);
}

void Session::fail(Error error, std::string_view sqlstate, Cancel& cancel) {
    // A FATAL error ends the session. What it ended may still have been committed before it was
    // told to go.
    if (PQstatus(connection_) == CONNECTION_BAD) {
        const std::string& why = error.message();
        lost(why.substr(url_.masked().size() + 2));
    }
    if (sqlstate == "57014") {
        if (cancel.reason() == Cancel::Reason::cancelled)
            throw Error("cancelled",
                        url_.masked() + ": the statement was cancelled in the server (57014)", {},
                        "57014");
        if (cancel.reason() == Cancel::Reason::timeout)
            throw Error(
                "timeout",
                url_.masked() +
                    ": the time limit ended: the statement was cancelled in the server (57014)",
                {}, "57014");
        if (timed_out_ || error.message().find("statement timeout") != std::string::npos)
            throw Error("db.timeout",
                        url_.masked() +
                            ": the statement took longer than its timeout and was cancelled in "
                            "the server (57014)",
                        "raise the timeout, or find out what the statement waits for", "57014");
    }
    throw error;
}

void Session::drain() noexcept {
    while (PGresult* result = PQgetResult(connection_))
        PQclear(result);
}

void Session::cut_off() noexcept {
    if (CancelHandle handle{PQgetCancel(connection_)})
        send_cancel(handle.get());
    drain();
    if (alive())
        absorb_late_cancel();
}

// A cancel that arrived after its statement had ended may strike the next one: let it strike this
// one.
void Session::absorb_late_cancel() noexcept {
    cancel_sent_ = false;
    PQclear(PQexec(connection_, "SELECT pg_catalog.pg_sleep(0.02)"));
}

Result Session::run(const std::string& sql, const Bound* bound, Cancel& cancel,
                    std::chrono::milliseconds timeout, Send what) {
    cancel.check("a statement");
    send(sql, bound, timeout, what);
    Result last = last_result(cancel);
    check_read_only();
    return last;
}

Result Session::last_result(Cancel& cancel) {
    Result last;
    while (Result result = next_result(cancel))
        last = std::move(result);
    if (cancel.requested() || cancel_sent_)
        absorb_late_cancel();
    return last;
}

void Session::check_read_only() {
    const char* mode = PQparameterStatus(connection_, "default_transaction_read_only");
    if (!read_only_ || !mode || std::string_view(mode) != "off")
        return;
    PQclear(PQexec(connection_, "SET default_transaction_read_only = on"));
    throw stays_read_only(url_);
}

void Session::set_statement_timeout(std::chrono::milliseconds timeout, Cancel& cancel) {
    if (timeout == server_timeout_)
        return;
    run(fmt::format("SET statement_timeout = {}", timeout.count()), nullptr, cancel);
    server_timeout_ = timeout;
}

void Session::idle() {
    if (!alive())
        throw lost_connection(url_, "it is closed");
    if (cursor)
        refuse_second_cursor();
    check_read_only();
}

std::vector<std::string> Session::take_notices() {
    return std::exchange(notices_, {});
}

Executed Session::execute(std::string_view sql, std::span<const Value> params,
                          const StatementOptions& options, Cancel& cancel) {
    idle();
    if (read_only_)
        keep_read_only(url_, sql);
    Rewritten statement = rewrite_placeholders(sql);
    check_parameter_count(
        static_cast<std::size_t>(std::max(statement.questions, statement.dollars)), params.size());
    const Bound bound = bind_for(statement.sql, params, cancel);
    return run_for_effect(statement.sql, bound, options, cancel, Send::statement);
}

Executed Session::run_for_effect(const std::string& sql, const Bound& bound,
                                 const StatementOptions& options, Cancel& cancel, Send what) {
    effect = false;
    set_statement_timeout(options.timeout, cancel);
    notices_.clear();
    bool was_in_transaction = in_transaction();
    effect = !was_in_transaction && !read_only_;
    Result result = run(sql, &bound, cancel, options.timeout, what);
    // SET inside a transaction that is undone is undone with it.
    if (was_in_transaction && !in_transaction())
        server_timeout_ = std::chrono::milliseconds(-1);
    Executed executed;
    executed.rows_affected = std::strtoll(PQcmdTuples(result.get()), nullptr, 10);
    executed.warnings = take_notices();
    return executed;
}

std::unique_ptr<Cursor> Session::query(std::string_view sql, std::span<const Value> params,
                                       const StatementOptions& options, Cancel& cancel) {
    idle();
    if (read_only_)
        keep_read_only(url_, sql);
    Rewritten statement = rewrite_placeholders(sql);
    check_parameter_count(
        static_cast<std::size_t>(std::max(statement.questions, statement.dollars)), params.size());
    Bound bound = bind_for(statement.sql, params, cancel);
    effect = false;
    set_statement_timeout(options.timeout, cancel);
    bool plain = is_plain_query(statement.sql);
    effect = !plain && !in_transaction() && !read_only_;
    return open_cursor(*this, statement.sql, std::move(bound), options, plain, cancel);
}

void Session::script(std::string_view sql, Cancel& cancel) {
    idle();
    if (read_only_)
        keep_read_only(url_, sql);
    effect = false;
    set_statement_timeout({}, cancel);
    cancel.check("a script");
    effect = !read_only_;
    cancel_sent_ = timed_out_ = false;
    deadline_ = give_up_ = Clock::time_point::max();
    if (!PQsendQuery(connection_, std::string(sql).c_str()))
        lost(text::trim(PQerrorMessage(connection_)));
    while (Result result = next_result(cancel)) {
        ExecStatusType status = PQresultStatus(result.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            if (status == PGRES_COPY_IN)
                PQputCopyEnd(connection_, "COPY through the client is not part of a script");
            char* line = nullptr;
            while (PQgetCopyData(connection_, &line, 0) > 0)
                PQfreemem(line);
            drain();
            throw Error("db.unsupported",
                        url_.masked() + ": a script cannot COPY through the client",
                        "copy.* moves data between databases");
        }
    }
}

void Session::begin(Cancel& cancel) {
    idle();
    if (in_transaction())
        throw Error("usage", "the connection is in a transaction already");
    effect = false;
    run("BEGIN", nullptr, cancel);
}

void Session::commit(Cancel& cancel) {
    idle();
    if (!in_transaction())
        throw Error("usage", "the connection is not in a transaction");
    effect = true;
    Result result = run("COMMIT", nullptr, cancel);
    if (std::string_view(PQcmdStatus(result.get())) == "ROLLBACK") {
        server_timeout_ = std::chrono::milliseconds(-1);
        throw Error("db.error",
                    url_.masked() +
                        ": a statement of the transaction had failed, so it was rolled back",
                    "catch the error inside the transaction only around a savepoint");
    }
}

void Session::rollback(Cancel& cancel) {
    idle();
    server_timeout_ = std::chrono::milliseconds(-1);
    effect = false;
    // A rollback is never refused because a cancel is already on its way.
    Cancel unstoppable;
    run("ROLLBACK", nullptr, unstoppable);
}

void Session::set_read_only(bool read_only, Cancel& cancel) {
    if (!read_only && access_ == Access::read)
        throw Error("db.read_only",
                    url_.masked() + ": the connection is declared access = \"read\"",
                    "declare access = \"write\" where the playbook means to write");
    if (read_only == read_only_)
        return;
    effect = false;
    read_only_ = false;
    run(fmt::format("SET default_transaction_read_only = {}", read_only ? "on" : "off"), nullptr,
        cancel);
    read_only_ = read_only;
}

Result Session::parse_as(const std::string& name, const std::string& sql, Cancel& cancel) {
    cancel.check("a statement");
    arm({});
    sent(PQsendPrepare(connection_, name.c_str(), sql.c_str(), 0, nullptr));
    last_result(cancel);
    arm({});
    sent(PQsendDescribePrepared(connection_, name.c_str()));
    return last_result(cancel);
}

Session::Described Session::parse(const std::string& sql, Cancel& cancel) {
    Described described;
    described.name = fmt::format("runbook_{}", ++prepared_count_);
    Result told = parse_as(described.name, sql, cancel);
    described.parameters = parameter_types(told.get());
    described.columns = describe(told.get());
    name_types(told.get(), described.columns, cancel);
    return described;
}

Bound Session::bind_for(const std::string& sql, std::span<const Value> params, Cancel& cancel) {
    if (!bytes_differ(params))
        return postgres::bind(params);
    effect = false;
    Result told = parse_as("", sql, cancel);
    return postgres::bind(with_bytes(params, parameter_types(told.get())));
}

void Session::deallocate(const std::string& name) noexcept {
    if (alive())
        PQclear(PQexec(connection_, ("DEALLOCATE " + name).c_str()));
}

bool Session::can_unprepare() const {
    return !cursor && (!alive() || PQtransactionStatus(connection_) == PQTRANS_IDLE ||
                       PQtransactionStatus(connection_) == PQTRANS_INTRANS);
}

void Session::name_types(const PGresult* result, std::vector<Column>& columns, Cancel& cancel) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (!columns[i].type.empty())
            continue;
        Oid oid = PQftype(result, static_cast<int>(i));
        auto known = types_.find(oid);
        if (known == types_.end()) {
            Result named =
                run(fmt::format("SELECT pg_catalog.format_type({}, NULL), typcategory, "
                                "typbasetype <> 0 FROM pg_catalog.pg_type WHERE oid = {}",
                                oid, oid),
                    nullptr, cancel);
            Column column;
            if (PQntuples(named.get()) == 1) {
                column.type = PQgetvalue(named.get(), 0, 0);
                if (*PQgetvalue(named.get(), 0, 1) == 'A' && column.type.ends_with("[]"))
                    column.kind = Kind::array;
            }
            known = types_.emplace(oid, column).first;
        }
        columns[i].type = known->second.type;
        columns[i].kind = known->second.kind;
    }
}

} // namespace runbook::db::postgres
