// Results of a PostgreSQL session, in batches. A plain query runs through a server-side cursor
// (FETCH of as many rows as make about 4 MB), in a transaction of its own where none is open;
// anything else in single-row mode, gathered into batches. Runs on the connection's own thread.
#include "runtime/db/postgres/session.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::db::postgres {
namespace {

constexpr std::size_t first_fetch = 64;
constexpr std::string_view declare = "DECLARE runbook_cursor NO SCROLL CURSOR FOR ";

class FetchCursor : public Cursor {
  public:
    FetchCursor(Session& session, const std::string& sql, const Bound& bound,
                const StatementOptions& options, Cancel& cancel)
        : session_(session), options_(options), own_(!session.in_transaction()),
          fetch_(std::min(first_fetch, std::max<std::size_t>(1, options.batch_rows))) {
        if (own_) {
            session_.run("BEGIN", nullptr, cancel);
            session_.cursor_transaction = true;
        }
        session_.cursor = this;
        try {
            session_.position_offset = static_cast<int>(declare.size());
            session_.run(std::string(declare) + sql, &bound, cancel, options_.timeout);
            session_.position_offset = 0;
            open_ = true;
            fetch(cancel);
        } catch (...) {
            session_.position_offset = 0;
            abandon();
            throw;
        }
    }
    ~FetchCursor() override {
        try {
            finish();
        } catch (const Error&) {
            // Only a reader who stopped early comes here; the session itself says what became of
            // it.
        }
    }

    const std::vector<Column>& columns() const override { return *columns_; }

    BatchPtr next(Cancel& cancel) override {
        if (!waiting_ && !ended_) {
            try {
                fetch(cancel);
            } catch (...) {
                abandon();
                throw;
            }
        }
        BatchPtr batch = std::exchange(waiting_, nullptr);
        if (ended_)
            finish();
        return batch;
    }

  private:
    void fetch(Cancel& cancel) {
        Result result = session_.run(fmt::format("FETCH {} FROM runbook_cursor", fetch_), nullptr,
                                     cancel, options_.timeout);
        auto rows = static_cast<std::size_t>(PQntuples(result.get()));
        if (!columns_) {
            auto columns = describe(result.get());
            session_.name_types(result.get(), columns, cancel);
            columns_ = std::make_shared<const std::vector<Column>>(std::move(columns));
        }
        ended_ = rows < fetch_;
        if (rows == 0)
            return;
        std::size_t row_bytes = std::max<std::size_t>(1, PQresultMemorySize(result.get()) / rows);
        fetch_ = std::clamp<std::size_t>(batch_bytes / row_bytes, 1,
                                         std::max<std::size_t>(1, options_.batch_rows));
        waiting_ = make_batch(std::move(result), columns_);
    }

    void release() {
        if (session_.cursor == this)
            session_.cursor = nullptr;
        session_.cursor_transaction = false;
        ended_ = true;
    }

    /// Ends the cursor; a transaction of its own is committed, because a function that the query
    /// called may have written.
    void finish() {
        bool own = std::exchange(own_, false), open = std::exchange(open_, false);
        if (!own && !open)
            return;
        release();
        if (!session_.alive())
            return;
        Cancel unstoppable;
        if (own)
            session_.run("COMMIT", nullptr, unstoppable);
        else if (PQtransactionStatus(static_cast<PGconn*>(session_.native())) == PQTRANS_INTRANS)
            session_.run("CLOSE runbook_cursor", nullptr, unstoppable);
    }

    /// After an error; the error that is being thrown is the one that counts.
    void abandon() noexcept {
        bool own = std::exchange(own_, false);
        open_ = false;
        release();
        if (own && session_.alive())
            PQclear(PQexec(static_cast<PGconn*>(session_.native()), "ROLLBACK"));
    }

