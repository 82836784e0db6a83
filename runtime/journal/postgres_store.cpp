// A journal's rows in the schema `runbook` of a PostgreSQL database (contract in store.h). The row
// of a run is held FOR UPDATE, so that changes of one run come one after the other; leases are
// judged by the server's clock. Owns: one session. A session that was lost is opened again only
// where COMMIT had not been sent.
#include "runtime/base/error.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/time.h"
#include "runtime/db/connection.h"
#include "runtime/db/password.h"
#include "runtime/journal/migrations.h"
#include "runtime/journal/schema.h"
#include "runtime/journal/store.h"

#include <chrono>
#include <fmt/format.h>
#include <thread>
#include <vector>

namespace runbook::journal {
namespace {

constexpr double reconnect_seconds = 10;
constexpr const char* lock_wait = "10s";

class PostgresRow final : public Row {
  public:
    PostgresRow(const db::Batch& batch, std::size_t row) : batch_(batch), row_(row) {}
    std::string text(int column) const override {
        return std::string(batch_.cell(row_, static_cast<std::size_t>(column)).text);
    }
    std::int64_t integer(int column) const override {
        return batch_.cell(row_, static_cast<std::size_t>(column)).integer;
    }

  private:
    const db::Batch& batch_;
    std::size_t row_;
};

std::vector<Value> values_of(Params params) {
    std::vector<Value> out;
    for (const Bound& bound : params)
        if (const auto* text = std::get_if<std::string_view>(&bound))
            out.emplace_back(std::string(*text));
        else
            out.emplace_back(std::get<std::int64_t>(bound));
    return out;
}

class PostgresStore final : public Store {
  public:
    PostgresStore(db::Url url, bool read_only)
        : url_(std::move(url)), name_(url_.masked()), read_only_(read_only) {
        try {
            connect();
            read_only_ ? check_readable() : migrate();
        } catch (const Error& error) {
            throw as_journal(error);
        }
    }

    const std::string& name() const override { return name_; }
    bool read_only() const override { return read_only_; }
    bool one_machine() const override { return false; }
    std::string warning() const override { return warning_; }
    std::unique_ptr<Store> again() const override {
        return std::make_unique<PostgresStore>(url_, read_only_);
    }

    void change(const std::function<void()>& work) override;
    void read(const std::function<void()>& work, bool one_view) override;
    void each(std::string_view sql, Params params,
              const std::function<void(const Row&)>& row) override;
    std::int64_t run(std::string_view sql, Params params) override;

    std::string_view clock() const override {
        return "(extract(epoch from clock_timestamp()) * 1000000)::bigint";
    }
    std::string_view hold_rows() const override { return " FOR UPDATE"; }

  private:
    void connect();
    /// The session, a new one where the last one is gone; waits a little for a server that comes
    /// back.
    void ensure_connected();
    bool lost() const { return !connection_ || !connection_->alive(); }
    void begin();
    void rollback() noexcept;
    void execute(std::string_view sql) { run(sql, {}); }
    Value value(std::string_view sql) { return db::fetch_value(*connection_, sql); }
    std::int64_t number(std::string_view sql) {
        const Value found = value(sql);
        const auto* number = found.get<std::int64_t>();
        return number ? *number : 0;
    }
    std::int64_t version();
    void check_readable();
    void migrate();
    Error as_journal(const Error& error);
    std::string who_locks() noexcept;

