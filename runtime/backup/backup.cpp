// What all engines have in common: names, folders, digests, manifests, the order of checks.
#include "runtime/backup/backup.h"

#include "runtime/backup/catalogue.h"
#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/manifest.h"
#include "runtime/backup/repository.h"
#include "runtime/backup/tree.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <optional>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

std::string default_name(const db::Url& source, std::int64_t started) {
    std::string base =
        source.engine == db::Engine::sqlite ? fs::path(source.name).stem().string() : source.name;
    for (char& c : base)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_')
            c = '-';
    std::string stamp = time::iso_millis(started); // 2026-11-20T22:00:04.123Z → 20261120-220004
    return fmt::format("{}-{}{}{}-{}{}{}", base.empty() ? "database" : base, stamp.substr(0, 4),
                       stamp.substr(5, 2), stamp.substr(8, 2), stamp.substr(11, 2),
                       stamp.substr(14, 2), stamp.substr(17, 2));
}

void check_name(const std::string& name) {
    if (name.find('/') != std::string::npos || name.starts_with('.'))
        throw Error(
            "usage",
            fmt::format("backup name '{}': a name without '/' and without leading '.'", name),
            "folders go into the option to");
}

/// What to try where a copy is damaged.
std::string other_copies(const Backup& backup) {
    for (const std::string& copy : backup.files)
        if (copy != backup.file)
            return "try its other copy: runbook backup verify " + copy;
    return fmt::format("runbook backup list --folder {} shows the others",
                       fs::path(backup.file).parent_path().string());
}

void check_digest(const Backup& backup, Cancel& cancel) {
    std::int64_t size = tree_size(backup.file);
    if (size != backup.bytes)
        throw Error("backup.unverified",
                    fmt::format("{}: {} bytes, its manifest says {}", backup.file,
                                text::grouped(size), text::grouped(backup.bytes)),
                    other_copies(backup));
    if (tree_digests(backup.file, "", cancel).sha256 != backup.sha256)
        throw Error("backup.unverified",
                    fmt::format("{}: its SHA-256 is not that of its manifest", backup.file),
                    other_copies(backup));
}

std::int64_t sum(const Counts& counts) {
    std::int64_t rows = 0;
    for (const auto& [table, count] : counts)
        rows += count;
    return rows;
}

/// "feedbacks: 97,818 rows instead of 98,230; operators is missing"; empty where they agree. `all`
/// also objects to tables that are not expected.
std::string differences(const Counts& expected, const Counts& found, bool all) {
    std::vector<std::string> list;
    for (const auto& [table, rows] : expected) {
        auto it = found.find(table);
        if (it == found.end())
            list.push_back(table + " is missing");
        else if (it->second != rows)
            list.push_back(fmt::format("{}: {} rows instead of {}", table,
                                       text::grouped(it->second), text::grouped(rows)));
    }
    if (all)
        for (const auto& [table, rows] : found)
            if (!expected.contains(table))
                list.push_back(table + " was not expected");
    std::size_t more = list.size() > 5 ? list.size() - 5 : 0;
    list.resize(list.size() - more);
    return text::join(list, "; ") + (more ? fmt::format("; and {} more", more) : "");
}

/// "view seen is missing"; "function fu was made under another sql_mode"; empty where all are
/// there. Others may be there too.
std::string differences(const Objects& expected, const Objects& found) {
    std::vector<std::string> list;
    for (const auto& [name, note] : expected) {
        auto it = found.find(name);
        if (it == found.end())
            list.push_back(name + " is missing");
        else if (it->second != note)
            list.push_back(fmt::format("{}: '{}' instead of '{}'", name, it->second, note));
    }
    std::size_t more = list.size() > 5 ? list.size() - 5 : 0;
    list.resize(list.size() - more);
    return text::join(list, "; ") + (more ? fmt::format("; and {} more", more) : "");
}

class ScratchDatabase {
  public:
    ScratchDatabase(Engine& engine, const db::Url& scratch, Cancel& cancel)
        : engine_(engine), scratch_(scratch), made_(engine.make_scratch(scratch, cancel)) {}
    ~ScratchDatabase() {
        try {
            engine_.drop_scratch(made_, scratch_);
        } catch (const Error&) { // the error that is under way says more
        }
    }
    void drop() { engine_.drop_scratch(made_, scratch_); }
    const db::Url& url() const { return made_; }

