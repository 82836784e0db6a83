// Opening a MySQL or MariaDB session: one function connects, whoever asks; TLS is checked after it,
// because Connector/C falls back to plaintext where the server has no TLS, whatever it is told.
// Blocks.
#include "runtime/base/digest.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/db/mysql/session.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace runbook::db {

std::unique_ptr<Connection> connect_mysql(const Url& url, const ConnectOptions& options,
                                          Cancel& cancel) {
    return std::make_unique<mysql::Session>(url, options, cancel);
}

namespace mysql {
namespace {

// LOAD DATA LOCAL lets a server read any file of this host: every session starts with a handler
// that refuses.
int refuse_infile(void** state, const char*, void*) {
    *state = nullptr;
    return 1;
}
int no_read(void*, char*, unsigned) {
    return -1;
}
void no_end(void*) {}
int why_refused(void*, char* text, unsigned length) {
    std::snprintf(text, length, "LOAD DATA LOCAL is refused");
    return 2000;
}

const char* option(const Url& url, const char* key) {
    auto found = url.options.find(key);
    return found == url.options.end() ? nullptr : found->second.c_str();
}

void set_flag(MYSQL* handle, mysql_option option, bool on) {
    Flag flag = on;
    mysql_options(handle, option, &flag);
}

/// `local`: over a socket of this host.
void set_tls(MYSQL* handle, const Url& url, const std::string& mode, bool local) {
    const char* ca = option(url, "sslrootcert");
#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)
    // Without `verify…` Connector/C takes a server without TLS, and gives it what it asks for: the
    // ways to log in that show the password to whoever answers are left out then.
    if (!mode.starts_with("verify") && !local)
        mysql_options(handle, MARIADB_OPT_RESTRICTED_AUTH,
                      "mysql_native_password,client_ed25519,caching_sha2_password,"
                      "sha256_password,auth_gssapi_client");
    if (mode == "disable") {
        set_flag(handle, MYSQL_OPT_SSL_ENFORCE, false);
        return;
    }
    mysql_ssl_set(handle, option(url, "sslkey"), option(url, "sslcert"), ca, nullptr, nullptr);
    set_flag(handle, MYSQL_OPT_SSL_ENFORCE, mode != "prefer");
    // Connector/C verifies chain and name together: verify-ca is as strict as verify-full there.
    set_flag(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, mode.starts_with("verify"));
#else
    (void)local;
    unsigned level = mode == "disable"     ? SSL_MODE_DISABLED
                     : mode == "prefer"    ? SSL_MODE_PREFERRED
                     : mode == "require"   ? SSL_MODE_REQUIRED
                     : mode == "verify-ca" ? SSL_MODE_VERIFY_CA
                                           : SSL_MODE_VERIFY_IDENTITY;
    if (ca)
        mysql_options(handle, MYSQL_OPT_SSL_CA, ca);
    if (const char* certificate = option(url, "sslcert"))
        mysql_options(handle, MYSQL_OPT_SSL_CERT, certificate);
    if (const char* key = option(url, "sslkey"))
        mysql_options(handle, MYSQL_OPT_SSL_KEY, key);
    mysql_options(handle, MYSQL_OPT_SSL_MODE, &level);
    set_flag(handle, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, mode == "disable" || mode == "prefer");
#endif
}

/// The password of ~/.my.cnf's [client], only where the URL has none.
void read_password_file(MYSQL* handle, const Url& url) {
    const char* home = std::getenv("HOME");
    if (url.password || !home)
        return;
    std::string file = std::string(home) + "/.my.cnf";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored))
        return;
    mysql_options(handle, MYSQL_READ_DEFAULT_FILE, file.c_str());
    mysql_options(handle, MYSQL_READ_DEFAULT_GROUP, "client");
}

/// "Can't connect to server on '127.0.0.1' (115)" says less than the URL in front of it: the number
/// is an errno that Connector/C takes too early.
std::string connect_failure(unsigned number, const std::string& message) {
    if (number != 2002 && number != 2003)
        return message;
    return message.find("(111") != std::string::npos ? "connection refused"
                                                     : "the server cannot be reached";
}

