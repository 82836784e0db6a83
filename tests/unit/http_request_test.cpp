// http::request against a real server: what is sent, what comes back, errors with their exact
// texts.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/http/http.h"
#include "runtime/process/process.h"
#include "tests/unit/http_support.h"
#include "tests/unit/process_support.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <regex>

using namespace runbook;
using http::Request;
using http::Response;
using std::chrono::milliseconds;
using test::answer;
using test::Server;

namespace {

Response send(const Request& request) {
    Cancel cancel;
    return http::request(request, cancel);
}

Error error_of(const Request& request) {
    try {
        send(request);
    } catch (const Error& error) {
        return error;
    }
    FAIL("no error was raised");
    return Error("", "");
}

Request get(const std::string& url) {
    Request request;
    request.url = url;
    return request;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// How long and how often differ from run to run.
std::string shape(const std::string& message) {
    static const std::regex numbers("after [0-9.]+ s, [0-9]+ attempt");
    return std::regex_replace(message, numbers, "after N s, N attempt");
}

} // namespace

TEST_CASE("http: get, with status, headers and body", "[http]") {
    Server server(
        [](const Server::Seen&, int) { return answer(200, "hello", "X-Thing: a b\r\n"); });
    auto response = send(get(server.url("/x?a=1")));
    CHECK(response.status == 200);
    CHECK(response.body == "hello");
    CHECK(response.header("x-thing") == "a b");
    CHECK(response.header("absent") == "");
    CHECK(response.attempts == 1);
    CHECK(response.url == server.url("/x?a=1"));
    CHECK(response.elapsed > 0);
    CHECK(server.seen().at(0).head.starts_with("GET /x?a=1 HTTP/1.1\r\n"));
}

TEST_CASE("http: headers, query and the three kinds of body", "[http]") {
    Server server([](const Server::Seen&, int) { return answer(204); });
    Request request = get(server.url("/p"));
    request.method = "POST";
    request.headers = {{"X-Probe-Key", make_secret("probe-key-1", "test")}, {"X-Empty", ""}};
    request.query = {{"a b", "c&d"}, {"n", 5}};
    request.json = Map{{"text", "ü"}, {"secret", make_secret("in-the-body", "test")}};
    CHECK(send(request).status == 204);
    auto seen = server.seen().at(0);
    CHECK(seen.head.starts_with("POST /p?a%20b=c%26d&n=5 HTTP/1.1\r\n"));
    CHECK(contains(seen.head, "X-Probe-Key: probe-key-1\r\n"));
    CHECK(contains(seen.head, "X-Empty:"));
    CHECK(contains(seen.head, "Content-Type: application/json\r\n"));
    CHECK(seen.body == R"({"text":"ü","secret":"in-the-body"})");

    request.json.reset();
    request.form = {{"a", "1 2"}, {"b", "ü"}};
    send(request);
    CHECK(server.seen().at(1).body == "a=1%202&b=%C3%BC");
    request.body = "text";
    auto error = error_of(request);
    CHECK(error.kind() == "usage");
    CHECK(error.message() ==
          "POST " + server.url("/p") + ": only one of body, json, form, multipart and file");
    request.form.clear();
    request.method = "PUT";
    request.user = "me";
    request.password = make_secret("pass-word-9", "test");
    send(request);
    CHECK(server.seen().at(2).body == "text");
    CHECK(contains(server.seen().at(2).head, "Authorization: Basic bWU6cGFzcy13b3JkLTk=\r\n"));
}

TEST_CASE("http: a status that was not expected", "[http]") {
    Server server([](const Server::Seen&, int) { return answer(503, "down for\nmaintenance"); });
    auto error = error_of(get(server.url()));
    CHECK(error.kind() == "http.status");
    CHECK(error.message() == "GET " + server.url() + ": expected status 200 to 299, got 503");
    CHECK(error.hint() == "the answer begins: down for maintenance");
    Request request = get(server.url());
    request.expected = {200, 302, 404};
    CHECK(error_of(request).message() ==
          "GET " + server.url() + ": expected status 200, 302 or 404, got 503");
    request.expected = {503};
    CHECK(send(request).status == 503);
    request.expected = {};
    request.any_status = true;
    CHECK(send(request).status == 503);
}

TEST_CASE("http: connection errors", "[http]") {
    std::string nobody = fmt::format("http://127.0.0.1:{}/", test::free_port());
    auto refused = error_of(get(nobody));
    CHECK(refused.kind() == "http.connection");
    CHECK(refused.message() == "GET " + nobody + ": connection refused");
    auto name = error_of(get("http://no-such-host.invalid/"));
    CHECK(name.kind() == "http.connection");
    CHECK(name.message() == "GET http://no-such-host.invalid/: the host name does not resolve");
    auto scheme = error_of(get("ftp://localhost/x"));
    CHECK(scheme.kind() == "usage");
    CHECK(scheme.message() == "GET ftp://localhost/x: not an http or https URL");
    Request method = get(nobody);
    method.method = "get it";
    CHECK(error_of(method).message() == "'get it' is not an HTTP method");

    Server closes([](const Server::Seen&, int) { return std::string(); });
    auto error = error_of(get(closes.url()));
    CHECK(error.message() ==
          "GET " + closes.url() + ": the server closed the connection without an answer");
    CHECK_FALSE(error.in_doubt());
    Request post = get(closes.url());
    post.method = "POST";
    CHECK(error_of(post).in_doubt()); // it may have been carried out

    Server cuts([](const Server::Seen&, int) {
        return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    });
    CHECK(error_of(get(cuts.url())).message() ==
          "GET " + cuts.url() + ": the connection ended in the middle of the body");
}

TEST_CASE("http: a server that is silent, and one that says too much", "[http]") {
    std::atomic<bool> go{false};
    Server silent([&](const Server::Seen&, int) {
        while (!go)
            std::this_thread::sleep_for(milliseconds(5));
        return std::string();
    });
    Request request = get(silent.url());
    request.timeout = milliseconds(150);
    auto error = error_of(request);
    go = true;
    CHECK(error.kind() == "http.timeout");
    CHECK(error.message() == "GET " + silent.url() + ": no complete answer within 150ms");

    Server large([](const Server::Seen&, int) { return answer(200, std::string(5000, 'x')); });
    request = get(large.url());
    request.max_bytes = 1000;
    error = error_of(request);
    CHECK(error.kind() == "http.status");
    CHECK(error.message() == "GET " + large.url() + ": the body is larger than 1.0 kB");
    CHECK(error.hint() == "raise max_bytes");
}

TEST_CASE("http: cancel interrupts a transfer", "[http]") {
    std::atomic<bool> go{false}, asked{false};
    Server silent([&](const Server::Seen&, int) {
        asked = true;
        while (!go)
            std::this_thread::sleep_for(milliseconds(5));
        return std::string();
    });
    Cancel cancel;
    std::thread canceller([&] {
        while (!asked)
            std::this_thread::sleep_for(milliseconds(1));
        cancel.request(Cancel::Reason::cancelled);
    });
    try {
        http::request(get(silent.url()), cancel);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "cancelled");
        CHECK(error.message() == "GET " + silent.url() + ": cancelled");
    }
    go = true;
    canceller.join();
}