  private:
    Engine& engine_;
    const db::Url& scratch_;
    db::Url made_;
};

} // namespace

std::unique_ptr<Engine> engine_for(db::Engine engine, const std::string& format, int jobs) {
    auto choose = [&](const char* one, auto make_one, const char* many, auto make_many) {
        if (format.empty())
            return jobs > 1 ? make_many() : make_one();
        if (format == many)
            return make_many();
        if (format != one)
            throw Error("usage", fmt::format("backup format '{}': {} or {}", format, one, many));
        if (jobs > 1)
            throw Error("usage", fmt::format("backup format '{}' has one job only", format),
                        fmt::format("format = \"{}\" is written in parallel", many));
        return make_one();
    };
    if (jobs < 1 || jobs > 64)
        throw Error("usage", fmt::format("backup jobs {}: 1 to 64", jobs));
    switch (engine) {
    case db::Engine::postgresql:
        return choose("custom", postgresql, "directory", postgresql_directory);
    case db::Engine::mysql:
        return choose("mysqldump", mysql, "mydumper", mydumper);
    case db::Engine::sqlite:
        if (!format.empty() || jobs > 1)
            throw Error("usage", "a backup of SQLite has one format and one job");
        return sqlite();
    }
    return nullptr;
}

std::unique_ptr<Engine> engine_of_file(const std::string& file) {
    for (auto make : {postgresql, postgresql_directory, mysql, mydumper, sqlite}) {
        auto engine = make();
        if (file.ends_with(engine->ending()))
            return engine;
    }
    throw Error(
        "usage",
        fmt::format("{}: a backup ends in .dump, .pgdir, .sql, .mydumper or .sqlite", file));
}

namespace {

/// The manifests of all copies, then the repositories: what is in a folder stays where one of them
/// fails. `staged`: the only file is on its way into repositories.
void store(Backup& backup, const std::vector<Repository>& repositories, bool staged,
           Cancel& cancel) {
    auto write = [&] {
        for (const auto& file : backup.files) {
            if (in_repository(file))
                continue;
            Backup copy = backup;
            copy.file = file;
            save_manifest(copy);
        }
    };
    write();
    const std::string local = backup.file;
    for (const Repository& repository : repositories)
        try {
            backup.files.push_back(repository.add(local, backup, cancel));
        } catch (const Error& error) {
            if (staged)
                throw;
            throw Error(error.kind(), error.message(),
                        fmt::format("{}; whole: {}", error.hint(), local));
        }
    if (staged)
        backup.files.erase(backup.files.begin());
    else if (!repositories.empty())
        write();
    backup.file = backup.files.front();
}

} // namespace

