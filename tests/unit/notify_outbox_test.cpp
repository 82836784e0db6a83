// The outbox over a real web server: what is sent, receipts, retries, failures, one delivery per
// key.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
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
    channel.format = "generic";
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
    sent.key = "r1/backup";
    sent.data = Map{{"rows", 5}};
    Cancel cancel;
    auto delivery = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(delivery.delivered);
    CHECK(delivery.receipt == "msg-17");
    CHECK(delivery.attempts == 1);
    auto seen = server.seen().at(0);
    CHECK(seen.head.starts_with("POST /hook HTTP/1.1\r\n"));
    CHECK(seen.head.find("Authorization: Bearer tok-1\r\n") != std::string::npos);
    CHECK(seen.head.find("Idempotency-Key: r1/backup\r\n") != std::string::npos);
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
    sent.key = "k";
    Cancel cancel;
    auto first = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(first.delivered);
    CHECK(first.attempts == 3);
    sent.text = "other text, same key";
    auto again = outbox.deliver({"ops"}, sent, cancel).at(0);
    CHECK(again.repeated);
    CHECK(again.delivered);
    CHECK(server.seen().size() == 3);
    sent.key = "another";
    CHECK_FALSE(outbox.deliver({"ops"}, sent, cancel).at(0).repeated);
    outbox.remember("ops", "earlier");
    sent.key = "earlier";
    CHECK(outbox.deliver({"ops"}, sent, cancel).at(0).repeated);
    // Without a key there is nothing to tell two messages apart by.
    outbox.deliver({"ops"}, message("hello"), cancel);
    CHECK_FALSE(outbox.deliver({"ops"}, message("hello"), cancel).at(0).repeated);
    auto seen = server.seen();
    auto key = [](const std::string& head) { return head.substr(head.find("Idempotency-Key")); };
    CHECK(key(seen.at(4).head) != key(seen.at(5).head));
}

TEST_CASE("notify: a failure is a result, and an error only where required", "[notify]") {
    const int port = test::free_port();
    auto url = make_secret(fmt::format("http://127.0.0.1:{}/hook/T123", port), "test");
    Outbox outbox([](const std::string&) {});
    Channel channel = webhook("ops", url);
    channel.retry.attempts = 3;
    outbox.add(channel);
    Cancel cancel;
    auto deliveries = outbox.deliver({"ops", "console"}, message("x"), cancel);
    REQUIRE(deliveries.size() == 2);
    CHECK_FALSE(deliveries[0].delivered);
    CHECK(deliveries[0].error_kind == "http.connection");
    const std::string text = fmt::format(
        "http://127.0.0.1:{}: connection refused; try it: runbook channels --test ops", port);
    CHECK(deliveries[0].error == text);
    CHECK(deliveries[0].attempts == 3);
    CHECK(deliveries[1].delivered); // the other channel is tried all the same
    CHECK(outbox.trouble("ops") == fmt::format("http://127.0.0.1:{}: connection refused", port));

    channel.required = true;
    outbox.add(channel);
    auto error = error_of([&] { outbox.deliver({"ops"}, message("x"), cancel); });
    CHECK(error.kind() == "notify.failed");
    CHECK(error.message() == "channel 'ops': " + text);
}

TEST_CASE("notify: an answer that asking again would not change is not asked for again",
          "[notify]") {
    Server server([](const Server::Seen&, int) { return answer(404, "no_service"); });
    Outbox outbox;
    outbox.add(webhook("ops", server.url("/services/T1/B2/tokenword")));
    Cancel cancel;
    auto delivery = outbox.deliver({"ops"}, message("x"), cancel).at(0);
    CHECK(delivery.attempts == 1);
    CHECK(delivery.error_kind == "notify.refused");
    CHECK(delivery.error ==
          fmt::format("http://127.0.0.1:{} answered 404 (no_service); nothing is there any more: "
                      "check url of channels.ops in runbook.toml; try it: runbook channels --test "
                      "ops",
                      server.port()));
}

TEST_CASE("notify: Retry-After is waited for, one that is too long is a failure", "[notify]") {
    Server server([](const Server::Seen& seen, int number) {
        if (seen.body.find("\"later\"") != std::string::npos)
            return answer(429, "", "Retry-After: 3600\r\n");
        return number == 1 ? answer(429, "", "Retry-After: 1\r\n") : answer(200);
    });
    Outbox outbox;
    outbox.add(webhook("ops", server.url()));
    Cancel cancel;
    const double before = time::monotonic();
    auto delivery = outbox.deliver({"ops"}, message("x"), cancel).at(0);
    CHECK(delivery.delivered);
    CHECK(time::monotonic() - before >= 1);
    delivery = outbox.deliver({"ops"}, message("later"), cancel).at(0);
    CHECK_FALSE(delivery.delivered);
    CHECK(delivery.attempts == 1);
}

