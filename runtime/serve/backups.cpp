#include "runtime/serve/backups.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/db/password.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace runbook::serve {
std::string source_of(const config::Config& config, const config::Backups& wanted) {
    const config::Connection* named = config.connection(wanted.source);
    if (!named && wanted.source.find(':') == std::string::npos) {
        std::vector<std::string> names;
        for (const config::Connection& one : config.connections)
            names.push_back(one.name);
        throw Error("usage", fmt::format("no connection '{}' in [connections]{}", wanted.source,
                                         text::did_you_mean(wanted.source, names)));
    }
    return backup::source_name(
        db::parse_named(named ? named->url : wanted.source, named ? named->name : wanted.name));
}

namespace {

/// The worst last; "unknown" is worse than a warning: nobody has looked.
constexpr std::string_view levels[] = {"ok", "warning", "unknown", "critical"};

std::size_t rank(std::string_view level) {
    return static_cast<std::size_t>(std::find(std::begin(levels), std::end(levels), level) -
                                    std::begin(levels));
}

backup::Policy policy_of(const config::Backups& wanted) {
    backup::Policy policy;
    if (wanted.every > 0)
        policy.every = wanted.every;
    policy.grace = wanted.grace;
    policy.keep = wanted.keep;
    policy.restored = wanted.restored;
    policy.shrink = wanted.shrink;
    return policy;
}

BackupState look(const config::Config& config, const config::Backups& wanted,
                 const std::string& folder) {
    BackupState state;
    state.name = wanted.name;
    try {
        state.source = source_of(config, wanted);
        std::vector<std::string> folders;
        for (const std::string& one : wanted.folders)
            folders.push_back((std::filesystem::path(folder) / one).string());
        const auto entries = backup::list(folders);
        state.health = backup::health(entries, state.source, policy_of(wanted), time::now_micros());
        for (const backup::Entry& entry : entries)
            state.whole += entry.whole() && entry.backup.source == state.source;
        if (const backup::Entry* newest = backup::newest(entries, state.source))
            state.newest = newest->backup;
    } catch (const Error& error) {
        state.health = {};
        state.health.level = "unknown";
        state.health.why = {redact(error.message())};
    }
    return state;
}

} // namespace

std::vector<BackupState> look_at_backups(const config::Config& config, const std::string& folder) {
    std::vector<BackupState> all;
    for (const config::Backups& wanted : config.backups)
        all.push_back(look(config, wanted, folder));
    return all;
}

Map backup_status(const std::vector<BackupState>& backups) {
    std::string_view worst = backups.empty() ? "unknown" : "ok";
    List list;
    for (const BackupState& one : backups) {
        if (rank(one.health.level) > rank(worst))
            worst = levels[rank(one.health.level)];
        List why(one.health.why.begin(), one.health.why.end());
        Map map{{"name", one.name}, {"source", one.source},        {"status", one.health.level},
                {"why", why},       {"missed", one.health.missed}, {"whole", one.whole}};
        if (one.newest)
            map.set("age_s", one.health.age)
                .set("newest", Map{{"file", one.newest->file},
                                   {"started", time::iso_millis(one.newest->started)},
                                   {"bytes", one.newest->bytes},
                                   {"rows", one.newest->rows},
                                   {"sha256", one.newest->sha256},
                                   {"verified", backup::verified_name(one.newest->verified)},
                                   {"copies", one.newest->files.size()}});
        list.push_back(std::move(map));
    }
    Map status{
        {"status", worst}, {"checked", time::iso_millis(time::now_micros())}, {"backups", list}};
    if (backups.empty())
        status.set("why", "runbook.toml asks for no backups ([backups.NAME])");
    return status;
}

} // namespace runbook::serve
