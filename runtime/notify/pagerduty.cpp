// PagerDuty's Events API v2: trigger, acknowledge, resolve. The dedup_key makes a repeated event
// the same incident, so sending one again is safe.
#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/notify/post.h"

#include <array>
#include <fmt/format.h>
#include <unistd.h>

namespace runbook::notify {
namespace {

std::string own_host() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "runbook";
}

class PagerDuty final : public Sender {
  public:
    explicit PagerDuty(Channel channel) : channel_(std::move(channel)) {}

    Receipt send(const Message& message, Cancel& cancel) override {
        const std::string dedup = message.incident.empty() ? message.key : message.incident;
        Map event{{"routing_key", channel_.key},
                  {"event_action", message.action.empty() ? "trigger" : message.action},
                  {"dedup_key", cut(dedup, 255)}};
        if (message.action.empty() || message.action == "trigger")
            event.set("payload", payload(message)).set("client", "runbook");
        const Asked asked =
            ask(channel_, "POST", channel_.api + "/v2/enqueue", Value(event), {}, cancel);
        const int status = asked.response.status;
        if (status != 202)
            throw status >= 200 && status < 300 ? no_event_api(asked)
                                                : answer_error(asked, advice(asked));
        if (asked.text("status") != "success")
            throw no_event_api(asked);
        const std::string known = asked.text("dedup_key");
        return {.text = known.empty() ? dedup : known};
    }

    Receipt probe(const Message& message, Cancel& cancel) override {
        send(message, cancel);
        Message over = message;
        over.action = "resolve";
        Receipt receipt = send(over, cancel);
        receipt.text = "triggered and resolved " + receipt.text;
        return receipt;
    }

  private:
    static Map payload(const Message& message) {
        Map details{{"text", message.text}};
        if (!message.run.empty())
            details.set("run", message.run);
        for (const auto& [name, value] : message.data)
            details.set(name, value);
        Map payload{{"summary", cut(one_text(message), 1024)},
                    {"source", own_host()},
                    {"severity", name_of(message.level)},
                    {"timestamp", time::iso_millis(time::now_micros())},
                    {"custom_details", details}};
        if (!message.step.empty())
            payload.set("component", message.step);
        if (!message.run.empty())
            payload.set("group", message.run);
        return payload;
    }

    /// A proxy's page, or half an answer: the event has a key, so it is sent again.
    static Error no_event_api(const Asked& asked) {
        return {"notify.unavailable", fmt::format("{} answered {}, but not that it took the event",
                                                  asked.host, asked.response.status)};
    }

    std::string advice(const Asked& asked) const {
        std::string why;
        if (const Map* body = asked.body.get<Map>())
            if (const Value* errors = body->find("errors"); errors && errors->get<List>())
                for (const Value& one : *errors->get<List>())
                    if (const auto* text = one.get<std::string>())
                        why += (why.empty() ? "" : ", ") + *text;
        return (why.empty() ? "" : cut(why, 200) + ": ") +
               fmt::format("check key of channels.{} in runbook.toml", channel_.name);
    }

    Channel channel_;
};

} // namespace

std::unique_ptr<Sender> make_pagerduty(const Channel& channel) {
    return std::make_unique<PagerDuty>(channel);
}

} // namespace runbook::notify
