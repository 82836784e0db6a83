// Requests: from options to the wire, redirects, retries, and the judgement of an answer.
#include "runtime/http/http.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/http/attempt.h"
#include "runtime/http/hub.h"

#include <algorithm>
#include <curl/curl.h>
#include <fmt/format.h>
#include <random>

namespace runbook::http {
namespace {

using std::chrono::milliseconds;

std::string where(const Request& request) {
    return request.method + " " + mask_url(request.url);
}

/// Text of a header, parameter or body; secrets are revealed: this is the sink.
std::string open_text(const Value& value, std::string_view what) {
    if (auto* text = value.get<std::string>())
        return *text;
    if (auto* bytes = value.get<Bytes>())
        return bytes->data;
    if (auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    if (auto* number = value.get<std::int64_t>())
        return std::to_string(*number);
    if (auto* number = value.get<double>())
        return fmt::format("{}", *number);
    if (auto* flag = value.get<bool>())
        return *flag ? "true" : "false";
    if (auto* decimal = value.get<Decimal>())
        return decimal->text;
    throw Error("usage", fmt::format("{}: text, number or secret expected, got {}", what,
                                     value.type_name()));
}

Value reveal(const Value& value) {
    if (auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    if (auto* list = value.get<List>()) {
        List copy;
        for (const auto& item : *list)
            copy.push_back(reveal(item));
        return copy;
    }
    if (auto* map = value.get<Map>()) {
        Map copy;
        for (const auto& [key, item] : *map)
            copy.set(key, reveal(item));
        return copy;
    }
    return value;
}

std::string encode_pairs(const std::vector<std::pair<std::string, Value>>& pairs) {
    std::string text;
    for (const auto& [name, value] : pairs)
        text +=
            (text.empty() ? "" : "&") + url_encode(name) + "=" + url_encode(open_text(value, name));
    return text;
}

bool has_header(const Request& request, std::string_view lower_name) {
    return std::any_of(request.headers.begin(), request.headers.end(),
                       [&](const auto& header) { return text::lower(header.first) == lower_name; });
}

void check(const Request& request) {
    if (request.method.empty() ||
        request.method.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos)
        throw Error("usage", fmt::format("'{}' is not an HTTP method", request.method));
    if (!request.url.starts_with("http://") && !request.url.starts_with("https://"))
        throw Error("usage", fmt::format("{}: not an http or https URL", where(request)));
    if (!request.body.is_null() + request.json.has_value() + !request.form.empty() +
            !request.multipart.empty() + !request.file.empty() >
        1)
        throw Error("usage", fmt::format("{}: only one of body, json, form, multipart and file",
                                         where(request)));
    if (!request.bearer.is_null() &&
        (!request.user.is_null() || has_header(request, "authorization")))
        throw Error("usage", fmt::format("{}: only one of bearer, user and an Authorization header",
                                         where(request)));
    if (request.retry.attempts > 1 && !request.retry.unsafe && !idempotent(request.method) &&
        !has_header(request, "idempotency-key"))
        throw Error("usage",
                    fmt::format("{}: {} is not idempotent and is not repeated", where(request),
                                request.method),
                    "leave retry out, send an Idempotency-Key header that the server honours, or "
                    "say retry.unsafe = true");
    for (const auto& [name, value] : request.headers)
        if ((name + open_text(value, name)).find_first_of("\r\n") != std::string::npos ||
            name.empty())
            throw Error("usage", fmt::format("{}: header '{}' contains a line break",
                                             where(request), redact(name)));
}

Wire to_wire(const Request& request) {
    Wire wire;
    wire.method = request.method;
    wire.url = request.url;
    if (!request.query.empty()) {
        std::string fragment;
        if (auto hash = wire.url.find('#'); hash != std::string::npos)
            wire.url.erase(hash);
        wire.url +=
            (wire.url.find('?') == std::string::npos ? "?" : "&") + encode_pairs(request.query);
    }
    for (const auto& [name, value] : request.headers) {
        std::string text = open_text(value, name);
        wire.headers.push_back(text.empty() ? name + ";"
                                            : name + ": " + text); // curl drops "Name:"
    }
    const char* type = nullptr;
    if (request.json) {
        wire.body = json::dump(reveal(*request.json));
        type = "application/json";
    } else if (!request.form.empty()) {
        wire.body = encode_pairs(request.form);
        type = "application/x-www-form-urlencoded";
    } else if (!request.body.is_null()) {
        wire.body = open_text(request.body, "body");
        type = "application/octet-stream";
    }
    wire.has_body = type != nullptr;
    wire.upload = request.file;
    if (!request.file.empty())
        type = "application/octet-stream";
    for (Part part : request.multipart) {
        if (part.file.empty())
            part.value = open_text(part.value, part.name);
        wire.parts.push_back(std::move(part));
    }
    if (!request.bearer.is_null())
        wire.headers.push_back("Authorization: Bearer " + open_text(request.bearer, "bearer"));
    wire.proxy = &request.proxy;
    if (!request.proxy.user.is_null())
        wire.proxy_user = open_text(request.proxy.user, "proxy user");
    if (!request.proxy.password.is_null())
        wire.proxy_password = open_text(request.proxy.password, "proxy password");
    wire.sink = request.sink;
    if (type && !has_header(request, "content-type"))
        wire.headers.push_back(std::string("Content-Type: ") + type);
    if (!request.user.is_null())
        wire.user = open_text(request.user, "user");
    if (!request.password.is_null())
        wire.password = open_text(request.password, "password");
    wire.timeout = request.timeout;
    wire.connect_timeout = request.connect_timeout;
    wire.max_bytes = request.max_bytes;
    wire.tls = &request.tls;
    return wire;
}

/// scheme://host:port of a URL, without userinfo; what counts as "the same host".
std::string origin_of(const std::string& url) {
    std::size_t begin = url.find("://");
    begin = begin == std::string::npos ? 0 : begin + 3;
    std::size_t end = std::min(url.find_first_of("/?#", begin), url.size());
    std::size_t at = url.rfind('@', end);
    std::size_t host = at != std::string::npos && at >= begin && at < end ? at + 1 : begin;
    return text::lower(url.substr(0, begin) + url.substr(host, end - host));
}

/// Credentials stay with the host that they were meant for.
void drop_credentials(const Request& request, Wire& wire) {
    wire.user.clear();
    wire.password.clear();
    std::vector<std::string> kept;
    for (const auto& line : wire.headers) {
        std::string name = line.substr(0, line.find_first_of(":;"));
        bool secret = text::lower(name) == "authorization" || text::lower(name) == "cookie";
        for (const auto& [given, value] : request.headers)
            secret |= given == name && value.get<SecretPtr>();
        if (!secret)
            kept.push_back(line);
    }
    wire.headers = std::move(kept);
}

Task<std::unique_ptr<Attempt>> exchange(const Request& request, milliseconds timeout,
                                        Cancel& cancel) {
    Wire wire = to_wire(request);
    wire.timeout = timeout;
    for (int hops = 0;; ++hops) {
        if (request.allow)
            request.allow(wire.url);
        std::unique_ptr<Attempt> result = co_await attempt(wire, cancel);
        if (result->redirect.empty() || request.follow <= 0)
            co_return result;
        if (hops >= request.follow)
            throw Error("http.status",
                        fmt::format("{}: more than {} redirects, the last one to {}",
                                    where(request), request.follow, mask_url(result->redirect)));
        if (origin_of(result->redirect) != origin_of(wire.url))
            drop_credentials(request, wire);
        wire.url = result->redirect;
        int status = result->response.status;
        if (wire.method != "HEAD" && (status == 303 || (status < 303 && wire.method == "POST"))) {
            wire.method = "GET";
            wire.has_body = false;
            wire.body.clear();
            wire.parts.clear();
            wire.upload.clear();
        }
    }
}

std::string status_text(const std::vector<int>& statuses) {
    if (statuses.empty())
        return "200 to 299";
    std::string text;
    for (std::size_t i = 0; i < statuses.size(); ++i)
        text += (i == 0                     ? ""
                 : i + 1 == statuses.size() ? " or "
                                            : ", ") +
                std::to_string(statuses[i]);
    return text;
}

bool status_fits(const std::vector<int>& statuses, int status) {
    if (statuses.empty())
        return status >= 200 && status < 300;
    return std::find(statuses.begin(), statuses.end(), status) != statuses.end();
}

std::string excerpt(const std::string& body) {
    std::string text = text::trim(body.substr(0, 400));
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    return text::ellipsize(redact(text), 100);
}

milliseconds backoff_delay(const Retry& retry, int attempt) {
    double limit = static_cast<double>(retry.initial.count());
    for (int i = 1; i < attempt; ++i)
        limit *= retry.backoff;
    limit = std::min(limit, static_cast<double>(retry.max_delay.count()));
    thread_local std::mt19937_64 random{std::random_device{}()};
    return milliseconds(
        static_cast<std::int64_t>(std::uniform_real_distribution<>(0, limit)(random)));
}

} // namespace

std::optional<milliseconds> retry_after(const Response& response) {
    std::string text(response.header("retry-after"));
    if (text.empty())
        return std::nullopt;
    if (text.find_first_not_of("0123456789") == std::string::npos && text.size() < 9)
        return milliseconds(std::stoll(text) * 1000);
    std::time_t when = curl_getdate(text.c_str(), nullptr);
    if (when < 0)
        return std::nullopt;
    return milliseconds(std::max<std::int64_t>(0, when * 1000LL - time::now_micros() / 1000));
}

Error unexpected_status(const Request& request, const Response& response) {
    std::string begins = excerpt(response.body);
    Error error("http.status",
                fmt::format("{}: expected status {}, got {}", where(request),
                            status_text(request.expected), response.status),
                begins.empty() ? "" : "the answer begins: " + begins);
    if (const auto asked = retry_after(response))
        error.set_retry_after(static_cast<double>(asked->count()) / 1000);
    return error;
}

std::string_view Response::header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers)
        if (name == lower_case_name)
            return value;
    return {};
}

Task<Response> request_task(const Request& request, Cancel& cancel) {
    check(request);
    const Retry& retry = request.retry;
    if (request.delay.count() > 0)
        co_await pause(request.delay, cancel, where(request));
    for (int number = 1;; ++number) {
        milliseconds delay = backoff_delay(retry, number);
        try {
            const auto answered = co_await exchange(request, request.timeout, cancel);
            Response& response = answered->response;
            response.attempts = number;
            bool again =
                number < retry.attempts &&
                std::find(retry.statuses.begin(), retry.statuses.end(), response.status) !=
                    retry.statuses.end() &&
                !(!request.expected.empty() && status_fits(request.expected, response.status));
            auto asked = retry_after(response);
            if (again && asked && *asked > retry.max_delay)
                again = false; // the server says: not that soon
            if (!again) {
                if (!request.any_status && !status_fits(request.expected, response.status))
                    throw unexpected_status(request, response);
                co_return std::move(response);
            }
            delay = asked.value_or(delay);
        } catch (const Error& error) {
            bool again = error.kind() == "http.connection" || error.kind() == "http.timeout";
            if (!again || number >= retry.attempts)
                throw;
        }
        co_await pause(delay, cancel, where(request));
    }
}

Response request(const Request& request, Cancel& cancel) {
    return wait_for([&] { return request_task(request, cancel); });
}

void start_request(Request request, CancelPtr cancel, Answered done) {
    struct Kept {
        Request request;
        CancelPtr cancel;
    };
    auto kept = std::make_shared<Kept>(Kept{std::move(request), std::move(cancel)});
    Hub::one().post([kept, done = std::move(done)] {
        drive<Response>(request_task(kept->request, *kept->cancel),
                        [kept, done](std::optional<Response> response, std::exception_ptr error) {
                            done(std::move(response), error);
                        });
    });
}

Value json_body(const Request& request, const Response& response) {
    try {
        return json::parse(response.body);
    } catch (const Error& error) {
        std::string begins = excerpt(response.body);
        throw Error("json",
                    fmt::format("{}: the body is not JSON: {}", where(request), error.message()),
                    begins.empty() ? "the body is empty" : "it begins: " + begins);
    }
}

std::string url_encode(std::string_view text) {
    std::string out;
    for (char c : text) {
        auto u = static_cast<unsigned char>(c);
        if ((u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') ||
            c == '-' || c == '.' || c == '_' || c == '~')
            out += c;
        else
            out += fmt::format("%{:02X}", u);
    }
    return out;
}

} // namespace runbook::http
