#include "runtime/backup/catalogue.h"

#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/manifest.h"
#include "runtime/backup/repository.h"
#include "runtime/backup/tree.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <optional>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

const char* const unended = "an upload that did not end";

/// What a look at the file, without reading it, says against it.
std::string problem_of(const std::string& file, const Backup& backup) {
    if (!fs::exists(file))
        return "its file is gone";
    const std::int64_t size = tree_size(file);
    if (size != backup.bytes)
        return fmt::format("{} bytes, its manifest says {}", text::grouped(size),
                           text::grouped(backup.bytes));
    return {};
}

bool same(const Backup& a, const Backup& b) {
    return a.sha256 == b.sha256 && a.source == b.source && a.started == b.started;
}

/// A copy joins the entry of its backup: a whole one speaks for all.
void join(Entry& entry, Entry copy) {
    entry.backup.files.push_back(copy.backup.file);
    if (entry.backup.pinned.empty())
        entry.backup.pinned = copy.backup.pinned;
    if (!entry.problem.empty() && copy.problem.empty()) {
        entry.problem.clear();
        entry.backup.file = copy.backup.file;
    }
    entry.backup.verified = std::max(entry.backup.verified, copy.backup.verified);
    if (copy.backup.restored_at > entry.backup.restored_at) {
        entry.backup.restored_at = copy.backup.restored_at;
        entry.backup.restore_seconds = copy.backup.restore_seconds;
    }
    if (entry.backup.counts.empty()) {
        entry.backup.counts = std::move(copy.backup.counts);
        entry.backup.objects = std::move(copy.backup.objects);
    }
}

void put(std::vector<Entry>& entries, Entry entry) {
    auto known = std::find_if(entries.begin(), entries.end(),
                              [&](const Entry& other) { return same(other.backup, entry.backup); });
    if (known != entries.end() && entry.problem != unended && known->problem != unended) {
        join(*known, std::move(entry));
    } else {
        entry.backup.files = {entry.backup.file};
        entries.push_back(std::move(entry));
    }
}

} // namespace

std::vector<Entry> list(const std::vector<std::string>& folders, const Keys& keys, Cancel* cancel) {
    std::vector<Entry> entries;
    Cancel none;
    for (const std::string& folder : folders) {
        if (in_repository(folder)) {
            for (auto& snapshot : Repository(folder, keys).list(cancel ? *cancel : none)) {
                Entry entry;
                entry.backup = std::move(snapshot.backup);
                entry.problem = snapshot.ended ? "" : unended;
                put(entries, std::move(entry));
            }
            continue;
        }
        if (!fs::exists(folder))
            continue; // no backup was made into it yet
        for (const std::string& name : files::list(folder)) {
            if (!name.ends_with(".json"))
                continue;
            const std::string manifest = absolute(folder + "/" + name);
            Entry entry;
            try {
                entry.backup = parse_manifest(manifest);
            } catch (const Error&) { // another tool's JSON file
                continue;
            }
            entry.backup.file = manifest.substr(0, manifest.size() - 5);
            entry.problem = problem_of(entry.backup.file, entry.backup);
            put(entries, std::move(entry));
        }
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(b.backup.started, a.backup.file) <
               std::tie(a.backup.started, b.backup.file);
    });
    return entries;
}

const Entry* newest(const std::vector<Entry>& entries, const std::string& source) {
    for (const Entry& entry : entries)
        if (entry.whole() && (source.empty() || entry.backup.source == source))
            return &entry;
    return nullptr;
}

void pin(const std::string& file, const std::string& why, const Keys& keys) {
    if (in_repository(file)) {
        Cancel cancel;
        const Place place = parse_place(file);
        const Repository repository(place.repository, keys);
        Repository::Snapshot snapshot = repository.find(place.name, cancel);
        snapshot.backup.pinned = why;
        repository.note(snapshot, cancel);
        return;
    }
    const Backup backup = read_manifest(file);
    for (const std::string& path : backup.files) {
        if (in_repository(path) || !fs::exists(path + ".json"))
            continue;
        Backup copy = read_manifest(path);
        if (!same(copy, backup))
            continue;
        copy.pinned = why;
        save_manifest(copy);
    }
}

