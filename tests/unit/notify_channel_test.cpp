// The settings of a channel: what each kind takes, and the exact words where it does not.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/notify/notify.h"

using namespace runbook;
using notify::channel_of;

namespace {

Value secret(const std::string& text) {
    return Value(make_secret(text, "test"));
}

std::string problem(const std::string& kind, const Map& settings) {
    try {
        channel_of("ops", kind, settings);
    } catch (const Error& error) {
        CHECK(error.kind() == "usage");
        return error.message() + (error.hint().empty() ? "" : " | " + error.hint());
    }
    return "fine";
}

} // namespace

TEST_CASE("notify: every kind of channel, and what it knows by itself", "[notify]") {
    auto slack = channel_of("a", "slack", {{"url", secret("https://hooks.slack.com/services/T1")}});
    CHECK(slack.pace == std::chrono::milliseconds(1000));
    CHECK(slack.retry.attempts == 8);
    auto app = channel_of("a", "slack",
                          {{"token", secret("xoxb-1-test-token")}, {"channel", "#migration"}});
    CHECK(app.api == "https://slack.com/api");
    CHECK(app.place == "#migration");
    CHECK(app.threads);
    auto pager = channel_of("a", "pagerduty", {{"key", secret("R0UT1NGKEY")}, {"rate", "30/m"}});
    CHECK(pager.level == notify::Level::error);
    CHECK(pager.pace == std::chrono::milliseconds(2000));
    CHECK(pager.api == "https://events.pagerduty.com");
    auto page = channel_of("a", "statuspage",
                           {{"token", secret("status-token")},
                            {"page", "abc123"},
                            {"components", List{"c1", "c2"}},
                            {"style", "incident"}});
    CHECK(page.components == std::vector<std::string>{"c1", "c2"});
    auto mail = channel_of("a", "smtp",
                           {{"host", "mail.example.com"},
                            {"from", "Ops <ops@example.com>"},
                            {"to", List{"a@example.com", "b@example.com"}},
                            {"timeout", "3s"},
                            {"level", "warning"},
                            {"ca", "ca.pem"}},
                           "/etc/app");
    CHECK(mail.security == "starttls");
    CHECK(mail.timeout == std::chrono::milliseconds(3000));
    CHECK(mail.level == notify::Level::warning);
    CHECK(mail.tls.ca == "/etc/app/ca.pem");
    auto file = channel_of("a", "file", {{"path", "log/told.log"}, {"required", true}}, "/srv/x/");
    CHECK(file.place == "/srv/x/log/told.log");
    CHECK(file.format == "text");
    CHECK(file.required);
    CHECK(channel_of("a", "bell", {}).kind == "bell");
    auto route = channel_of("a", "route", {{"critical", List{"x", "y"}}, {"info", "z"}});
    CHECK(route.routes.at(notify::Level::critical) == std::vector<std::string>{"x", "y"});
}

TEST_CASE("notify: the path of a hook is a secret, also where it stands in the open", "[notify]") {
    auto channel =
        channel_of("a", "webhook", {{"url", "https://chat.example.com/hooks/Zq81hPath7"}});
    REQUIRE(channel.url.get<SecretPtr>());
    CHECK(redact("posted to https://chat.example.com/hooks/Zq81hPath7") == "posted to ***");
    CHECK(channel_of("a", "webhook", {{"url", "http://localhost:9"}}).url.get<std::string>());
}

