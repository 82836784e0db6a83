// What every driver has in common above the wire: choosing the driver, fetching small results
// whole, and the rules for TLS and time limits that the URL leaves open. Runs on the caller's
// thread; holds no state.
#include "runtime/db/connection.h"

#include "runtime/db/ask.h"
#include "runtime/db/detail.h"
#include "runtime/db/placeholders.h"

#include <fmt/format.h>

#include <cstdlib>

namespace runbook::db {

std::string_view flavour_name(Flavour flavour) {
    switch (flavour) {
    case Flavour::postgresql:
        return "PostgreSQL";
    case Flavour::mysql:
        return "MySQL";
    case Flavour::mariadb:
        return "MariaDB";
    case Flavour::sqlite:
        return "SQLite";
    }
    return "";
}

std::unique_ptr<Connection> connect(const Url& url, const ConnectOptions& options, Cancel& cancel) {
    cancel.check("connecting to a database");
    switch (url.engine) {
    case Engine::postgresql:
        return connect_postgres(url, options, cancel);
    case Engine::mysql:
        return connect_mysql(url, options, cancel);
    case Engine::sqlite:
        return connect_sqlite(url, options, cancel);
    }
    throw Error("internal", "unknown database engine");
}

std::vector<Map> fetch_all(Connection& connection, std::string_view sql,
                           std::span<const Value> params) {
    Cancel cancel;
    return ask(connection, sql, params, cancel);
}

Value fetch_value(Connection& connection, std::string_view sql, std::span<const Value> params) {
    Cancel cancel;
    Value value;
    bool found = false;
    auto cursor = connection.query(sql, params, {}, cancel);
    while (BatchPtr batch = cursor->next(cancel)) {
        if (!found && batch->rows() > 0 && !batch->columns().empty()) {
            value = batch->value(0, 0);
            found = true;
        }
    }
    return value;
}

std::string effective_sslmode(const Url& url) {
    if (auto mode = url.options.find("sslmode"); mode != url.options.end())
        return mode->second;
    if (url.options.contains("sslrootcert"))
        return "verify-full";
    bool local = url.host.empty() || url.host == "localhost" || url.host == "::1" ||
                 url.host.starts_with("127.") || url.host.starts_with('/') ||
                 url.options.contains("socket");
    return local ? "prefer" : "require";
}

std::chrono::milliseconds effective_timeout(const Url& url, const ConnectOptions& options) {
    auto given = url.options.find("connect_timeout");
    if (given == url.options.end())
        return options.connect_timeout;
    return std::chrono::seconds(std::strtol(given->second.c_str(), nullptr, 10));
}

void parse_version(ServerInfo& info) {
    int* parts[] = {&info.major, &info.minor, &info.patch};
    const char* at = info.version.c_str();
    for (int* part : parts) {
        char* end = nullptr;
        *part = static_cast<int>(std::strtol(at, &end, 10));
        if (*end != '.')
            break;
        at = end + 1;
    }
}

Error stays_read_only(const Url& url) {
    return Error("db.read_only", url.masked() + ": the session is read-only and stays so",
                 "the connection is declared access = \"read\", or the step may not write");
}

void keep_read_only(const Url& url, std::string_view sql) {
    if (may_unlock(sql))
        throw stays_read_only(url);
}

Error lost_connection(const Url& url, const std::string& why) {
    return Error("db.connection", fmt::format("{}: the connection was lost: {}", url.masked(), why),
                 "the session is not reopened by itself: connect again and look at what was done");
}

void refuse_second_cursor() {
    throw Error("usage", "the connection has a result that is still being read",
                "read it to its end first, or use a second connection");
}

} // namespace runbook::db
