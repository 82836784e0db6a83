// What is known about a backup, beside it.
#include "runtime/backup/manifest.h"

#include "runtime/backup/catalogue.h"
#include "runtime/backup/files.h"
#include "runtime/backup/repository.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "runtime/base/time.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace runbook::backup {

std::string_view verified_name(Verified verified) {
    switch (verified) {
    case Verified::none:
        return "none";
    case Verified::read:
        return "read";
    case Verified::restored:
        return "restored";
    }
    return "none";
}

std::string source_name(const db::Url& url) {
    if (url.engine == db::Engine::sqlite)
        return "sqlite:" + absolute(url.name);
    const bool postgres = url.engine == db::Engine::postgresql;
    auto socket = url.options.find("socket");
    std::string host = url.host.empty() ? "localhost" : url.host;
    if (socket != url.options.end())
        host = socket->second;
    return fmt::format("{}://{}:{}/{}", postgres ? "postgres" : "mysql", host,
                       url.port ? url.port : (postgres ? 5432 : 3306), url.name);
}

Map to_map(const Backup& backup) {
    std::vector<std::pair<std::string, Value>> counts, objects;
    for (const auto& [table, rows] : backup.counts)
        counts.emplace_back(table, rows);
    for (const auto& [name, note] : backup.objects)
        objects.emplace_back(name, note);
    List files, unusual(backup.unusual.begin(), backup.unusual.end()),
        inexact(backup.inexact.begin(), backup.inexact.end());
    for (const auto& file : backup.files)
        files.push_back(file);
    Map map;
    map.set("file", backup.file).set("files", files).set("bytes", backup.bytes);
    map.set("sha256", backup.sha256).set("engine", backup.engine);
    map.set("server_version", backup.server_version).set("tool", backup.tool);
    map.set("source", backup.source).set("tables", backup.tables).set("rows", backup.rows);
    map.set("counts", Map::of(std::move(counts))).set("objects", Map::of(std::move(objects)));
    map.set("started", Timestamp{backup.started, 0}).set("seconds", backup.seconds);
    map.set("verified", verified_name(backup.verified));
    map.set("unusual", unusual).set("inexact", inexact);
    if (!backup.position.empty())
        map.set("position", backup.position);
    if (backup.restored_at > 0)
        map.set("restored_at", Timestamp{backup.restored_at, 0})
            .set("restore_seconds", backup.restore_seconds);
    if (!backup.pinned.empty())
        map.set("pinned", backup.pinned);
    return map;
}

namespace {

std::vector<std::string> texts_of(const Map& map, const char* key) {
    std::vector<std::string> texts;
    const Value* found = map.find(key);
    if (const List* list = found ? found->get<List>() : nullptr)
        for (const Value& item : *list)
            if (const auto* text = item.get<std::string>())
                texts.push_back(*text);
    return texts;
}

std::int64_t micros_of(const Map& map, const char* key) {
    const Value* found = map.find(key);
    if (const auto* stamp = found ? found->get<Timestamp>() : nullptr)
        return stamp->micros;
    const auto* text = found ? found->get<std::string>() : nullptr;
    return text ? time::parse(*text).value_or(Timestamp{}).micros : 0;
}

} // namespace

Backup from_map(const Map& map, const std::string& where) {
    Backup backup;
    backup.file = map.text("file");
    backup.files = texts_of(map, "files");
    backup.unusual = texts_of(map, "unusual");
    backup.inexact = texts_of(map, "inexact");
    backup.bytes = map.integer("bytes");
    backup.sha256 = map.text("sha256");
    backup.engine = map.text("engine");
    backup.server_version = map.text("server_version");
    backup.tool = map.text("tool");
    backup.source = map.text("source");
    backup.rows = map.integer("rows");
    backup.seconds = map.number("seconds");
    backup.pinned = map.text("pinned");
    if (const Value* counts = map.find("counts"))
        if (auto* tables = counts->get<Map>())
            for (const auto& [table, rows] : *tables)
                if (auto* number = rows.get<std::int64_t>())
                    backup.counts[table] = *number;
    backup.tables = map.integer("tables", static_cast<std::int64_t>(backup.counts.size()));
    if (const Value* objects = map.find("objects"))
        if (auto* all = objects->get<Map>())
            for (const auto& [name, note] : *all)
                if (auto* text = note.get<std::string>())
                    backup.objects[name] = *text;
    backup.position = map.text("position");
    backup.started = micros_of(map, "started");
    backup.restored_at = micros_of(map, "restored_at");
    backup.restore_seconds = map.number("restore_seconds");
    std::string verified = map.text("verified");
    backup.verified = verified == "restored" ? Verified::restored
                      : verified == "read"   ? Verified::read
                                             : Verified::none;
    if (backup.sha256.size() != 64 || backup.bytes <= 0 || backup.started == 0)
        throw Error("backup.unverified", fmt::format("{}: not a manifest of a backup", where));
    return backup;
}

Backup parse_manifest(const std::string& path) {
    const Value parsed = json::parse(files::read(path));
    return from_map(parsed.get<Map>() ? *parsed.get<Map>() : Map{}, path);
}

Backup read_manifest(const std::string& given) {
    const std::string file = absolute(given), path = file + ".json";
    if (!std::filesystem::exists(file))
        throw Error("fs", fmt::format("{}: no such file", file));
    if (!std::filesystem::exists(path))
        throw Error("backup.unverified", fmt::format("{}: there is no manifest {}", file, path),
                    "only backups made by backup.create can be checked");
    Backup backup = parse_manifest(path);
    backup.file = file;
    if (std::find(backup.files.begin(), backup.files.end(), file) == backup.files.end())
        backup.files = {file};
    return backup;
}

void save_manifest(const Backup& backup, const std::string& beside) {
    files::write((beside.empty() ? backup.file : beside) + ".json",
                 json::dump(Value(to_map(backup)), 2) + "\n");
}

std::optional<Backup> latest(const db::Url& source, const std::vector<std::string>& folders,
                             Verified at_least, const Keys& keys) {
    const std::string wanted = source_name(source);
    for (const Entry& entry : list(folders, keys))
        if (entry.problem.empty() && entry.backup.source == wanted &&
            entry.backup.verified >= at_least) {
            if (!in_repository(entry.backup.file))
                return entry.backup;
            Cancel cancel; // a list of a repository is without counts
            const Place place = parse_place(entry.backup.file);
            Backup whole = Repository(place.repository, keys).find(place.name, cancel).backup;
            whole.files = entry.backup.files;
            return whole;
        }
    return std::nullopt;
}

} // namespace runbook::backup