TEST_CASE("notify: what a channel cannot mean", "[notify]") {
    CHECK(problem("webhok", {}) ==
          "unknown type 'webhok' (did you mean 'webhook'?) | known here: console, file, bell, "
          "webhook, slack, pagerduty, statuspage, smtp, route");
    CHECK(problem("webhook", {}) ==
          "url is missing | url = \"env:NAME\" takes it from the environment");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"requird", true}}) ==
          "unknown key 'requird' (did you mean 'required'?) | known here: type, url, format, "
          "headers, token, ca, level, required, attempts, timeout, rate");
    CHECK(problem("webhook", {{"url", "hooks.slack.com/services"}}) ==
          "url: an address that begins with https:// or http:// expected");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"format", "teams"}}) ==
          "unknown format 'teams' | known here: generic, slack, grafana");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"timeout", "10 minuts"}}) ==
          "timeout: a duration such as 30s or 10m expected");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"attempts", 0}}) ==
          "attempts: a number from 1 to 1000 expected");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"rate", "often"}}) ==
          "rate: how many messages in a second, minute or hour expected: 1/s, 30/m, 100/h");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"rate", "0/s"}}).starts_with("rate: "));
    CHECK(problem("webhook", {{"url", "http://x/"}, {"level", "warn"}}) ==
          "unknown level 'warn' | known here: info, warning, "
          "error, critical");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"headers", "A: b"}}) ==
          "headers: { Name = \"text\" } expected");
    CHECK(problem("webhook", {{"url", "http://x/"}, {"headers", Map{{"A", "b\r\nC: d"}}}}) ==
          "headers.A: one line expected");
    CHECK(problem("slack", {}) ==
          "url is missing | url (an incoming webhook), or token and channel (an app)");
    CHECK(problem("slack", {{"token", "xoxb-in-the-open"}, {"channel", "C1"}}) ==
          "token: a secret expected, not its text | secret.env \"NAME\" takes it from the "
          "environment");
    CHECK(problem("slack", {{"token", secret("xoxb-a-token")}}) ==
          "channel is missing | where the token's app posts: C0123456789 or #migration");
    CHECK(problem("slack",
                  {{"token", secret("xoxb-a-token")}, {"channel", "C1"}, {"url", "http://x/y"}}) ==
          "both url and token: one of them says how to get there");
    CHECK(problem("slack", {{"token", secret("xoxb-a-token")},
                            {"channel", "C1"},
                            {"api", "http://slack.example.com/api"}}) ==
          "api: an address that begins with https:// expected | the token would be readable on "
          "its way");
    CHECK(problem("pagerduty", {}) ==
          "key is missing | key = \"env:NAME\" takes it from the environment");
    CHECK(problem("statuspage", {{"token", secret("status-token")}}) == "page is missing");
    CHECK(problem("file", {}) == "path is missing");
    const auto mail = [](const std::string& key, const Value& value) {
        Map map{{"host", "m"}, {"from", "a@x"}, {"to", "b@x"}};
        return problem("smtp", map.set(key, value));
    };
    CHECK(mail("to", "team") == "to: 'team' is no address such as team@example.com");
    CHECK(mail("to", List{}) == "to: at least one expected");
    CHECK(mail("from", "a@x\r\nBcc: c@x") == "from: one line expected");
    CHECK(mail("user", "ops") == "password is missing | user and password belong together");
    CHECK(mail("password", secret("mail-password")) ==
          "user is missing | user and password belong together");
    CHECK(mail("port", 70000) == "port: a number from 1 to 65535 expected");
    CHECK(mail("security", "ssl") == "unknown security 'ssl' | known here: starttls, tls, "
                                     "none");
    CHECK(problem("smtp", {{"host", "m"},
                           {"from", "a@x"},
                           {"to", "b@x"},
                           {"user", "u"},
                           {"password", secret("mail-password")},
                           {"security", "none"}}) ==
          "security: none would show the password to everybody on its way | starttls (port 587) "
          "or tls (port 465)");
    CHECK(problem("route", {}) ==
          "no level leads anywhere | critical = [\"alerts\", \"pager\"], warning = "
          "\"monitoring\"");
    CHECK(
        problem("route", {{"fatal", "x"}}).starts_with("unknown key 'fatal' | known here: type, "));
    CHECK(problem("route", {{"info", 5}}) == "info: text expected");
}
