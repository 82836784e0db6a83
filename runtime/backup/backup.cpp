// What all engines have in common: names, folders, digests, manifests, the order of checks.
#include "runtime/backup/backup.h"

#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/manifest.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <filesystem>
#include <fmt/format.h>

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

void check_digest(const Backup& backup, Cancel& cancel) {
    std::int64_t size = files::size(backup.file);
    if (size != backup.bytes)
        throw Error("backup.unverified",
                    fmt::format("{}: {} bytes, its manifest says {}", backup.file,
                                text::grouped(size), text::grouped(backup.bytes)));
    if (digest::sha256_file(backup.file, &cancel) != backup.sha256)
        throw Error("backup.unverified",
                    fmt::format("{}: its SHA-256 is not that of its manifest", backup.file));
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

std::unique_ptr<Engine> engine_for(db::Engine engine) {
    switch (engine) {
    case db::Engine::postgresql:
        return postgresql();
    case db::Engine::mysql:
        return mysql();
    case db::Engine::sqlite:
        return sqlite();
    }
    return nullptr;
}

std::unique_ptr<Engine> engine_of_file(const std::string& file) {
    for (auto make : {postgresql, mysql, sqlite}) {
        auto engine = make();
        if (file.ends_with(engine->ending()))
            return engine;
    }
    throw Error("usage", fmt::format("{}: a backup ends in .dump, .sql or .sqlite", file));
}

Backup create(const db::Url& source, const Options& options, Cancel& cancel) {
    if (options.to.empty())
        throw Error("usage", "a backup needs at least one folder in the option to");
    check_name(options.name);
    const double begun = time::monotonic();
    auto engine = engine_for(source.engine);
    Backup backup;
    backup.started = time::now_micros();
    backup.source = source_name(source);
    std::string name = options.name.empty() ? default_name(source, backup.started) : options.name;
    std::vector<std::unique_ptr<Partial>> partials;
    for (const auto& folder : options.to) {
        backup.files.push_back(absolute(folder + "/" + name + engine->ending()));
        partials.push_back(std::make_unique<Partial>(backup.files.back()));
    }
    backup.file = backup.files.front();

    const std::string& first = partials.front()->path();
    Dumped dumped = engine->dump(source, first, options, cancel);
    backup.bytes = files::size(first);
    if (backup.bytes == 0)
        throw Error("backup.unverified", fmt::format("{}: the dump is empty", backup.file),
                    fmt::format("{} wrote nothing and reported success", dumped.tool));
    engine->read(first, dumped.counts, cancel);
    backup.sha256 = digest::sha256_file(first, &cancel);
    for (std::size_t i = 1; i < partials.size(); ++i) {
        files::copy(first, partials[i]->path(), cancel);
        if (digest::sha256_file(partials[i]->path(), &cancel) != backup.sha256)
            throw Error("backup.unverified",
                        fmt::format("{}: the copy differs from {}", backup.files[i], backup.file));
    }
    backup.engine = dumped.engine;
    backup.server_version = dumped.server_version;
    backup.tool = dumped.tool;
    backup.counts = std::move(dumped.counts);
    backup.rows = sum(backup.counts);
    backup.verified = Verified::read;
    for (const auto& partial : partials)
        partial->keep();
    for (const auto& file : backup.files)
        files::write(file + ".sha256", digest_line(backup.sha256, file));
    backup.seconds = time::monotonic() - begun;
    for (const auto& file : backup.files) {
        Backup copy = backup;
        copy.file = file;
        save_manifest(copy);
    }
    return backup;
}

Backup verify(const std::string& file, Cancel& cancel, const ProgressPtr&) {
    auto engine = engine_of_file(file);
    Backup backup = read_manifest(file);
    check_digest(backup, cancel);
    engine->read(backup.file, backup.counts, cancel);
    return backup;
}

Restored test_restore(const std::string& file, const db::Url& scratch,
                      const RestoreOptions& options, Cancel& cancel) {
    const double begun = time::monotonic();
    auto engine = engine_of_file(file);
    Backup backup = read_manifest(file);
    if (std::string(engine_for(scratch.engine)->ending()) != engine->ending())
        throw Error("usage", fmt::format("{} is a backup of {} and cannot be restored into {}",
                                         file, backup.engine, scratch.masked()));
    check_digest(backup, cancel);
    Restored restored;
    {
        ScratchDatabase database(*engine, scratch, cancel);
        engine->restore(backup.file, database.url(), options, cancel);
        restored.counts = engine->count(database.url(), cancel);
        database.drop();
    }
    restored.rows = sum(restored.counts);
    std::string wrong = differences(backup.counts, restored.counts, true);
    if (wrong.empty())
        wrong = differences(options.counts, restored.counts, false);
    if (!wrong.empty())
        throw Error("backup.unverified", fmt::format("test restore of {}: {}", backup.file, wrong));
    for (const auto& copy :
         backup.files) { // each copy has the digest that was restored, or is left alone
        if (!fs::exists(copy + ".json"))
            continue;
        Backup other = read_manifest(copy);
        if (other.sha256 != backup.sha256)
            continue;
        other.verified = Verified::restored;
        save_manifest(other);
    }
    restored.seconds = time::monotonic() - begun;
    return restored;
}

Restored restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel) {
    const double begun = time::monotonic();
    auto engine = engine_of_file(file);
    Backup backup = read_manifest(file);
    if (std::string(engine_for(target.engine)->ending()) != engine->ending())
        throw Error("usage", fmt::format("{} is a backup of {} and cannot be restored into {}",
                                         file, backup.engine, target.masked()));
    check_digest(backup, cancel);
    Counts before = engine->count(target, cancel);
    if (!before.empty() && !options.replace)
        throw Error("db.not_empty",
                    fmt::format("{} holds {} table{}, and a restore would mix with them",
                                target.masked(), before.size(), before.size() == 1 ? "" : "s"),
                    "restore into an empty database, or say replace = true (on the command line "
                    "--replace NAME)");
    engine->restore(backup.file, target, options, cancel);
    Restored restored;
    restored.counts = engine->count(target, cancel);
    restored.rows = sum(restored.counts);
    std::string wrong = differences(backup.counts, restored.counts, !options.replace);
    if (!wrong.empty())
        throw Error("backup.unverified", fmt::format("restore of {}: {}", backup.file, wrong));
    restored.seconds = time::monotonic() - begun;
    return restored;
}

} // namespace runbook::backup
