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

std::string quoted(const std::string& text, char quote) {
    std::string made(1, quote);
    for (char c : text)
        made += c == quote ? std::string(2, quote) : std::string(1, c);
    return made + quote;
}
std::string name_of(const std::string& name) {
    return quoted(name, '"');
}
std::string text_of(const std::string& text) {
    return quoted(text, '\'');
}

Objects objects_in(Database& database, Cancel& cancel) {
    Objects objects;
    for (const auto& name :
         database.texts("select type || ' ' || name from sqlite_master where type <> 'table' and "
                        "sql is not null",
                        cancel))
        objects[name] = "";
    return objects;
}

Counts count_in(Database& database, Cancel& cancel) {
    Counts counts;
    for (const auto& name : database.texts(
             "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' "
             "escape '\\' order by name",
             cancel)) {
        counts[name] =
            std::stoll(database.texts("select count(*) from " + name_of(name), cancel).at(0));
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
    db::Engine engine() const override { return db::Engine::sqlite; }

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
        check_pages(to, file, cancel);
        dumped.read = true;
        dumped.counts = count_in(to, cancel);
        dumped.objects = objects_in(to, cancel);
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        Database database(file, SQLITE_OPEN_READONLY);
        check_pages(database, file, cancel);
        if (count_in(database, cancel) != counts)
            throw Error("backup.unverified",
                        fmt::format("{}: its rows are not those of its manifest", file));
    }

    static void check_pages(Database& database, const std::string& file, Cancel& cancel) {
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
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 const Objects&, Cancel& cancel) override {
        if (!options.tables.empty()) {
            restore_tables(file, target, options.tables, cancel);
            return;
        }
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
    Objects objects(const db::Url& target, Cancel& cancel) override {
        Database database(target.name, SQLITE_OPEN_READONLY);
        return objects_in(database, cancel);
    }

  private:
    /// In one transaction: all of it, or nothing.
    static void restore_tables(const std::string& file, const db::Url& target,
                               const std::vector<std::string>& tables, Cancel& cancel) {
        Database from(file, SQLITE_OPEN_READONLY); // its names, without its rows
        Database to(target.name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
        to.texts("attach database " + text_of(file) + " as backup", cancel);
        to.texts("pragma foreign_keys = off", cancel);
        to.texts("begin immediate", cancel);
        for (const std::string& table : tables) {
            const auto made = from.texts(
                "select sql from sqlite_master where type = 'table' and name = " + text_of(table),
                cancel);
            if (made.empty())
                throw Error("backup.unverified", fmt::format("{}: no table {} in it", file, table));
            const std::string name = name_of(table);
            to.texts("drop table if exists main." + name, cancel);
            to.texts(made.front(), cancel);
            std::string columns; // not the generated ones
            for (const std::string& column : from.texts("select name from pragma_table_xinfo(" +
                                                            text_of(table) + ") where hidden = 0",
                                                        cancel))
                columns += (columns.empty() ? "" : ", ") + name_of(column);
            to.texts("insert into main." + name + "(" + columns + ") select " + columns +
                         " from backup." + name,
                     cancel);
            for (const std::string& sql :
                 from.texts("select sql from sqlite_master where type in ('index', 'trigger') and "
                            "sql is not null and tbl_name = " +
                                text_of(table),
                            cancel))
                to.texts(sql, cancel);
        }
        to.texts("commit", cancel);
    }

    std::unique_ptr<TemporaryFolder> folder_;
};

} // namespace

std::unique_ptr<Engine> sqlite() {
    return std::make_unique<Sqlite>();
}

} // namespace runbook::backup