[[noreturn]] void refuse_plaintext(const Url& url, const std::string& mode) {
    throw Error(
        "db.connection",
        fmt::format("{}: the server does not offer TLS, and sslmode is {}", url.masked(), mode),
        "turn TLS on in the server, or say sslmode=disable in the URL");
}

std::once_flag library_once;

} // namespace

Handle open_handle(const Url& url, const ConnectOptions& options) {
    std::call_once(library_once, [] { mysql_library_init(0, nullptr, nullptr); });
    Handle handle(mysql_init(nullptr));
    if (!handle)
        throw Error("internal", "the MySQL client library is out of memory");
    MYSQL* raw = handle.get();
    mysql_set_local_infile_handler(raw, refuse_infile, no_read, no_end, why_refused, nullptr);
    unsigned infile = options.local_infile;
    mysql_options(raw, MYSQL_OPT_LOCAL_INFILE, &infile);
    auto timeout = std::chrono::duration_cast<std::chrono::seconds>(
        effective_timeout(url, options) + std::chrono::milliseconds(999));
    unsigned seconds = std::max<unsigned>(1, static_cast<unsigned>(timeout.count()));
    mysql_options(raw, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(raw, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    const char* name = option(url, "application_name");
    mysql_options4(raw, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name",
                   name ? name : options.application_name.c_str());
    unsigned long packet = 1UL << 30;
    mysql_options(raw, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    std::string mode = effective_sslmode(url);
    const char* socket = option(url, "socket");
    if (!socket && url.host.starts_with('/'))
        socket = url.host.c_str();
    set_tls(raw, url, mode, socket != nullptr);
    guard_logins(raw, mode != "disable" && mode != "prefer" && !socket);
    read_password_file(raw, url);
    // "localhost" means TCP where a port is given; the client libraries would take a socket of
    // their own choice.
    std::string host = socket ? "localhost" : url.host.empty() ? "127.0.0.1" : url.host;
    if (!socket) {
        unsigned protocol = MYSQL_PROTOCOL_TCP;
        mysql_options(raw, MYSQL_OPT_PROTOCOL, &protocol);
    }
    const char* password = url.password ? url.password->reveal().c_str() : nullptr;
    if (!mysql_real_connect(raw, host.c_str(), url.user.empty() ? nullptr : url.user.c_str(),
                            password, url.name.empty() ? nullptr : url.name.c_str(),
                            socket ? 0 : static_cast<unsigned>(url.port), socket,
                            CLIENT_MULTI_RESULTS)) {
        unsigned number = mysql_errno(raw);
        // "SSL is required, but the server does not support it", in the words of either library.
        if (std::string_view(mysql_error(raw)).find("support it") != std::string_view::npos)
            refuse_plaintext(url, mode);
#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)
        const bool greeted = raw->server_capabilities != 0;
        if (greeted && (raw->server_capabilities & CLIENT_SSL) == 0 && mode == "require" && !socket)
            refuse_plaintext(url, mode);
#endif
        // Connector/C's own text names the plugin by memory that it has overwritten.
        if (std::string_view(mysql_error(raw)).find("restricted_auth") != std::string_view::npos)
            throw Error("db.auth",
                        url.masked() + ": the server asks for the password itself, over a "
                                       "connection that does not prove who it is",
                        "sslmode=verify-full and sslrootcert in the URL prove it");
        Error error =
            make_error(url, number, mysql_sqlstate(raw), connect_failure(number, mysql_error(raw)));
        if (error.kind() != "db.auth" && error.kind() != "db.connection")
            error = Error("db.connection", error.message(), error.hint(), error.sqlstate());
        throw error;
    }
    const char* cipher = mysql_get_ssl_cipher(raw);
    bool encrypted = cipher && *cipher;
    if (!encrypted && mode != "disable" && mode != "prefer" && !socket)
        refuse_plaintext(url, mode);
    return handle;
}

namespace {

/// What the connecting thread and the waiting one share; whoever is last cleans up.
struct Attempt {
    std::mutex mutex;
    std::condition_variable changed;
    Handle handle;
    std::optional<Error> error; ///< by value: what one thread throws the other does not share
    bool done = false;
};

} // namespace

// The client libraries cannot give up a connect that has begun, so it runs on a thread of its own;
// where the caller goes away first, the thread closes what it got, at the latest after the connect
// timeout.
void Session::connect(Cancel& cancel) {
    auto attempt = std::make_shared<Attempt>();
    std::thread([attempt, url = url_, options = options_] {
        Handle handle;
        std::optional<Error> error;
        try {
            handle = open_handle(url, options);
        } catch (const Error& problem) {
            error = problem;
        } catch (const std::exception& problem) {
            error = Error("internal", problem.what());
        }
        {
            std::lock_guard lock(attempt->mutex);
            attempt->handle = std::move(handle);
            attempt->error = std::move(error);
            attempt->done = true;
        }
        attempt->changed.notify_one();
        mysql_thread_end();
    }).detach();
    auto limit = effective_timeout(url_, options_);
    auto deadline = std::chrono::steady_clock::now() + limit + std::chrono::milliseconds(500);
    std::unique_lock lock(attempt->mutex);
    while (!attempt->changed.wait_for(lock, std::chrono::milliseconds(50),
                                      [&] { return attempt->done; })) {
        cancel.check("connecting");
        if (std::chrono::steady_clock::now() > deadline)
            throw Error("db.connection",
                        fmt::format("{}: no answer within {}", url_.masked(),
                                    text::duration(std::chrono::duration<double>(limit).count())),
                        "is the address right, and does a firewall drop packets?");
    }
    if (attempt->error)
        throw Error(*attempt->error);
    handle_ = std::move(attempt->handle);
}

void Session::prepare_session(Cancel& cancel) {
    id_ = mysql_thread_id(handle_.get());
    if (const char* cipher = mysql_get_ssl_cipher(handle_.get()))
        info_.tls_cipher = cipher;
    auto text = [&](const char* sql) {
        const Value value = fetch_value(*this, sql);
        const auto* string = value.get<std::string>();
        return string ? *string : std::string();
    };
    std::string version = text("SELECT CONCAT(@@version, ' ', @@version_comment)");
    bool mariadb = text::lower(version).find("mariadb") != std::string::npos;
    if (!mariadb) {
        // MariaDB has no server_uuid, whatever version it was told to show.
        try {
            info_.identity = text("SELECT @@server_uuid");
        } catch (const Error&) {
            mariadb = true;
        }
    }
    info_.flavour = mariadb ? Flavour::mariadb : Flavour::mysql;
    if (version.starts_with("5.5.5-"))
        version.erase(0, 6);
    info_.version = version.substr(0, version.find_first_not_of("0123456789."));
    parse_version(info_);
    if (mariadb)
        info_.identity =
            digest::sha256_hex(
                text("SELECT CONCAT_WS('|', @@hostname, @@port, @@datadir, @@server_id)"))
                .substr(0, 32);
    // The whole mode is set, not added to: ANSI_QUOTES or NO_BACKSLASH_ESCAPES would change what
    // our text means.
    run(fmt::format(
            "SET SESSION time_zone = '+00:00', net_write_timeout = 600, net_read_timeout = 600, "
            "wait_timeout = 28800, autocommit = 1, sql_mode = '{}STRICT_TRANS_TABLES,"
            "NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
            mariadb ? "" : "ONLY_FULL_GROUP_BY,"),
        cancel);
    if (access_ == Access::read)
        set_read_only(true, cancel);
}

void Session::kill_query() noexcept {
    try {
        ConnectOptions options = options_;
        options.connect_timeout = std::chrono::seconds(5);
        options.application_name = "runbook cancel";
        Handle other = open_handle(url_, options);
        std::string sql = fmt::format("KILL QUERY {}", id_);
        mysql_real_query(other.get(), sql.data(), sql.size());
    } catch (const std::exception&) {
        // Tried again every second by Watch; without success the statement ends in doubt.
    }
}

} // namespace mysql
} // namespace runbook::db
