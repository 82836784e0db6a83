// runbook.toml beside the playbook: environments, connections, channels, roster.
// Owns: plain data. Any thread; reads one file, opens nothing else until asked. Never connects.
#pragma once

#include "runtime/base/value.h"
#include "runtime/secret/sources.h"

#include <string>
#include <string_view>
#include <vector>

namespace runbook::config {

/// [env.NAME.params]: defaults of a playbook's parameters.
struct Environment {
    std::string name;
    Map params; ///< text, integer, number, boolean or a list of these; references to secrets
                ///< unopened
    int line = 0;
};

/// [connections]: `prod = "postgres://ops@db1/shop"`, or a table {url, password, access}.
struct Connection {
    std::string name, url;
    std::string password; ///< a reference to it, or empty
    std::string access;   ///< read, write, admin, or empty
    int line = 0;
};

/// [channels.NAME]: `type` and what that type needs; references to secrets unopened.
struct Channel {
    std::string name, type;
    Map settings;
    int line = 0;
};

/// [backups.NAME]: which backups a database must have; spans in seconds, 0 where none is given.
struct Backups {
    std::string name, source;         ///< a name of [connections], or a URL
    std::vector<std::string> folders; ///< as written: beside the file, where they are relative
    double every = 0, grace = 0, restored = 0;
    int keep = 1;
    double shrink = 0.5;
    int line = 0;
};

/// [roster]: who may answer for a role.
struct Role {
    std::string name;
    std::vector<std::string> people; ///< operating system users
    int line = 0;
};

struct Config {
    std::string file; ///< path as opened; empty: there is none
    std::vector<Environment> environments;
    std::vector<Connection> connections;
    std::vector<Channel> channels;
    std::vector<Backups> backups;
    std::vector<Role> roster;
    secret::Vault vault; ///< [vault]: how to reach it and log in

    /// The parameters of one environment. Throws Error{`usage`} that names the nearest.
    const Map& parameters(std::string_view environment) const;
    /// Null where there is none.
    const Connection* connection(std::string_view name) const;
    const Channel* channel(std::string_view name) const;
    const Role* role(std::string_view name) const;
};

/// Reads `folder`/runbook.toml ("" is the working directory); an absent file is an empty Config.
/// Throws Error{`load`} as "FILE:LINE: …": syntax, an unknown table or key (the nearest is named),
/// a value of another type.
Config load(const std::string& folder);
/// The same from text; `file` for messages.
Config parse(std::string_view text, const std::string& file);

/// The settings of a channel with their secrets opened; files relative to `folder`. What could not
/// be opened is in `problem` ("url: …"; it matters only to who posts there), with a secret that
/// nobody can use in its place. Throws `usage` as "token: env:NAME, … expected" for a secret's own
/// text.
Map open_settings(const Channel& channel, const std::string& folder, std::string& problem);

/// Whether `text` names where a secret is (runtime/secret/sources.h).
bool is_reference(std::string_view text);
/// Opens a reference, a file relative to `folder`. The secret's origin is the reference. Throws as
/// secret::open does.
SecretPtr open_secret(const std::string& reference, const std::string& folder);

} // namespace runbook::config