TEST_CASE("http: redirects keep secrets at home", "[http]") {
    Server other([](const Server::Seen&, int) { return answer(200, "there"); });
    Server home([&](const Server::Seen& seen, int) {
        if (contains(seen.head, "GET /loop"))
            return answer(302, "", "Location: /loop\r\n");
        if (contains(seen.head, " /same"))
            return answer(200, seen.body);
        return answer(contains(seen.head, "POST /keep") ? 307 : 302, "",
                      contains(seen.head, "/away") ? "Location: " + other.url("/x") + "\r\n"
                                                   : std::string("Location: /same\r\n"));
    });
    Request request = get(home.url("/away"));
    request.headers = {{"X-Key", make_secret("secret-key-42", "test")}, {"X-Plain", "p"}};
    request.user = "u";
    request.password = "pw";
    auto response = send(request);
    CHECK(response.body == "there");
    CHECK(response.url == other.url("/x"));
    CHECK_FALSE(contains(other.seen().at(0).head, "secret-key-42"));
    CHECK_FALSE(contains(other.seen().at(0).head, "Authorization"));
    CHECK(contains(other.seen().at(0).head, "X-Plain: p"));

    request.url = home.url("/near");
    send(request);
    CHECK(contains(home.seen().at(2).head, "X-Key: secret-key-42"));

    request.method = "POST";
    request.body = "data";
    CHECK(send(request).body == ""); // 302: becomes a GET
    request.url = home.url("/keep");
    CHECK(send(request).body == "data"); // 307: stays a POST

    auto error = error_of(get(home.url("/loop")));
    CHECK(error.kind() == "http.status");
    CHECK(error.message() == "GET " + home.url("/loop") +
                                 ": more than 5 redirects, the last one to " + home.url("/loop"));
    Request stay = get(home.url("/near"));
    stay.follow = 0;
    stay.any_status = true;
    CHECK(send(stay).status == 302);
}

TEST_CASE("http: each URL is asked for before it is contacted", "[http]") {
    Server other([](const Server::Seen&, int) { return answer(200); });
    Server home([&](const Server::Seen&, int) {
        return answer(302, "", "Location: " + other.url() + "\r\n");
    });
    Request request = get(home.url());
    request.allow = [&](const std::string& url) {
        if (url == other.url())
            throw Error("permission", "not there");
    };
    CHECK(error_of(request).kind() == "permission");
    CHECK(other.seen().empty());
}

