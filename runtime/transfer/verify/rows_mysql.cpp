// Rows of MySQL and MariaDB: the text protocol, unbuffered, under a consistent snapshot.
// Runs on a reader thread; a cancel arrives as KILL QUERY over a second session.
#include "runtime/base/error.h"
#include "runtime/transfer/verify/rows.h"

#include <fmt/format.h>
#include <mysql.h>

#include <mutex>

namespace runbook::verify {
namespace {

struct Freed {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};

class MysqlRows final : public RowSource {
  public:
    MysqlRows(std::unique_ptr<db::Connection> connection, Which which)
        : RowSource(std::move(connection), which), my_(static_cast<MYSQL*>(connection_->native())),
          session_(mysql_thread_id(my_)) {}
    ~MysqlRows() override { result_.reset(); }

    void prepare(Cancel& cancel) override {
        const bool mariadb = connection_->server().flavour == db::Flavour::mariadb;
        run("SET NAMES utf8mb4", cancel);
        // A sort key of 4096 octets covers every index (3072); the time limits are those of a long
        // stream.
        run(fmt::format(
                "SET SESSION time_zone = '+00:00', sql_mode = '', max_sort_length = 8192, "
                "net_write_timeout = 3600, net_read_timeout = 3600, wait_timeout = 86400, {} = 0",
                mariadb ? "max_statement_time" : "max_execution_time"),
            cancel);
        run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", cancel);
    }

    void snapshot(const std::string& shared, Cancel& cancel) override {
        if (!shared.empty())
            throw Error("argument", "a shared snapshot exists in PostgreSQL only");
        run("ROLLBACK", cancel);
        run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", cancel);
    }

    void open(const TablePlan& plan, const std::string& where, Cancel& cancel) override {
        plan_ = &plan;
        previous_.clear();
        Cancel::Hook hook(cancel, [this] { stop(); });
        std::string sql = plan.select(which_, where);
        if (mysql_real_query(my_, sql.data(), sql.size()) != 0)
            fail();
        result_.reset(mysql_use_result(my_));
        if (!result_)
            fail();
    }

    bool fill(Batch& batch, Cancel& cancel) override {
        cancel.check("verify");
        Cancel::Hook hook(cancel, [this] { stop(); });
        const TablePlan& plan = *plan_;
        const std::size_t columns = plan.columns.size();
        while (!batch.full()) {
            MYSQL_ROW row = mysql_fetch_row(result_.get());
            if (!row) {
                if (mysql_errno(my_) != 0)
                    fail();
                result_.reset();
                return false;
            }
            const unsigned long* lengths = mysql_fetch_lengths(result_.get());
            const std::size_t at = batch.bytes.size();
            for (std::size_t i = 0; i < columns; ++i) {
                if (!row[i])
                    put_null(batch.bytes);
                else
                    put_mysql(plan.columns[i], plan.side(which_, i), {row[i], lengths[i]},
                              batch.bytes);
            }
            end_row(plan, at, batch, previous_);
        }
        return true;
    }

    void close(Cancel&) override {
        if (result_) {
            stop();
            result_.reset(); // reads what the server still sends until the KILL QUERY arrives
        }
        if (mysql_ping(my_) != 0)
            alive_ = false;
    }

    void stop() noexcept override {
        std::lock_guard lock(stopping_);
        try {
            Cancel patient;
            db::ConnectOptions options;
            options.access = db::Access::read;
            options.application_name = "runbook verify, cancel";
            auto killer = db::connect(connection_->url(), options, patient);
            auto* my = static_cast<MYSQL*>(killer->native());
            std::string sql = fmt::format("KILL QUERY {}", session_);
            static_cast<void>(mysql_real_query(my, sql.data(), sql.size()));
        } catch (const std::exception&) {
            // The server does not answer: the stream fails by itself.
        }
    }

    std::int64_t count(const TablePlan& plan, Cancel& cancel) override {
        Cancel::Hook hook(cancel, [this] { stop(); });
        std::string sql = fmt::format("SELECT count(*) FROM {}", plan.from(which_));
        if (mysql_real_query(my_, sql.data(), sql.size()) != 0)
            fail();
        std::unique_ptr<MYSQL_RES, Freed> result(mysql_store_result(my_));
        MYSQL_ROW row = result ? mysql_fetch_row(result.get()) : nullptr;
        if (!row || !row[0])
            fail();
        return std::atoll(row[0]);
    }

  private:
    void run(const std::string& sql, Cancel& cancel) {
        cancel.check("verify");
        if (mysql_real_query(my_, sql.data(), sql.size()) != 0)
            fail();
        std::unique_ptr<MYSQL_RES, Freed> result(mysql_store_result(my_));
    }

    [[noreturn]] void fail() {
        const unsigned code = mysql_errno(my_);
        // 2006, 2013, 2055: the client's codes for a lost session; 1927, 3169, 1053: killed or
        // shutting down.
        const bool lost = code == 2006 || code == 2013 || code == 2055 || code == 1927 ||
                          code == 3169 || code == 1053;
        if (lost)
            alive_ = false;
        const char* kind = lost                           ? "db.connection"
                           : code == 1317                 ? "db.cancelled"
                           : code == 1142 || code == 1143 ? "db.permission"
                                                          : "db.error";
        throw Error(kind,
                    fmt::format("{}: {}{} ({})", connection_->url().masked(),
                                lost ? "connection lost: " : "",
                                code ? mysql_error(my_) : "no answer", code),
                    {}, mysql_sqlstate(my_));
    }

    MYSQL* my_;
    unsigned long session_;
    const TablePlan* plan_ = nullptr;
    std::string previous_;
    std::unique_ptr<MYSQL_RES, Freed> result_;
    std::mutex stopping_;
};

} // namespace

std::unique_ptr<RowSource> mysql_rows(std::unique_ptr<db::Connection> connection, Which which) {
    return std::make_unique<MysqlRows>(std::move(connection), which);
}

} // namespace runbook::verify
