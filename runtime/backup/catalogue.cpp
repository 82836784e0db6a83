#include "runtime/backup/catalogue.h"

#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/manifest.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

/// What a look at the file, without reading it, says against it.
std::string problem_of(const std::string& file, const Backup& backup) {
    if (!fs::exists(file))
        return "its file is gone";
    const std::int64_t size = files::size(file);
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
}

} // namespace

std::vector<Entry> list(const std::vector<std::string>& folders) {
    std::vector<Entry> entries;
    for (const std::string& folder : folders) {
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
            auto known = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
                return same(other.backup, entry.backup);
            });
            if (known != entries.end()) {
                join(*known, std::move(entry));
            } else {
                entry.backup.files = {entry.backup.file};
                entries.push_back(std::move(entry));
            }
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

void pin(const std::string& file, const std::string& why) {
    const Backup backup = read_manifest(file);
    for (const std::string& path : backup.files) {
        if (!fs::exists(path + ".json"))
            continue;
        Backup copy = read_manifest(path);
        if (!same(copy, backup))
            continue;
        copy.pinned = why;
        save_manifest(copy);
    }
}

std::string copy_to(const std::string& file, const std::string& folder, Cancel& cancel) {
    Backup backup = read_manifest(file);
    std::string made = absolute(folder + "/" + fs::path(backup.file).filename().string());
    Partial partial(made);
    files::copy(backup.file, partial.path(), cancel);
    if (digest::sha256_file(partial.path(), &cancel) != backup.sha256)
        throw Error("backup.unverified",
                    fmt::format("{}: the copy differs from the manifest of {}", made, backup.file),
                    "runbook backup verify says whether the original is damaged");
    partial.keep();
    files::write(made + ".sha256", digest_line(backup.sha256, made));
    if (std::find(backup.files.begin(), backup.files.end(), made) == backup.files.end())
        backup.files.push_back(made);
    Backup copy = backup;
    copy.file = made;
    save_manifest(copy);
    for (const std::string& path : backup.files) {
        if (path == made || !fs::exists(path + ".json"))
            continue;
        Backup other = read_manifest(path);
        if (!same(other, backup))
            continue;
        other.files = backup.files;
        save_manifest(other);
    }
    return made;
}

} // namespace runbook::backup
