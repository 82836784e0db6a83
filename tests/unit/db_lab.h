// The lab's servers for tests of runtime/db: URLs from the environment, a schema of one's own,
// errors by value.
#pragma once

#include "runtime/base/error.h"
#include "runtime/db/connection.h"
#include "tests/unit/catch.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <unistd.h>

namespace runbook::db::lab {

/// Sanitizers keep freed memory for a while: resident memory says nothing under them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

/// The URL in `variable`; where it is unset the test is skipped with a warning, or fails when
/// RUNBOOK_REQUIRE_LAB=1.
inline std::optional<Url> url(const char* variable) {
    if (const char* text = std::getenv(variable))
        return Url::parse(text, "url:lab");
    const char* required = std::getenv("RUNBOOK_REQUIRE_LAB");
    if (required && std::string(required) == "1")
        FAIL(variable << " is not set, and RUNBOOK_REQUIRE_LAB=1");
    WARN("skipped: " << variable << " is not set (./dev lab up)");
    return std::nullopt;
}

inline std::unique_ptr<Connection> open(const Url& url, Access access = Access::write) {
    Cancel cancel;
    ConnectOptions options;
    options.access = access;
    return connect(url, options, cancel);
}

inline std::string unique(const std::string& prefix) {
    static int count = 0;
    return prefix + "_" + std::to_string(getpid()) + "_" + std::to_string(++count);
}

/// The Error that `fn` throws; fails the test where it throws none.
template <class Fn>
Error error_of(Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error;
    }
    FAIL("nothing was thrown");
    return Error("", "");
}

inline Executed execute(Connection& connection, std::string_view sql,
                        std::vector<Value> params = {}) {
    Cancel cancel;
    return connection.execute(sql, params, {}, cancel);
}

inline Value value(Connection& connection, std::string_view sql, std::vector<Value> params = {}) {
    return fetch_value(connection, sql, params);
}

/// Seconds that `fn` takes.
template <class Fn>
double seconds(Fn fn) {
    auto start = std::chrono::steady_clock::now();
    fn();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace runbook::db::lab