TEST_CASE("notify: a channel's rate holds, and senders take turns in their order", "[notify]") {
    std::mutex mutex;
    std::vector<double> times;
    Server server([&](const Server::Seen&, int) {
        std::lock_guard lock(mutex);
        times.push_back(time::monotonic());
        return answer(200);
    });
    Outbox outbox;
    Channel channel = webhook("ops", server.url());
    channel.pace = std::chrono::milliseconds(120);
    outbox.add(channel);
    std::vector<std::thread> threads;
    Cancel cancel;
    for (int i = 0; i < 5; ++i) {
        threads.emplace_back(
            [&, i] { outbox.deliver({"ops"}, message(fmt::format("m{}", i)), cancel); });
        std::this_thread::sleep_for(std::chrono::milliseconds(20)); // they come one after the other
    }
    for (auto& thread : threads)
        thread.join();
    REQUIRE(times.size() == 5);
    for (std::size_t i = 1; i < times.size(); ++i)
        CHECK(times[i] - times[i - 1] >= 0.119);
    auto seen = server.seen();
    for (std::size_t i = 0; i < seen.size(); ++i)
        CHECK(seen[i].body.find(fmt::format("\"m{}\"", i)) != std::string::npos);
}

TEST_CASE("notify: a cancel ends waiting for a turn, a pace and a retry", "[notify]") {
    Server server([](const Server::Seen&, int) { return answer(503, "", "Retry-After: 60\r\n"); });
    Outbox outbox;
    outbox.add(webhook("ops", server.url()));
    Cancel first, second;
    std::vector<std::string> kinds(2);
    auto send = [&](Cancel& cancel, std::string& kind) {
        kind = error_of([&] { outbox.deliver({"ops"}, message("x"), cancel); }).kind();
    };
    std::thread a([&] { send(first, kinds[0]); });
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    std::thread b([&] { send(second, kinds[1]); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const double before = time::monotonic();
    second.request(Cancel::Reason::timeout);
    b.join();
    first.request(Cancel::Reason::cancelled);
    a.join();
    CHECK(time::monotonic() - before < 2);
    CHECK(kinds == std::vector<std::string>{"cancelled", "timeout"});
    CHECK(server.seen().size() == 1);
}

TEST_CASE("notify: levels lead along routes, and milder messages stay away", "[notify]") {
    Outbox outbox([](const std::string&) {});
    const auto add = [&](const std::string& name, const std::string& kind, const Map& settings) {
        outbox.add(notify::channel_of(name, kind, settings));
    };
    const Value key = Value(make_secret("routing-key-of-a-test", "test"));
    add("pager", "pagerduty", {{"key", key}});
    for (const char* name : {"alerts", "monitoring", "notes"})
        add(name, "file", {{"path", "/dev/null"}});
    add("ops", "route",
        {{"critical", List{"alerts", "pager"}}, {"warning", "monitoring"}, {"info", "notes"}});
    add("loud", "route", {{"error", List{"alerts", "pager", "console"}}});
    using notify::Level;
    using Names = std::vector<std::string>;
    CHECK(outbox.route({"ops"}, Level::critical) == Names{"alerts", "pager"});
    CHECK(outbox.route({"ops"}, Level::error) == Names{"monitoring"});
    CHECK(outbox.route({"ops"}, Level::warning) == Names{"monitoring"});
    CHECK(outbox.route({"ops"}, Level::info) == Names{"notes"});
    CHECK(outbox.route({"loud"}, Level::critical) == Names{"alerts", "pager", "console"});
    CHECK(outbox.route({"loud"}, Level::warning).empty());
    CHECK(outbox.route({"pager"}, Level::warning).empty());
    CHECK(outbox.route({"ops", "alerts", "loud"}, Level::critical) ==
          Names{"alerts", "pager", "console"});
    auto error = error_of([&] { outbox.route({"alrts"}, Level::info); });
    CHECK(error.kind() == "usage");
    CHECK(error.message() == "no notification channel 'alrts' (did you mean 'alerts'?)");
    CHECK(error.hint() == "known: alerts, console, loud, monitoring, notes, ops, pager");
}

TEST_CASE("notify: cancel is not a failed delivery", "[notify]") {
    Outbox outbox([](const std::string&) {});
    outbox.add(webhook("ops", "http://127.0.0.1:1/"));
    Cancel cancel;
    cancel.request(Cancel::Reason::cancelled);
    CHECK(error_of([&] { outbox.deliver({"ops"}, message("x"), cancel); }).kind() == "cancelled");
}
