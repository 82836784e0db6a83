#include "runtime/backup/repository.h"

#include "runtime/backup/files.h"
#include "runtime/backup/manifest.h"
#include "runtime/backup/tree.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <future>
#include <unistd.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view sign = "restic:";
constexpr const char* proven = "runbook";
constexpr const char* unproven = "runbook-unproven"; ///< until it was read back
constexpr double answer_seconds = 60; ///< restic itself tries again for a quarter of an hour

/// Tags are lists with commas.
std::string escaped(const std::string& text) {
    std::string made;
    for (char c : text)
        if (c == ',' || c == '%' || c == '\n')
            made += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        else
            made += c;
    return made;
}

std::string unescaped(const std::string& text) {
    std::string made;
    for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '%' && i + 2 < text.size()) {
            made += static_cast<char>(std::strtol(text.substr(i + 1, 2).c_str(), nullptr, 16));
            i += 2;
        } else {
            made += text[i];
        }
    return made;
}

/// The manifest but for what is long: "rows=300", "source=postgres://db:5432/shop".
std::vector<std::string> to_tags(const Backup& backup, const std::string& name) {
    std::vector<std::string> tags = {proven, "name=" + escaped(name)};
    for (const auto& [key, value] : to_map(backup)) {
        if (key == "file" || key == "files" || key == "counts" || key == "objects")
            continue;
        const auto* text = value.get<std::string>();
        std::string shown = text ? *text : json::dump(value);
        if (value.get<Timestamp>())
            shown = shown.substr(1, shown.size() - 2);
        tags.push_back(key + "=" + escaped(shown));
    }
    return tags;
}

Map from_tags(const List& tags) {
    Map map;
    for (const Value& tag : tags) {
        const auto* text = tag.get<std::string>();
        const std::size_t at = text ? text->find('=') : std::string::npos;
        if (at == std::string::npos)
            continue;
        const std::string key = text->substr(0, at), shown = unescaped(text->substr(at + 1));
        const bool plain = key == "name" || key == "sha256" || key == "engine" || key == "tool" ||
                           key == "server_version" || key == "source" || key == "position" ||
                           key == "pinned" || key == "verified" || key == "started" ||
                           key == "restored_at";
        try {
            map.set(key, plain ? Value(shown) : json::parse(shown));
        } catch (const Error&) { // somebody else's tag
        }
    }
    return map;
}

/// The line that says why.
std::string reason(const process::Result& result) {
    std::string last;
    for (const std::string& raw : text::split(result.err, '\n')) {
        const std::string line = text::trim(raw);
        if (line.starts_with("Fatal: "))
            return line.substr(7);
        if (!line.empty())
            last = line;
    }
    return last.empty() ? fmt::format("restic ended with {} and said nothing", result.exit) : last;
}

bool mentions(const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts)
        if (text.find(part) != std::string::npos)
            return true;
    return false;
}

} // namespace

bool in_repository(std::string_view place) {
    return place.starts_with(sign);
}

Place parse_place(const std::string& place) {
    const std::size_t hash = place.rfind('#');
    Place parsed{place.substr(0, hash),
                 hash == std::string::npos ? std::string() : place.substr(hash + 1)};
    const std::string location = parsed.repository.substr(sign.size());
    if (location.empty())
        throw Error(
            "usage", fmt::format("{}: a repository needs a location", place),
            "restic:/srv/backup, restic:sftp:backup@nas:/srv/backup, restic:s3:HOST/BUCKET");
    const std::size_t scheme = location.find("://"), at = location.find('@');
    if (scheme != std::string::npos && at != std::string::npos &&
        location.find(':', scheme + 3) < at && location.find('/', scheme + 3) > at)
        throw Error("usage", "a repository's location holds a password",
                    "give it in the environment of restic: env = { … } of backup.repository");
    if (location.starts_with('/') || location.find(':') == std::string::npos)
        parsed.repository = std::string(sign) + absolute(location);
    return parsed;
}

