#include "runtime/notify/post.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::notify {

std::string host_of(const std::string& url) {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string::npos)
        return "the address";
    const std::size_t end = std::min(url.find_first_of("/?#", scheme + 3), url.size());
    const std::size_t at = url.rfind('@', end);
    const bool user = at != std::string::npos && at > scheme;
    return url.substr(0, scheme + 3) +
           url.substr(user ? at + 1 : scheme + 3, end - (user ? at + 1 : scheme + 3));
}

Value authorization(const char* scheme, const Value& token) {
    return token.is_null() ? Value() : Value(join_secret(List{std::string(scheme) + " ", token}));
}

std::string open_value(const Value& value) {
    if (const auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    const auto* text = value.get<std::string>();
    return text ? *text : std::string();
}

std::string Asked::text(std::string_view key) const {
    const Map* map = body.get<Map>();
    const Value* member = map ? map->find(key) : nullptr;
    if (!member)
        return {};
    if (const auto* number = member->get<std::int64_t>())
        return std::to_string(*number);
    return map->text(key);
}

Asked ask(const Channel& channel, const std::string& method, const std::string& url,
          std::optional<Value> json, std::vector<std::pair<std::string, Value>> headers,
          Cancel& cancel) {
    http::Request request;
    request.method = method;
    request.url = url;
    request.headers = std::move(headers);
    request.json = std::move(json);
    request.timeout = channel.timeout;
    request.connect_timeout = std::min(channel.timeout, request.connect_timeout);
    request.tls = channel.tls;
    request.any_status = true;
    request.max_bytes = 4 << 20;
    Asked asked;
    asked.host = host_of(url);
    try {
        asked.response = http::request(request, cancel);
    } catch (const Error& error) {
        const std::string where = method + " " + http::mask_url(url) + ": ";
        if (!error.message().starts_with(where))
            throw;
        Error better(error.kind(), asked.host + ": " + error.message().substr(where.size()),
                     error.kind() == "http.tls" ? "ca names another authority" : "");
        throw better.set_in_doubt(error.in_doubt());
    }
    try {
        asked.body = json::parse(asked.response.body);
    } catch (const Error&) { // Slack's hooks answer "ok"
    }
    return asked;
}

bool passing(int status) {
    return status == 408 || status == 420 || status == 425 || status == 429 || status >= 500;
}

Error answer_error(const Asked& asked, const std::string& advice) {
    const int status = asked.response.status;
    std::string said;
    for (const char* key : {"error", "message", "errors"})
        if (said = asked.text(key); !said.empty())
            break;
    if (said.empty() && asked.response.body.find_first_of("<{") == std::string::npos)
        said = text::trim(asked.response.body);
    for (char& c : said)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    std::string what = fmt::format("{} answered {}", asked.host, status);
    if (!said.empty())
        what += " (" + cut(redact(said), 120) + ")";
    Error error(passing(status) ? "notify.unavailable" : "notify.refused", what,
                passing(status) ? "" : advice);
    if (const auto asks = http::retry_after(asked.response))
        error.set_retry_after(static_cast<double>(asks->count()) / 1000);
    return error;
}

std::string cut(const std::string& text, std::size_t bytes) {
    if (text.size() <= bytes)
        return text;
    std::size_t end = bytes - 3; // of "…"
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        --end;
    return text.substr(0, end) + "…";
}

std::string one_text(const Message& message) {
    return message.title.empty() ? message.text : message.title + ": " + message.text;
}

Map generic(const Message& message) {
    Map body;
    body.set("key", message.key).set("level", name_of(message.level)).set("text", message.text);
    if (!message.title.empty())
        body.set("title", message.title);
    if (!message.run.empty())
        body.set("run", message.run);
    if (!message.step.empty())
        body.set("step", message.step);
    body.set("ts", time::iso_millis(time::now_micros()));
    if (!message.data.empty())
        body.set("data", message.data);
    return body;
}

std::string slack_text(const Message& message) {
    std::string escaped;
    for (char c : one_text(message)) // the three characters that mean something in its markup
        escaped += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
    return cut(escaped, 39'000); // 40,000 characters are the most that it takes
}

} // namespace runbook::notify
