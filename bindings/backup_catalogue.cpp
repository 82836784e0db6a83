// `backup.list`, `policy`, `prune`, `pin`, `unpin`, `copy_to`: what there is and what stays.
#include "bindings/backup.h"
#include "bindings/backup_internal.h"
#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "runtime/backup/retention.h"
#include "runtime/base/time.h"

namespace runbook::bindings {
namespace {

struct PruneOptions {
    std::int64_t keep = 1;
    bind::Duration within, hourly, daily, weekly;
    double days = 0;
    bool preview = false;
};
struct PolicyOptions {
    std::vector<std::string> from{"backup/"};
    bind::Duration every{backup::day}, grace, restored, rto;
    std::int64_t keep = 1;
    double shrink = 0.5;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

using bindings::PolicyOptions;
using bindings::PruneOptions;

template <>
struct Describe<PruneOptions> {
    static const std::vector<Field<PruneOptions>>& fields() {
        static const std::vector<Field<PruneOptions>> all = {
            field("keep", &PruneOptions::keep,
                  "whole backups of each database that always stay; 1, and never less"),
            field("days", &PruneOptions::days, "keeps all that are younger than so many days"),
            field("within", &PruneOptions::within, "keeps all that are younger"),
            field("hourly", &PruneOptions::hourly,
                  "keeps the newest of each hour, as long as it is younger"),
            field("daily", &PruneOptions::daily, "the same for each day (UTC)"),
            field("weekly", &PruneOptions::weekly, "the same for each week (from Monday, UTC)"),
            field("preview", &PruneOptions::preview, "only say what would go")};
        return all;
    }
};

template <>
struct Describe<PolicyOptions> {
    static const std::vector<Field<PolicyOptions>>& fields() {
        static const std::vector<Field<PolicyOptions>> all = {
            field("from", &PolicyOptions::from, "folders to look in; backup/"),
            field("every", &PolicyOptions::every, "how often one is made; 24h"),
            field("grace", &PolicyOptions::grace, "how late it may be; a tenth of every"),
            field("keep", &PolicyOptions::keep, "whole backups that must be there; 1"),
            field("restored", &PolicyOptions::restored,
                  "the newest test-restored one must be younger; not asked"),
            field("rto", &PolicyOptions::rto, "the newest test restore took no longer; not asked"),
            field("shrink", &PolicyOptions::shrink,
                  "a backup smaller than this share of the one before is suspicious, and one of "
                  "three times its size, or without a table that it had; 0.5, 0: not asked")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

const char* const sample = "local c = db.connect('sqlite:shop.db', { access = 'write' })\n"
                           "db.execute(c, 'create table t (a int)')\n"
                           "local made = backup.create(c, { to = 'backup/' })\n";

Value to_value(const backup::Entry& entry) {
    Value value = backup_value(entry.backup);
    Map& map = *value.get<Map>();
    map.set("whole", entry.whole());
    if (!entry.problem.empty())
        map.set("problem", entry.problem);
    map.set("age", static_cast<double>(time::now_micros() - entry.backup.started) / 1e6);
    return value;
}

Value to_value(const std::vector<backup::Decision>& decisions, bool removed) {
    List stay, go;
    for (const backup::Decision& decision : decisions) {
        Map map{{"file", decision.entry.backup.file}, {"why", decision.why}};
        map.set("started", Timestamp{decision.entry.backup.started, 0});
        map.set("bytes", decision.entry.backup.bytes);
        (decision.stays ? stay : go).push_back(map);
    }
    return Map{{"kept", stay}, {"removed", go}, {"preview", !removed}};
}

void register_look(bind::Area& area, const KeysPtr& keys) {
    area.def("list", "The backups in folders, newest first.")
        .param("folders", "a folder or repository, or a list; copies of one backup are one entry")
        .returns("table[]", "each as backup.create, and `age` in seconds, `whole`, `problem` where "
                            "it does not count, `pinned` where it was")
        .raises({"backup.repository", "permission", "fs"})
        .reads()
        .example(std::string(sample) + "local all = backup.list('backup/')\n"
                                       "assert(#all == 1 and all[1].file == made.file)")
        .native([keys](bind::Call& call, std::vector<std::string> folders) -> bind::Job<Value> {
            check_folders(call, folders);
            return {[folders, keys = *keys](Cancel& cancel) {
                List entries;
                for (const backup::Entry& entry : backup::list(folders, keys, &cancel))
                    entries.push_back(to_value(entry));
                return Value(entries);
            }};
        });
    area.def("policy", "Whether a database has the backups that it should have.")
        .param("source", "the database")
        .param("options", "what must hold")
        .returns("table",
                 "{met, level = \"ok\" | \"warning\" | \"critical\", missed, age, why}: one "
                 "missed backup is a warning, two in a row or none at all are critical")
        .raises({"backup.repository", "permission", "fs", "usage"})
        .reads()
        .example(std::string(sample) + "assert(backup.policy(c, { every = '24h' }).met)\n"
                                       "local strict = backup.policy(c, { keep = 3 })\n"
                                       "assert(strict.why[1] == '1 whole backup, required are 3')")
        .native([keys](bind::Call& call, HandlePtr source,
                       PolicyOptions given) -> bind::Job<Value> {
            check_folders(call, given.from);
            return {[source, given, keys = *keys](Cancel& cancel) {
                backup::Policy policy;
                policy.every = given.every.seconds;
                policy.grace = given.grace.seconds;
                policy.keep = static_cast<int>(given.keep);
                policy.restored = given.restored.seconds;
                policy.rto = given.rto.seconds;
                policy.shrink = given.shrink;
                const backup::Health health =
                    backup::health(backup::list(given.from, keys, &cancel),
                                   backup::source_name(source->url()), policy, time::now_micros());
                List why;
                for (const std::string& text : health.why)
                    why.push_back(text);
                Map map{{"met", health.met}, {"level", health.level}, {"missed", health.missed}};
                map.set("age", health.age < 0 ? Value() : Value(health.age)).set("why", why);
                return Value(map);
            }};
        });
}

void register_change(bind::Area& area, const KeysPtr& keys) {
    area.def("prune", "Removes backups that no rule keeps. The newest `keep` of each database, "
                      "pinned and broken ones always stay.")
        .param("folders", "a folder or repository, or a list")
        .param("options", "what stays")
        .returns("table", "{kept, removed, preview}: lists of {file, why, started, bytes}")
        .raises({"backup.repository", "permission", "fs", "usage"})
        .writes()
        .example(std::string(sample) +
                 "local done = backup.prune('backup/', { keep = 3, days = 30 })\n"
                 "assert(#done.removed == 0 and done.kept[1].why == 'among the last 3')")
        .native([keys](bind::Call& call, std::vector<std::string> folders,
                       PruneOptions given) -> bind::Job<Value> {
            check_folders(call, folders);
            backup::Keep keep;
            keep.last = static_cast<int>(given.keep);
            keep.within = std::max(given.within.seconds, given.days * backup::day);
            keep.hourly = given.hourly.seconds;
            keep.daily = given.daily.seconds;
            keep.weekly = given.weekly.seconds;
            return {[folders, keep, preview = given.preview, keys = *keys](Cancel& cancel) {
                return to_value(backup::prune(folders, {}, keep, !preview, keys, &cancel),
                                !preview);
            }};
        });
    area.def("pin", "Keeps a backup from being pruned.")
        .param("backup", "path, or a result of backup.create")
        .param("why", "noted beside it")
        .raises(
            {"backup.unverified", "backup.repository", "permission", "fs", "cancelled", "timeout"})
        .writes()
        .example(std::string(sample) +
                 "backup.pin(made, 'before the migration')\n"
                 "assert(backup.list('backup/')[1].pinned == 'before the migration')")
        .native([keys](bind::Call& call, Value which, std::string why) -> bind::Job<void> {
            const std::string file = backup_file(which, "backup.pin");
            check_place(call, file);
            if (why.empty())
                throw Error("argument", "backup.pin: argument 2 'why': a reason expected, got ''");
            return {[file, why, keys = *keys](Cancel&) { backup::pin(file, why, keys); }};
        });
    area.def("unpin", "Lets a pinned backup go again.")
        .param("backup", "path, or a result of backup.create")
        .raises(
            {"backup.unverified", "backup.repository", "permission", "fs", "cancelled", "timeout"})
        .writes()
        .example(std::string(sample) + "backup.pin(made, 'audit')\n"
                                       "backup.unpin(made)\n"
                                       "assert(backup.list('backup/')[1].pinned == nil)")
        .native([keys](bind::Call& call, Value which) -> bind::Job<void> {
            const std::string file = backup_file(which, "backup.unpin");
            check_place(call, file);
            return {[file, keys = *keys](Cancel&) { backup::pin(file, {}, keys); }};
        });
    area.def("copy_to", "Copies a backup into another folder or repository, or out of one, and "
                        "reads the copy back.")
        .param("backup", "path, or a result of backup.create")
        .param("folder", "made where it is missing; or a repository")
        .returns("string", "path of the copy")
        .raises(
            {"backup.unverified", "backup.repository", "permission", "fs", "cancelled", "timeout"})
        .writes()
        .example(std::string(sample) + "local copy = backup.copy_to(made, 'elsewhere/')\n"
                                       "assert(backup.verify(copy).sha256 == made.sha256)")
        .native(
            [keys](bind::Call& call, Value which, std::string folder) -> bind::Job<std::string> {
                const std::string file = backup_file(which, "backup.copy_to");
                check_place(call, file);
                check_place(call, folder);
                return {[file, folder, keys = *keys](Cancel& cancel) {
                    return backup::copy_to(file, folder, cancel, keys);
                }};
            });
}

} // namespace

void register_backup_catalogue(bind::Area& area, const KeysPtr& keys) {
    register_look(area, keys);
    register_change(area, keys);
}

} // namespace runbook::bindings
