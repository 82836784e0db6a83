// Opening a PostgreSQL session: parameters, a connect that can be cancelled and is limited in time,
// the settings that every session has. Runs on the connection's own thread; blocks.
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/db/postgres/session.h"

#include <fmt/format.h>

#include <poll.h>

namespace runbook::db {

std::unique_ptr<Connection> connect_postgres(const Url& url, const ConnectOptions& options,
                                             Cancel& cancel) {
    return std::make_unique<postgres::Session>(url, options, cancel);
}

namespace postgres {
namespace {

using Clock = std::chrono::steady_clock;

/// What libpq is told. Whatever is absent follows libpq's own rules (PGPASSFILE, ~/.pgpass,
/// PGUSER…).
class Parameters {
  public:
    Parameters(const Url& url, const ConnectOptions& options) {
        auto socket = url.options.find("socket");
        set("host", socket != url.options.end() ? socket->second : url.host);
        if (url.port)
            set("port", std::to_string(url.port));
        set("user", url.user);
        set("dbname", url.name);
        if (url.password)
            set("password", url.password->reveal());
        std::string mode = effective_sslmode(url);
        set("sslmode", mode);
        // `replication` is never part of a URL that was given: the copy's follow sets it.
        for (const char* key : {"sslrootcert", "sslcert", "sslkey", "replication"})
            if (auto given = url.options.find(key); given != url.options.end())
                set(key, given->second);
        auto name = url.options.find("application_name");
        set("application_name",
            name != url.options.end() ? name->second : options.application_name);
        set("client_encoding", "UTF8");
        set("keepalives_idle", "30");
        set("keepalives_interval", "10");
        set("keepalives_count", "3");
        set("tcp_user_timeout", "60000");
    }
    PGconn* start() {
        std::vector<const char*> keys, values;
        for (const auto& [key, value] : set_) {
            keys.push_back(key.c_str());
            values.push_back(value.c_str());
        }
        keys.push_back(nullptr);
        values.push_back(nullptr);
        return PQconnectStartParams(keys.data(), values.data(), 0);
    }

