// What the journal's tests share: a place for it in each backend, a child process, a file system
// that fails on demand.
#pragma once

#include "runtime/base/error.h"
#include "runtime/journal/journal.h"
#include "tests/unit/catch.h"
#include "tests/unit/db_lab.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

namespace journal_test {

using namespace runbook;

struct Folder {
    std::string path;
    Folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "rb-journal-XXXXXX").string();
        if (!mkdtemp(pattern.data()))
            throw std::runtime_error("no temporary folder");
        path = pattern;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string file(const std::string& name = "journal.db") const { return path + "/" + name; }
};

inline journal::RunRecord record(const std::string& run = "r1") {
    journal::RunRecord out;
    out.run = run;
    out.playbook = "demo";
    out.file = "/srv/demo.lua";
    out.started = 1'000'000;
    out.pinned = Map{{"source", "print(1)"}, {"sha256", "ab12"}};
    return out;
}

/// Kind, message and hint of what `work` throws.
inline std::string failure(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.kind() + ": " + error.message() +
               (error.hint().empty() ? "" : " | " + error.hint());
    }
    return "no error";
}

/// Direct SQL on the file, as somebody with an sqlite3 shell would.
inline void tamper(const std::string& file, const std::string& sql) {
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &handle) == SQLITE_OK);
    char* problem = nullptr;
    const int code = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &problem);
    const std::string text = problem ? problem : "";
    sqlite3_free(problem);
    sqlite3_close(handle);
    INFO(sql << ": " << text);
    REQUIRE(code == SQLITE_OK);
}

/// A database of this test program in the lab's PostgreSQL, dropped at its end.
class LabDatabase {
  public:
    static LabDatabase& get() {
        static LabDatabase one;
        return one;
    }
    static bool available() { return db::lab::url("RUNBOOK_LAB_PG_ADMIN").has_value(); }
    const std::string& url() const { return url_; }
    const std::string& name() const { return name_; }
    /// As the owner, with triggers off: what somebody who disarms the journal could do.
    void execute(const std::string& sql) {
        auto session = db::lab::open(db::Url::parse(url_), db::Access::admin);
        Cancel cancel;
        session->script("SET search_path = runbook; SET session_replication_role = replica; " + sql,
                        cancel);
    }
    void clear() {
        auto session = db::lab::open(db::Url::parse(url_), db::Access::admin);
        Cancel cancel;
        session->script("SET client_min_messages = error; DROP SCHEMA IF EXISTS runbook CASCADE",
                        cancel);
    }

  private:
    LabDatabase() : admin_(std::getenv("RUNBOOK_LAB_PG_ADMIN")) {
        name_ = db::lab::unique("journal");
        db::lab::execute(*db::lab::open(db::Url::parse(admin_), db::Access::admin),
                         "CREATE DATABASE " + name_ + " TEMPLATE template0");
        url_ = admin_;
        url_.replace(url_.find("/postgres?"), 9, "/" + name_);
    }
    ~LabDatabase() {
        try {
            db::lab::execute(*db::lab::open(db::Url::parse(admin_), db::Access::admin),
                             "DROP DATABASE " + name_ + " WITH (FORCE)");
        } catch (const std::exception& problem) {
            (void)!::write(2, problem.what(), std::strlen(problem.what()));
        }
    }
    std::string admin_, name_, url_;
};

/// SQLite always, PostgreSQL where the lab runs.
inline std::vector<std::string> backends() {
    return LabDatabase::available() ? std::vector<std::string>{"sqlite", "postgres"}
                                    : std::vector<std::string>{"sqlite"};
}

