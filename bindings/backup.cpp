#include "bindings/backup.h"

#include "bindings/backup_internal.h"
#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "bindings/db_fence.h"
#include "runtime/backup/backup.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

namespace runbook::bindings {
namespace {

struct CreateOptions {
    std::vector<std::string> to{"backup/"};
    std::string name, tool;
};
struct RestoreOptions {
    Map counts;
    std::string tool;
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
using bindings::RestoreOptions;

template <>
struct Describe<CreateOptions> {
    static const std::vector<Field<CreateOptions>>& fields() {
        static const std::vector<Field<CreateOptions>> all = {
            field("to", &CreateOptions::to, "folders, each gets a copy; backup/"),
            field("name", &CreateOptions::name, "name without ending; database and time"),
            field("tool", &CreateOptions::tool,
                  "path of pg_dump, mysqldump or mariadb-dump; else RUNBOOK_PG_DUMP, "
                  "RUNBOOK_MYSQLDUMP, "
                  "RUNBOOK_MARIADB_DUMP, then PATH")};
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
                  "path of pg_restore, mysql or mariadb; else RUNBOOK_PG_RESTORE, RUNBOOK_MYSQL, "
                  "RUNBOOK_MARIADB, "
                  "then PATH"),
            field("replace", &RestoreOptions::replace,
                  "restore: tables that are there already are replaced"),
            field("privileges", &RestoreOptions::privileges,
                  "restore with replace, PostgreSQL: what was granted on them comes back too "
                  "(default true; false where its roles are not there)")};
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

void check_folders(bind::Call& call, const std::vector<std::string>& folders) {
    for (const std::string& folder : folders)
        call.permissions().check_file(folder);
}

namespace {

Value to_value(const backup::Restored& restored) {
    return Map{{"restored", true},
               {"tables", restored.counts.size()},
               {"rows", restored.rows},
               {"counts", from_counts(restored.counts)},
               {"seconds", restored.seconds}};
}

backup::RestoreOptions to_options(const RestoreOptions& given, bind::Call& call) {
    backup::RestoreOptions options;
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

const std::vector<std::string> restore_kinds = {
    "backup.unverified", "backup.tool", "db.connection", "db.auth", "db.permission", "db.not_empty",
    "permission",        "fs",          "cancelled",     "timeout"};

void register_create(bind::Area& area) {
    area.def("create", "Dumps a database, reads the dump back, and counts its rows in the dump's "
                       "own snapshot.")
        .param("source", "the database")
        .param("options", "where to, and with which tool")
        .returns("table",
                 "{file, files, bytes, sha256, engine, server_version, tool, source, "
                 "tables, rows, counts, "
                 "started, seconds, mark, verified = \"read\"}: mark is for db.written_since")
        .raises({"backup.tool", "backup.unverified", "db.connection", "db.auth", "db.permission",
                 "permission", "fs", "usage", "cancelled", "timeout"})
        .writes()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(made.tables == 1 and made.bytes > 0)")
        .native([](bind::Call& call, HandlePtr source, CreateOptions given) -> bind::Job<Value> {
            check_folders(call, given.to);
            backup::Options options;
            options.to = given.to;
            options.name = given.name;
            options.tool = given.tool;
            options.progress = call.progress();
            return {[source, options](Cancel& cancel) {
                // From before the dump's snapshot: what db.written_since tells is at least what is
                // not in the dump.
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
        .raises({"backup.unverified", "permission"})
        .reads()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(backup.latest(c, { from = 'backup/' }).file == made.file)")
        .native([](bind::Call& call, HandlePtr source, LatestOptions options) -> bind::Job<Value> {
            check_folders(call, options.from);
            return {[source, options](Cancel&) {
                auto found = backup::latest(source->url(), options.from,
                                            options.restored ? backup::Verified::restored
                                                             : backup::Verified::none);
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

void register_restore(bind::Area& area) {
    area.def("verify", "Reads a backup: its digest, then all of it as a restore would.")
        .param("backup", "path, or a result of backup.create")
        .returns("table", "as backup.create")
        .raises({"backup.unverified", "backup.tool", "permission", "fs", "cancelled", "timeout"})
        .reads()
        .example("local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                 "db.execute(c, 'create table t (a int)')\n"
                 "local made = backup.create(c, { to = 'backup/' })\n"
                 "assert(backup.verify(made).sha256 == made.sha256)")
        .native([](bind::Call& call, Value which) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.verify");
            call.permissions().check_file(file);
            return {[file](Cancel& cancel) { return backup_value(backup::verify(file, cancel)); }};
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
        .native([](bind::Call& call, Value which, std::optional<HandlePtr> scratch,
                   RestoreOptions given) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.test_restore");
            call.permissions().check_file(file);
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
            return {[file, url, options = to_options(given, call)](Cancel& cancel) {
                return to_value(backup::test_restore(file, url, options, cancel));
            }};
        });
    area.def("restore", "Restores a backup into an empty database.")
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
        .native([](bind::Call& call, Value which, HandlePtr target,
                   RestoreOptions given) -> bind::Job<Value> {
            std::string file = backup_file(which, "backup.restore");
            call.permissions().check_file(file);
            require_write_access(*target, "backup.restore");
            return {[file, target, options = to_options(given, call)](Cancel& cancel) {
                return to_value(backup::restore(file, target->url(), options, cancel));
            }};
        });
}

} // namespace

void register_backup(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "backup",
                    "Backups that are proven: dumped by the engine's own tool, read back, restored "
                    "to be sure.");
    register_create(area);
    register_restore(area);
    register_backup_catalogue(area);
}

} // namespace runbook::bindings