  private:
    void set(const std::string& key, const std::string& value) {
        if (!value.empty())
            set_.emplace_back(key, value);
    }
    std::vector<std::pair<std::string, std::string>> set_;
};

/// The last cause in libpq's message: `FATAL:  28P01: password authentication failed…`, or `…
/// failed: Connection refused`, without the lines that only help in psql.
std::pair<std::string, std::string> cause_of(const std::string& message) {
    std::string cause, state;
    for (const std::string& raw : text::split(message, '\n')) {
        std::string line = text::trim(raw);
        if (line.empty() || raw.starts_with('\t') || line.starts_with("LOCATION:"))
            continue;
        if (auto failed = line.rfind(" failed: "); failed != std::string::npos)
            line = line.substr(failed + 9);
        if (line.starts_with("FATAL:") || line.starts_with("ERROR:")) {
            line = text::trim(line.substr(6));
            if (line.size() > 7 && line[5] == ':') {
                state = line.substr(0, 5);
                line = line.substr(7);
            }
        } else if (!cause.empty() && (line.starts_with("DETAIL:") || line.starts_with("HINT:"))) {
            continue;
        } else {
            state.clear();
        }
        cause = line;
    }
    if (!cause.empty() && cause.front() >= 'A' && cause.front() <= 'Z' &&
        !(cause.size() > 1 && cause[1] >= 'A' && cause[1] <= 'Z'))
        cause.front() = static_cast<char>(cause.front() - 'A' + 'a');
    return {cause, state};
}

[[noreturn]] void refuse(const Url& url, const std::string& message) {
    auto [cause, state] = cause_of(message);
    std::string kind = "db.connection", hint = "is the server up, and reachable from this host?";
    if (state.starts_with("28") && cause.find("client certificate") != std::string::npos) {
        kind = "db.auth";
        hint = "sslcert and sslkey in the URL name the certificate of this user";
    } else if (state.starts_with("28")) {
        kind = "db.auth";
        hint = url.password
                   ? "check the user's password (" + url.password->origin() + ") and pg_hba.conf"
                   : "set a password in the URL, in RUNBOOK_<NAME>_PASSWORD or in ~/.pgpass";
    } else if (cause.find("no password supplied") != std::string::npos) {
        kind = "db.auth";
        hint = "set a password in the URL, in RUNBOOK_<NAME>_PASSWORD or in ~/.pgpass";
    } else if (cause.find("SSL") != std::string::npos && cause.find("alert") != std::string::npos) {
        hint = "the server does not accept the certificate of sslcert";
    } else if (cause.find("SSL") != std::string::npos ||
               cause.find("certificate") != std::string::npos) {
        hint = "sslmode and sslrootcert in the URL say how the server proves who it is";
    } else if (state == "3D000") {
        hint = "the server has no database of this name";
    } else if (state == "53300") {
        hint = "every connection slot of the server is taken";
    }
    std::string code = state.empty() ? "" : fmt::format(" ({})", state);
    throw Error(kind, fmt::format("{}: {}{}", url.masked(), cause, code), hint, state);
}

} // namespace

void Session::open(const ConnectOptions& options, Cancel& cancel) {
    auto timeout = effective_timeout(url_, options);
    auto deadline = Clock::now() + timeout;
    connection_ = Parameters(url_, options).start();
    if (!connection_)
        throw Error("internal", "libpq: out of memory");
    // Verbose only until connected: it is the one way to get the SQLSTATE of a refused connection.
    PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
    if (PQstatus(connection_) == CONNECTION_BAD)
        refuse(url_, PQerrorMessage(connection_));
    while (wanted != PGRES_POLLING_OK) {
        cancel.check("connecting");
        if (Clock::now() > deadline)
            throw Error("db.connection",
                        fmt::format("{}: no answer within {}", url_.masked(),
                                    text::duration(std::chrono::duration<double>(timeout).count())),
                        "is the address right, and does a firewall drop packets?");
        pollfd waited{PQsocket(connection_),
                      static_cast<short>(wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
        if (poll(&waited, 1, 100) <= 0)
            continue;
        wanted = PQconnectPoll(connection_);
        if (wanted == PGRES_POLLING_FAILED)
            refuse(url_, PQerrorMessage(connection_));
    }
    PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
}

void Session::prepare_session(Cancel& cancel) {
    info_.flavour = Flavour::postgresql;
    // A walsender takes single statements only, and answers nothing that has parameters.
    if (url_.options.contains("replication"))
        return;
    // UTC and ISO, so that text means the same on every host; row_security off, so that a policy
    // that would hide rows is an error; whole results are read, so plans are made for all rows.
    run("SELECT set_config('TimeZone','UTC',false), set_config('DateStyle','ISO, YMD',false), "
        "set_config('IntervalStyle','postgres',false), set_config('bytea_output','hex',false), "
        "set_config('standard_conforming_strings','on',false), "
        "set_config('extra_float_digits','1',false), "
        "set_config('cursor_tuple_fraction','1',false), set_config('row_security','off',false), "
        "set_config('statement_timeout','0',false)",
        nullptr, cancel);
    read_only_ = false;
    if (access_ == Access::read)
        set_read_only(true, cancel);
    Result version = run("SELECT current_setting('server_version')", nullptr, cancel);
    info_.version = PQgetvalue(version.get(), 0, 0);
    info_.version = info_.version.substr(0, info_.version.find(' '));
    parse_version(info_);
    // PostgreSQL has no third part: 15.20 is major 15, minor 20.
    info_.patch = 0;
    try {
        Result identity = run("SELECT system_identifier::text FROM pg_catalog.pg_control_system()",
                              nullptr, cancel);
        info_.identity = PQgetvalue(identity.get(), 0, 0);
    } catch (const Error& error) {
        if (error.kind() != "db.permission" && error.kind() != "db.syntax")
            throw;
        info_.identity = fmt::format("{}:{}", PQhost(connection_), PQport(connection_));
    }
    if (PQsslInUse(connection_)) {
        const char* cipher = PQsslAttribute(connection_, "cipher");
        info_.tls_cipher = cipher ? cipher : "unknown";
    }
}

} // namespace postgres
} // namespace runbook::db
