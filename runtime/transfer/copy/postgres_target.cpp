// PostgreSQL as a target: COPY FROM STDIN, each chunk one transaction with its ledger row first
// (see ends.h).
#include "runtime/transfer/copy/postgres_target.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/db/ask.h"
#include "runtime/transfer/copy/chunk.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/not_empty.h"
#include "runtime/transfer/copy/rejects.h"
#include "runtime/transfer/copy/versions.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace runbook::copy {
namespace {

using schema::standard_name;

constexpr std::size_t batch_bytes = 256 << 10;

std::unique_ptr<db::Connection> open_session(const db::Url& url, const std::string& schema,
                                             Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook copy";
    auto connection = db::connect(url, options, cancel);
    connection->script("SET datestyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET client_encoding = "
                       "'UTF8'; SET standard_conforming_strings = on; SET statement_timeout = 0; "
                       "SET idle_in_transaction_session_timeout = 0; SET search_path = " +
                           standard_name(schema),
                       cancel);
    return connection;
}

Error failure(db::Connection& connection, const std::string& table, const PGresult* result) {
    auto* raw = static_cast<PGconn*>(connection.native());
    const char* state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    const char* text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
    const char* context = result ? PQresultErrorField(result, PG_DIAG_CONTEXT) : nullptr;
    std::string code = state ? state : "";
    std::string kind = PQstatus(raw) != CONNECTION_OK || !state ? "db.connection"
                       : code == "57014"                        ? "db.cancelled"
                       : code.starts_with("23")                 ? "db.constraint"
                       : code == "42501"                        ? "db.permission"
                       : code == "53100"                        ? "db.disk_full"
                                                                : "db.error";
    std::string message = text::trim(text ? text : PQerrorMessage(raw));
    return {kind,
            fmt::format("{}: loading {}: {}{}", connection.url().masked(), table, message,
                        context ? fmt::format(" ({})", context) : ""),
            {},
            code};
}

class CopyIn {
  public:
    CopyIn(db::Connection& connection, const schema::TargetTable& table)
        : connection_(connection), raw_(static_cast<PGconn*>(connection.native())),
          table_(table.name) {
        std::string columns;
        for (const schema::TargetColumn& column : table.columns)
            columns += (columns.empty() ? "" : ", ") + standard_name(column.name);
        PGresult* result = PQexec(
            raw_,
            fmt::format("COPY {} ({}) FROM STDIN", standard_name(table.name), columns).c_str());
        bool ready = PQresultStatus(result) == PGRES_COPY_IN;
        if (!ready) {
            Error error = failure(connection_, table_, result);
            PQclear(result);
            throw error;
        }
        PQclear(result);
    }
    ~CopyIn() {
        if (ended_)
            return;
        PQputCopyEnd(raw_, "the copy was given up");
        drain();
    }
    CopyIn(const CopyIn&) = delete;
    CopyIn& operator=(const CopyIn&) = delete;

    void row(std::string_view row) {
        buffer_.append(row);
        if (buffer_.size() >= batch_bytes)
            flush();
    }
    /// Rows that the server took.
    std::int64_t end() {
        flush();
        ended_ = true;
        if (PQputCopyEnd(raw_, nullptr) != 1)
            fail_with(nullptr);
        PGresult* result = PQgetResult(raw_);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            fail_with(result);
        std::int64_t rows = std::strtoll(PQcmdTuples(result), nullptr, 10);
        PQclear(result);
        drain();
        return rows;
    }