Backup create(const db::Url& source, const Options& options, Cancel& cancel) {
    if (options.to.empty())
        throw Error("usage", "a backup needs at least one folder in the option to");
    check_name(options.name);
    const double begun = time::monotonic();
    auto engine = engine_for(source.engine, options.format, options.jobs);
    Backup backup;
    backup.started = time::now_micros();
    backup.source = source_name(source);
    std::string name = options.name.empty() ? default_name(source, backup.started) : options.name;
    name += engine->ending();
    std::vector<std::unique_ptr<Partial>> partials;
    std::vector<Repository> repositories;
    std::optional<TemporaryFolder> staging; // where it goes into repositories only
    for (const auto& folder : options.to)
        if (in_repository(folder))
            repositories.emplace_back(folder, options.keys);
        else
            backup.files.push_back(absolute(folder + "/" + name));
    if (backup.files.empty())
        backup.files.push_back(staging.emplace().path() + "/" + name);
    const std::vector<Entry> before = list(options.to, options.keys, &cancel);
    for (const Repository& repository : repositories)
        for (const Entry& entry : before)
            if (std::find(entry.backup.files.begin(), entry.backup.files.end(),
                          repository.place_of(name)) != entry.backup.files.end() &&
                entry.whole())
                throw Error("fs", fmt::format("{}: exists already", repository.place_of(name)),
                            "give the backup another name");
    for (const std::string& file : backup.files)
        partials.push_back(std::make_unique<Partial>(file, engine->folder()));
    backup.file = backup.files.front();

    const std::string& first = partials.front()->path();
    Dumped dumped = engine->dump(source, first, options, cancel);
    backup.bytes = tree_size(first);
    if (backup.bytes == 0)
        throw Error("backup.unverified", fmt::format("{}: the dump is empty", backup.file),
                    fmt::format("{} wrote nothing and reported success", dumped.tool));
    if (!dumped.read)
        engine->read(first, dumped.counts, cancel);
    const Digests digests =
        dumped.sha256.empty()
            ? tree_digests(first, name, cancel)
            : Digests{dumped.sha256, fmt::format("{}  {}\n", dumped.sha256, name)};
    backup.sha256 = digests.sha256;
    for (std::size_t i = 1; i < partials.size(); ++i) {
        tree_copy(first, partials[i]->path(), cancel);
        if (tree_digests(partials[i]->path(), name, cancel).sha256 != backup.sha256)
            throw Error("backup.unverified",
                        fmt::format("{}: the copy differs from {}", backup.files[i], backup.file));
    }
    backup.engine = dumped.engine;
    backup.server_version = dumped.server_version;
    backup.tool = dumped.tool;
    backup.position = dumped.position;
    backup.counts = std::move(dumped.counts);
    backup.objects = std::move(dumped.objects);
    backup.inexact = std::move(dumped.inexact);
    backup.tables = static_cast<std::int64_t>(backup.counts.size());
    backup.rows = sum(backup.counts);
    backup.verified = Verified::read;
    backup.unusual = unusual(backup, before);
    for (const auto& partial : partials)
        partial->keep();
    for (const auto& file : backup.files)
        files::write(file + ".sha256", digests.lines);
    backup.seconds = time::monotonic() - begun;
    store(backup, repositories, staging.has_value(), cancel);
    if (!repositories.empty())
        backup.seconds = time::monotonic() - begun;
    return backup;
}

namespace {

/// A copy out of a repository, as long as it is needed; a file of a folder as it is.
class Local {
  public:
    Local(const std::string& file, const Keys& keys, Cancel& cancel) {
        if (!in_repository(file)) {
            backup_ = read_manifest(file);
            return;
        }
        const Place place = parse_place(file);
        repository_.emplace(place.repository, keys);
        snapshot_ = repository_->find(place.name, cancel);
        repository_->fetch(snapshot_, folder_.emplace().path(), cancel);
        backup_ = snapshot_.backup;
        backup_.file = folder_->path() + "/" + place.name;
    }
    const Backup& backup() const { return backup_; }
    /// What people call it.
    const std::string& name() const { return folder_ ? snapshot_.backup.file : backup_.file; }

    /// Notes in the manifests of all copies that it was restored, and how long that took.
    void restored(double seconds, Cancel& cancel) {
        auto mark = [&](Backup& copy) {
            copy.verified = Verified::restored;
            copy.restored_at = time::now_micros();
            copy.restore_seconds = seconds;
        };
        if (folder_) {
            mark(snapshot_.backup);
            repository_->note(snapshot_, cancel);
            return;
        }
        for (const auto& copy : backup_.files) { // each has the digest that was restored, or is
                                                 // left alone
            if (in_repository(copy) || !fs::exists(copy + ".json"))
                continue;
            Backup other = read_manifest(copy);
            if (other.sha256 != backup_.sha256)
                continue;
            mark(other);
            save_manifest(other);
        }
    }

