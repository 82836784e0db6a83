// `http`: the Lua face of runtime/http. Loop thread; a request runs on a worker.
#include "bindings/http.h"

#include "bindings/core/async.h"
#include "runtime/base/json.h"
#include "runtime/http/http.h"

namespace runbook::bindings {
namespace {

struct ProxyOptions {
    std::string url;
    Value user, password;
};
struct TlsOptions {
    bool verify = true;
    std::string ca, cert, key;
};
struct RetryOptions {
    int attempts = 1;
    bind::Duration initial{0.5}, max_delay{30};
    double backoff = 2;
    std::vector<int> statuses{429, 502, 503, 504};
    bool unsafe = false;
};
struct RequestOptions {
    Map headers, query, form, multipart;
    Value body, user, password, bearer;
    std::string file;
    std::optional<Value> json;
    std::vector<int> status;
    bool any_status = false, reads = false;
    bind::Duration timeout{30}, connect_timeout{10}, after;
    int follow = 5;
    std::int64_t max_bytes = 16 << 20;
    std::optional<TlsOptions> tls;
    std::optional<ProxyOptions> proxy;
    std::optional<RetryOptions> retry;
};
struct DownloadOptions : RequestOptions {
    std::string sha256;
    bool resume = false;
    DownloadOptions() { timeout = {3600}; }
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
struct Describe<ProxyOptions> {
    static const std::vector<Field<ProxyOptions>>& fields() {
        static const std::vector<Field<ProxyOptions>> all = {
            field("url", &ProxyOptions::url, "http://proxy:3128; \"none\": no proxy", true),
            field("user", &ProxyOptions::user, "its user"),
            field("password", &ProxyOptions::password, "its password, best a secret")};
        return all;
    }
};

template <>
struct Describe<TlsOptions> {
    static const std::vector<Field<TlsOptions>>& fields() {
        static const std::vector<Field<TlsOptions>> all = {
            field("verify", &TlsOptions::verify,
                  "false accepts any certificate, and says so in the log"),
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
                  "longest delay, and longest Retry-After waited for; 30s"),
            field("statuses", &RetryOptions::statuses, "that are asked again; 429, 502, 503, 504"),
            field("unsafe", &RetryOptions::unsafe,
                  "also a POST or PATCH: it may then happen twice")};
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
            field("bearer", as(&RequestOptions::bearer), "token, best a secret"),
            field("timeout", as(&RequestOptions::timeout), "of one attempt, to the last byte; 30s"),
            field("connect_timeout", as(&RequestOptions::connect_timeout), "10s"),
            field("follow", as(&RequestOptions::follow), "redirects that are followed; 5"),
            field("max_bytes", as(&RequestOptions::max_bytes), "longest body; 16 MiB"),
            field("tls", as(&RequestOptions::tls), "{verify, ca, cert, key}"),
            field("proxy", as(&RequestOptions::proxy),
                  "{url, user, password}, instead of the environment's")};
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
                field("multipart", &RequestOptions::multipart,
                      "fields of a multipart form: text, or { file = path, name =, type = "
                      "}"));
            list.push_back(field("file", &RequestOptions::file, "a file to send as the body"));
            list.push_back(
                field("status", &RequestOptions::status, "statuses that are success; 200 to 299"));
            list.push_back(
                field("any_status", &RequestOptions::any_status, "every status is success"));
            list.push_back(field("retry", &RequestOptions::retry,
                                 "{attempts, initial, backoff, max_delay, statuses, unsafe}: after "
                                 "connection errors, "
                                 "429, 502, 503, 504; only methods that may be repeated"));
            list.push_back(field("after", &RequestOptions::after, "waits so long before it asks"));
            list.push_back(field("reads", &RequestOptions::reads,
                                 "the request changes nothing (a query by POST)"));
            return list;
        }();
        return all;
    }
};