    db::Url url_;
    std::string name_, warning_;
    bool read_only_, given_up_ = false;
    std::unique_ptr<db::Connection> connection_;
};

void PostgresStore::connect() {
    connection_.reset();
    Cancel cancel;
    db::ConnectOptions options;
    options.access = read_only_ ? db::Access::read : db::Access::write;
    options.application_name = "runbook journal";
    auto fresh = db::connect(url_, options, cancel);
    // What a role, a database or the server has set otherwise must not weaken a commit. Who stops
    // inside of a transaction (a frozen process) loses it rather than keep the run locked.
    fresh->execute(
        fmt::format("SELECT set_config('search_path', 'runbook', false), "
                    "set_config('lock_timeout', '{}', false), "
                    "set_config('idle_in_transaction_session_timeout', '60s', false), "
                    "set_config('default_transaction_isolation', 'read committed', false), "
                    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
                    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)",
                    lock_wait),
        {}, {}, cancel);
    const Value encoding = db::fetch_value(*fresh, "SELECT current_setting('server_encoding')");
    if (const auto* text = encoding.get<std::string>(); text && *text != "UTF8")
        throw Error("db.unsupported",
                    name_ + ": the encoding of this database is " + *text +
                        ", and a journal needs UTF8",
                    "make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0");
    const Value sync = db::fetch_value(*fresh, "SELECT current_setting('fsync')");
    const auto* synced = sync.get<std::string>();
    warning_ = synced && *synced == "off"
                   ? "journal " + name_ +
                         ": this server runs with fsync = off; after a crash of its machine "
                         "entries may be missing"
                   : "";
    connection_ = std::move(fresh);
}

void PostgresStore::ensure_connected() {
    if (!lost())
        return;
    // Waited for once: who is told that the server is away only has to leave.
    const double until = time::monotonic() + (given_up_ ? 0 : reconnect_seconds);
    for (;;) {
        try {
            connect();
            given_up_ = false;
            return;
        } catch (const Error& error) {
            if (error.kind() != "db.connection" || time::monotonic() > until) {
                given_up_ = true;
                throw as_journal(error);
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

void PostgresStore::begin() {
    Cancel cancel;
    connection_->begin(cancel);
}

void PostgresStore::rollback() noexcept {
    try {
        Cancel cancel;
        if (!lost() && connection_->in_transaction())
            connection_->rollback(cancel);
    } catch (const Error&) {
        connection_.reset(); // the caller's own error says more; the server rolls back by itself
    }
}

void PostgresStore::change(const std::function<void()>& work) {
    for (bool again = false;; again = true) {
        ensure_connected();
        failpoint::cross("journal.before");
        try {
            begin();
            work();
            failpoint::cross("journal.inside");
            break;
        } catch (const Error& error) {
            rollback();
            // COMMIT was not sent, so nothing of it is there; the next turn checks the token anew.
            if (!again && error.kind() == "db.connection" && lost())
                continue;
            throw as_journal(error);
        }
    }
    try {
        Cancel cancel;
        connection_->commit(cancel);
    } catch (const Error& error) {
        connection_.reset();
        throw Error("journal.unknown",
                    as_journal(error).message() + "; the last entry may or may not be written",
                    "nothing was done on top of it: when the server answers, resume the run");
    }
    failpoint::cross("journal.after");
}

void PostgresStore::read(const std::function<void()>& work, bool one_view) {
    for (bool again = false;; again = true) {
        ensure_connected();
        try {
            if (one_view) {
                begin();
                execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
            }
            work();
            rollback();
            return;
        } catch (const Error& error) {
            rollback();
            if (!again && error.kind() == "db.connection" && lost())
                continue;
            throw as_journal(error);
        }
    }
}

void PostgresStore::each(std::string_view sql, Params params,
                         const std::function<void(const Row&)>& row) {
    Cancel cancel;
    const auto cursor = connection_->query(sql, values_of(params), {}, cancel);
    while (const db::BatchPtr batch = cursor->next(cancel))
        for (std::size_t i = 0; i < batch->rows(); ++i)
            row(PostgresRow(*batch, i));
}

std::int64_t PostgresStore::run(std::string_view sql, Params params) {
    Cancel cancel;
    return connection_->execute(sql, values_of(params), {}, cancel).rows_affected;
}

/// 0 where there is no journal yet.
std::int64_t PostgresStore::version() {
    if (number("SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON "
               "n.oid = c.relnamespace WHERE n.nspname = 'runbook' AND "
               "c.relname = 'schema_version'") == 0)
        return 0;
    return number("SELECT max(version) FROM runbook.schema_version");
}

void PostgresStore::check_readable() {
    const std::int64_t found = version();
    if (found == 0)
        throw Error("journal", "there is no journal in " + name_, "the first run creates it");
    refuse_newer(name_, found);
}

/// Makes schema and tables, or brings an older journal up to date: all of it or nothing.
void PostgresStore::migrate() {
    if (const std::int64_t found = version(); found > 0) {
        refuse_newer(name_, found);
        if (found == newest_version())
            return;
    }
    begin();
    try {
        execute("SELECT pg_catalog.pg_advisory_xact_lock(1381322306)"); // one at a time
        const std::int64_t found = version(); // another may have been quicker
        refuse_newer(name_, found);
        const bool has_schema = number("SELECT count(*) FROM pg_catalog.pg_namespace WHERE "
                                       "nspname = 'runbook'") > 0;
        if (found == 0 && has_schema &&
            number("SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = "
                   "'runbook'::regnamespace") > 0)
            throw Error("journal",
                        "journal " + name_ +
                            ": the schema 'runbook' of this database holds something else",
                        "name another database");
        if (!has_schema)
            execute("CREATE SCHEMA runbook");
        for (const Migration& step : migrations()) {
            if (step.version <= found)
                continue;
            Cancel cancel;
            connection_->script(step.postgres, cancel);
            run("INSERT INTO schema_version VALUES (?, ?)",
                {std::int64_t{step.version}, time::now_micros()});
        }
        Cancel cancel;
        connection_->commit(cancel);
    } catch (const Error& error) {
        rollback();
        if (error.kind() == "db.permission")
            throw Error("journal",
                        as_journal(error).message() + "; role '" + url_.user +
                            "' cannot make or change the journal's tables",
                        fmt::format("let an administrator run CREATE SCHEMA runbook AUTHORIZATION "
                                    "\"{}\" in this database",
                                    url_.user));
        throw;
    }
}

/// Which other session has kept rows of `runs` for long, in words; empty where none is seen.
std::string PostgresStore::who_locks() noexcept {
    try {
        const auto rows = db::fetch_all(
            *connection_,
            "SELECT a.pid::bigint AS pid, a.application_name::text AS application, "
            "a.usename::text AS role, coalesce(host(a.client_addr), 'a local socket') AS place "
            "FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid "
            "WHERE l.relation = 'runbook.runs'::regclass AND l.granted AND "
            "a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '5 s' "
            "ORDER BY a.xact_start LIMIT 1");
        if (!rows.empty())
            return fmt::format("session {} ({}, role {}, from {})", rows[0].integer("pid"),
                               rows[0].text("application"), rows[0].text("role"),
                               rows[0].text("place"));
    } catch (const Error&) { // the lock's own error is told all the same
    }
    return "another session";
}

/// A driver's error in the words of the journal; any other as it is.
Error PostgresStore::as_journal(const Error& error) {
    if (!error.kind().starts_with("db."))
        return error;
    std::string why = error.message(), hint = error.hint();
    if (why.starts_with(name_ + ": "))
        why.erase(0, name_.size() + 2);
    if (error.kind() == "db.lock_timeout") {
        why = "locked by " + who_locks() + " for more than 10 s";
        hint = "end that session's transaction, then resume the run";
    } else if (error.kind() == "db.permission") {
        hint = "the role needs USAGE on the schema runbook and SELECT on its tables; to write, "
               "INSERT and UPDATE too, and DELETE on locks";
    } else if (error.kind() == "db.read_only") {
        hint = "this server is a standby, or read-only: name the primary one";
    } else if (error.kind() == "db.disk_full") {
        hint = "free space on the server's disk, then resume the run";
    } else if (const auto name = hint.find("<NAME>"); name != std::string::npos) {
        hint.replace(name, 6, "JOURNAL");
    }
    return Error("journal", "journal " + name_ + ": " + why, hint, error.sqlstate());
}

} // namespace

std::unique_ptr<Store> open_postgres(const std::string& url, bool read_only) {
    return std::make_unique<PostgresStore>(db::parse_named(url, "journal"), read_only);
}

} // namespace runbook::journal
