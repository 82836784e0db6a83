#include "bindings/backup.h"

#include "bindings/backup_internal.h"
#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "bindings/db_fence.h"
#include "runtime/backup/backup.h"
#include "runtime/backup/repository.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

namespace runbook::bindings {
namespace {

struct CreateOptions {
    std::vector<std::string> to{"backup/"};
    std::string name, tool, format;
    std::int64_t jobs = 1;
};
struct RepositoryOptions {
    SecretPtr password;
    Map env;
};
struct RestoreOptions {
    Map counts;
    std::string tool;
    std::vector<std::string> tables;
    std::int64_t jobs = 1;
    bool replace = false, privileges = true;
};
struct LatestOptions {
    std::vector<std::string> from{"backup/"};
    bool restored = false;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

using bindings::CreateOptions;
using bindings::LatestOptions;
using bindings::RepositoryOptions;
using bindings::RestoreOptions;

template <>
struct Describe<CreateOptions> {
    static const std::vector<Field<CreateOptions>>& fields() {
        static const std::vector<Field<CreateOptions>> all = {
            field("to", &CreateOptions::to,
                  "folders and repositories (backup.repository), each gets a copy; backup/"),
            field("format", &CreateOptions::format,
                  "PostgreSQL: custom or directory; MySQL, MariaDB: mysqldump (each server's own "
                  "tool) or mydumper"),
            field("jobs", &CreateOptions::jobs,
                  "parallel connections, 1; more than one: directory, mydumper"),
            field("name", &CreateOptions::name, "name without ending; database and time"),
            field("tool", &CreateOptions::tool,
                  "path of pg_dump, mysqldump, mariadb-dump or mydumper; else RUNBOOK_PG_DUMP, "
                  "RUNBOOK_MYSQLDUMP, RUNBOOK_MARIADB_DUMP, RUNBOOK_MYDUMPER, then PATH")};
        return all;
    }
};

template <>
struct Describe<RestoreOptions> {
    static const std::vector<Field<RestoreOptions>>& fields() {
        static const std::vector<Field<RestoreOptions>> all = {
            field("counts", &RestoreOptions::counts,
                  "test restore: rows by table that must be there"),
            field("tool", &RestoreOptions::tool,
                  "path of pg_restore, mysql, mariadb or myloader; else RUNBOOK_PG_RESTORE, "
                  "RUNBOOK_MYSQL, RUNBOOK_MARIADB, RUNBOOK_MYLOADER, then PATH"),
            field("tables", &RestoreOptions::tables,
                  "restore: only these; the target may hold others"),
            field("jobs", &RestoreOptions::jobs,
                  "parallel connections, 1; pg_restore without replace, and myloader"),
            field("replace", &RestoreOptions::replace,
                  "restore: tables that are there already are replaced"),
            field("privileges", &RestoreOptions::privileges,
                  "restore with replace, PostgreSQL: what was granted on them comes back too "
                  "(default true; false where its roles are not there)")};
        return all;
    }
};

template <>
struct Describe<RepositoryOptions> {
    static const std::vector<Field<RepositoryOptions>>& fields() {
        static const std::vector<Field<RepositoryOptions>> all = {
            field("password", &RepositoryOptions::password,
                  "a secret; else RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND"),
            field("env", &RepositoryOptions::env,
                  "of the store: { AWS_ACCESS_KEY_ID = …, AWS_SECRET_ACCESS_KEY = a secret }")};
        return all;
    }
};

template <>
struct Describe<LatestOptions> {
    static const std::vector<Field<LatestOptions>>& fields() {
        static const std::vector<Field<LatestOptions>> all = {
            field("from", &LatestOptions::from, "folders to look in; backup/"),
            field("restored", &LatestOptions::restored, "only one that was test-restored")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

/// Counts of a playbook, as db.counts gives them.
backup::Counts to_counts(const Map& map) {
    backup::Counts counts;
    for (const auto& [table, rows] : map)
        if (const auto* number = rows.get<std::int64_t>())
            counts[table] = *number;
        else if (table != "$type")
            throw Error("argument", "counts: '" + table + "': integer expected, got " +
                                        std::string(rows.type_name()));
    return counts;
}

Map from_counts(const backup::Counts& counts) {
    Map map{{"$type", "db.counts"}};
    for (const auto& [table, rows] : counts)
        map.set(table, rows);
    return map;
}

} // namespace

Value backup_value(const backup::Backup& backup) {
    Map map = backup::to_map(backup);
    map.set("counts", from_counts(backup.counts));
    return map;
}

std::string backup_file(const Value& value, const char* function) {
    if (const auto* path = value.get<std::string>())
        return *path;
    if (const auto* map = value.get<Map>())
        if (const Value* file = map->find("file"); file && file->get<std::string>())
            return *file->get<std::string>();
    throw Error("argument", std::string(function) +
                                ": argument 1 'backup': a path or a result of backup.create " +
                                "expected, got " + std::string(value.type_name()));
}

void check_place(const bind::Call& call, const std::string& place) {
    if (!backup::in_repository(place)) {
        call.permissions().check_file(place);
        return;
    }
    const std::string location =
        backup::parse_place(place).repository.substr(std::string("restic:").size());
    if (location.starts_with('/')) {
        call.permissions().check_file(location);
        return;
    }
    // "sftp:backup@nas:/srv/x", "rest:https://host:8000/x", "s3:host/bucket": its host.
    const std::string kind = location.substr(0, location.find(':'));
    std::string host = location.substr(location.find(':') + 1);
    if (kind == "rclone")
        return call.permissions().check_shell({"rclone"});
    for (const auto& [name, known] : {std::pair{"b2", "api.backblazeb2.com"},
                                      {"azure", "blob.core.windows.net"},
                                      {"gs", "storage.googleapis.com"}})
        if (kind == name)
            return call.permissions().check_net(known);
    if (const std::size_t at = host.find("://"); at != std::string::npos)
        host = host.substr(at + 3);
    if (host.starts_with("//"))
        host = host.substr(2);
    host = host.substr(0, host.find('/'));
    if (const std::size_t at = host.find('@'); at != std::string::npos)
        host = host.substr(at + 1);
    if (kind == "sftp" && host.ends_with(':'))
        host.pop_back();
    call.permissions().check_net(host);
}

void check_folders(bind::Call& call, const std::vector<std::string>& folders) {
    for (const std::string& folder : folders)
        check_place(call, folder);
}

namespace {

Value to_value(const backup::Restored& restored) {
    return Map{{"restored", true},
               {"tables", restored.counts.size()},
               {"rows", restored.rows},
               {"counts", from_counts(restored.counts)},
               {"seconds", restored.seconds}};
}

backup::RestoreOptions to_options(const RestoreOptions& given, bind::Call& call,
                                  const KeysPtr& keys) {
    backup::RestoreOptions options;
    options.tables = given.tables;
    options.jobs = static_cast<int>(given.jobs);
    options.keys = *keys;
    options.counts = to_counts(given.counts);
    options.tool = given.tool;
    options.replace = given.replace;
    options.privileges = given.privileges;
    options.progress = call.progress();
    return options;
}

void require_write_access(const db::Handle& handle, const char* function) {
    if (handle.access() == db::Access::read)
        throw Error("permission",
                    std::string(function) + ": " + handle.url().masked() +
                        " is open for reading only",
                    "declare the parameter with access = \"write\"");
}

const std::vector<std::string> restore_kinds = {"backup.unverified",
                                                "backup.tool",
                                                "backup.repository",
                                                "db.connection",
                                                "db.auth",
                                                "db.permission",
                                                "db.not_empty",
                                                "permission",
                                                "fs",
                                                "usage",
                                                "cancelled",
                                                "timeout"};

void register_repository(bind::Area& area, const KeysPtr& keys) {
    area.def("repository",
             "Names a restic repository and what opens it: encrypted, deduplicated, off-site.")
        .param("location", "a folder, or sftp:USER@HOST:/PATH, rest:URL, s3:HOST/BUCKET…")
        .param("options", "its password")
        .returns("string", "\"restic:LOCATION\", for wherever a folder of backups is taken")
        .raises({"usage"})
        .example("local key = secret.command { 'echo', 'a pass phrase' } -- { 'pass', 'show', "
                 "'vault' }\n"
                 "local vault = backup.repository('vault/', { password = key })\n"
                 "assert(vault:match '^restic:/' and vault:match '/vault$')")
        // Names only: whoever uses it is asked whether it may.
        .native([keys](bind::Call&, std::string location, RepositoryOptions options) {
            std::string name = backup::parse_place("restic:" + location).repository;
            backup::Credentials& known = (*keys)[name];
            known.password = options.password;
            known.env.clear();
            for (const auto& [variable, value] : options.env)
                known.env.emplace_back(variable, value);
            return name;
        });
    area.def("init", "Makes an empty repository.")
        .param("repository", "from backup.repository")
        .raises({"backup.repository", "backup.tool", "permission", "usage", "cancelled", "timeout"})
        .writes()
        .example(
            "local key = secret.command { 'echo', 'another phrase' } -- { 'pass', 'show', 'vault' "
            "}\n"
            "local vault = backup.repository('vault/', { password = key })\n"
            "local made, why = pcall(backup.init, vault)\n"
            "assert(made and #backup.list(vault) == 0 or why.kind == 'backup.tool') -- no restic")
        .native([keys](bind::Call& call, std::string repository) -> bind::Job<void> {
            check_place(call, repository);
            return {[repository, keys = *keys](Cancel& cancel) {
                backup::init_repository(repository, keys, cancel);
            }};
        });
}

void register_create(bind::Area& area, const KeysPtr& keys) {
    area.def("create", "Dumps a database, reads the dump back, and counts its rows in the dump's "
                       "own snapshot.")
        .param("source", "the database")
        .param("options", "where to, and with which tool")
        .returns("table",
                 "{file, files, bytes, sha256, engine, server_version, tool, source, "
                 "tables, rows, counts, objects, position, unusual, inexact, "
                 "started, seconds, mark, verified = \"read\"}: mark is for db.written_since, "
                 "position is where the server's log stood before, unusual tells what does not fit "
                 "the backups before, inexact which values the dump rounds")
        .raises({"backup.tool", "backup.unverified", "backup.repository", "db.connection",
                 "db.auth", "db.permission", "permission", "fs", "usage", "cancelled", "timeout"})
        .writes()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(made.tables == 1 and made.bytes > 0)")
        .native(
            [keys](bind::Call& call, HandlePtr source, CreateOptions given) -> bind::Job<Value> {
                check_folders(call, given.to);
                backup::Options options;
                options.to = given.to;
                options.name = given.name;
                options.tool = given.tool;
                options.format = given.format;
                options.jobs = static_cast<int>(given.jobs);
                options.keys = *keys;
                options.progress = call.progress();
                return {[source, options](Cancel& cancel) {
                    // From before the dump's snapshot: what db.written_since tells is at least what
                    // is not in the dump.
                    const std::optional<Map> mark = mark_of(source->url(), cancel);
                    Value made = backup_value(backup::create(source->url(), options, cancel));
                    if (mark)
                        made.get<Map>()->set("mark", *mark);
                    return made;
                }};
            });
    area.def("latest", "The newest backup of a database that is whole.")
        .param("source", "the database")
        .param("options", "where to look, and how far it must be proven")
        .returns("table", "as backup.create, and `age` in seconds")
        .raises({"backup.unverified", "backup.repository", "permission"})
        .reads()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(backup.latest(c, { from = 'backup/' }).file == made.file)")
        .native([keys](bind::Call& call, HandlePtr source,
                       LatestOptions options) -> bind::Job<Value> {
            check_folders(call, options.from);
            return {[source, options, keys = *keys](Cancel&) {
                auto found = backup::latest(
                    source->url(), options.from,
                    options.restored ? backup::Verified::restored : backup::Verified::none, keys);
                if (!found)
                    throw Error("backup.unverified",
                                "no " + std::string(options.restored ? "test-restored " : "") +
                                    "backup of " + source->url().masked() + " in " +
                                    text::join(options.from, ", "));
                Value value = backup_value(*found);
                value.get<Map>()->set(
                    "age", static_cast<double>(time::now_micros() - found->started) / 1e6);
                return value;
            }};
        });
}

void register_restore(bind::Area& area, const KeysPtr& keys) {
    area.def("verify", "Reads a backup: its digest, then all of it as a restore would; of a "
                       "repository every byte.")
        .param("backup", "path, or a result of backup.create")
        .returns("table", "as backup.create")
        .raises({"backup.unverified", "backup.tool", "backup.repository", "permission", "fs",
                 "cancelled", "timeout"})
        .reads()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(backup.verify(made).sha256 == made.sha256)")
        .native([keys](bind::Call& call, Value which) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.verify");
            check_place(call, file);
            return {[file, keys = *keys](Cancel& cancel) {
                return backup_value(backup::verify(file, cancel, {}, keys));
            }};
        });
    area.def("test_restore", "Restores a backup into a new database, counts every table, compares, "
                             "and drops it again.")
        .param("backup", "path, or a result of backup.create")
        .param("scratch", "a spare server of the same engine; nil for SQLite, which needs none")
        .param("options", "what must be there besides the backup's own counts")
        .returns("table", "{restored = true, tables, rows, counts, seconds}")
        .raises(restore_kinds)
        .reads() // what it makes it also takes away, and it touches the spare server alone
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(backup.test_restore(made).restored)")
        .native([keys](bind::Call& call, Value which, std::optional<HandlePtr> scratch,
                       RestoreOptions given) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.test_restore");
            check_place(call, file);
            db::Url url;
            if (scratch) {
                require_write_access(**scratch, "backup.test_restore");
                url = (*scratch)->url();
            } else if (!file.ends_with(".sqlite")) {
                throw Error(
                    "argument",
                    "backup.test_restore: argument 2 'scratch': connection expected, got nil",
                    "name a spare server of the same engine");
            }
            return {[file, url, options = to_options(given, call, keys)](Cancel& cancel) {
                return to_value(backup::test_restore(file, url, options, cancel));
            }};
        });
    area.def("restore", "Restores a backup, or some of its tables, into a database.")
        .param("backup", "path, or a result of backup.create")
        .param("target", "the database; its tables are replaced with replace = true only")
        .param("options", "how")
        .returns("table", "{restored = true, tables, rows, counts, seconds}")
        .raises(restore_kinds)
        .writes()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "local spare = db.connect('sqlite:spare.db', { access = 'write' })\n"
                 "assert(backup.restore(made, spare).restored)")
        .native([keys](bind::Call& call, Value which, HandlePtr target,
                       RestoreOptions given) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.restore");
            check_place(call, file);
            require_write_access(*target, "backup.restore");
            return {[file, target, options = to_options(given, call, keys)](Cancel& cancel) {
                return to_value(backup::restore(file, target->url(), options, cancel));
            }};
        });
}

} // namespace

void register_backup(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "backup",
                    "Backups that are proven: dumped by the engine's own tool, read back, restored "
                    "to be sure.");
    const auto keys = std::make_shared<backup::Keys>();
    register_repository(area, keys);
    register_create(area, keys);
    register_restore(area, keys);
    register_backup_catalogue(area, keys);
}

} // namespace runbook::bindings
