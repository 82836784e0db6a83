// What Connector/C may tell a server while it logs in. Where TLS was asked for and the server has
// none, the library's plugins for caching_sha2_password and sha256_password go by what was asked
// for, and send the password as it is: their entry points are put behind a check. Any thread.
#include "runtime/db/mysql/session.h"

#include <cstdarg>
#include <cstddef>
#include <mutex>
#include <string_view>

#if defined(LIBMARIADB) || defined(MARIADB_BASE_VERSION)

namespace runbook::db::mysql {
namespace {

using Login = int (*)(void* channel, MYSQL* handle);

/// How Connector/C's client plugins for logging in declare themselves, interface 1.x. The header
/// that says so (mysql/client_plugin.h) cannot be included where it is installed.
struct LoginPlugin {
    int type;
    unsigned interface_version;
    const char *name, *author, *description;
    unsigned version[3];
    const char* license;
    void* api;
    int (*init)(char*, std::size_t, int, std::va_list);
    int (*deinit)();
    int (*options)(const char*, const void*);
    Login login;
};
constexpr int login_type = 2;
constexpr int login_refused = 0; ///< CR_ERROR

Login caching_sha2 = nullptr, sha256 = nullptr;
thread_local bool tls_required = false;

int checked(Login login, void* channel, MYSQL* handle) {
    // The session begins to be encrypted with the first thing that the plugin sends.
    if ((handle->server_capabilities & CLIENT_SSL) == 0) {
        if (tls_required)
            return login_refused;
        handle->options.use_ssl = 0; // the password goes encrypted with the server's key then
    }
    return login(channel, handle);
}

int checked_caching_sha2(void* channel, MYSQL* handle) {
    return checked(caching_sha2, channel, handle);
}

int checked_sha256(void* channel, MYSQL* handle) {
    return checked(sha256, channel, handle);
}

/// A plugin that is not installed is no way to log in either.
void guard(MYSQL* handle, const char* name, Login& original, Login replacement) {
    auto* plugin =
        reinterpret_cast<LoginPlugin*>(mysql_client_find_plugin(handle, name, login_type));
    if (!plugin || plugin->type != login_type || plugin->interface_version >> 8 != 1 ||
        std::string_view(plugin->name) != name)
        return;
    original = plugin->login;
    plugin->login = replacement;
}

} // namespace

void guard_logins(MYSQL* handle, bool required) {
    static std::once_flag once;
    std::call_once(once, [handle] {
        guard(handle, "caching_sha2_password", caching_sha2, checked_caching_sha2);
        guard(handle, "sha256_password", sha256, checked_sha256);
    });
    tls_required = required;
}

} // namespace runbook::db::mysql

#else

namespace runbook::db::mysql {

void guard_logins(MYSQL*, bool) {} // Oracle's library asks whether there is TLS

} // namespace runbook::db::mysql

#endif
