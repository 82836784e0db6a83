// Between backup.cpp and one file per engine. Worker threads; no state.
#pragma once

#include "runtime/backup/backup.h"
#include "runtime/db/connection.h"
#include "runtime/process/process.h"

#include <functional>
#include <memory>
#include <string>

namespace runbook::backup {

/// What the engine's own dump knows; the rest is common.
struct Dumped {
    std::string server_version, engine, tool, position;
    Counts counts;
    Objects objects;
    bool read = false;  ///< it was read back while or after it was written, as read() would
    std::string sha256; ///< of a single file, where it was computed on the way
    std::vector<std::string> inexact; ///< values that this dump cannot hold exactly
};

class Engine {
  public:
    virtual ~Engine() = default;
    virtual const char* ending() const = 0;       ///< ".dump"
    virtual bool folder() const { return false; } ///< the dump is a folder of files
    /// Writes `file`, which exists and is empty. Whatever can be refused is refused first.
    virtual Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                        Cancel& cancel) = 0;
    /// Reads all of it as a restore would. `counts` are what must be in it.
    virtual void read(const std::string& file, const Counts& counts, Cancel& cancel) = 0;
    /// Restores into an existing database (a file for SQLite); `replace` drops what is there.
    /// `objects` are those of the manifest, for who restores single tables.
    virtual void restore(const std::string& file, const db::Url& target,
                         const RestoreOptions& options, const Objects& objects, Cancel& cancel) = 0;
    virtual db::Engine engine() const = 0;
    /// A new database on the server of `scratch`, and its end. SQLite: a file.
    virtual db::Url make_scratch(const db::Url& scratch, Cancel& cancel) = 0;
    virtual void drop_scratch(const db::Url& made, const db::Url& scratch) = 0;
    virtual Counts count(const db::Url& target, Cancel& cancel) = 0;
    virtual Objects objects(const db::Url& target, Cancel& cancel) = 0;
};

std::unique_ptr<Engine> postgresql();           ///< pg_dump's custom format
std::unique_ptr<Engine> postgresql_directory(); ///< its directory format, in parallel
std::unique_ptr<Engine> mysql();                ///< mysqldump, mariadb-dump
std::unique_ptr<Engine> mydumper();
std::unique_ptr<Engine> sqlite();
/// Throws `usage` for a format that the engine does not have.
std::unique_ptr<Engine> engine_for(db::Engine engine, const std::string& format = {}, int jobs = 1);
/// By the file's ending; throws `usage`.
std::unique_ptr<Engine> engine_of_file(const std::string& file);

// What the engines share (tools.cpp).

/// The tool to run: as given, else from the environment, else from PATH. Throws `backup.tool` with
/// the name of the package to install in the hint.
std::string find_tool(const std::string& given, const char* variable, const std::string& program,
                      const std::string& package);
/// First line of `TOOL --version`.
std::string tool_version(const std::string& tool, Cancel& cancel);
/// Runs a dump tool or client; its failure becomes `db.permission`, `db.auth`, `db.connection` or
/// `backup.tool`, with the tool's own words and the masked URL.
process::Result run_tool(const process::Command& command, const std::string& what,
                         const db::Url& url, Cancel& cancel);
/// Reports the growing size of a file about twice a second.
std::function<void()> size_reporter(const ProgressPtr& progress, const std::string& file);
std::unique_ptr<db::Connection> open(const db::Url& url, db::Access access, Cancel& cancel);
/// First column of the first row, as db::fetch_value; a cancel reaches the statement.
Value ask(db::Connection& connection, const std::string& sql, Cancel& cancel);
/// A name that nobody else uses: "runbook_restore_…".
std::string scratch_name();

} // namespace runbook::backup