  private:
    Backup backup_;
    std::optional<TemporaryFolder> folder_;
    std::optional<Repository> repository_;
    Repository::Snapshot snapshot_;
};

void check_engine(const Engine& engine, const std::string& file, const Backup& backup,
                  const db::Url& target) {
    if (engine.engine() != target.engine)
        throw Error("usage", fmt::format("{} is a backup of {} and cannot be restored into {}",
                                         file, backup.engine, target.masked()));
}

/// What stands in the way of restoring these tables, or all of them.
void check_empty(const std::string& file, const db::Url& target, const Counts& before,
                 const RestoreOptions& options) {
    if (options.replace)
        return;
    std::vector<std::string> there;
    for (const std::string& table : options.tables)
        if (before.contains(table))
            there.push_back(table);
    const std::string command = fmt::format(
        "on the command line: runbook backup restore {} {}{} --replace {}", text::shell_quote(file),
        text::shell_quote(target.masked()),
        options.tables.empty() ? "" : " --table " + text::join(options.tables, " --table "),
        target.name);
    if (!there.empty())
        throw Error("db.not_empty",
                    fmt::format("{} holds {} already", target.masked(), text::join(there, ", ")),
                    "restore into a spare database, or say replace = true; " + command);
    if (options.tables.empty() && !before.empty())
        throw Error("db.not_empty",
                    fmt::format("{} holds {} table{}, and a restore would mix with them",
                                target.masked(), before.size(), before.size() == 1 ? "" : "s"),
                    "restore into an empty database, or say replace = true; " + command);
}

} // namespace

Backup verify(const std::string& file, Cancel& cancel, const ProgressPtr&, const Keys& keys) {
    auto engine = engine_of_file(file);
    if (in_repository(file))
        Repository(file, keys).check(cancel);
    const Local local(file, keys, cancel);
    Backup backup = local.backup();
    check_digest(backup, cancel);
    engine->read(backup.file, backup.counts, cancel);
    if (in_repository(file))
        backup.file = local.name();
    return backup;
}

Restored test_restore(const std::string& file, const db::Url& scratch,
                      const RestoreOptions& options, Cancel& cancel) {
    const double begun = time::monotonic();
    auto engine = engine_of_file(file);
    Local local(file, options.keys, cancel);
    const Backup& backup = local.backup();
    check_engine(*engine, file, backup, scratch);
    check_digest(backup, cancel);
    Restored restored;
    Objects objects;
    {
        ScratchDatabase database(*engine, scratch, cancel);
        engine->restore(backup.file, database.url(), options, backup.objects, cancel);
        restored.counts = engine->count(database.url(), cancel);
        objects = engine->objects(database.url(), cancel);
        database.drop();
    }
    restored.rows = sum(restored.counts);
    std::string wrong = differences(backup.counts, restored.counts, true);
    if (wrong.empty())
        wrong = differences(options.counts, restored.counts, false);
    if (wrong.empty())
        wrong = differences(backup.objects, objects);
    if (!wrong.empty())
        throw Error("backup.unverified", fmt::format("test restore of {}: {}", local.name(), wrong),
                    "make a new backup, and keep this one until that is proven");
    restored.seconds = time::monotonic() - begun;
    local.restored(restored.seconds, cancel);
    return restored;
}

Restored restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel) {
    const double begun = time::monotonic();
    auto engine = engine_of_file(file);
    const Local local(file, options.keys, cancel);
    const Backup& backup = local.backup();
    check_engine(*engine, file, backup, target);
    for (const std::string& table : options.tables)
        if (!backup.counts.contains(table)) {
            std::vector<std::string> names;
            for (const auto& [name, rows] : backup.counts)
                names.push_back(name);
            throw Error("usage", fmt::format("{}: no table '{}' in it{}", local.name(), table,
                                             text::did_you_mean(table, names)));
        }
    check_digest(backup, cancel);
    check_empty(file, target, engine->count(target, cancel), options);
    engine->restore(backup.file, target, options, backup.objects, cancel);
    Restored restored;
    restored.counts = engine->count(target, cancel);
    Counts expected = backup.counts;
    if (!options.tables.empty()) {
        auto others = [&](const auto& entry) {
            return std::find(options.tables.begin(), options.tables.end(), entry.first) ==
                   options.tables.end();
        };
        std::erase_if(expected, others);
        std::erase_if(restored.counts, others);
    }
    restored.rows = sum(restored.counts);
    std::string wrong = differences(expected, restored.counts, !options.replace);
    if (wrong.empty() && options.tables.empty())
        wrong = differences(backup.objects, engine->objects(target, cancel));
    if (!wrong.empty())
        throw Error("backup.unverified", fmt::format("restore of {}: {}", local.name(), wrong));
    restored.seconds = time::monotonic() - begun;
    return restored;
}

} // namespace runbook::backup