template <>
struct Describe<DownloadOptions> {
    static const std::vector<Field<DownloadOptions>>& fields() {
        static const std::vector<Field<DownloadOptions>> all = [] {
            auto list = request_fields<DownloadOptions>();
            list.push_back(field("sha256", &DownloadOptions::sha256,
                                 "digest that the file must have, in hex"));
            list.push_back(field("resume", &DownloadOptions::resume,
                                 "go on with what an interrupted download left beside the file; "
                                 "wants sha256"));
            list.push_back(field("retry",
                                 static_cast<std::optional<RetryOptions> DownloadOptions::*>(
                                     &DownloadOptions::retry),
                                 "{attempts, initial, backoff, max_delay, statuses}"));
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

/// A field of a multipart form; files are checked against needs.files.
http::Part to_part(const bind::Call& call, const std::string& name, const Value& value) {
    http::Part part;
    part.name = name;
    const Map* file = value.get<Map>();
    if (!file) {
        part.value = value;
        return part;
    }
    for (const auto& [key, one] : *file) {
        const auto* text = one.get<std::string>();
        std::string* to = key == "file"   ? &part.file
                          : key == "name" ? &part.filename
                          : key == "type" ? &part.type
                                          : nullptr;
        if (!to || !text)
            throw Error("usage", "multipart field '" + name +
                                     "': text expected in file, name and type; '" + key + "' is " +
                                     (to ? std::string(one.type_name()) : "unknown"));
        *to = *text;
    }
    if (part.file.empty())
        throw Error("usage", "multipart field '" + name + "': 'file' is missing");
    call.permissions().check_file(part.file);
    return part;
}

void take_proxy(const bind::Call& call, const ProxyOptions& proxy, http::Request& request) {
    if (proxy.url != "none")
        call.permissions().check_http(proxy.url);
    request.proxy = {proxy.url, proxy.user, proxy.password};
}

/// What redirects are held against; requests of one step share it. Loop thread.
std::shared_ptr<const vm::Permissions> for_redirects(const vm::Permissions& all) {
    static std::shared_ptr<const vm::Permissions> last;
    if (last && last->everything == all.everything && last->http == all.http &&
        last->declared_at == all.declared_at && last->step == all.step && last->uses == all.uses)
        return last;
    auto made = std::make_shared<vm::Permissions>();
    made->everything = all.everything;
    made->http = all.http;
    made->declared_at = all.declared_at;
    made->step = all.step;
    made->uses = all.uses;
    return last = made;
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
    for (const auto& [name, value] : options.multipart)
        request.multipart.push_back(to_part(call, name, value));
    request.file = options.file;
    if (!options.file.empty())
        call.permissions().check_file(options.file);
    request.bearer = options.bearer;
    if (options.proxy)
        take_proxy(call, *options.proxy, request);
    request.user = options.user;
    request.password = options.password;
    request.delay = to_millis(options.after);
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
        request.retry.statuses = options.retry->statuses;
        request.retry.unsafe = options.retry->unsafe;
    }
    call.permissions().check_http(request.url);
    if (options.tls && !options.tls->verify)
        call.host().log("warn", request.method + " " + http::mask_url(request.url) +
                                    ": the server's certificate is not checked (tls.verify = "
                                    "false)");
    request.allow = [only_http = for_redirects(call.permissions())](const std::string& target) {
        only_http->check_http(target); // redirects lead elsewhere
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

using Answer = bind::Async<Value>;
/// Hub's thread: what Lua gets for a response; may throw.
using Making = std::function<Value(const http::Response&)>;

http::Answered making(Making make, Answer::Done done) {
    return [make = std::move(make), done = std::move(done)](std::optional<http::Response> response,
                                                            std::exception_ptr error) {
        std::optional<Value> value;
        try {
            if (response)
                value = make(*response);
        } catch (...) {
            error = std::current_exception();
        }
        done(std::move(value), error);
    };
}

Answer send(const bind::Call& call, const char* name, http::Request request,
            Making make = to_value) {
    Answer answer;
    answer.name = name;
    answer.writes = call.writes_allowed();
    answer.start = [request = std::move(request), make = std::move(make)](const CancelPtr& cancel,
                                                                          Answer::Done done) {
        http::start_request(request, cancel, making(make, std::move(done)));
    };
    return answer;
}

/// Up or not, with what was seen; only what is not the server's is an error.
Answer ask(const bind::Call& call, http::Request request) {
    Answer answer = send(call, "http.answers", std::move(request), [](const http::Response& seen) {
        return Map{{"up", true}, {"status", seen.status}, {"elapsed", seen.elapsed}};
    });
    answer.start = [start = std::move(answer.start)](const CancelPtr& cancel, Answer::Done done) {
        start(cancel, [done](std::optional<Value> value, std::exception_ptr error) {
            try {
                if (error)
                    std::rethrow_exception(error);
            } catch (const Error& raised) {
                if (raised.kind().starts_with("http.")) {
                    value =
                        Map{{"up", false}, {"kind", raised.kind()}, {"error", raised.message()}};
                    error = nullptr;
                }
            } catch (...) { // stays the error that it is
            }
            done(std::move(value), error);
        });
    };
    return answer;
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
        .native([method, full = "http." + std::string(name)](bind::Call& call, std::string url,
                                                             RequestOptions options) -> Answer {
            call.permissions().check_http(url);
            if (!options.reads)
                call.require_writes();
            return send(call, full.c_str(), to_request(call, method, std::move(url), options));
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
            return send(call, "http.get", to_request(call, "GET", std::move(url), options));
        });
    http.def("head", "The answer to a HEAD: status and headers.")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http.head, 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, RequestOptions options) {
            return send(call, "http.head", to_request(call, "HEAD", std::move(url), options));
        });
    register_writing(http, "post", "POST", "The answer to a POST.");
    register_writing(http, "put", "PUT", "The answer to a PUT.");
    register_writing(http, "patch", "PATCH", "The answer to a PATCH.");
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
                   RequestOptions options) -> Answer {
            const bool reads = method == "GET" || method == "HEAD" || method == "OPTIONS";
            call.permissions().check_http(url);
            if (!reads && !options.reads)
                call.require_writes();
            return send(call, "http.request",
                        to_request(call, std::move(method), std::move(url), options));
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
        .native([](bind::Call& call, std::string url, RequestOptions options) -> Answer {
            http::Request request = to_request(call, "GET", std::move(url), options);
            Answer answer = send(call, "http.json", request, [request](const http::Response& got) {
                return http::json_body(request, got);
            });
            answer.push = [](lua_State* L, Value& value) {
                vm::push_value(L, value, false);
                return 1;
            };
            return answer;
        });
    http.def("status", "The status of the answer to a GET, whatever it is.")
        .param("url", url_doc)
        .param("options", "what is sent")
        .returns("integer", "200, 404, 503…")
        .raises({"http.connection", "http.timeout", "http.tls", "permission", "usage"})
        .reads()
        .example("local ok, err = pcall(http.status, 'http://127.0.0.1:1/')\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, RequestOptions options) -> Answer {
            http::Request request = to_request(call, "GET", std::move(url), options);
            request.any_status = true;
            return send(call, "http.status", request,
                        [](const http::Response& got) { return Value(got.status); });
        });
    http.def("answers",
             "Whether an address answers as it should; no answer is a result here, not an error.")
        .param("url", url_doc)
        .param("options", "what is sent, and what counts as success")
        .returns("table", "{up, status, elapsed} or {up = false, kind, error}")
        .raises({"permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(http.answers('http://127.0.0.1:1/').up == false)")
        .native([](bind::Call& call, std::string url, RequestOptions options) -> Answer {
            return ask(call, to_request(call, "GET", std::move(url), options));
        });
    http.def("probe", "A function that asks whether an address answers as it should: for "
                      "checklists, monitors and toggles.")
        .param("url", "string", url_doc)
        .param("options", "table", "as for http.get", true)
        .returns("function", "asked, it returns true or false; a probe of a checklist says why not")
        .example("local up = http.probe('http://127.0.0.1:1/')\nassert(up() == false)")
        .lua();
    http.def("wait_until", "Asks again and again until a function of the answer says true.")
        .param("url", "string", url_doc)
        .param("test", "function", "gets the response (any status), says whether that is it")
        .param("options", "table", "as for http.get, and within (1m), every (1s)", true)
        .returns("table", response_doc)
        .raises({"http.status", "http.connection", "http.timeout", "http.tls", "permission",
                 "usage", "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(http.wait_until, 'http://127.0.0.1:1/', function(r) return "
                 "r.status == 200 end, { within = '10ms', every = '5ms' })\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .lua();
    http.def("expect", "Asks again and again until the answer is as expected.")
        .param("url", url_doc)
        .param("options", "what is awaited, and for how long")
        .returns("table", response_doc)
        .raises(error_kinds)
        .reads()
        .example("local ok, err = pcall(http.expect, 'http://127.0.0.1:1/', { status = 200 })\n"
                 "assert(not ok and err.kind == 'http.connection')")
        .native([](bind::Call& call, std::string url, ExpectOptions options) -> Answer {
            http::Request request = to_request(call, "GET", std::move(url), options);
            http::Expectation expectation;
            expectation.statuses = options.status;
            expectation.body = options.contains.value_or("");
            expectation.json = options.members;
            expectation.within = to_millis(options.within);
            expectation.every = to_millis(options.every);
            Answer answer = send(call, "http.expect", request);
            answer.start = [request, expectation](const CancelPtr& cancel, Answer::Done done) {
                http::start_expect(request, expectation, cancel, making(to_value, std::move(done)));
            };
            return answer;
        });
    http.def("download",
             "Loads a body into a file, which is replaced only when all of it is there.")
        .param("url", url_doc)
        .param("path", "the file; what is not whole yet stands in PATH.partial beside it")
        .param("options", "digest, resuming, and what is sent")
        .returns("table", "{path, bytes, sha256, resumed_from, attempts}")
        .raises({"http.status", "http.connection", "http.timeout", "http.tls", "http.digest", "fs",
                 "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(http.download, 'http://127.0.0.1:1/', 'x.tar')\n"
                 "assert(not ok and err.kind == 'http.connection' and not fs.exists 'x.tar')")
        .native([](bind::Call& call, std::string url, std::string path,
                   DownloadOptions options) -> bind::Job<Value> {
            call.permissions().check_http(url);
            call.permissions().check_file(path);
            call.permissions().check_file(path + ".partial");
            call.require_writes();
            http::Request request = to_request(call, "GET", std::move(url), options);
            http::Download to{path, options.sha256, options.resume};
            return {[request, to](Cancel& cancel) -> Value {
                const http::Downloaded done = http::download(request, to, cancel);
                return Map{{"path", to.path},
                           {"bytes", done.bytes},
                           {"sha256", done.sha256},
                           {"resumed_from", done.resumed_from},
                           {"attempts", done.attempts}};
            }};
        });
}

} // namespace runbook::bindings
