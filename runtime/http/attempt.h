// Between http.cpp and attempt.cpp: one exchange over the wire, without redirects, retries or
// judgement.
#pragma once

#include "runtime/http/http.h"

namespace runbook::http {

/// What goes over the wire, everything resolved to text.
struct Wire {
    std::string method, url;
    std::vector<std::string> headers; ///< "Name: value"
    bool has_body = false;
    std::string body, user, password;
    std::chrono::milliseconds timeout{0}, connect_timeout{0};
    std::int64_t max_bytes = 0;
    Tls tls;
};

struct Attempt {
    Response response;
    std::string redirect; ///< absolute URL of a redirect, or empty
};

bool idempotent(std::string_view method);

/// Throws `usage`, `http.connection`, `http.tls`, `http.timeout`, `http.status` (body too large),
/// `cancelled`, `timeout`.
Attempt attempt(const Wire& wire, Cancel& cancel);

/// Sleeps, but not through a cancel: throws `cancelled` or `timeout` with `what` in front.
void pause(std::chrono::milliseconds duration, Cancel& cancel, const std::string& what);

} // namespace runbook::http