  private:
    void flush() {
        if (buffer_.empty())
            return;
        if (PQputCopyData(raw_, buffer_.data(), static_cast<int>(buffer_.size())) != 1) {
            ended_ = true;
            fail_with(PQgetResult(raw_));
        }
        buffer_.clear();
    }
    [[noreturn]] void fail_with(PGresult* result) {
        Error error = failure(connection_, table_, result);
        PQclear(result);
        drain();
        throw error;
    }
    void drain() {
        while (PGresult* result = PQgetResult(raw_))
            PQclear(result);
    }
    db::Connection& connection_;
    PGconn* raw_;
    std::string table_, buffer_;
    bool ended_ = false;
};

class PostgresTargetSession final : public TargetSession {
  public:
    PostgresTargetSession(const db::Url& url, const std::string& schema, std::string run,
                          Rejects& rejects, Cancel& cancel)
        : connection_(open_session(url, schema, cancel)), run_(std::move(run)), rejects_(rejects),
          handle_(PQgetCancel(static_cast<PGconn*>(connection_->native()))) {}
    ~PostgresTargetSession() override { PQfreeCancel(handle_); }

    void load(const Part& part, int chunk, Feed& feed, bool careful, Cancel& cancel) override {
        load_chunk(
            *connection_, rejects_, run_, part, chunk, feed, careful,
            [&](Feed& from) { copy_in(part, from); }, cancel);
    }
    // The row in the ledger and what it tells of are one transaction.
    void finish(const schema::TargetTable& table, const std::string& kind, int number,
                const std::string& sql, bool, Cancel& cancel) override {
        Ledger ledger(*connection_);
        connection_->begin(cancel);
        try {
            ledger.object(run_, kind, table.name, "begun", cancel, number);
            connection_->script(sql, cancel);
            ledger.object(run_, kind, table.name, "done", cancel, number);
            connection_->commit(cancel);
        } catch (const Error& error) {
            roll_back(*connection_);
            throw Error(error.kind(), kind + " of " + table.name + ": " + error.message(),
                        error.hint(), error.sqlstate());
        }
    }
    db::Connection& connection() override { return *connection_; }
    void interrupt() noexcept override {
        char why[256];
        PQcancel(handle_, why, sizeof why);
    }

  private:
    void copy_in(const Part& part, Feed& feed) {
        CopyIn copy(*connection_, *part.table);
        std::string_view row;
        while (feed.next(row))
            copy.row(row);
        std::int64_t taken = copy.end();
        if (taken != feed.rows())
            throw Error("copy.mismatch", fmt::format("{}: {} rows sent, the server counted {}",
                                                     part.table->name, feed.rows(), taken));
    }
    std::unique_ptr<db::Connection> connection_;
    std::string run_;
    Rejects& rejects_;
    PGcancel* handle_;
};

class PostgresTarget final : public Target {
  public:
    PostgresTarget(const db::Url& url, const Options& options, Cancel& cancel)
        : url_(url), schema_(options.schema.empty() ? "public" : options.schema),
          rejects_(options.rejects), connection_(open_session(url, schema_, cancel)) {}

    schema::Target description() override { return {connection_->server(), false}; }

    std::string make_ready(const std::string& source, bool dry, Cancel& cancel) override {
        check_version(connection_->server(), url_);
        const Map may = db::ask_one(*connection_,
                                    "SELECT current_user::text AS role, "
                                    "coalesce(has_schema_privilege(current_schema(), "
                                    "'CREATE'), true) AS may",
                                    {}, cancel);
        if (!may.boolean("may"))
            throw Error("db.permission",
                        fmt::format("{}: the role '{}' may not CREATE in the schema {}",
                                    url_.masked(), may.text("role"), schema_),
                        "GRANT CREATE, USAGE ON SCHEMA to the role; nothing was written");
        if (!dry)
            lock();
        std::vector<std::string> there;
        for (const Map& row : db::fetch_all(
                 *connection_,
                 "SELECT c.relname::text AS name FROM pg_catalog.pg_class c JOIN "
                 "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "
                 "current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT "
                 "IN ('_runbook_copy', '_runbook_rejects') ORDER BY c.relname COLLATE \"C\""))
            there.push_back(row.text("name"));
        Ledger ledger(*connection_);
        return check_empty(url_, there, ledger.tables(cancel), ledger.read(cancel), source);
    }
    void begin_run(const std::string& run, const std::string& source, const std::string& snapshot,
                   const std::string& fence, Cancel& cancel) override {
        Ledger ledger(*connection_);
        ledger.create(cancel);
        ledger.begin_run(run, source, snapshot, fence, cancel);
        continue_run(run, cancel);
    }
    void continue_run(const std::string& run, Cancel& cancel) override {
        run_ = run;
        if (rejects_.collects())
            rejects_.open(*connection_, run, cancel);
    }
    void make(const schema::Before& object, Cancel& cancel) override {
        make(object.kind, object.name, object.sql, cancel);
    }
    void create(const schema::TargetTable& table, Cancel& cancel) override {
        make("table", table.name, table.create, cancel);
    }
    void end_run(std::int64_t tables, std::int64_t rows, Cancel& cancel) override {
        Ledger(*connection_).end_run(run_, tables, rows, cancel);
    }
    std::unique_ptr<TargetSession> session(Cancel& cancel) override {
        return std::make_unique<PostgresTargetSession>(url_, schema_, run_, rejects_, cancel);
    }
    db::Connection& control() override { return *connection_; }
    bool running() override {
        if (!take_lock())
            return true;
        connection_->execute("SELECT pg_catalog.pg_advisory_unlock(" + lock_key() + ")", {}, {},
                             unstoppable_);
        return false;
    }
    std::vector<std::string> discard(Cancel& cancel) override {
        lock();
        return drop_tables(cancel);
    }

