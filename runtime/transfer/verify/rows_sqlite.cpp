// Rows of SQLite, by the storage class of each value, inside one read transaction.
// Runs on a reader thread; a cancel arrives as sqlite3_interrupt.
#include "runtime/base/error.h"
#include "runtime/transfer/verify/rows.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <charconv>
#include <cmath>

namespace runbook::verify {
namespace {

struct Finalized {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

template <class Number>
std::string_view number_text(Number value, char (&text)[64]) {
    auto end = std::to_chars(text, text + sizeof text, value).ptr;
    return {text, static_cast<std::size_t>(end - text)};
}

void put_integer(const ColumnPair& pair, std::int64_t value, Buffer& out) {
    char text[64];
    switch (pair.form) {
    case Form::integer:
        return put_fixed(out, value);
    case Form::real32:
    case Form::real64:
        return put_real(pair, static_cast<double>(value), out);
    case Form::dynamic:
        text[0] = 'i';
        return put_var(out, {text, static_cast<std::size_t>(
                                       std::to_chars(text + 1, text + 64, value).ptr - text)});
    default:
        return put_parsed(pair, number_text(value, text), out);
    }
}

void put_double(const ColumnPair& pair, double value, Buffer& out) {
    char text[64];
    switch (pair.form) {
    case Form::integer:
        if (value == std::floor(value) && std::fabs(value) < 9.0e18)
            return put_fixed(out, static_cast<std::int64_t>(value));
        return put_var(out, number_text(value, text), Tag::invalid);
    case Form::real32:
    case Form::real64:
        return put_real(pair, value, out);
    case Form::dynamic:
        text[0] = 'r';
        return put_var(out, {text, static_cast<std::size_t>(
                                       std::to_chars(text + 1, text + 64, value).ptr - text)});
    default:
        return put_parsed(pair, number_text(value, text), out);
    }
}

void put_tagged(char storage, std::string_view data, Buffer& out) {
    char* at = out.grow(6 + data.size());
    at[0] = static_cast<char>(Tag::var);
    auto size = static_cast<std::uint32_t>(data.size() + 1);
    std::memcpy(at + 1, &size, 4);
    at[5] = storage;
    if (!data.empty())
        std::memcpy(at + 6, data.data(), data.size());
}

void put_cell(const ColumnPair& pair, sqlite3_stmt* statement, int column, Buffer& out) {
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return put_null(out);
    case SQLITE_INTEGER:
        return put_integer(pair, sqlite3_column_int64(statement, column), out);
    case SQLITE_FLOAT:
        return put_double(pair, sqlite3_column_double(statement, column), out);
    case SQLITE_TEXT: {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
        std::string_view data{text,
                              static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
        return pair.form == Form::dynamic ? put_tagged('s', data, out)
                                          : put_parsed(pair, data, out);
    }
    default: {
        const auto* blob = static_cast<const char*>(sqlite3_column_blob(statement, column));
        std::string_view data{blob,
                              static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
        return pair.form == Form::dynamic ? put_tagged('x', data, out)
                                          : put_parsed(pair, data, out);
    }
    }
}

class SqliteRows final : public RowSource {
  public:
    SqliteRows(std::unique_ptr<db::Connection> connection, Which which)
        : RowSource(std::move(connection), which),
          db_(static_cast<sqlite3*>(connection_->native())) {}
    ~SqliteRows() override { statement_.reset(); }

    void prepare(Cancel& cancel) override { cancel.check("verify"); }

    void snapshot(const std::string& shared, Cancel& cancel) override {
        if (!shared.empty())
            throw Error("argument", "a shared snapshot exists in PostgreSQL only");
        if (!sqlite3_get_autocommit(db_))
            run("ROLLBACK", cancel);
        run("BEGIN", cancel);
        run("SELECT count(*) FROM sqlite_schema", cancel); // the first read takes the snapshot
    }

    void open(const TablePlan& plan, const std::string& where, Cancel& cancel) override {
        cancel.check("verify");
        plan_ = &plan;
        previous_.clear();
        compile(plan.select(which_, where));
    }

    bool fill(Batch& batch, Cancel& cancel) override {
        cancel.check("verify");
        Cancel::Hook hook(cancel, [this] { stop(); });
        const TablePlan& plan = *plan_;
        while (!batch.full()) {
            const int code = sqlite3_step(statement_.get());
            if (code == SQLITE_DONE) {
                statement_.reset();
                return false;
            }
            if (code != SQLITE_ROW)
                fail();
            const std::size_t at = batch.bytes.size();
            for (std::size_t i = 0; i < plan.columns.size(); ++i)
                put_cell(plan.columns[i], statement_.get(), static_cast<int>(i), batch.bytes);
            end_row(plan, at, batch, previous_);
        }
        return true;
    }

    void close(Cancel&) override { statement_.reset(); }
    void stop() noexcept override { sqlite3_interrupt(db_); }

    std::int64_t count(const TablePlan& plan, Cancel& cancel) override {
        cancel.check("verify");
        Cancel::Hook hook(cancel, [this] { stop(); });
        compile(fmt::format("SELECT count(*) FROM {}", plan.from(which_)));
        if (sqlite3_step(statement_.get()) != SQLITE_ROW)
            fail();
        std::int64_t rows = sqlite3_column_int64(statement_.get(), 0);
        statement_.reset();
        return rows;
    }

  private:
    void compile(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        const int code =
            sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
        statement_.reset(statement);
        if (code != SQLITE_OK)
            fail();
    }
    void run(const std::string& sql, Cancel& cancel) {
        cancel.check("verify");
        compile(sql);
        int code = SQLITE_ROW;
        while (code == SQLITE_ROW)
            code = sqlite3_step(statement_.get());
        if (code != SQLITE_DONE)
            fail();
        statement_.reset();
    }
    [[noreturn]] void fail() {
        const int code = sqlite3_errcode(db_);
        Error error(
            code == SQLITE_INTERRUPT ? "db.cancelled" : "db.error",
            fmt::format("{}: {} ({})", connection_->url().masked(), sqlite3_errmsg(db_), code));
        statement_.reset();
        throw error;
    }

    sqlite3* db_;
    const TablePlan* plan_ = nullptr;
    std::string previous_;
    std::unique_ptr<sqlite3_stmt, Finalized> statement_;
};

} // namespace

std::unique_ptr<RowSource> sqlite_rows(std::unique_ptr<db::Connection> connection, Which which) {
    return std::make_unique<SqliteRows>(std::move(connection), which);
}

} // namespace runbook::verify
