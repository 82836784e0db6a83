// Between http.cpp and attempt.cpp: one exchange over the wire, without redirects, retries or
// judgement.
#pragma once

#include "runtime/base/error.h"
#include "runtime/http/http.h"
#include "runtime/http/task.h"

#include <memory>

namespace runbook::http {

/// What goes over the wire, everything resolved to text.
struct Wire {
    std::string method, url;
    std::vector<std::string> headers; ///< "Name: value"
    bool has_body = false;
    std::string body, user, password;
    std::string upload; ///< a file as body
    std::vector<Part> parts;
    const Proxy* proxy = nullptr; ///< of the request
    std::string proxy_user, proxy_password;
    /// Takes the body of a 2xx answer instead of memory; false ends the transfer.
    std::function<bool(int status, std::string_view data)> sink;
    std::chrono::milliseconds timeout{0}, connect_timeout{0};
    std::int64_t max_bytes = 0;
    const Tls* tls = nullptr; ///< of the request
};

struct Attempt {
    Response response;
    std::string redirect; ///< absolute URL of a redirect, or empty
};

bool idempotent(std::string_view method);
Error unexpected_status(const Request& request, const Response& response);

// Coroutines of the hub's thread (hub.h). What they refer to lives until they have ended.

/// Throws `usage`, `fs` (a file to send), `http.connection`, `http.tls`, `http.timeout`,
/// `http.status` (body too large), `cancelled`, `timeout`.
Task<std::unique_ptr<Attempt>> attempt(const Wire& wire, Cancel& cancel);

/// Waits, but not through a cancel: throws `cancelled` or `timeout` with `what` in front.
Task<> pause(std::chrono::milliseconds duration, Cancel& cancel, std::string what);

Task<Response> request_task(const Request& request, Cancel& cancel);
Task<Response> expect_task(const Request& request, const Expectation& expectation, Cancel& cancel);

} // namespace runbook::http