TEST_CASE("http: retries", "[http]") {
    Server server([](const Server::Seen&, int number) {
        if (number == 1)
            return std::string();
        return number == 2 ? answer(503, "", "Retry-After: 0\r\n") : answer(200, "at last");
    });
    Request request = get(server.url());
    request.retry.attempts = 3;
    request.retry.initial = milliseconds(1);
    auto response = send(request);
    CHECK(response.body == "at last");
    CHECK(response.attempts == 3);
    CHECK(server.seen().size() == 3);

    request.method = "POST";
    auto error = error_of(request);
    CHECK(error.kind() == "usage");
    CHECK(error.message() ==
          "POST " + server.url() + ": POST is not idempotent and is not repeated");
    request.headers = {{"Idempotency-Key", "k1"}};
    CHECK(send(request).status == 200);

    Server down([](const Server::Seen&, int) { return answer(500); });
    request = get(down.url());
    request.retry.attempts = 3;
    CHECK(error_of(request).kind() == "http.status"); // 500 is not in the list
    CHECK(down.seen().size() == 1);

    Server later([](const Server::Seen&, int) { return answer(503, "", "Retry-After: 3600\r\n"); });
    request.url = later.url();
    CHECK(error_of(request).message() ==
          "GET " + later.url() + ": expected status 200 to 299, got 503");
    CHECK(later.seen().size() == 1); // an hour is longer than max_delay
    CHECK(error_of(request).retry_after() == 3600);
    http::Expectation expectation;
    Cancel cancel;
    try {
        http::expect(request, expectation, cancel);
        FAIL("it was as expected");
    } catch (const Error& error) {
        CHECK(error.retry_after() == 3600);
    }

    // RFC 9110 10.2.3: a date too, in each of its forms; what is over is 0, what is neither is none
    std::time_t soon = std::time(nullptr) + 100;
    std::string date(64, '\0');
    date.resize(
        std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&soon)));
    struct Case {
        std::string value;
        double least, most;
    };
    const std::vector<Case> cases = {{date, 80, 100},
                                     {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
                                     {"Sunday, 06-Nov-94 08:49:37 GMT", 0, 0},
                                     {"120", 120, 120},
                                     {"-5", -1, -1},
                                     {"soon", -1, -1}};
    for (const Case& one : cases) {
        CAPTURE(one.value);
        for (const int status : {429, 503}) {
            Server told([&](const Server::Seen&, int) {
                return answer(status, "", "Retry-After: " + one.value + "\r\n");
            });
            const double seconds = error_of(get(told.url())).retry_after();
            CHECK(seconds >= one.least);
            CHECK(seconds <= one.most);
        }
    }
}

TEST_CASE("http: expect waits until the answer is as asked for", "[http]") {
    Server server([](const Server::Seen&, int number) {
        return number < 3 ? answer(200, "open") : answer(503, "maintenance");
    });
    http::Expectation expectation;
    expectation.statuses = {503};
    expectation.body = "maintenance";
    expectation.within = milliseconds(10'000);
    expectation.every = milliseconds(5);
    Cancel cancel;
    auto response = http::expect(get(server.url()), expectation, cancel);
    CHECK(response.status == 503);
    CHECK(response.attempts == 3);
}

TEST_CASE("http: expect says what came instead", "[http]") {
    Server server([](const Server::Seen& seen, int) {
        if (contains(seen.head, "/json"))
            return answer(200,
                          R"({"status":"ok","database":{"adapter":"PostgreSQL"},"list":[1,2]})");
        return answer(200, "hello");
    });
    http::Expectation expectation;
    Cancel cancel;
    auto message = [&](const std::string& url) -> std::string {
        try {
            http::expect(get(url), expectation, cancel);
        } catch (const Error& error) {
            CHECK(error.kind() == "http.status");
            return error.message();
        }
        return "met";
    };
    const std::string get_url = "GET " + server.url("/");
    expectation.statuses = {503};
    CHECK(message(server.url()) == get_url + ": expected status 503, got 200");
    expectation.within = milliseconds(600);
    expectation.every = milliseconds(20);
    CHECK(shape(message(server.url())) ==
          shape(get_url + ": expected status 503, got 200 (after N s, N attempts)"));
    expectation.every = milliseconds(700);
    CHECK(shape(message(server.url())) ==
          shape(get_url + ": expected status 503, got 200 (after N s, N attempt)"));
    expectation.within = milliseconds(0);
    expectation.statuses = {};
    expectation.body = "maintenance";
    CHECK(message(server.url()) ==
          get_url + R"(: expected a body with "maintenance", got "hello")");
    expectation.body = "";
    expectation.json = Map{{"database.adapter", "PostgreSQL"}, {"list.2", 2.0}};
    CHECK(message(server.url("/json")) == "met");
    CHECK(message(server.url()) == get_url + R"(: expected JSON, got "hello")");
    expectation.json.set("database.adapter", "Mysql2");
    CHECK(message(server.url("/json")) ==
          get_url + R"(json: expected database.adapter = "Mysql2", got "PostgreSQL")");
    expectation.json = Map{{"list.3", 1}};
    CHECK(message(server.url("/json")) == get_url + "json: expected list.3 = 1, got nothing");
}

TEST_CASE("http: no answer is never a pass", "[http]") {
    std::string nobody = fmt::format("http://127.0.0.1:{}/", test::free_port());
    http::Expectation expectation;
    expectation.statuses = {503};
    expectation.within = milliseconds(600);
    expectation.every = milliseconds(20);
    Cancel cancel;
    try {
        http::expect(get(nobody), expectation, cancel);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "http.connection");
        CHECK(shape(error.message()) ==
              shape("GET " + nobody + ": connection refused (after N s, N attempts)"));
    }
}