Repository::Repository(const std::string& place, const Keys& keys)
    : place_(parse_place(place).repository), location_(place_.substr(sign.size())) {
    const char* given = std::getenv("RUNBOOK_RESTIC");
    const std::string program = given && *given ? given : "restic";
    tool_ = process::find_program(program);
    if (tool_.empty())
        throw Error("backup.tool",
                    given && *given ? fmt::format("RUNBOOK_RESTIC: no program '{}'", program)
                                    : "no program 'restic' in PATH",
                    "install restic, or set RUNBOOK_RESTIC");
    if (auto known = keys.find(place_); known != keys.end())
        credentials_ = known->second;
    bool password = credentials_.password != nullptr;
    for (const char* name : {"RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_PASSWORD"})
        password = password || (std::getenv(name) && *std::getenv(name));
    if (!password)
        throw Error("backup.repository", fmt::format("{}: no password is known", place_),
                    "in a playbook: backup.repository(location, { password = p.secret }); else set "
                    "RESTIC_PASSWORD_FILE to a file that only you can read");
}

process::Result Repository::run(const std::vector<std::string>& words, Cancel& cancel,
                                const std::string& cwd, bool reads, int output,
                                double seconds) const {
    process::Result result = once(words, cancel, cwd, reads, output, seconds);
    if (result.exit == 0 || output >= 0 || !mentions(result.err, {"already locked"}))
        return result;
    once({"unlock"}, cancel, {}, false, -1, answer_seconds);
    return once(words, cancel, cwd, reads, output, seconds);
}

process::Result Repository::once(const std::vector<std::string>& words, Cancel& cancel,
                                 const std::string& cwd, bool reads, int output,
                                 double seconds) const {
    process::Command command;
    command.argv = {tool_};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    command.env = credentials_.env;
    command.env.emplace_back("RESTIC_REPOSITORY", location_);
    command.env.emplace_back("RESTIC_REPOSITORY_FILE", Null{});
    if (credentials_.password) {
        command.secret_file = credentials_.password;
        command.env.emplace_back("RESTIC_PASSWORD_FILE", "/dev/fd/3");
        command.env.emplace_back("RESTIC_PASSWORD_COMMAND", Null{});
        command.env.emplace_back("RESTIC_PASSWORD", Null{});
    }
    command.cwd = cwd;
    command.reads = reads;
    command.expected = {};
    command.output_fd = output;
    command.keep_bytes = 64 << 20;
    command.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
    try {
        return process::run(command, cancel);
    } catch (const Error& error) {
        if (error.kind() == "shell.timeout")
            throw Error("backup.repository",
                        fmt::format("{} did not answer within {}", place_, text::duration(seconds)),
                        "is the store up, and reachable from here?");
        if (error.kind() == "shell.signal")
            throw Error("backup.repository", fmt::format("{}: {}", place_, error.message()));
        throw;
    }
}

void Repository::fail(const std::string& action, const process::Result& result) const {
    const std::string all = result.err, why = redact(reason(result));
    if (mentions(all, {"wrong password", "no key found"}))
        throw Error("backup.repository", fmt::format("{}: the password does not open it", place_),
                    "restic key list, with a password that does, shows its keys");
    if (mentions(all, {"Is there a repository at the following location",
                       "unable to open config file", "config file does not exist"}) &&
        !mentions(all, {"dial ", "connection refused", "no such host", "ssh", "timeout"}))
        throw Error("backup.repository", fmt::format("{}: there is no repository", place_),
                    fmt::format("runbook backup init {} makes one", place_));
    if (mentions(all, {"already locked", "unable to create lock", "locked exclusively"})) {
        std::string line = why;
        if (const std::size_t at = all.find("already locked"); at != std::string::npos)
            line = all.substr(at, all.find('\n', at) - at);
        throw Error("backup.repository", fmt::format("{}: {}", place_, redact(line)),
                    "wait until it is done; if that process is gone for sure: restic unlock");
    }
    if (mentions(all, {"dial ", "connection refused", "no such host", "ssh:", "subprocess ssh",
                       "i/o timeout", "Connection closed", "unable to start the sftp session"}))
        throw Error("backup.repository", fmt::format("{} cannot be reached: {}", place_, why),
                    "is the store up, and reachable from here?");
    throw Error("backup.repository", fmt::format("{} of {}: {}", action, place_, why));
}