    Session& session_;
    StatementOptions options_;
    bool own_;
    std::size_t fetch_;
    bool open_ = false, ended_ = false;
    std::shared_ptr<const std::vector<Column>> columns_;
    BatchPtr waiting_;
};

/// Single-row mode: for statements that cannot stand behind DECLARE (RETURNING, SHOW, EXPLAIN,
/// CALL).
class RowCursor : public Cursor {
  public:
    RowCursor(Session& session, const std::string& sql, Bound bound,
              const StatementOptions& options, Cancel& cancel)
        : session_(session), options_(options), bound_(std::move(bound)) {
        start(sql, Send::statement, cancel);
        auto columns = pending_ ? describe(pending_.get()) : std::vector<Column>();
        columns_ = std::make_shared<const std::vector<Column>>(std::move(columns));
    }
    RowCursor(Session& session, const Session::Described& described, Bound bound,
              const StatementOptions& options, bool plain, Cancel& cancel)
        : session_(session), options_(options), bound_(std::move(bound)), plain_(plain),
          columns_(std::make_shared<const std::vector<Column>>(described.columns)) {
        start(described.name, Send::prepared, cancel);
    }
    ~RowCursor() override {
        if (session_.cursor != this)
            return;
        session_.cursor = nullptr;
        pending_.reset();
        if (!session_.alive())
            return;
        // The rest is read, not cancelled, where the statement may have effects, which were asked
        // for, or a cancel would undo the transaction.
        if (plain_ && !in_transaction_)
            session_.cut_off();
        else
            session_.drain();
    }

    const std::vector<Column>& columns() const override { return *columns_; }

    BatchPtr next(Cancel& cancel) override {
        if (session_.cursor != this)
            return nullptr;
        auto batch = std::make_shared<CopiedBatch>(columns_);
        try {
            while (pending_ && batch->rows() < std::max<std::size_t>(1, options_.batch_rows) &&
                   batch->bytes() < batch_bytes) {
                for (int row = 0; row < PQntuples(pending_.get()); ++row)
                    add(*batch, row);
                pending_ = session_.next_result(cancel);
            }
        } catch (...) {
            session_.cursor = nullptr;
            throw;
        }
        if (!pending_) {
            session_.cursor = nullptr;
            session_.check_read_only();
        }
        return batch->rows() > 0 ? batch : nullptr;
    }

  private:
    void start(const std::string& sql, Send what, Cancel& cancel) {
        cancel.check("a statement");
        in_transaction_ = session_.in_transaction();
        session_.send(sql, &bound_, options_.timeout, what);
        PQsetSingleRowMode(static_cast<PGconn*>(session_.native()));
        session_.cursor = this;
        try {
            pending_ = session_.next_result(cancel);
        } catch (...) {
            session_.cursor = nullptr;
            throw;
        }
    }

    void add(CopiedBatch& batch, int row) {
        for (int column = 0; column < static_cast<int>(columns_->size()); ++column) {
            if (PQgetisnull(pending_.get(), row, column)) {
                batch.add({});
                continue;
            }
            Kind kind = (*columns_)[static_cast<std::size_t>(column)].kind;
            char* text = PQgetvalue(pending_.get(), row, column);
            auto length = static_cast<std::size_t>(PQgetlength(pending_.get(), row, column));
            if (kind == Kind::bytes)
                length = unhex_in_place(text, length);
            batch.add(decode({text, length}, kind));
        }
    }

    Session& session_;
    StatementOptions options_;
    Bound bound_;
    bool plain_ = false, in_transaction_ = false;
    Result pending_;
    std::shared_ptr<const std::vector<Column>> columns_;
};

} // namespace

std::unique_ptr<Cursor> open_cursor(Session& session, const std::string& sql, Bound bound,
                                    const StatementOptions& options, bool plain, Cancel& cancel) {
    if (plain)
        return std::make_unique<FetchCursor>(session, sql, bound, options, cancel);
    return std::make_unique<RowCursor>(session, sql, std::move(bound), options, cancel);
}

std::unique_ptr<Cursor> open_prepared_cursor(Session& session, const Session::Described& described,
                                             Bound bound, const StatementOptions& options,
                                             bool plain, Cancel& cancel) {
    return std::make_unique<RowCursor>(session, described, std::move(bound), options, plain,
                                       cancel);
}

} // namespace runbook::db::postgres
