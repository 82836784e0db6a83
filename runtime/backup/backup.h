// Backups: dumps by the engines' own tools, checked before they count, restored to prove it.
// Owns: nothing between calls; what is known about a backup stands in a manifest beside it.
// Everything blocks the calling worker thread. A password never stands in an argument list or in a
// file on a disk. Never touches Lua.
//
// A folder holds, for each backup: NAME.dump (PostgreSQL, pg_dump's custom format), NAME.sql
// (MySQL, MariaDB) or NAME.sqlite; NAME.….sha256 as sha256sum writes it; NAME.….json, the manifest.
// A file under its final name is complete and synced; what is still being written ends in
// `.partial`.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"
#include "runtime/db/url.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace runbook::backup {

/// How far a backup has been proven. `read`: every byte was read back and understood by the tool
/// that would restore it. `restored`: it was restored into a scratch database and its rows were
/// counted there.
enum class Verified { none, read, restored };
std::string_view verified_name(Verified verified);

/// Exact rows by table; a table outside the default schema as "schema.table".
using Counts = std::map<std::string, std::int64_t>;

struct Backup {
    std::string file;               ///< absolute path of the copy in the first folder
    std::vector<std::string> files; ///< all copies
    std::int64_t bytes = 0;
    std::string sha256;
    std::string engine;         ///< "PostgreSQL", "MySQL", "MariaDB", "SQLite"
    std::string server_version; ///< of the server it was taken from
    std::string tool;           ///< name and version of the tool that wrote it
    std::string source;       ///< where it was taken from: engine://host:port/name, or sqlite:PATH
    Counts counts;            ///< as of the backup's own snapshot
    std::int64_t rows = 0;    ///< their sum
    std::int64_t started = 0; ///< micros since the epoch
    double seconds = 0;       ///< for all of it, checks and copies included
    Verified verified = Verified::none;
    std::string pinned; ///< why prune() must leave it alone; empty: it may go
};

/// The manifest's form, which is also what a playbook sees: {file, files, bytes, sha256, engine,
/// server_version, tool, source, tables, rows, counts, started, seconds, verified}, and `pinned`
/// where it is. `tables` is their number.
Map to_map(const Backup& backup);
/// Throws Error{`backup.unverified`} where something is missing; `where` names it in the message.
Backup from_map(const Map& map, const std::string& where);

struct Options {
    std::vector<std::string> to{
        "backup/"};   ///< folders, made where missing; each gets a copy of its own
    std::string name; ///< without ending; empty: database and time, in UTC
    std::string tool; ///< path of the dump tool; else RUNBOOK_PG_DUMP, …, PATH
    ProgressPtr progress;
};

/// Dumps the database. The result is at least `read`.
/// Throws `backup.tool` (tool missing, not fitting, failed), `backup.unverified` (the dump is
/// empty, cut off or not readable), `db.connection`, `db.auth`, `db.permission`, `fs`, `usage`,
/// `cancelled`, `timeout`. Nothing but a complete backup is left behind.
Backup create(const db::Url& source, const Options& options, Cancel& cancel);

/// Reads the file of one copy: digest as in the manifest, then all of it by the restoring tool.
/// Throws `backup.unverified` that says what is wrong, `fs`, `backup.tool`.
Backup verify(const std::string& file, Cancel& cancel, const ProgressPtr& progress = {});

struct RestoreOptions {
    std::string tool; ///< path of pg_restore or of the client; else RUNBOOK_PG_RESTORE, …, PATH
    bool replace =
        false; ///< restore(): the target may hold tables; those of the backup are replaced
    bool privileges = true; ///< with `replace`: what was granted on them comes back as well
    Counts counts;          ///< test_restore(): what must be there, besides what the manifest says
    ProgressPtr progress;
};

struct Restored {
    Counts counts;
    std::int64_t rows = 0;
    double seconds = 0;
};

/// Restores into a new database on the scratch server (for SQLite: into a temporary file), counts
/// every table exactly, compares with the manifest and with `counts`, and drops it again, also
/// after a failure. Marks the manifests of all copies `restored`. Throws `backup.unverified` where
/// anything differs, and as verify() and create().
Restored test_restore(const std::string& file, const db::Url& scratch,
                      const RestoreOptions& options, Cancel& cancel);

/// Restores into the database of the URL. Throws `db.not_empty` where it holds tables and `replace`
/// is not given.
Restored restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel);

/// The newest backup of that source in the folders which is proven at least that far, or nothing. A
/// file whose size is not that of its manifest does not count.
std::optional<Backup> latest(const db::Url& source, const std::vector<std::string>& folders,
                             Verified at_least);

/// Where a backup comes from, without user and password: what latest() compares.
std::string source_name(const db::Url& url);

} // namespace runbook::backup
