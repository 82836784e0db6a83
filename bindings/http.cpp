// `http`: the Lua face of runtime/http. Loop thread; a request runs on a worker.
#include "bindings/http.h"

#include "bindings/core/declare.h"
#include "runtime/base/json.h"
#include "runtime/http/http.h"

namespace runbook::bindings {
namespace {

struct TlsOptions {
    bool verify = true;
    std::string ca, cert, key;
};
struct RetryOptions {
    int attempts = 1;
    bind::Duration initial{0.5}, max_delay{30};
    double backoff = 2;
};
struct RequestOptions {
    Map headers, query, form;
    Value body, user, password;
    std::optional<Value> json;
    std::vector<int> status;
    bool any_status = false, reads = false;
    bind::Duration timeout{30}, connect_timeout{10};
    int follow = 5;
    std::int64_t max_bytes = 16 << 20;
    std::optional<TlsOptions> tls;
    std::optional<RetryOptions> retry;
};
struct ExpectOptions : RequestOptions {
    std::optional<std::string> contains;
    Map members;
    bind::Duration within{0}, every{1};
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

using namespace bindings;

template <>
struct Describe<TlsOptions> {
    static const std::vector<Field<TlsOptions>>& fields() {
        static const std::vector<Field<TlsOptions>> all = {
            field("verify", &TlsOptions::verify, "false accepts any certificate"),
            field("ca", &TlsOptions::ca, "file with the authorities to trust"),
            field("cert", &TlsOptions::cert, "client certificate"),
            field("key", &TlsOptions::key, "its key")};
        return all;
    }
};

template <>
struct Describe<RetryOptions> {
    static const std::vector<Field<RetryOptions>>& fields() {
        static const std::vector<Field<RetryOptions>> all = {
            field("attempts", &RetryOptions::attempts, "counts the first; 1"),
            field("initial", &RetryOptions::initial,
                  "longest first delay, then times backoff; 500ms"),
            field("backoff", &RetryOptions::backoff, "factor; 2"),
            field("max_delay", &RetryOptions::max_delay,
                  "longest delay, and longest Retry-After waited for; 30s")};
        return all;
    }
};

/// The options that all requests share, as fields of T.
template <class T>
std::vector<Field<T>> request_fields() {
    auto as = [](auto RequestOptions::*member) {
        return static_cast<std::remove_reference_t<decltype(std::declval<T>().*member)> T::*>(
            member);
    };
    return {field("headers", as(&RequestOptions::headers), "name = text, number or secret"),
            field("query", as(&RequestOptions::query), "parameters added to the URL"),
            field("user", as(&RequestOptions::user), "basic authentication: user"),
            field("password", as(&RequestOptions::password),
                  "basic authentication: password, best a secret"),
            field("timeout", as(&RequestOptions::timeout), "of one attempt, to the last byte; 30s"),
            field("connect_timeout", as(&RequestOptions::connect_timeout), "10s"),
            field("follow", as(&RequestOptions::follow), "redirects that are followed; 5"),
            field("max_bytes", as(&RequestOptions::max_bytes), "longest body; 16 MiB"),
            field("tls", as(&RequestOptions::tls), "{verify, ca, cert, key}")};
}

template <>
struct Describe<RequestOptions> {
    static const std::vector<Field<RequestOptions>>& fields() {
        static const std::vector<Field<RequestOptions>> all = [] {
            auto list = request_fields<RequestOptions>();
            list.push_back(field("body", &RequestOptions::body, "text or secret to send"));
            list.push_back(field("json", &RequestOptions::json, "value to send as JSON"));
            list.push_back(field("form", &RequestOptions::form, "fields to send as a form"));
            list.push_back(
                field("status", &RequestOptions::status, "statuses that are success; 200 to 299"));
            list.push_back(
                field("any_status", &RequestOptions::any_status, "every status is success"));
            list.push_back(field(
                "retry", &RequestOptions::retry,
                "{attempts, initial, backoff, max_delay}: after connection errors, 429, 502, 503, "
                "504; only methods that may be repeated"));
            list.push_back(field("reads", &RequestOptions::reads,
                                 "the request changes nothing (a query by POST)"));
            return list;
        }();
        return all;
    }
};

template <>
struct Describe<ExpectOptions> {
    static const std::vector<Field<ExpectOptions>>& fields() {
        static const std::vector<Field<ExpectOptions>> all = [] {
            auto list = request_fields<ExpectOptions>();
            list.push_back(field(
                "status", static_cast<std::vector<int> ExpectOptions::*>(&ExpectOptions::status),
                "statuses that are awaited; 200 to 299"));
            list.push_back(field("body", &ExpectOptions::contains, "text that the body contains"));
            list.push_back(field("json", &ExpectOptions::members,
                                 "members of the JSON body, by dotted path: { "
                                 "[\"database.adapter\"] = \"Mysql2\" }"));
            list.push_back(
                field("within", &ExpectOptions::within, "how long to ask again; without it, once"));
            list.push_back(field("every", &ExpectOptions::every, "pause between two requests; 1s"));
            return list;
        }();
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

std::chrono::milliseconds to_millis(const bind::Duration& duration) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(duration.seconds * 1000));
}

std::vector<std::pair<std::string, Value>> to_pairs(const Map& map) {
    return {map.begin(), map.end()};
}

http::Request to_request(bind::Call& call, std::string method, std::string url,
                         const RequestOptions& options) {
    http::Request request;
    request.method = std::move(method);
    request.url = std::move(url);
    request.headers = to_pairs(options.headers);
    request.query = to_pairs(options.query);
    request.form = to_pairs(options.form);
    request.body = options.body;
    request.json = options.json;
    request.user = options.user;
    request.password = options.password;
    request.timeout = to_millis(options.timeout);
    request.connect_timeout = to_millis(options.connect_timeout);
    request.follow = options.follow;
    request.max_bytes = options.max_bytes;
    request.expected = options.status;
    request.any_status = options.any_status;
    if (options.tls)
        request.tls = {options.tls->verify, options.tls->ca, options.tls->cert, options.tls->key};
    if (options.retry) {
        request.retry.attempts = options.retry->attempts;
        request.retry.initial = to_millis(options.retry->initial);
        request.retry.backoff = options.retry->backoff;
        request.retry.max_delay = to_millis(options.retry->max_delay);
    }
    call.permissions().check_http(request.url);
    request.allow = [permissions = call.permissions()](const std::string& target) {
        permissions.check_http(target); // redirects lead elsewhere
    };
    return request;
}

Value to_value(const http::Response& response) {
    Map headers;
    for (const auto& [name, value] : response.headers)
        headers.set(name, value);
    Map map{{"status", response.status},   {"headers", headers},  {"body", response.body},
            {"elapsed", response.elapsed}, {"url", response.url}, {"attempts", response.attempts}};
    if (response.header("content-type").find("json") != std::string_view::npos) {
        try {
            map.set("json", json::parse(response.body));
        } catch (const Error&) { // it says JSON and is none: `body` is there to look at
        }
    }
    return map;
}

bind::Job<Value> send(http::Request request) {
    return {[request](Cancel& cancel) { return to_value(http::request(request, cancel)); }};
}

/// Up or not, with what was seen; only a cancel is an error.
Value probe(const http::Request& request, Cancel& cancel) {
    try {
        http::Response response = http::request(request, cancel);
        return Map{{"up", true}, {"status", response.status}, {"elapsed", response.elapsed}};
    } catch (const Error& error) {
        if (!error.kind().starts_with("http."))
            throw;
        return Map{{"up", false}, {"kind", error.kind()}, {"error", error.message()}};
    }
}

const std::vector<std::string> error_kinds = {"http.status", "http.connection", "http.timeout",
                                              "http.tls",    "permission",      "usage",
                                              "cancelled",   "timeout"};
constexpr const char* url_doc = "http:// or https:// address";
constexpr const char* response_doc = "{status, headers, body, json, elapsed, url, attempts}; names "
                                     "of headers in lower case; `json` is the decoded body "
                                     "where the answer is of that type";

void register_writing(bind::Area& http, const char* name, const char* method, const char* doc) {
    http.def(name, doc)
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http." + std::string(name) +
                 ", 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([method](bind::Call& call, std::string url,
                         RequestOptions options) -> bind::Job<Value> {
            call.permissions().check_http(url);
            if (!options.reads)
                call.require_writes();
            return send(to_request(call, method, std::move(url), options));
        });
}

} // namespace

