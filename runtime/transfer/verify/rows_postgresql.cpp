// Rows of PostgreSQL: `COPY (SELECT … ORDER BY key) TO STDOUT (FORMAT binary)` under REPEATABLE
// READ READ ONLY. Runs on a reader thread; waits in slices of a second, so that a cancel is seen
// even where the server is silent.
#include "runtime/base/error.h"
#include "runtime/transfer/verify/rows.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <atomic>
#include <optional>

namespace runbook::verify {
namespace {

struct Freed {
    void operator()(char* text) const { PQfreemem(text); }
    void operator()(PGresult* result) const { PQclear(result); }
    void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};
using ResultPtr = std::unique_ptr<PGresult, Freed>;

std::string trimmed(const char* text) {
    std::string out = text ? text : "";
    while (!out.empty() && (out.back() == '\n' || out.back() == ' '))
        out.pop_back();
    return out;
}

class PostgresqlRows final : public RowSource {
  public:
    PostgresqlRows(std::unique_ptr<db::Connection> connection, Which which)
        : RowSource(std::move(connection), which), pg_(static_cast<PGconn*>(connection_->native())),
          canceller_(PQgetCancel(pg_)) {}

    void prepare(Cancel& cancel) override {
        run("SET row_security = off; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; "
            "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = "
            "3; "
            "SET bytea_output = 'hex'; SET xmloption = 'content'; SET search_path = pg_catalog; "
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
            "SET work_mem = '64MB'; SET standard_conforming_strings = on",
            cancel);
    }

    void snapshot(const std::string& shared, Cancel& cancel) override {
        std::string sql = PQtransactionStatus(pg_) == PQTRANS_IDLE ? "" : "ROLLBACK; ";
        sql += "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ";
        if (!shared.empty()) {
            std::unique_ptr<char, Freed> quoted(PQescapeLiteral(pg_, shared.data(), shared.size()));
            sql += fmt::format("SET TRANSACTION SNAPSHOT {}; ", quoted.get());
        }
        run(sql + "SELECT 1", cancel); // takes the snapshot now, not at the first table
    }

    void open(const TablePlan& plan, const std::string& where, Cancel& cancel) override {
        run("SAVEPOINT verify_table", cancel);
        plan_ = &plan;
        previous_.clear();
        header_seen_ = false;
        std::string sql =
            fmt::format("COPY ({}) TO STDOUT (FORMAT binary)", plan.select(which_, where));
        if (!PQsendQuery(pg_, sql.c_str()))
            fail();
        ResultPtr result(next_result(cancel));
        if (!result || PQresultStatus(result.get()) != PGRES_COPY_OUT)
            fail(result.get());
        streaming_ = true;
    }

    bool fill(Batch& batch, Cancel& cancel) override {
        while (!batch.full()) {
            char* raw = nullptr;
            const int size = PQgetCopyData(pg_, &raw, 1);
            std::unique_ptr<char, Freed> data(raw);
            if (size > 0) {
                if (!row({raw, static_cast<std::size_t>(size)}, batch))
                    continue;
            } else if (size == 0) {
                wait(cancel);
            } else if (size == -1) {
                finish(cancel);
                return false;
            } else {
                streaming_ = false;
                fail();
            }
        }
        return true;
    }

    void close(Cancel& cancel) override {
        if (!plan_)
            return;
        plan_ = nullptr;
        if (PQstatus(pg_) != CONNECTION_OK) {
            alive_ = false;
            return;
        }
        if (streaming_)
            stop();
        streaming_ = false;
        Cancel patient; // the session is to be cleaned up even where the work was cancelled
        while (true) {
            char* raw = nullptr;
            int size = PQgetCopyData(pg_, &raw, 0);
            PQfreemem(raw);
            if (size < 0)
                break;
        }
        while (ResultPtr result{PQgetResult(pg_)}) {
        }
        stopping_ = false;
        try {
            run("ROLLBACK TO SAVEPOINT verify_table; RELEASE SAVEPOINT verify_table", patient);
        } catch (const Error&) {
            alive_ = false;
        }
        static_cast<void>(cancel);
    }

    void stop() noexcept override {
        stopping_ = true;
        char message[256];
        if (canceller_)
            PQcancel(canceller_.get(), message, sizeof message);
    }

    std::int64_t count(const TablePlan& plan, Cancel& cancel) override {
        run("SAVEPOINT verify_table", cancel);
        plan_ = &plan; // close() goes back to the savepoint
        std::string sql = fmt::format("SELECT count(*) FROM {}", plan.from(which_));
        if (!PQsendQuery(pg_, sql.c_str()))
            fail();
        ResultPtr result(next_result(cancel));
        if (!result || PQresultStatus(result.get()) != PGRES_TUPLES_OK)
            fail(result.get());
        std::int64_t rows = std::atoll(PQgetvalue(result.get(), 0, 0));
        close(cancel);
        return rows;
    }

