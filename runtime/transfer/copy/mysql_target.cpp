// MySQL and MariaDB as a target: readiness, tables, chunks (see ends.h). Nothing global is changed
// on the server: local_infile is asked for, never set.
#include "runtime/transfer/copy/mysql_target.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/copy/chunk.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/mysql_killer.h"
#include "runtime/transfer/copy/mysql_load.h"
#include "runtime/transfer/copy/not_empty.h"
#include "runtime/transfer/copy/rejects.h"
#include "runtime/transfer/copy/versions.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {
namespace {

using schema::mysql_name;
using schema::mysql_string;

// NO_AUTO_VALUE_ON_ZERO: a 0 is a 0. unique_checks stay on: MariaDB's fast path without them loses
// whole loads.
constexpr const char* settings =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,{}', time_zone = '+00:00', unique_checks = "
    "1, foreign_key_checks = 1, net_read_timeout = 600, "
    "net_write_timeout = 600";

// A zero date of MySQL's own is carried as it is; from another engine none can come.
constexpr const char* no_zero_dates = "NO_ZERO_DATE,NO_ZERO_IN_DATE";
constexpr const char* any_date = "ALLOW_INVALID_DATES";

void set_up(db::Connection& connection, const char* dates, const Options& wanted, Cancel& cancel) {
    connection.script(fmt::format(settings, dates), cancel);
    for (const auto& [name, value] : wanted.settings)
        connection.script(fmt::format("SET SESSION {} = {}", name, value), cancel);
}

std::unique_ptr<db::Connection> open_session(const db::Url& url, const char* dates,
                                             const Options& wanted, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook copy";
    options.local_infile = true;
    auto connection = db::connect(url, options, cancel);
    set_up(*connection, dates, wanted, cancel);
    return connection;
}

/// Names behind KEY and CONSTRAINT in an ALTER TABLE of the plan.
std::vector<std::string> added_names(const std::string& sql) {
    std::vector<std::string> names;
    for (const char* word : {" KEY `", " CONSTRAINT `", " INDEX `"})
        for (std::size_t at = sql.find(word); at != std::string::npos; at = sql.find(word, at)) {
            at += std::string_view(word).size();
            std::string name;
            for (; at < sql.size(); ++at) {
                if (sql[at] == '`' && (at + 1 == sql.size() || sql[at + 1] != '`'))
                    break;
                if (sql[at] == '`')
                    ++at;
                name += sql[at];
            }
            names.push_back(std::move(name));
        }
    return names;
}

class MysqlSession final : public TargetSession {
  public:
    /// Foreign keys of tables that were there are proved after the load instead.
    MysqlSession(const db::Url& url, const char* dates, const Options& options, std::string run,
                 Rejects& rejects, bool checked, Cancel& cancel)
        : connection_(open_session(url, dates, options, cancel)), killer_(url, *connection_),
          run_(std::move(run)), rejects_(rejects) {
        if (!checked)
            connection_->script("SET SESSION foreign_key_checks = 0", cancel);
    }

    void load(const Part& part, int chunk, Feed& feed, bool careful, Cancel& cancel) override {
        load_chunk(
            *connection_, rejects_, run_, part, chunk, feed, careful,
            [&](Feed& from) {
                load_data(*connection_, part.table->name, part.table->columns, from);
            },
            cancel);
    }
    void finish(const schema::TargetTable& table, const std::string& kind, int number,
                const std::string& sql, bool begun, Cancel& cancel) override {
        Ledger ledger(*connection_);
        if (!begun)
            ledger.object(run_, kind, table.name, "begun", cancel, number);
        else if (is_made(table, sql, cancel)) {
            ledger.object(run_, kind, table.name, "done", cancel, number);
            return;
        }
        // With the checks on, the server rebuilds the table row by row (ten times as long). They
        // are off for the one statement, and every foreign key is proved by a query afterwards.
        bool unchecked = kind == "foreign keys";
        if (unchecked)
            connection_->script("SET SESSION foreign_key_checks = 0", cancel);
        try {
            connection_->execute(sql, {}, {}, cancel);
        } catch (const Error& error) {
            // The session that was cut off may have been at it until now.
            if (!begun || !connection_->alive() || !is_made(table, sql, cancel))
                throw Error(error.kind(), kind + " of " + table.name + ": " + error.message(),
                            error.hint(), error.sqlstate());
        }
        if (unchecked)
            connection_->script("SET SESSION foreign_key_checks = 1", cancel);
        ledger.object(run_, kind, table.name, "done", cancel, number);
    }
    db::Connection& connection() override { return *connection_; }
    void interrupt() noexcept override { killer_.kill(); }

