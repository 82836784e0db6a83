// What is known about a backup, beside it.
#include "runtime/backup/manifest.h"

#include "runtime/backup/catalogue.h"
#include "runtime/backup/files.h"
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
    Map counts;
    for (const auto& [table, rows] : backup.counts)
        counts.set(table, rows);
    List files;
    for (const auto& file : backup.files)
        files.push_back(file);
    Map map;
    map.set("file", backup.file).set("files", files).set("bytes", backup.bytes);
    map.set("sha256", backup.sha256).set("engine", backup.engine);
    map.set("server_version", backup.server_version).set("tool", backup.tool);
    map.set("source", backup.source).set("tables", backup.counts.size()).set("rows", backup.rows);
    map.set("counts", counts);
    map.set("started", Timestamp{backup.started, 0}).set("seconds", backup.seconds);
    map.set("verified", verified_name(backup.verified));
    if (!backup.pinned.empty())
        map.set("pinned", backup.pinned);
    return map;
}

Backup from_map(const Map& map, const std::string& where) {
    Backup backup;
    backup.file = map.text("file");
    if (const Value* files = map.find("files"))
        if (auto* list = files->get<List>())
            for (const auto& file : *list)
                if (auto* text = file.get<std::string>())
                    backup.files.push_back(*text);
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
    if (const Value* started = map.find("started")) {
        if (auto* stamp = started->get<Timestamp>())
            backup.started = stamp->micros;
        else if (auto* text = started->get<std::string>())
            backup.started = time::parse(*text).value_or(Timestamp{}).micros;
    }
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

void save_manifest(const Backup& backup) {
    files::write(backup.file + ".json", json::dump(Value(to_map(backup)), 2) + "\n");
}

std::string digest_line(const std::string& sha256, const std::string& file) {
    return fmt::format("{}  {}\n", sha256, std::filesystem::path(file).filename().string());
}

std::optional<Backup> latest(const db::Url& source, const std::vector<std::string>& folders,
                             Verified at_least) {
    const std::string wanted = source_name(source);
    for (const Entry& entry : list(folders))
        if (entry.problem.empty() && entry.backup.source == wanted &&
            entry.backup.verified >= at_least)
            return entry.backup;
    return std::nullopt;
}

} // namespace runbook::backup