  private:
    /// One COPY message: the header comes glued to the first row, the trailer stands alone.
    bool row(std::string_view data, Batch& batch) {
        if (!header_seen_) {
            header_seen_ = true;
            if (data.size() < 19 || !data.starts_with("PGCOPY\n"))
                fail_framing();
            data.remove_prefix(19 + length(data, 15));
            if (data.empty())
                return false;
        }
        auto count = static_cast<std::int16_t>(static_cast<unsigned char>(take(data, 2)[0]) << 8 |
                                               static_cast<unsigned char>(data.data()[-1]));
        if (count == -1)
            return false;
        const TablePlan& plan = *plan_;
        if (static_cast<std::size_t>(count) != plan.columns.size())
            fail_framing();
        const std::size_t at = batch.bytes.size();
        for (std::size_t i = 0; i < plan.columns.size(); ++i) {
            const auto size = static_cast<std::int32_t>(length(take(data, 4), 0));
            if (size < 0)
                put_null(batch.bytes);
            else
                put_postgresql(plan.columns[i], plan.side(which_, i),
                               take(data, static_cast<std::size_t>(size)), batch.bytes);
        }
        if (!data.empty())
            fail_framing();
        end_row(plan, at, batch, previous_);
        return true;
    }

    std::string_view take(std::string_view& data, std::size_t size) {
        if (data.size() < size)
            fail_framing();
        std::string_view head = data.substr(0, size);
        data.remove_prefix(size);
        return head;
    }
    std::uint32_t length(std::string_view data, std::size_t at) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i)
            value = value << 8 | static_cast<unsigned char>(data[at + i]);
        return value;
    }

    void wait(Cancel& cancel) {
        cancel.check("verify");
        pollfd descriptor{PQsocket(pg_), POLLIN, 0};
        if (poll(&descriptor, 1, 1000) > 0 && !PQconsumeInput(pg_))
            fail();
    }

    PGresult* next_result(Cancel& cancel) {
        PQflush(pg_);
        while (PQisBusy(pg_))
            wait(cancel);
        return PQgetResult(pg_);
    }

    void finish(Cancel& cancel) {
        streaming_ = false;
        ResultPtr result(next_result(cancel));
        if (!result || PQresultStatus(result.get()) != PGRES_COMMAND_OK)
            fail(result.get());
        while (ResultPtr rest{PQgetResult(pg_)}) {
        }
        plan_ = nullptr;
        run("RELEASE SAVEPOINT verify_table", cancel);
    }

    void run(const std::string& sql, Cancel& cancel) {
        if (!PQsendQuery(pg_, sql.c_str()))
            fail();
        std::optional<Error> first;
        while (ResultPtr result{next_result(cancel)}) {
            ExecStatusType status = PQresultStatus(result.get());
            if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && !first)
                first = error(result.get());
        }
        if (first)
            throw Error(*first);
    }

    Error error(const PGresult* result) {
        if (PQstatus(pg_) != CONNECTION_OK) {
            alive_ = false;
            return Error("db.connection",
                         fmt::format("{}: connection lost: {}", connection_->url().masked(),
                                     trimmed(PQerrorMessage(pg_))));
        }
        const char* state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
        const char* text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
        std::string sqlstate = state ? state : "";
        std::string kind = sqlstate == "57014"   ? "db.cancelled"
                           : sqlstate == "42501" ? "db.permission"
                                                 : "db.error";
        return Error(kind,
                     fmt::format("{}: {}", connection_->url().masked(),
                                 text ? text : trimmed(PQerrorMessage(pg_))),
                     {}, sqlstate);
    }
    [[noreturn]] void fail(const PGresult* result = nullptr) { throw error(result); }
    [[noreturn]] void fail_framing() {
        throw Error("verify.error", fmt::format("{}: unexpected framing of binary COPY data",
                                                connection_->url().masked()));
    }

    PGconn* pg_;
    std::unique_ptr<PGcancel, Freed> canceller_;
    const TablePlan* plan_ = nullptr;
    std::string previous_;
    bool header_seen_ = false;
    bool streaming_ = false;
    std::atomic<bool> stopping_{false};
};

} // namespace

std::unique_ptr<RowSource> postgresql_rows(std::unique_ptr<db::Connection> connection,
                                           Which which) {
    return std::make_unique<PostgresqlRows>(std::move(connection), which);
}

} // namespace runbook::verify