  private:
    /// Every key that the ALTER adds is there: it makes all of them or none.
    bool is_made(const schema::TargetTable& table, const std::string& sql, Cancel& cancel) {
        cancel.check("the copy");
        std::vector<std::string> names = added_names(sql);
        for (const std::string& name : names) {
            const std::vector<Value> params = {table.name, name, table.name, name};
            const Value count = db::fetch_value(
                *connection_,
                "SELECT (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = "
                "DATABASE() AND table_name = ? AND index_name = ?) + (SELECT COUNT(*) FROM "
                "information_schema.table_constraints WHERE constraint_schema = DATABASE() AND "
                "table_name = ? AND constraint_name = ?)",
                params);
            const auto* number = count.get<std::int64_t>();
            if (!number || *number == 0)
                return false;
        }
        return !names.empty();
    }

    std::unique_ptr<db::Connection> connection_;
    MysqlKiller killer_;
    std::string run_;
    Rejects& rejects_;
};

class MysqlTarget final : public Target {
  public:
    MysqlTarget(const db::Url& url, const Options& options, Cancel& cancel)
        : url_(url), options_(options), rejects_(options.rejects),
          connection_(open_session(url, dates_, options, cancel)) {}

    schema::Target description() override {
        schema::Target target;
        target.server = connection_->server();
        const auto value = db::fetch_value(*connection_, "SELECT @@lower_case_table_names");
        const auto* number = value.get<std::int64_t>();
        target.folds_table_names = number && *number != 0;
        return target;
    }

    void expect(db::Engine source) override {
        dates_ = source == db::Engine::mysql ? any_date : no_zero_dates;
        Cancel unstoppable;
        set_up(*connection_, dates_, options_, unstoppable);
    }
    void will_need(const std::vector<std::string>& names, bool beside) override {
        expected_ = names;
        beside_ = beside;
    }
    const std::vector<std::string>& existing() const override { return existing_; }

