// HTTP requests over libcurl.
// Owns: nothing between calls. What is not called start_ blocks the calling worker thread and may
// be used from many at once; transfers run on one thread for all (hub.h), and a cancel removes them
// there. Proxies come from the environment, as with curl, unless one is given. Never touches Lua.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runbook::http {

struct Tls {
    bool verify = true;    ///< false accepts any certificate
    std::string ca;        ///< bundle instead of the system's
    std::string cert, key; ///< client certificate
};

/// Repeats a request that failed in a way that a later attempt may not. Only idempotent methods, or
/// a request with an `Idempotency-Key` header. Full jitter; a Retry-After of the server replaces
/// the computed delay.
struct Retry {
    int attempts = 1; ///< counts the first
    std::chrono::milliseconds initial{500};
    double backoff = 2;
    std::chrono::milliseconds max_delay{
        30'000}; ///< also the longest Retry-After that is waited for
    std::vector<int> statuses{429, 502, 503, 504};
    bool unsafe = false; ///< also a method that is not idempotent: it may happen twice
};

/// One field of a multipart form.
struct Part {
    std::string name;
    Value value;          ///< text, number or Secret; ignored where there is a file
    std::string file;     ///< its contents are sent
    std::string filename; ///< as the server sees it; the last part of `file` if left out
    std::string type;     ///< content type
};

struct Proxy {
    std::string url; ///< "http://proxy:3128"; "none": no proxy, whatever the environment says
    Value user, password;
};

struct Request {
    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, Value>> headers; ///< text, number or Secret
    std::vector<std::pair<std::string, Value>> query;   ///< appended to the URL, encoded
    /// At most one of body, json, form, multipart and file. `body` is text, bytes or Secret; `json`
    /// any value (a Secret inside is revealed: the body is a sink); `form` is sent as
    /// application/x-www-form-urlencoded.
    Value body;
    std::optional<Value> json;
    std::vector<std::pair<std::string, Value>> form;
    std::vector<Part> multipart;               ///< sent as multipart/form-data
    std::string file;                          ///< a file whose contents are the body
    Value user, password;                      ///< basic authentication
    Value bearer;                              ///< token for `Authorization: Bearer`
    Proxy proxy;                               ///< instead of the environment's
    std::chrono::milliseconds delay{0};        ///< before the first attempt
    std::chrono::milliseconds timeout{30'000}; ///< of one attempt, to the last byte
    std::chrono::milliseconds connect_timeout{10'000};
    int follow = 5;                    ///< redirects; credentials do not go to another host
    std::int64_t max_bytes = 16 << 20; ///< of the body; more is an error
    Tls tls;
    Retry retry;
    /// Statuses that are success; empty: 200 to 299. `any_status` accepts all.
    std::vector<int> expected;
    bool any_status = false;
    /// Asked for each URL before it is contacted, redirects too; throws to refuse. May be null. On
    /// the hub's thread.
    std::function<void(const std::string& url)> allow;
    /// Takes the body of a 2xx answer as it comes, on the hub's thread; see download().
    std::function<bool(int status, std::string_view data)> sink;
};

struct Response {
    int status = 0;
    std::vector<std::pair<std::string, std::string>>
        headers; ///< names in lower case, of the last response
    std::string body;
    double elapsed = 0; ///< seconds, of the attempt that succeeded
    int attempts = 1;
    std::string url; ///< after redirects, masked

    /// Empty where there is none.
    std::string_view header(std::string_view lower_case_name) const;
};

/// Throws `usage` (URL, method, options), `http.connection`, `http.tls`, `http.timeout`,
/// `http.status` (not expected), `cancelled`, `timeout`. A connection that broke after the request
/// was sent sets in_doubt where the method is not idempotent.
Response request(const Request& request, Cancel& cancel);

/// A response, or the exception.
using Answered = std::function<void(std::optional<Response>, std::exception_ptr)>;

/// What `expect` waits for; every condition that is set must hold.
struct Expectation {
    std::vector<int> statuses; ///< empty: 200 to 299
    std::string body;          ///< text that the body contains
    Map json;                  ///< members of the JSON body, by dotted path, with their values
    std::chrono::milliseconds within{0}; ///< 0: one attempt
    std::chrono::milliseconds every{1000};
};

/// Asks until the answer is as expected, for at most `within`. No data is never a pass: a
/// connection error or a body that is not JSON counts as not met. Throws `http.status` with what
/// was expected, what came last, how long and how often, or the last connection error with the same
/// addition.
Response expect(const Request& request, const Expectation& expectation, Cancel& cancel);

/// The same without a thread that waits; `done` is called once, on the hub's thread. `cancel` is
/// kept.
void start_request(Request request, CancelPtr cancel, Answered done);
void start_expect(Request request, Expectation expectation, CancelPtr cancel, Answered done);

struct Download {
    std::string path;
    std::string sha256;  ///< lower-case hex that the file must have; empty: any
    bool resume = false; ///< go on with what an interrupted download left; wants sha256
    int mode = 0644;
};

struct Downloaded {
    std::int64_t bytes = 0, resumed_from = 0;
    std::string sha256;
    int attempts = 1;
};

/// Loads a body into a file: beside it first (`PATH.partial`), synced, renamed when it is whole and
/// has the digest. `request.retry` counts for the whole; a broken transfer goes on where it stopped
/// if `resume`. Blocks. Throws as request(), `fs`, `http.digest` (another digest; the partial file
/// is removed). A failed one leaves PATH as it was, and PATH.partial only if `resume`.
Downloaded download(const Request& request, const Download& to, Cancel& cancel);

/// How long the server asks to wait, in seconds or as a date (RFC 9110 10.2.3); nothing where it
/// does not.
std::optional<std::chrono::milliseconds> retry_after(const Response& response);

/// The body as JSON; throws `json` that names the request and how the body begins.
Value json_body(const Request& request, const Response& response);

/// The URL without password and without the values of query parameters that look like secrets, and
/// redacted.
std::string mask_url(std::string_view url);

/// Percent-encodes everything but unreserved characters.
std::string url_encode(std::string_view text);

} // namespace runbook::http
