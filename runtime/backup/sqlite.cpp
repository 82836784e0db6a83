// SQLite: the online backup API, which copies a live database page by page
// (sqlite.org/backup.html).
#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

#include <filesystem>
#include <fmt/format.h>
#include <sqlite3.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

constexpr int pages_a_step = 256;
constexpr int most_restarts = 5;

class Database {
  public:
    Database(const std::string& path, int flags) : path_(path) {
        int code = sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr);
        if (code != SQLITE_OK) {
            std::string why = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
            sqlite3_close(handle_);
            throw Error("db.connection", fmt::format("sqlite:{}: {}", path, why));
        }
        sqlite3_busy_timeout(handle_, 5000);
    }
    ~Database() { sqlite3_close(handle_); }
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    sqlite3* handle() const { return handle_; }

    /// First column of each row, as text.
    std::vector<std::string> texts(const std::string& sql, Cancel& cancel) {
        Cancel::Hook hook(cancel, [this] { sqlite3_interrupt(handle_); });
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
            fail();
        std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
        std::vector<std::string> rows;
        int code = SQLITE_ROW;
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
            rows.emplace_back(text ? text : "");
        }
        cancel.check(("sqlite:" + path_).c_str());
        if (code != SQLITE_DONE)
            fail();
        return rows;
    }

    [[noreturn]] void fail() const {
        throw Error("db.error", fmt::format("sqlite:{}: {}", path_, sqlite3_errmsg(handle_)));
    }

  private:
    std::string path_;
    sqlite3* handle_ = nullptr;
};

Counts count_in(Database& database, Cancel& cancel) {
    Counts counts;
    for (const auto& name : database.texts(
             "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' "
             "escape '\\' order by name",
             cancel)) {
        std::string quoted = "\"";
        for (char c : name)
            quoted += c == '"' ? "\"\"" : std::string(1, c);
        counts[name] =
            std::stoll(database.texts("select count(*) from " + quoted + "\"", cancel).at(0));
    }
    return counts;
}

/// Copies all pages. In WAL mode of one snapshot, and writers go on meanwhile. Without WAL each
/// write of another process makes the copy begin again; after a few of those it is taken in one
/// step, in which writers wait.
void copy_pages(Database& from, Database& to, const std::string& what, const ProgressPtr& progress,
                Cancel& cancel) {
    sqlite3_backup* backup = sqlite3_backup_init(to.handle(), "main", from.handle(), "main");
    if (!backup)
        to.fail();
    std::unique_ptr<sqlite3_backup, int (*)(sqlite3_backup*)> owner(backup, sqlite3_backup_finish);
    for (int restarts = 0, before = 0;;) {
        cancel.check(what.c_str());
        int code = sqlite3_backup_step(backup, restarts < most_restarts ? pages_a_step : -1);
        int left = sqlite3_backup_remaining(backup);
        restarts += before != 0 && left > before;
        before = left;
        if (progress && sqlite3_backup_pagecount(backup) > 0) {
            ProgressReport report;
            report.item = "pages";
            report.total_rows = sqlite3_backup_pagecount(backup);
            report.rows = report.total_rows - sqlite3_backup_remaining(backup);
            progress->report(report);
        }
        if (code == SQLITE_DONE)
            return;
        if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
            sqlite3_sleep(20);
        else if (code != SQLITE_OK)
            throw Error("db.error", fmt::format("{}: {}", what, sqlite3_errstr(code)));
    }
}

class Sqlite final : public Engine {
  public:
    const char* ending() const override { return ".sqlite"; }

    Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                Cancel& cancel) override {
        Dumped dumped;
        dumped.engine = "SQLite";
        dumped.server_version = sqlite3_libversion();
        dumped.tool = std::string("SQLite online backup ") + sqlite3_libversion();
        Database from(source.name, SQLITE_OPEN_READONLY);
        Database to(file, SQLITE_OPEN_READWRITE);
        if (from.texts("pragma journal_mode", cancel).at(0) == "wal") {
            from.texts("begin", cancel);
            from.texts("select count(*) from sqlite_master", cancel); // the snapshot begins here
        }
        copy_pages(from, to, "backup of sqlite:" + source.name, options.progress, cancel);
        to.texts("pragma journal_mode = delete",
                 cancel); // a copy in WAL mode would need files beside it
        dumped.counts = count_in(to, cancel);
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        Database database(file, SQLITE_OPEN_READONLY);
        std::string verdict;
        try {
            verdict = database.texts("pragma integrity_check", cancel).at(0);
        } catch (const Error& error) {
            if (error.kind() != "db.error")
                throw;
            verdict = error.message();
        }
        if (verdict != "ok")
            throw Error("backup.unverified", fmt::format("{} cannot be read: {}", file, verdict));
        if (count_in(database, cancel) != counts)
            throw Error("backup.unverified",
                        fmt::format("{}: its rows are not those of its manifest", file));
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel) override {
        Database from(file, SQLITE_OPEN_READONLY);
        if (fs::path(target.name).has_parent_path())
            files::mkdir(fs::path(target.name).parent_path().string());
        Database to(target.name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
        copy_pages(from, to, "restore into sqlite:" + target.name, options.progress, cancel);
        if (to.texts("pragma integrity_check", cancel).at(0) != "ok")
            throw Error("backup.unverified",
                        fmt::format("sqlite:{}: the restored database is damaged", target.name));
    }

    db::Url make_scratch(const db::Url&, Cancel&) override {
        folder_ = std::make_unique<TemporaryFolder>();
        db::Url made;
        made.engine = db::Engine::sqlite;
        made.name = folder_->path() + "/restored.sqlite";
        return made;
    }
    void drop_scratch(const db::Url&, const db::Url&) override { folder_.reset(); }

    Counts count(const db::Url& target, Cancel& cancel) override {
        if (!fs::exists(target.name))
            return {};
        Database database(target.name, SQLITE_OPEN_READONLY);
        return count_in(database, cancel);
    }

  private:
    std::unique_ptr<TemporaryFolder> folder_;
};

} // namespace

std::unique_ptr<Engine> sqlite() {
    return std::make_unique<Sqlite>();
}

} // namespace runbook::backup