namespace {

/// Out of a repository, into a folder of its own.
std::string fetched(const std::string& file, const TemporaryFolder& folder, const Keys& keys,
                    Backup& backup, Cancel& cancel) {
    const Place place = parse_place(file);
    const Repository repository(place.repository, keys);
    const Repository::Snapshot snapshot = repository.find(place.name, cancel);
    repository.fetch(snapshot, folder.path(), cancel);
    backup = snapshot.backup;
    return folder.path() + "/" + place.name;
}

/// The other copies know of the new one.
void tell_copies(const Backup& backup, const std::string& made) {
    for (const std::string& path : backup.files) {
        if (path == made || in_repository(path) || !fs::exists(path + ".json"))
            continue;
        Backup other = read_manifest(path);
        if (!same(other, backup))
            continue;
        other.files = backup.files;
        save_manifest(other);
    }
}

} // namespace

std::string copy_to(const std::string& file, const std::string& folder, Cancel& cancel,
                    const Keys& keys) {
    std::optional<TemporaryFolder> staging;
    Backup backup;
    std::string from = file;
    if (in_repository(file))
        from = fetched(file, staging.emplace(), keys, backup, cancel);
    else
        backup = read_manifest(file);
    if (!staging)
        from = backup.file;
    const std::string name = fs::path(from).filename().string();
    std::string made;
    if (in_repository(folder)) {
        const Repository repository(folder, keys);
        const std::string place = repository.place_of(name);
        for (const auto& snapshot : repository.list(cancel))
            if (snapshot.ended && snapshot.backup.file == place)
                throw Error("fs", fmt::format("{}: exists already", place),
                            "it is one of this name, or this one already");
        if (tree_digests(from, name, cancel).sha256 != backup.sha256)
            throw Error("backup.unverified",
                        fmt::format("{}: its SHA-256 is not that of its manifest", backup.file),
                        "runbook backup list shows its other copies");
        made = repository.add(from, backup, cancel);
        backup.files.push_back(made);
        tell_copies(backup, made);
        return made;
    }
    made = absolute(folder + "/" + name);
    Partial partial(made, fs::is_directory(from));
    tree_copy(from, partial.path(), cancel);
    const Digests digests = tree_digests(partial.path(), name, cancel);
    if (digests.sha256 != backup.sha256)
        throw Error("backup.unverified",
                    fmt::format("{}: the copy differs from the manifest of {}", made, backup.file),
                    "runbook backup verify says whether the original is damaged");
    partial.keep();
    files::write(made + ".sha256", digests.lines);
    if (std::find(backup.files.begin(), backup.files.end(), made) == backup.files.end())
        backup.files.push_back(made);
    Backup copy = backup;
    copy.file = made;
    save_manifest(copy);
    tell_copies(backup, made);
    return made;
}

std::vector<std::string> unusual(const Backup& made, const std::vector<Entry>& entries) {
    std::vector<std::string> found;
    std::vector<std::int64_t> sizes;
    const Backup* before = nullptr;
    const std::string kind = fs::path(made.file).extension().string();
    for (const Entry& entry : entries) {
        if (!entry.whole() || entry.backup.source != made.source ||
            entry.backup.started >= made.started || sizes.size() == 5)
            continue;
        if (!before && !entry.backup.counts.empty())
            before = &entry.backup;
        if (fs::path(entry.backup.file).extension() == kind)
            sizes.push_back(entry.backup.bytes);
    }
    if (!sizes.empty()) {
        std::sort(sizes.begin(), sizes.end());
        const std::int64_t usual = sizes[sizes.size() / 2];
        constexpr std::int64_t slack = 1 << 20; // what a small database grows by is no news
        if (made.bytes * 2 < usual || (made.bytes > 3 * usual && made.bytes > usual + slack))
            found.push_back(sizes.size() == 1
                                ? fmt::format("it has {}, the one before had {}",
                                              text::bytes(made.bytes), text::bytes(usual))
                                : fmt::format("it has {}, the last {} had about {}",
                                              text::bytes(made.bytes), sizes.size(),
                                              text::bytes(usual)));
    }
    for (const auto& [table, rows] : before ? before->counts : Counts{}) {
        const auto now = made.counts.find(table);
        if (now == made.counts.end())
            found.push_back(fmt::format("the table {} is gone: it had {} row{}", table,
                                        text::grouped(rows), rows == 1 ? "" : "s"));
        else if (now->second == 0 && rows > 0)
            found.push_back(fmt::format("the table {} is empty: it had {} row{}", table,
                                        text::grouped(rows), rows == 1 ? "" : "s"));
    }
    if (found.size() > 5) {
        const std::size_t more = found.size() - 5;
        found.resize(5);
        found.push_back(fmt::format("and {} more", more));
    }
    return found;
}

} // namespace runbook::backup
