// The journal's tables, and opening (contract in schema.h).
#include "runtime/journal/schema.h"

#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/journal/migrations.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace runbook::journal {
namespace {

namespace fs = std::filesystem;

constexpr int application = 0x52554E42; // "RUNB", in the file's header

constexpr const char* place_hint =
    "make it writable for this user, or point XDG_STATE_HOME elsewhere";

[[noreturn]] void cannot(const std::string& what, int problem, const char* hint) {
    throw Error("journal", what + ": " + std::strerror(problem), hint);
}

/// As the effective user, which is who opens the file.
bool may(const fs::path& path, int how) {
    return ::faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0;
}

void sync_folder(const fs::path& folder) {
    const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0)
        return;
    fsync(handle);
    ::close(handle);
}

void make_folder(const fs::path& folder) {
    if (folder.empty() || fs::exists(folder))
        return;
    make_folder(folder.parent_path());
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        cannot("cannot create the journal's folder " + folder.string(), errno, place_hint);
    sync_folder(folder.parent_path());
}

/// SQLite would create the file with the umask's mode; -wal and -shm take over the mode they find.
void make_file(const std::string& path) {
    const int handle = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (handle < 0 && errno != EEXIST)
        cannot("cannot create the journal " + path, errno, place_hint);
    if (handle < 0)
        return;
    ::close(handle);
    sync_folder(fs::path(path).parent_path());
}

/// Another process that opens the file for the first time at the same moment makes this one wait.
void use_wal(Database& database) {
    const double until = time::monotonic() + 10;
    while (!database.try_execute("PRAGMA journal_mode = WAL")) {
        if (time::monotonic() > until)
            database.fail(SQLITE_BUSY);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

bool is_empty(Database& database) {
    Statement statement(database, "SELECT count(*) FROM sqlite_schema");
    statement.step();
    return statement.integer(0) == 0;
}

std::int64_t version_of(Database& database) {
    Statement statement(database, "SELECT max(version) FROM schema_version");
    statement.step();
    return statement.integer(0);
}

/// The version of a journal; throws where the file is none, or of a version that is not known.
std::int64_t check_version(Database& database) {
    if (database.pragma("application_id") != application)
        throw Error("journal",
                    "journal " + database.path() +
                        ": this SQLite database is not a journal of runbook",
                    "name another file");
    const std::int64_t found = version_of(database);
    refuse_newer(database.path(), found);
    return found;
}

/// Makes the tables, or brings an older journal up to date: all of it or nothing.
void migrate(Database& database) {
    Transaction transaction(database);
    const bool fresh = is_empty(database);
    const std::int64_t found = fresh ? 0 : check_version(database); // another may have been quicker
    for (const Migration& step : migrations()) {
        if (step.version <= found)
            continue;
        database.execute(step.sqlite);
        Statement(database, "INSERT INTO schema_version VALUES (?, ?)")
            .bind(std::int64_t{step.version})
            .bind(time::now_micros())
            .run();
    }
    if (fresh)
        database.execute(fmt::format("PRAGMA application_id = {}", application).c_str());
    transaction.commit();
}

/// A copy with its -wal, because `immutable` alone would leave out what was not yet moved into the
/// main file.
std::unique_ptr<Database> open_copy(const std::string& path) {
    std::string pattern = (fs::temp_directory_path() / "runbook-journal-XXXXXX").string();
    if (!mkdtemp(pattern.data()))
        cannot("cannot create a temporary folder " + pattern, errno,
               "set TMPDIR to a writable folder");
    struct Remover {
        std::string folder;
        ~Remover() {
            std::error_code ignored;
            fs::remove_all(folder, ignored);
        }
    } remover{pattern};
    const std::string copy = pattern + "/journal.db";
    fs::copy_file(path, copy);
    fs::copy_file(path + "-wal", copy + "-wal");
    fs::permissions(copy, fs::perms::owner_read | fs::perms::owner_write);
    fs::permissions(copy + "-wal", fs::perms::owner_read | fs::perms::owner_write);
    auto database = std::make_unique<Database>(copy, path, SQLITE_OPEN_READWRITE);
    // From here on nothing looks at the -wal by name: all of it is moved into the open main file.
    database->execute(
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; PRAGMA query_only = ON;");
    check_version(*database);
    return database;
}

std::string as_uri(const std::string& path) {
    std::string uri = "file:";
    for (char c : path)
        uri += c == '?' || c == '#' || c == '%'
                   ? fmt::format("%{:02X}", static_cast<unsigned char>(c))
                   : std::string(1, c);
    return uri;
}

} // namespace

void refuse_newer(const std::string& name, std::int64_t found) {
    if (found > newest_version())
        throw Error(
            "journal",
            fmt::format("journal {}: written by a newer runbook (schema {}, this one knows {})",
                        name, found, newest_version()),
            "use the newer runbook");
}

std::unique_ptr<Database> open_for_writing(const std::string& path) {
    if (fs::is_directory(path))
        throw Error("journal", "journal " + path + ": this is a folder", "name a file in it");
    make_folder(fs::path(path).parent_path());
    make_file(path);
    if (!may(path, W_OK) && may(path, R_OK))
        throw Error("journal", "journal " + path + ": this file is read-only", place_hint);
    const fs::path folder = fs::path(path).parent_path();
    if (!may(folder, W_OK))
        throw Error("journal",
                    "journal " + path +
                        ": its folder cannot be written, and a journal needs files beside it",
                    place_hint);
    auto database = std::make_unique<Database>(path, path, SQLITE_OPEN_READWRITE);
    database->execute("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;");
    // Looked at before anything is written into a file that may be another program's.
    const std::int64_t found = is_empty(*database) ? 0 : check_version(*database);
    use_wal(*database);
    database->execute("PRAGMA synchronous = FULL");
    if (found < newest_version())
        migrate(*database);
    return database;
}

std::unique_ptr<Database> open_for_reading(const std::string& path) {
    if (fs::is_directory(path))
        throw Error("journal", "journal " + path + ": this is a folder", "name a file in it");
    if (!fs::exists(path))
        throw Error("journal", "there is no journal at " + path, "the first run creates it");
    try {
        auto database = std::make_unique<Database>(path, path, SQLITE_OPEN_READONLY);
        check_version(*database);
        return database;
    } catch (const Error&) {
        // In WAL mode a reader needs -shm; in a folder that cannot be written it may not be there.
        const bool readable = may(path, R_OK);
        const fs::path folder = fs::path(path).parent_path();
        if (!readable || may(folder, W_OK))
            throw;
    }
    std::error_code none;
    if (const auto size = fs::file_size(path + "-wal", none); !none && size > 0)
        return open_copy(path);
    auto database = std::make_unique<Database>(as_uri(path) + "?immutable=1", path,
                                               SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    check_version(*database);
    return database;
}

} // namespace runbook::journal