    std::string make_ready(const std::string& source, bool dry, Cancel& cancel) override {
        if (url_.name.empty())
            throw Error("argument", url_.masked() + ": the URL names no database");
        const auto infile = db::fetch_value(*connection_, "SELECT @@GLOBAL.local_infile");
        const auto* on = infile.get<std::int64_t>();
        if (!on || *on == 0)
            throw Error("copy.refused", url_.masked() + ": the server has local_infile off",
                        "have SET GLOBAL local_infile = ON made for the time of the copy; runbook "
                        "never changes a server's settings");
        check_version(connection_->server(), url_);
        check_collation();
        if (!dry) {
            lock();
            check_privileges(cancel);
        }
        return look(source, cancel);
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

    void create(const schema::TargetTable& table, Cancel& cancel) override {
        Ledger ledger(*connection_);
        if (table.create.empty()) {
            ledger.object(run_, "existing", table.name, "begun", cancel);
            return;
        }
        ledger.object(run_, "table", table.name, "begun", cancel);
        try {
            connection_->execute(table.create, {}, {}, cancel);
        } catch (const Error& error) {
            ledger.forget(run_, table.name, cancel);
            throw Error(error.kind(), "creating " + table.name + ": " + error.message(),
                        error.hint(), error.sqlstate());
        }
    }

    void end_run(std::int64_t tables, std::int64_t rows, Cancel& cancel) override {
        Ledger(*connection_).end_run(run_, tables, rows, cancel);
    }

    std::unique_ptr<TargetSession> session(Cancel& cancel) override {
        return std::make_unique<MysqlSession>(url_, dates_, options_, run_, rejects_,
                                              existing_.empty(), cancel);
    }
    db::Connection& control() override { return *connection_; }

    bool running() override {
        const std::vector<Value> params = {lock_name(url_.name)};
        return !db::fetch_value(*connection_, "SELECT IS_USED_LOCK(?)", params).is_null();
    }
    std::vector<std::string> discard(Cancel& cancel) override {
        lock();
        return drop_tables(*connection_, false, cancel);
    }
    void begin_anew(Cancel& cancel) override { drop_tables(*connection_, true, cancel); }

  private:
    /// The lock that a copy holds; MySQL takes 64 characters.
    static std::string lock_name(const std::string& database) {
        return schema::short_name("runbook copy " + database, 60);
    }

    void check_collation() {
        // Bytes are loaded as they are: another character set would misread them.
        if (!options_.charset.empty() && options_.charset != "utf8mb4")
            throw Error("argument", "option 'charset': only utf8mb4 is supported, got '" +
                                        options_.charset + "'");
        if (options_.collation.empty())
            return;
        const std::vector<Value> params = {options_.collation};
        auto rows = db::fetch_all(*connection_,
                                  "SELECT collation_name AS name, character_set_name AS charset "
                                  "FROM information_schema.collations WHERE collation_name = ?",
                                  params);
        if (rows.empty())
            throw Error("argument",
                        url_.masked() + ": the server has no collation '" + options_.collation +
                            "'",
                        "SHOW COLLATION lists those it has");
        std::string charset = rows[0].text("charset");
        if (!charset.empty() && charset != "utf8mb4")
            throw Error("argument", "option 'collation': '" + options_.collation +
                                        "' is a collation of " + charset +
                                        ", one of utf8mb4 is needed");
    }

    // What the copy does, done once to a table of its own: grants may come from roles and patterns.
    void check_privileges(Cancel& cancel) {
        static constexpr const char* probe = "_runbook_copy_probe";
        static constexpr const char* needed =
            "CREATE, CREATE TEMPORARY TABLES, SELECT, INSERT, UPDATE, DELETE, ALTER, INDEX, DROP, "
            "REFERENCES";
        const std::vector<std::pair<const char*, std::string>> steps = {
            {"DROP", fmt::format("DROP TABLE IF EXISTS {}", probe)}, // of a process that was killed
            {"CREATE", fmt::format("CREATE TABLE IF NOT EXISTS {} (id INT PRIMARY KEY, n INT) "
                                   "ENGINE=InnoDB",
                                   probe)},
            {"CREATE TEMPORARY TABLES", fmt::format("CREATE TEMPORARY TABLE {}_t (id INT)", probe)},
            {"INSERT", fmt::format("INSERT INTO {} VALUES (1, 1)", probe)},
            {"DELETE", fmt::format("REPLACE INTO {} VALUES (1, 2)", probe)},
            {"SELECT and UPDATE", fmt::format("UPDATE {} SET n = 3 WHERE id = 1", probe)},
            {"ALTER and INDEX", fmt::format("ALTER TABLE {} ADD KEY n (n)", probe)},
            {"REFERENCES", fmt::format("ALTER TABLE {0} ADD CONSTRAINT {0}_f FOREIGN KEY (n) "
                                       "REFERENCES {0} (id)",
                                       probe)},
            {"DROP", fmt::format("DROP TABLE {}", probe)},
            {"DROP", fmt::format("DROP TEMPORARY TABLE {}_t", probe)}};
        connection_->execute(fmt::format("DROP TEMPORARY TABLE IF EXISTS {}_t", probe), {}, {},
                             cancel);
        for (const auto& [privilege, sql] : steps) {
            try {
                const bool keys = std::string_view(privilege) == "REFERENCES";
                if (keys)
                    connection_->script("SET SESSION foreign_key_checks = 0", cancel);
                connection_->execute(sql, {}, {}, cancel);
                if (keys)
                    connection_->script("SET SESSION foreign_key_checks = 1", cancel);
            } catch (const Error& error) {
                drop_probe(probe);
                if (error.kind() != "db.permission")
                    throw;
                throw Error(
                    "db.permission",
                    fmt::format("{}: the user lacks the privilege {}", url_.masked(), privilege),
                    fmt::format("GRANT {} ON `{}`.* TO the user of this connection; "
                                "nothing was written",
                                needed, url_.name));
            }
        }
    }
    void drop_probe(const char* probe) noexcept {
        try {
            Cancel unstoppable;
            connection_->script("SET SESSION foreign_key_checks = 1", unstoppable);
            connection_->execute(fmt::format("DROP TABLE IF EXISTS {}", probe), {}, {},
                                 unstoppable);
        } catch (const std::exception&) {
            // Without DROP it stays: its name says whose it is.
        }
    }

    // A server takes a moment to see that the process of a session is dead.
    void lock() {
        const std::vector<Value> params = {lock_name(url_.name)};
        const auto value = db::fetch_value(*connection_, "SELECT GET_LOCK(?, 3)", params);
        const auto* got = value.get<std::int64_t>();
        if (!got || *got != 1)
            throw Error("copy.refused",
                        url_.masked() + ": another copy into this database is running",
                        "copy.state says which one");
    }

    std::vector<std::string> tables() {
        std::vector<std::string> names;
        for (const Map& row : db::fetch_all(
                 *connection_, "SELECT table_name AS name FROM information_schema.tables WHERE "
                               "table_schema = DATABASE() AND table_name NOT IN "
                               "('_runbook_copy', '_runbook_follow') ORDER BY table_name"))
            names.push_back(row.text("name"));
        return names;
    }

    /// What is there and in the way, and which tables may be filled as they are.
    std::string look(const std::string& source, Cancel& cancel) {
        Ledger ledger(*connection_);
        State state = ledger.read(cancel);
        std::vector<std::string> there = tables(), ours = ledger.tables(cancel);
        const std::vector<std::string> filled = ledger.existing(cancel);
        const bool ours_only = state.state == "partial" && state.source == source;
        auto among = [](const std::vector<std::string>& list, const std::string& name) {
            return std::find(list.begin(), list.end(), name) != list.end();
        };
        for (const std::string& name : there)
            if (among(expected_, name) && (ours_only ? among(filled, name) : is_empty(name)))
                existing_.push_back(name);
        std::erase_if(there, [&](const std::string& name) {
            return among(existing_, name) || (beside_ && !among(expected_, name));
        });
        return check_empty(url_, there, ours, state, source);
    }

    bool is_empty(const std::string& name) {
        return db::fetch_value(*connection_, "SELECT 1 FROM " + mysql_name(name) + " LIMIT 1")
            .is_null();
    }

    /// Drops what runs have made, and empties what they found there. With `keep`, a table that an
    /// earlier run made and the last one only filled stays, empty.
    static std::vector<std::string> drop_tables(db::Connection& connection, bool keep,
                                                Cancel& cancel) {
        Ledger ledger(connection);
        std::vector<std::string> names = ledger.tables(cancel), filled = ledger.existing(cancel);
        if (keep)
            std::erase_if(names, [&](const std::string& name) {
                return std::find(filled.begin(), filled.end(), name) != filled.end();
            });
        connection.script("SET SESSION foreign_key_checks = 0", cancel);
        for (const std::string& name : filled)
            if (std::find(names.begin(), names.end(), name) == names.end())
                connection.execute("TRUNCATE TABLE " + mysql_name(name), {}, {}, cancel);
        for (const std::string& name : names)
            connection.execute("DROP TABLE IF EXISTS " + mysql_name(name), {}, {}, cancel);
        connection.script("SET SESSION foreign_key_checks = 1", cancel);
        connection.execute("DROP TABLE IF EXISTS " + mysql_name(rejects_table), {}, {}, cancel);
        ledger.drop(cancel);
        return names;
    }

    db::Url url_;
    Options options_;
    const char* dates_ = no_zero_dates;
    Rejects rejects_;
    std::unique_ptr<db::Connection> connection_;
    std::string run_;
    std::vector<std::string> expected_, existing_;
    bool beside_ = false;
};

} // namespace

std::unique_ptr<Target> open_mysql_target(const db::Url& url, const Options& options,
                                          Cancel& cancel) {
    return std::make_unique<MysqlTarget>(url, options, cancel);
}

} // namespace runbook::copy
