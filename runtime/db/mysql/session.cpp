// Statements of a MySQL or MariaDB session: text protocol without parameters, prepared with them;
// transactions. Runs on the connection's own thread. Nothing is ever sent twice.
#include "runtime/db/mysql/session.h"

#include "runtime/base/failpoint.h"
#include "runtime/db/mysql/implicit_commit.h"
#include "runtime/db/placeholders.h"

#include <fmt/format.h>

namespace runbook::db::mysql {
namespace {

constexpr unsigned most_warnings = 200;

std::int64_t row_count(std::uint64_t count) {
    return count == static_cast<std::uint64_t>(-1) ? 0 : static_cast<std::int64_t>(count);
}

} // namespace

bool reads_only(std::string_view sql) {
    std::string word = first_word(sql);
    return word == "select" || word == "show" || word == "values" || word == "table" ||
           word == "describe" || word == "desc" || word == "explain" ||
           (word == "with" && is_plain_query(sql));
}

Session::Session(const Url& url, const ConnectOptions& options, Cancel& cancel)
    : PreparingConnection(url, options.access), options_(options) {
    connect(cancel);
    prepare_session(cancel);
}

std::string Session::quote_name(std::string_view name) const {
    std::string out = "`";
    for (char c : name) {
        out += c;
        if (c == '`')
            out += c;
    }
    return out + '`';
}

bool Session::in_transaction() const {
    return alive() && !aborted_ && (handle_->server_status & SERVER_STATUS_IN_TRANS) != 0;
}

void Session::idle() {
    if (lost_)
        throw lost_connection(url_, "it is closed");
    if (cursor)
        refuse_second_cursor();
}

void Session::keep_transaction(std::string_view sql) const {
    if (!begun_)
        return;
    if (const std::string words = ends_transaction(sql); !words.empty())
        throw Error("usage",
                    fmt::format("{}: {} is refused in a transaction: {} would commit what stands "
                                "before it, and it was not sent",
                                url_.masked(), words, flavour_name(info_.flavour)),
                    "do it outside of the transaction: in a step or sub-step of its own, with "
                    "observe");
}

void Session::fail(MYSQL_STMT* statement, Cancel& cancel, bool timed_out) {
    // Connector/C leaves what ended the reading of a prepared statement's rows at the connection.
    if (statement && mysql_stmt_errno(statement) == 0)
        statement = nullptr;
    unsigned number = statement ? mysql_stmt_errno(statement) : mysql_errno(handle_.get());
    std::string state = statement ? mysql_stmt_sqlstate(statement) : mysql_sqlstate(handle_.get());
    std::string text = statement ? mysql_stmt_error(statement) : mysql_error(handle_.get());
    bool stopped = cancel.requested() || timed_out;
    if (is_lost(number)) {
        lost_ = true;
        Error error = lost_connection(url_, stopped ? "the server did not confirm the cancel"
                                                    : fmt::format("{} ({})", text, number));
        error.set_in_doubt(effect || stopped);
        throw error;
    }
    // A deadlock's victim loses the whole transaction.
    if (number == 1213 && in_transaction())
        aborted_ = true;
    if (number == 1317 && stopped) {
        std::string at = url_.masked();
        if (cancel.reason() == Cancel::Reason::cancelled)
            throw Error("cancelled", at + ": the statement was cancelled in the server (1317)", {},
                        state);
        if (cancel.reason() == Cancel::Reason::timeout)
            throw Error(
                "timeout",
                at + ": the time limit ended: the statement was cancelled in the server (1317)", {},
                state);
        throw Error("db.timeout",
                    at + ": the statement took longer than its timeout and was cancelled in the "
                         "server (1317)",
                    "raise the timeout, or find out what the statement waits for", state);
    }
    throw make_error(url_, number, state, text);
}

// SLEEP and GET_LOCK answer a KILL with a value instead of an error, so a statement that ended by
// itself after a KILL may have been cut short: what it did is not known.
void Session::after_kill(Cancel& cancel, bool timed_out, bool reading) {
    absorb_late_kill();
    std::string kind = cancel.reason() == Cancel::Reason::cancelled ? "cancelled"
                       : timed_out                                  ? "db.timeout"
                                                                    : "timeout";
    Error error(kind, url_.masked() + ": the statement ended while it was being cancelled");
    error.set_in_doubt(effect && !reading);
    throw error;
}

void Session::absorb_late_kill() noexcept {
    for (int i = 0; i < 2; ++i)
        mysql_real_query(handle_.get(), "DO 0", 4);
}

void Session::run(const std::string& sql, Cancel& cancel) {
    cancel.check("a statement");
    Watch watch(*this, {}, cancel);
    if (mysql_real_query(handle_.get(), sql.data(), sql.size()) != 0)
        fail(nullptr, cancel, watch.timed_out());
}

std::vector<std::string> Session::take_warnings() {
    std::vector<std::string> warnings;
    if (mysql_warning_count(handle_.get()) == 0)
        return warnings;
    std::string sql = fmt::format("SHOW WARNINGS LIMIT {}", most_warnings);
    if (mysql_real_query(handle_.get(), sql.data(), sql.size()) != 0)
        return warnings;
    Result result(mysql_store_result(handle_.get()));
    while (MYSQL_ROW row = result ? mysql_fetch_row(result.get()) : nullptr)
        warnings.push_back(
            fmt::format("{}: {} ({})", row[0][0] == 'N' ? "note" : "warning", row[2], row[1]));
    return warnings;
}

void Session::start(std::string_view sql, bool reading, Cancel& cancel) {
    idle();
    cancel.check("a statement");
    keep_transaction(sql);
    if (read_only_)
        keep_read_only(url_, sql);
    effect = !in_transaction() && !read_only_ && !reading;
}

Statement Session::parse(std::string_view sql, Watch& watch, Cancel& cancel) {
    Statement statement(mysql_stmt_init(handle_.get()));
    if (mysql_stmt_prepare(statement.get(), sql.data(), sql.size()) != 0)
        fail(statement.get(), cancel, watch.timed_out());
    return statement;
}

void Session::send(MYSQL_STMT* statement, Bound& bound, Watch& watch, Cancel& cancel) {
    if ((!bound.empty() && mysql_stmt_bind_param(statement, bound.binds()) != 0) ||
        mysql_stmt_execute(statement) != 0)
        fail(statement, cancel, watch.timed_out());
}

Executed Session::take_effect(MYSQL_STMT* statement, Watch& watch, Cancel& cancel) {
    Executed executed;
    executed.rows_affected = row_count(mysql_stmt_affected_rows(statement));
    executed.last_insert_id = static_cast<std::int64_t>(mysql_stmt_insert_id(statement));
    while (mysql_stmt_field_count(statement) > 0 && mysql_stmt_fetch(statement) == 0) {
    }
    if (mysql_stmt_errno(statement) != 0)
        fail(statement, cancel, watch.timed_out());
    return executed;
}

void Session::finish(Executed& executed, std::string_view sql, bool reading, bool stopped,
                     bool timed_out, Cancel& cancel) {
    if (stopped)
        after_kill(cancel, timed_out, reading);
    if (read_only_ && first_word(sql) == "set")
        run("SET SESSION TRANSACTION READ ONLY", cancel);
    else
        executed.warnings = take_warnings();
}

Executed Session::execute(std::string_view sql, std::span<const Value> params,
                          const StatementOptions& options, Cancel& cancel) {
    const bool reading = reads_only(sql);
    start(sql, reading, cancel);
    check_parameter_count(static_cast<std::size_t>(count_placeholders_mysql(sql)), params.size());
    Executed executed;
    bool stopped = false, timed_out = false;
    if (params.empty()) {
        Watch watch(*this, options.timeout, cancel);
        if (mysql_real_query(handle_.get(), sql.data(), sql.size()) != 0)
            fail(nullptr, cancel, watch.timed_out());
        failpoint::cross("effect.inside");
        for (int more = 0; more == 0; more = mysql_next_result(handle_.get())) {
            Result unwanted(mysql_use_result(handle_.get()));
            while (unwanted && mysql_fetch_row(unwanted.get())) {
            }
            if (mysql_errno(handle_.get()) != 0)
                fail(nullptr, cancel, watch.timed_out());
            if (!unwanted)
                executed.rows_affected += row_count(mysql_affected_rows(handle_.get()));
        }
        if (mysql_errno(handle_.get()) != 0)
            fail(nullptr, cancel, watch.timed_out());
        executed.last_insert_id = static_cast<std::int64_t>(mysql_insert_id(handle_.get()));
        stopped = watch.fired();
        timed_out = watch.timed_out();
    } else {
        Bound bound(params);
        Watch watch(*this, options.timeout, cancel);
        Statement statement = parse(sql, watch, cancel);
        send(statement.get(), bound, watch, cancel);
        executed = take_effect(statement.get(), watch, cancel);
        stopped = watch.fired();
        timed_out = watch.timed_out();
    }
    finish(executed, sql, reading, stopped, timed_out, cancel);
    return executed;
}

std::unique_ptr<Cursor> Session::query(std::string_view sql, std::span<const Value> params,
                                       const StatementOptions& options, Cancel& cancel) {
    const bool plain = reads_only(sql);
    start(sql, plain, cancel);
    check_parameter_count(static_cast<std::size_t>(count_placeholders_mysql(sql)), params.size());
    if (params.empty()) {
        Watch watch(*this, options.timeout, cancel);
        if (mysql_real_query(handle_.get(), sql.data(), sql.size()) != 0)
            fail(nullptr, cancel, watch.timed_out());
        return open_text_cursor(*this, options, plain, cancel);
    }
    Bound bound(params);
    Watch watch(*this, options.timeout, cancel);
    Statement statement = parse(sql, watch, cancel);
    send(statement.get(), bound, watch, cancel);
    return open_binary_cursor(*this, std::move(statement), options, plain);
}

void Session::script(std::string_view sql, Cancel& cancel) {
    idle();
    cancel.check("a script");
    keep_transaction(sql);
    if (read_only_)
        keep_read_only(url_, sql);
    effect = !read_only_;
    if (mysql_set_server_option(handle_.get(), MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
        fail(nullptr, cancel, false);
    bool stopped = false;
    {
        Watch watch(*this, {}, cancel);
        bool failed = mysql_real_query(handle_.get(), sql.data(), sql.size()) != 0;
        for (int more = failed ? 1 : 0; more == 0; more = mysql_next_result(handle_.get()))
            Result unwanted(mysql_store_result(handle_.get()));
        if (unsigned number = mysql_errno(handle_.get()); number != 0) {
            // The error is kept: turning the option off again would overwrite it.
            std::string state = mysql_sqlstate(handle_.get()), text = mysql_error(handle_.get());
            if (is_lost(number) || number == 1317)
                fail(nullptr, cancel, watch.timed_out());
            mysql_set_server_option(handle_.get(), MYSQL_OPTION_MULTI_STATEMENTS_OFF);
            throw make_error(url_, number, state, text);
        }
        stopped = watch.fired();
    }
    mysql_set_server_option(handle_.get(), MYSQL_OPTION_MULTI_STATEMENTS_OFF);
    if (stopped)
        after_kill(cancel, false, false);
}

void Session::begin(Cancel& cancel) {
    idle();
    if (in_transaction())
        throw Error("usage", "the connection is in a transaction already");
    effect = false;
    run("START TRANSACTION", cancel);
    begun_ = true;
    aborted_ = false;
}

void Session::commit(Cancel& cancel) {
    idle();
    bool begun = std::exchange(begun_, false);
    if (std::exchange(aborted_, false)) {
        effect = false;
        run("ROLLBACK", cancel);
        throw Error("db.error", url_.masked() + ": a deadlock had rolled the transaction back");
    }
    if (!in_transaction()) {
        if (begun)
            throw Error(
                "db.error",
                url_.masked() +
                    ": a statement of the transaction had committed it (CREATE, ALTER and DROP do)",
                "keep such statements out of transactions");
        throw Error("usage", "the connection is not in a transaction");
    }
    effect = true;
    run("COMMIT", cancel);
}

void Session::rollback(Cancel&) {
    idle();
    begun_ = aborted_ = false;
    effect = false;
    // A rollback is never refused because a cancel is already on its way.
    Cancel unstoppable;
    run("ROLLBACK", unstoppable);
}

void Session::set_read_only(bool read_only, Cancel& cancel) {
    if (!read_only && access_ == Access::read)
        throw Error("db.read_only",
                    url_.masked() + ": the connection is declared access = \"read\"",
                    "declare access = \"write\" where the playbook means to write");
    if (read_only == read_only_)
        return;
    effect = false;
    run(fmt::format("SET SESSION TRANSACTION READ {}", read_only ? "ONLY" : "WRITE"), cancel);
    read_only_ = read_only;
}

} // namespace runbook::db::mysql
