// Database URLs: `postgres://user:password@host:port/name?option=value`, `mysql://…` (MariaDB too;
// also `mariadb://`), `sqlite:PATH`. Any thread; plain data.
#pragma once

#include "runtime/base/value.h"

#include <map>
#include <string>
#include <string_view>

namespace runbook::db {

enum class Engine { postgresql, mysql, sqlite };

/// A parsed URL. The password is a Secret from the moment it is parsed.
/// Options understood: `sslmode` (disable, require, verify-ca, verify-full), `sslrootcert`,
/// `sslcert`, `sslkey`, `socket` (a folder for PostgreSQL, a file for MySQL), `connect_timeout`
/// (seconds), `application_name`.
struct Url {
    Engine engine = Engine::sqlite;
    std::string user, host, name; ///< `name` is the database, or the path for SQLite
    int port = 0;                 ///< 0: the engine's default
    SecretPtr password;           ///< null where the URL has none
    std::map<std::string, std::string> options;

    /// Throws Error{`usage`} that says what is wrong and never repeats the password.
    /// `origin` names where it came from (`url:target`), for the secret.
    static Url parse(std::string_view text, const std::string& origin = "url");
    /// As given, password replaced by `***`, options left out: for messages.
    std::string masked() const;
};

} // namespace runbook::db