void Repository::init(Cancel& cancel) const {
    const process::Result result = run({"init"}, cancel, {}, false, -1, answer_seconds);
    if (result.exit != 0 &&
        mentions(result.err, {"config file already exists", "already initialized"}))
        throw Error("backup.repository", fmt::format("{}: there is a repository already", place_));
    if (result.exit != 0)
        fail("making", result);
}

std::vector<Repository::Snapshot> Repository::list(Cancel& cancel) const {
    const process::Result result =
        run({"snapshots", "--json", "--no-lock", "--tag", proven, "--tag", unproven}, cancel, {},
            true, -1, answer_seconds);
    if (result.exit != 0)
        fail("listing", result);
    std::vector<Snapshot> snapshots;
    const Value parsed = json::parse(result.out);
    for (const Value& item : parsed.get<List>() ? *parsed.get<List>() : List{}) {
        const Map* map = item.get<Map>();
        const Value* tags = map ? map->find("tags") : nullptr;
        if (!tags || !tags->get<List>())
            continue;
        Snapshot snapshot;
        snapshot.id = map->text("id");
        for (const Value& tag : *tags->get<List>())
            snapshot.ended = snapshot.ended && tag != Value(unproven);
        Map said = from_tags(*tags->get<List>());
        const std::string place = place_of(said.text("name"));
        try {
            snapshot.backup = from_map(said, place);
        } catch (const Error&) { // another tool's snapshot
            continue;
        }
        snapshot.backup.file = place;
        snapshot.backup.files = {place};
        if (!snapshot.ended)
            snapshot.backup.verified = Verified::none;
        snapshots.push_back(std::move(snapshot));
    }
    return snapshots;
}

Repository::Snapshot Repository::find(const std::string& name, Cancel& cancel) const {
    for (Snapshot& snapshot : list(cancel)) {
        if (!snapshot.ended || snapshot.backup.file != place_of(name))
            continue;
        const process::Result result =
            run({"dump", "--no-lock", snapshot.id, "/" + name + ".json"}, cancel);
        if (result.exit != 0)
            fail("reading", result);
        const Value parsed = json::parse(result.out);
        const Backup whole = from_map(parsed.get<Map>() ? *parsed.get<Map>() : Map{},
                                      snapshot.backup.file + ".json");
        snapshot.backup.counts = whole.counts;
        snapshot.backup.objects = whole.objects;
        return snapshot;
    }
    throw Error("fs", fmt::format("{}#{}: no such backup", place_, name),
                fmt::format("runbook backup list --folder {} shows what there is", place_));
}

std::string Repository::digest(const std::string& id, const std::string& name,
                               Cancel& cancel) const {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw Error("internal", "pipe2 failed");
    // Ends when restic has ended, however that went: run() closes its end then.
    auto reader = std::async(std::launch::async, [from = ends[0]] {
        digest::Sha256 hash;
        std::vector<char> block(1 << 20);
        for (ssize_t got = 0; (got = ::read(from, block.data(), block.size())) > 0;)
            hash.update({block.data(), static_cast<std::size_t>(got)});
        ::close(from);
        return hash.hex();
    });
    const process::Result result = run({"dump", id, "/" + name}, cancel, {}, true, ends[1]);
    std::string hex = reader.get();
    if (result.exit != 0)
        fail("reading back", result);
    return hex;
}