void register_http(vm::State& state, vm::Registry& registry) {
    bind::Area http(state, registry, "http",
                    "HTTP requests, to the hosts that the playbook declares in needs.http.");
    http.def("get", "The answer to a GET.")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http.get, 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, RequestOptions options) {
            return send(to_request(call, "GET", std::move(url), options));
        });
    register_writing(http, "post", "POST", "The answer to a POST.");
    register_writing(http, "put", "PUT", "The answer to a PUT.");
    register_writing(http, "delete", "DELETE", "The answer to a DELETE.");
    http.def("request", "The answer to a request of any method.")
        .param("method", "GET, PATCH…; GET, HEAD and OPTIONS change nothing")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http.request, 'PATCH', 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string method, std::string url,
                   RequestOptions options) -> bind::Job<Value> {
            const bool reads = method == "GET" || method == "HEAD" || method == "OPTIONS";
            call.permissions().check_http(url);
            if (!reads && !options.reads)
                call.require_writes();
            return send(to_request(call, std::move(method), std::move(url), options));
        });
    http.def("json", "The decoded JSON body of the answer to a GET.")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("value", "the body; JSON's null as null")
        .raises({"http.status", "http.connection", "http.timeout", "http.tls", "json", "permission",
                 "usage"})
        .reads()
        .example("local ok, err = pcall(http.json, 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, RequestOptions options) -> bind::Job<Value> {
            http::Request request = to_request(call, "GET", std::move(url), options);
            return {[request](Cancel& cancel) {
                        return http::json_body(request, http::request(request, cancel));
                    },
                    nullptr,
                    [](lua_State* L, Value& value) {
                        vm::push_value(L, value, false);
                        return 1;
                    }};
        });
    http.def("status", "The status of the answer to a GET, whatever it is.")
        .param("url", url_doc)
        .param("options", "what is sent")
        .returns("integer", "200, 404, 503…")
        .raises({"http.connection", "http.timeout", "http.tls", "permission", "usage"})
        .reads()
        .example("local ok, err = pcall(http.status, 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, RequestOptions options) -> bind::Job<int> {
            http::Request request = to_request(call, "GET", std::move(url), options);
            request.any_status = true;
            return {[request](Cancel& cancel) { return http::request(request, cancel).status; }};
        });
    http.def("probe",
             "Whether an address answers as it should; no answer is a result here, not an error.")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", "{up, status, elapsed} or {up = false, kind, error}")
        .raises({"permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(http.probe('http://127.0.0.1:1/').up == false)")
        .native([](bind::Call& call, std::string url, RequestOptions options) -> bind::Job<Value> {
            http::Request request = to_request(call, "GET", std::move(url), options);
            return {[request](Cancel& cancel) { return probe(request, cancel); }};
        });
    http.def("expect", "Asks again and again until the answer is as expected.")
        .param("url", url_doc)
        .param("options", "what is awaited, and for how long")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http.expect, 'http://127.0.0.1:1/', { status = 200 })\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, ExpectOptions options) -> bind::Job<Value> {
            http::Request request = to_request(call, "GET", std::move(url), options);
            http::Expectation expectation;
            expectation.statuses = options.status;
            expectation.body = options.contains.value_or("");
            expectation.json = options.members;
            expectation.within = to_millis(options.within);
            expectation.every = to_millis(options.every);
            return {[request, expectation](Cancel& cancel) {
                return to_value(http::expect(request, expectation, cancel));
            }};
        });
}

} // namespace runbook::bindings
