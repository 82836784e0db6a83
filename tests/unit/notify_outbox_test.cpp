// The outbox over a real web server: what is sent, receipts, retries, failures, one delivery per
// key.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/notify/notify.h"
#include "tests/unit/http_support.h"

using namespace runbook;
using notify::Channel;
using notify::Message;
using notify::Outbox;
using test::answer;
using test::Server;

namespace {

Channel webhook(const std::string& name, const Value& url) {
    Channel channel;
    channel.name = name;
    channel.kind = "webhook";
    channel.url = url;
    channel.retry.initial = std::chrono::milliseconds(1);
    return channel;
}

Message message(const std::string& text) {
    Message message;
    message.text = text;
    return message;
}

Error error_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error;
    }
    FAIL("no error was raised");
    return Error("", "");
}

} // namespace

TEST_CASE("notify: the console gets one line", "[notify]") {
    std::vector<std::string> lines;
    Outbox outbox([&](const std::string& line) { lines.push_back(line); });
    auto secret = make_secret("notify-secret-1", "test");
    auto sent = message("Live with notify-secret-1");
    sent.title = "MySQL 8";
    Cancel cancel;
    auto deliveries = outbox.deliver({"console"}, sent, cancel);
    REQUIRE(deliveries.size() == 1);
    CHECK(deliveries[0].delivered);
    CHECK(deliveries[0].receipt == "console");
    CHECK(deliveries[0].text == "Live with ***");
    CHECK(lines == std::vector<std::string>{"MySQL 8: Live with ***"});
}

TEST_CASE("notify: a generic webhook gets the whole message", "[notify]") {
    Server server([](const Server::Seen&, int) { return answer(200, R"({"id":"msg-17"})"); });
    Outbox outbox;
    Channel channel = webhook("ops", server.url("/hook"));
    channel.headers = {{"Authorization", make_secret("Bearer tok-1", "test")}};
    outbox.add(channel);
    auto sent = message("Backup done");
    sent.run = "r1";
    sent.step = "backup";
    sent.data = Map{{"rows", 5}};
    Cancel cancel;
    auto delivery = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(delivery.delivered);
    CHECK(delivery.receipt == "msg-17");
    CHECK(delivery.attempts == 1);
    auto seen = server.seen().at(0);
    CHECK(seen.head.starts_with("POST /hook HTTP/1.1\r\n"));
    CHECK(seen.head.find("Authorization: Bearer tok-1\r\n") != std::string::npos);
    CHECK(seen.head.find("Idempotency-Key: " + delivery.key + "\r\n") != std::string::npos);
    Value parsed = json::parse(seen.body);
    const Map& body = *parsed.get<Map>();
    CHECK(body.text("text") == "Backup done");
    CHECK(body.text("run") == "r1");
    CHECK(body.text("step") == "backup");
    CHECK(body.text("level") == "info");
    CHECK(body.text("key") == delivery.key);
    CHECK(body.find("data")->get<Map>()->integer("rows") == 5);
}

TEST_CASE("notify: Slack's format", "[notify]") {
    Server server([](const Server::Seen&, int) { return answer(200, "ok"); });
    Outbox outbox;
    Channel channel = webhook("chat", server.url());
    channel.format = "slack";
    outbox.add(channel);
    Cancel cancel;
    auto delivery = outbox.deliver({"chat"}, message("a < b & c"), cancel).at(0);
    CHECK(delivery.receipt == "status 200");
    CHECK(server.seen().at(0).body == R"({"text":"a &lt; b &amp; c"})");
}

TEST_CASE("notify: retried, then delivered once per key", "[notify]") {
    Server server([](const Server::Seen&, int number) { return answer(number < 3 ? 503 : 200); });
    Outbox outbox;
    outbox.add(webhook("ops", server.url()));
    auto sent = message("once");
    sent.run = "r1";
    Cancel cancel;
    auto first = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(first.delivered);
    CHECK(first.attempts == 3);
    auto again = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(again.repeated);
    CHECK(again.delivered);
    CHECK(server.seen().size() == 3);
    sent.step = "another";
    CHECK_FALSE(outbox.deliver({"ops"}, sent, cancel).at(0).repeated);
    sent.key = "k";
    outbox.deliver({"ops"}, sent, cancel);
    sent.text = "other text, same key";
    CHECK(outbox.deliver({"ops"}, sent, cancel).at(0).repeated);
    // Without run and key there is nothing to tell two messages apart by.
    outbox.deliver({"ops"}, message("hello"), cancel);
    CHECK_FALSE(outbox.deliver({"ops"}, message("hello"), cancel).at(0).repeated);
}

TEST_CASE("notify: a failure is a result, and an error only where required", "[notify]") {
    auto url = make_secret(fmt::format("http://127.0.0.1:{}/hook/T123", test::free_port()), "test");
    Outbox outbox([](const std::string&) {});
    Channel channel = webhook("ops", url);
    outbox.add(channel);
    Cancel cancel;
    auto deliveries = outbox.deliver({"ops", "console"}, message("x"), cancel);
    REQUIRE(deliveries.size() == 2);
    CHECK_FALSE(deliveries[0].delivered);
    CHECK(deliveries[0].error_kind == "http.connection");
    CHECK(deliveries[0].error == "POST ***: connection refused");
    CHECK(deliveries[0].attempts == 3);
    CHECK(deliveries[1].delivered); // the other channel is tried all the same

    channel.required = true;
    outbox.add(channel);
    auto error = error_of([&] { outbox.deliver({"ops"}, message("x"), cancel); });
    CHECK(error.kind() == "notify.failed");
    CHECK(error.message() == "channel 'ops': POST ***: connection refused");
}

TEST_CASE("notify: unknown names", "[notify]") {
    Outbox outbox;
    outbox.add(webhook("migration", "http://localhost/"));
    Cancel cancel;
    auto error = error_of([&] { outbox.deliver({"migraton"}, message("x"), cancel); });
    CHECK(error.kind() == "usage");
    CHECK(error.message() == "no notification channel 'migraton' (did you mean 'migration'?)");
    CHECK(error.hint() == "known: console, migration");
    Channel channel;
    channel.name = "c";
    channel.kind = "webhok";
    CHECK(error_of([&] { outbox.add(channel); }).message() ==
          "channel 'c': unknown kind 'webhok' (did you mean 'webhook'?)");
    channel.kind = "webhook";
    CHECK(error_of([&] { outbox.add(channel); }).message() ==
          "channel 'c': a webhook needs an url");
    channel.url = "http://localhost/";
    channel.format = "teams";
    CHECK(error_of([&] { outbox.add(channel); }).message() ==
          "channel 'c': unknown format 'teams'");
    channel.name = "";
    CHECK(error_of([&] { outbox.add(channel); }).message() ==
          "a notification channel needs a name");
}

TEST_CASE("notify: cancel is not a failed delivery", "[notify]") {
    Outbox outbox([](const std::string&) {});
    outbox.add(webhook("ops", "http://127.0.0.1:1/"));
    Cancel cancel;
    cancel.request(Cancel::Reason::cancelled);
    CHECK(error_of([&] { outbox.deliver({"ops"}, message("x"), cancel); }).kind() == "cancelled");
}