  private:
    void make(const std::string& kind, const std::string& name, const std::string& sql,
              Cancel& cancel) {
        connection_->begin(cancel);
        try {
            Ledger(*connection_).object(run_, kind, name, "begun", cancel);
            connection_->script(sql, cancel);
            connection_->commit(cancel);
        } catch (const Error& error) {
            connection_->rollback(cancel);
            throw Error(error.kind(),
                        fmt::format("creating {}{}: {}", kind == "table" ? "" : kind + " ", name,
                                    error.message()),
                        error.hint(), error.sqlstate());
        }
    }
    std::string lock_key() const {
        return "pg_catalog.hashtext(" + schema::standard_string("runbook copy " + schema_) + ")";
    }
    bool take_lock() {
        Value got = db::fetch_value(*connection_, "SELECT pg_catalog.pg_try_advisory_lock(" +
                                                      lock_key() + ")::int4");
        const auto* number = got.get<std::int64_t>();
        return number && *number == 1;
    }
    // A server takes a moment to see that the process of a session is dead.
    void lock() {
        for (int attempt = 0; attempt < 30 && !take_lock(); ++attempt)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        if (!take_lock())
            throw Error("copy.refused",
                        url_.masked() + ": another copy into this database is running",
                        "copy.state says which one");
    }
    std::vector<std::string> drop_tables(Cancel& cancel) {
        Ledger ledger(*connection_);
        std::vector<std::string> names = ledger.tables(cancel);
        std::string list;
        for (const std::string& name : names)
            list += (list.empty() ? "" : ", ") + standard_name(name);
        if (!list.empty())
            connection_->execute("DROP TABLE IF EXISTS " + list, {}, {}, cancel);
        connection_->execute("DROP TABLE IF EXISTS " + standard_name(rejects_table), {}, {},
                             cancel);
        for (const char* kind : {"sequence", "domain", "type"}) {
            list.clear();
            for (const std::string& name : ledger.named(kind, cancel))
                list += (list.empty() ? "" : ", ") + standard_name(name);
            if (!list.empty())
                connection_->execute(fmt::format("DROP {} IF EXISTS {}", kind, list), {}, {},
                                     cancel);
        }
        ledger.drop(cancel);
        return names;
    }

    db::Url url_;
    std::string schema_;
    Rejects rejects_;
    std::unique_ptr<db::Connection> connection_;
    std::string run_;
    Cancel unstoppable_;
};

} // namespace

std::unique_ptr<Target> open_postgres_target(const db::Url& url, const Options& options,
                                             Cancel& cancel) {
    return std::make_unique<PostgresTarget>(url, options, cancel);
}

} // namespace runbook::copy