/// An empty place for one journal: `Place place(GENERATE(from_range(backends())));`
class Place {
  public:
    explicit Place(std::string backend) : backend_(std::move(backend)) {
        if (!is_file())
            LabDatabase::get().clear();
    }
    bool is_file() const { return backend_ == "sqlite"; }
    std::string location() const { return is_file() ? folder_.file() : LabDatabase::get().url(); }
    /// As messages name it.
    std::string shown() const {
        return is_file() ? folder_.file() : db::Url::parse(location()).masked();
    }
    /// Direct SQL, with what protects the rows switched off.
    void tamper(const std::string& sql) const {
        if (!is_file())
            return LabDatabase::get().execute(sql);
        journal_test::tamper(folder_.file(), "DROP TRIGGER IF EXISTS events_are_never_changed; "
                                             "DROP TRIGGER IF EXISTS events_are_never_removed;" +
                                                 sql);
    }
    std::unique_ptr<journal::Journal> open(bool read_only = false) const {
        return journal::Journal::open(location(), read_only);
    }

  private:
    std::string backend_;
    Folder folder_;
};

/// A forked process that works, writes bytes to the parent, and waits to be killed.
class Child {
  public:
    explicit Child(const std::function<void(int)>& work) {
        int pipes[2];
        if (pipe(pipes) != 0)
            throw std::runtime_error("no pipe");
        pid_ = fork();
        if (pid_ == 0) {
            ::close(pipes[0]);
            try {
                work(pipes[1]);
            } catch (const std::exception& problem) {
                (void)!::write(2, problem.what(), std::strlen(problem.what()));
                _exit(1);
            }
            for (;;)
                pause();
        }
        ::close(pipes[1]);
        from_ = pipes[0];
    }
    ~Child() {
        kill();
        reap();
        ::close(from_);
    }
    pid_t pid() const { return pid_; }
    /// The next byte; false at the end.
    bool read(char& byte) { return ::read(from_, &byte, 1) == 1; }
    void kill() const { ::kill(pid_, SIGKILL); }
    void reap() {
        if (!reaped_)
            waitpid(pid_, nullptr, 0);
        reaped_ = true;
    }

  private:
    pid_t pid_ = 0;
    int from_ = -1;
    bool reaped_ = false;
};

/// As root, permissions do not hold: these tests then run as another user.
struct AsNobody {
    bool dropped = geteuid() == 0 && seteuid(65534) == 0;
    ~AsNobody() {
        if (dropped && seteuid(0) != 0)
            std::abort();
    }
};

/// While alive, SQLite's files come from the real file system with writes and syncs that can be
/// made to fail.
class FailingDisk {
  public:
    FailingDisk() {
        real() = sqlite3_vfs_find(nullptr);
        vfs_ = *real();
        vfs_.zName = "failing";
        // Newer SQLite asks even here: not what some earlier call left behind.
        vfs_.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
        vfs_.xOpen = [](sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
            const int code = real()->xOpen(real(), name, file, flags, out);
            if (code == SQLITE_OK) {
                // Locked and unlocked files have tables of their own; their writes are the same.
                original() = *file->pMethods;
                static std::map<const sqlite3_io_methods*, sqlite3_io_methods> tables;
                auto& table = tables.try_emplace(file->pMethods, original()).first->second;
                table.xSync = [](sqlite3_file* f, int how) {
                    return fail_sync() ? SQLITE_IOERR_FSYNC : original().xSync(f, how);
                };
                table.xWrite = [](sqlite3_file* f, const void* data, int size, sqlite3_int64 at) {
                    return fail_write() ? SQLITE_FULL : original().xWrite(f, data, size, at);
                };
                file->pMethods = &table;
            }
            return code;
        };
        sqlite3_vfs_register(&vfs_, 1);
    }
    ~FailingDisk() {
        fail_sync() = fail_write() = false;
        sqlite3_vfs_unregister(&vfs_);
        sqlite3_vfs_register(real(), 1);
    }
    static bool& fail_sync() {
        static bool on = false;
        return on;
    }
    static bool& fail_write() {
        static bool on = false;
        return on;
    }

  private:
    static sqlite3_vfs*& real() {
        static sqlite3_vfs* one = nullptr;
        return one;
    }
    static sqlite3_io_methods& original() {
        static sqlite3_io_methods methods;
        return methods;
    }
    sqlite3_vfs vfs_{};
};

} // namespace journal_test
