// Slack through its Web API (chat.postMessage) with the token of an app: unlike an incoming webhook
// it says what it posted, so that what follows can be a thread. Slack has no key by which it would
// know a message again: one whose answer was lost is sent a second time rather than not at all.
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/notify/post.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace runbook::notify {
namespace {

class Slack final : public Sender {
  public:
    explicit Slack(Channel channel)
        : channel_(std::move(channel)), login_(authorization("Bearer", channel_.token)) {}

    Receipt send(const Message& message, Cancel& cancel) override {
        std::string thread = channel_.threads ? message.thread : "";
        Asked asked = post(message, thread, cancel);
        if (!thread.empty() && asked.text("error") == "thread_not_found") {
            thread.clear(); // somebody removed its first message
            asked = post(message, thread, cancel);
        }
        check(asked);
        const std::string ts = asked.text("ts");
        return {.text = ts, .thread = thread.empty() ? ts : thread};
    }

  private:
    Asked post(const Message& message, const std::string& thread, Cancel& cancel) {
        Map body{
            {"channel", channel_.place}, {"text", slack_text(message)}, {"unfurl_links", false}};
        if (!thread.empty()) {
            body.set("thread_ts", thread);
            // what nobody should have to open a thread for
            if (message.level >= Level::error || message.stage == "done" ||
                message.stage == "rolled_back")
                body.set("reply_broadcast", true);
        }
        return ask(channel_, "POST", channel_.api + "/chat.postMessage", Value(body),
                   {{"Authorization", login_}, {"Content-Type", "application/json; charset=utf-8"}},
                   cancel);
    }

    void check(const Asked& asked) const {
        if (asked.response.status != 200)
            throw answer_error(asked, "");
        const Map* answer = asked.body.get<Map>();
        if (!answer)
            throw Error("notify.unavailable", asked.host + " answered something that is no JSON");
        if (answer->boolean("ok"))
            return;
        static constexpr std::array passing{"internal_error",      "fatal_error", "request_timeout",
                                            "service_unavailable", "ratelimited", "rate_limited"};
        const std::string problem = asked.text("error");
        const bool again = std::find(passing.begin(), passing.end(), problem) != passing.end();
        Error error(again ? "notify.unavailable" : "notify.refused",
                    fmt::format("{}: {}", asked.host, cut(redact(problem), 120)),
                    again ? "" : advice(problem));
        if (const auto asks = http::retry_after(asked.response))
            error.set_retry_after(static_cast<double>(asks->count()) / 1000);
        throw error;
    }

    std::string advice(const std::string& problem) const {
        const std::string entry = fmt::format("channels.{} in runbook.toml", channel_.name);
        if (problem == "channel_not_found" || problem == "is_archived")
            return fmt::format("Slack has no channel '{}' that the app sees: check {}",
                               channel_.place, entry);
        if (problem == "not_in_channel")
            return fmt::format("invite the app into {}: /invite", channel_.place);
        if (problem == "missing_scope")
            return "the app needs the scope chat:write";
        if (problem.find("auth") != std::string::npos || problem.find("token") == 0 ||
            problem == "account_inactive")
            return "check token of " + entry;
        return {};
    }

    Channel channel_;
    Value login_;
};

} // namespace

std::unique_ptr<Sender> make_slack(const Channel& channel) {
    return std::make_unique<Slack>(channel);
}

} // namespace runbook::notify