std::string Repository::add(const std::string& path, const Backup& backup, Cancel& cancel) const {
    const fs::path at(path);
    const std::string name = at.filename().string();
    std::string place = place_of(name);
    std::vector<std::string> words = {"backup", "--json", "--quiet"};
    std::vector<std::string> tags = to_tags(backup, name);
    tags.front() = unproven;
    for (const std::string& tag : tags)
        words.insert(words.end(), {"--tag", tag});
    words.insert(words.end(), {"--", name, name + ".json", name + ".sha256"});
    const process::Result result = run(words, cancel, at.parent_path().string(), false);
    Snapshot snapshot;
    snapshot.backup = backup;
    snapshot.backup.file = place;
    for (const std::string& line : text::split(result.out, '\n')) {
        if (line.find("\"summary\"") == std::string::npos)
            continue;
        const Value parsed = json::parse(line);
        if (const Map* map = parsed.get<Map>())
            snapshot.id = map->text("snapshot_id");
    }
    if (result.exit != 0 || snapshot.id.empty()) // 3: it left out what it could not read
        fail("writing a backup", result);
    std::string sha256;
    if (fs::is_directory(path)) {
        const TemporaryFolder back;
        fetch(snapshot, back.path(), cancel);
        sha256 = tree_digests(back.path() + "/" + name, name, cancel).sha256;
    } else {
        sha256 = digest(snapshot.id, name, cancel);
    }
    if (sha256 != backup.sha256)
        throw Error("backup.unverified",
                    fmt::format("{}: what was read back differs from {}", place, path),
                    "restic check --read-data says whether the repository is damaged");
    note(snapshot, cancel);
    return place;
}

void Repository::fetch(const Snapshot& snapshot, const std::string& folder, Cancel& cancel) const {
    const process::Result result = run({"restore", snapshot.id, "--target", folder}, cancel);
    if (result.exit != 0)
        fail("reading", result);
}

void Repository::check(Cancel& cancel) const {
    const process::Result result = run({"check", "--read-data"}, cancel);
    if (result.exit == 0)
        return;
    if (mentions(result.err, {"wrong password", "no key found", "already locked", "dial ",
                              "ssh:", "Is there a repository"}))
        fail("checking", result);
    std::string why;
    for (const std::string& line : text::split(result.err + "\n" + result.out, '\n'))
        if (why.empty() &&
            mentions(line, {"error", "Error", "does not match", "not found", "damaged", "invalid"}))
            why = text::trim(line);
    throw Error(
        "backup.unverified",
        fmt::format("{} is damaged: {}", place_, redact(why.empty() ? reason(result) : why)),
        "another copy of its backups is needed: runbook backup list of the other folders");
}

void Repository::note(const Snapshot& snapshot, Cancel& cancel) const {
    std::vector<std::string> words = {"tag"};
    for (const std::string& tag : to_tags(snapshot.backup, parse_place(snapshot.backup.file).name))
        words.insert(words.end(), {"--set", tag});
    words.push_back(snapshot.id);
    const process::Result result = run(words, cancel, {}, false);
    if (result.exit != 0)
        fail("marking a backup", result);
    if (result.out.find("modified tags on 1 snapshot") == std::string::npos)
        throw Error("backup.repository",
                    fmt::format("{} was changed meanwhile", snapshot.backup.file),
                    "look at it again: runbook backup list --folder " + place_);
}

void Repository::forget(const std::vector<std::string>& ids, Cancel& cancel) const {
    if (ids.empty())
        return;
    std::vector<std::string> words = {"forget", "--prune"};
    words.insert(words.end(), ids.begin(), ids.end());
    const process::Result result = run(words, cancel, {}, false);
    if (result.exit != 0)
        fail("removing backups", result);
}

void init_repository(const std::string& place, const Keys& keys, Cancel& cancel) {
    Repository(place, keys).init(cancel);
}

} // namespace runbook::backup
