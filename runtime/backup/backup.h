// Backups: dumps by the engines' own tools, checked before they count, restored to prove it.
// Owns: nothing between calls; what is known about a backup stands in a manifest beside it.
// Everything blocks the calling worker thread. A password never stands in an argument list or in a
// file on a disk. Never touches Lua.
//
// A folder holds, for each backup: NAME.dump (PostgreSQL, pg_dump's custom format), NAME.sql
// (MySQL, MariaDB), NAME.sqlite, or a folder NAME.pgdir (pg_dump's directory format) or
// NAME.mydumper; NAME.….sha256 as sha256sum writes it; NAME.….json, the manifest. What stands under
// its final name is complete and synced; what is still being written ends in `.partial`.
//
// Wherever a folder is taken, a restic repository is too: "restic:LOCATION"; a backup in it is
// "restic:LOCATION#NAME.dump" (repository.h).
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

/// What else a dump must hold: "view seen", "index people_pkey", "trigger t1"…; the text tells the
/// table of an index or sequence, or the sql_mode of a routine.
using Objects = std::map<std::string, std::string>;

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
    Counts counts;            ///< as of the backup's own snapshot; empty in a list of a repository
    std::int64_t tables = 0;  ///< number of `counts`
    Objects objects;          ///< besides tables; empty in manifests of older versions
    std::int64_t rows = 0;    ///< their sum
    std::int64_t started = 0; ///< micros since the epoch
    double seconds = 0;       ///< for all of it, checks and copies included
    Verified verified = Verified::none;
    /// Where the server's log stood right before the snapshot: what is replayed from there misses
    /// nothing. "lsn 0/16B3748", "gtid 0-1-531", "binlog.000002:8345"; empty: not to be had.
    std::string position;
    std::int64_t restored_at = 0;     ///< newest test restore, micros since the epoch; 0: none
    double restore_seconds = 0;       ///< how long it took: the measured RTO
    std::vector<std::string> unusual; ///< what does not fit the backups before, a sentence each
    std::vector<std::string> inexact; ///< values that the dump's format rounds, a sentence each
    std::string pinned;               ///< why prune() must leave it alone; empty: it may go
};

/// The manifest's form, which is also what a playbook sees: {file, files, bytes, sha256, engine,
/// server_version, tool, source, tables, rows, counts, objects, started, seconds, verified,
/// unusual, inexact}, and `position`, `restored_at` with `restore_seconds`, and `pinned` where they
/// are.
Map to_map(const Backup& backup);
/// Throws Error{`backup.unverified`} where something is missing; `where` names it in the message.
Backup from_map(const Map& map, const std::string& where);

/// What opens a repository.
struct Credentials {
    SecretPtr password;                             ///< null: as restic's own variables say
    std::vector<std::pair<std::string, Value>> env; ///< of the tool: AWS_SECRET_ACCESS_KEY…
};
/// By "restic:LOCATION".
using Keys = std::map<std::string, Credentials>;

struct Options {
    std::vector<std::string> to{
        "backup/"};   ///< folders, made where missing; each gets a copy of its own
    std::string name; ///< without ending; empty: database and time, in UTC
    std::string tool; ///< path of the dump tool; else RUNBOOK_PG_DUMP, …, PATH
    /// "custom" or "directory" for PostgreSQL, "mysqldump" or "mydumper" for MySQL and MariaDB;
    /// empty: the first, or what `jobs` needs.
    std::string format;
    int jobs = 1; ///< parallel connections; more than one: "directory", "mydumper"
    Keys keys;
    ProgressPtr progress;
};

/// Dumps the database. The result is at least `read`.
/// Throws `backup.tool` (tool missing, not fitting, failed), `backup.unverified` (the dump is
/// empty, cut off or not readable), `db.connection`, `db.auth`, `db.permission`, `fs`, `usage`,
/// `backup.repository`, `cancelled`, `timeout`. Nothing but a complete backup is left behind.
Backup create(const db::Url& source, const Options& options, Cancel& cancel);

/// Reads the file of one copy: digest as in the manifest, then all of it by the restoring tool.
/// In a repository: every byte of the repository, then the backup as any other.
/// Throws `backup.unverified` that says what is wrong, `fs`, `backup.tool`, `backup.repository`.
Backup verify(const std::string& file, Cancel& cancel, const ProgressPtr& progress = {},
              const Keys& keys = {});

struct RestoreOptions {
    std::string tool; ///< path of pg_restore or of the client; else RUNBOOK_PG_RESTORE, …, PATH
    bool replace =
        false; ///< restore(): the target may hold tables; those of the backup are replaced
    bool privileges = true; ///< with `replace`: what was granted on them comes back as well
    Counts counts;          ///< test_restore(): what must be there, besides what the manifest says
    std::vector<std::string> tables; ///< restore(): only these; empty: all
    int jobs = 1;                    ///< parallel connections, where the format allows it
    Keys keys;
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
/// is not given; with `tables` only where it holds one of those.
Restored restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel);

/// The newest backup of that source in the folders which is proven at least that far, or nothing. A
/// file whose size is not that of its manifest does not count.
std::optional<Backup> latest(const db::Url& source, const std::vector<std::string>& folders,
                             Verified at_least, const Keys& keys = {});

/// Makes an empty repository at "restic:LOCATION". Throws `backup.repository`, `backup.tool`.
void init_repository(const std::string& place, const Keys& keys, Cancel& cancel);

/// Where a backup comes from, without user and password: what latest() compares.
std::string source_name(const db::Url& url);

} // namespace runbook::backup