TEST_CASE("http: json_body", "[http]") {
    Request request = get("http://localhost/x");
    Response response;
    response.body = R"({"a":[1,null]})";
    CHECK(http::json_body(request, response).get<Map>()->find("a")->get<List>()->size() == 2);
    response.body = "<html>";
    try {
        http::json_body(request, response);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "json");
        CHECK(error.message().starts_with("GET http://localhost/x: the body is not JSON: "));
        CHECK(error.hint() == "it begins: <html>");
    }
}

TEST_CASE("http: what of a URL may be shown", "[http]") {
    CHECK(http::mask_url("http://u:p@h:80/p?x=1#f") == "http://u:***@h:80/p?x=1#f");
    CHECK(http::mask_url("https://token@h/p") == "https://***@h/p");
    CHECK(http::mask_url("http://h/p?x=1&api_key=abc&access_token=d&y=2#frag") ==
          "http://h/p?x=1&api_key=***&access_token=***&y=2#frag");
    CHECK(http::mask_url("http://h/a@b?c=d@e") == "http://h/a@b?c=d@e");
    CHECK(http::mask_url("http://h") == "http://h");
    auto secret = make_secret("T0000/B0000/XXXX", "test");
    CHECK(http::mask_url("https://hooks.example/services/T0000/B0000/XXXX") ==
          "https://hooks.example/services/***");
}

TEST_CASE("http: the server's certificate is checked", "[http]") {
    if (process::find_program("openssl").empty()) {
        WARN("no openssl program: skipped");
        return;
    }
    char name[] = "/tmp/runbook-http-XXXXXX";
    std::string folder = ::mkdtemp(name);
    Cancel cancel;
    process::Command make;
    make.cwd = folder;
    make.argv = {"openssl",  "req",           "-x509",   "-newkey",
                 "rsa:2048", "-nodes",        "-keyout", "k.pem",
                 "-out",     "c.pem",         "-days",   "2",
                 "-subj",    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"};
    process::run(make, cancel);
    int port = test::free_port();
    Cancel stop;
    std::thread server([&] {
        process::Command serve;
        serve.cwd = folder;
        serve.argv = {"openssl", "s_server", "-accept", std::to_string(port),
                      "-cert",   "c.pem",    "-key",    "k.pem",
                      "-www",    "-quiet"};
        serve.grace = milliseconds(0);
        try {
            process::run(serve, stop);
        } catch (const Error&) { // it ends by being cancelled
        }
    });
    std::string url = fmt::format("https://localhost:{}/", port);
    Request request = get(url);
    request.tls.ca = folder + "/c.pem";
    CHECK(test::eventually([&] {
        try {
            return send(request).status == 200;
        } catch (const Error& error) {
            return false;
        }
    }));
    request.tls.ca.clear();
    auto error = error_of(request);
    CHECK(error.kind() == "http.tls");
    // The rest is libcurl's own: "problem: self-signed certificate", or with OpenSSL's number.
    CHECK(error.message().starts_with("GET " + url + ": SSL certificate "));
    CHECK(error.message().find("self-signed certificate") != std::string::npos);
    CHECK(error.hint() == "check tls.ca, tls.cert and the name in the certificate");
    request.tls.verify = false;
    CHECK(send(request).status == 200);
    request.tls = {};
    request.tls.ca = folder + "/c.pem";
    request.url = fmt::format("https://127.0.0.1:{}/", port);
    CHECK(error_of(request).kind() == "http.tls"); // the name does not fit
    stop.request(Cancel::Reason::cancelled);
    server.join();
    std::filesystem::remove_all(folder);
}
