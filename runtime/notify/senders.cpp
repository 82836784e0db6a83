// The channels: console and webhook.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/notify/notify.h"

#include <array>
#include <cstdio>
#include <fmt/format.h>

namespace runbook::notify {
namespace {

std::string one_text(const Message& message) {
    return message.title.empty() ? message.text : message.title + ": " + message.text;
}

class Console final : public Sender {
  public:
    explicit Console(ConsoleSink sink) : sink_(std::move(sink)) {}
    std::string send(const Message& message, int& attempts, Cancel&) override {
        attempts = 1;
        std::string line = one_text(message);
        if (sink_)
            sink_(line);
        else
            std::fprintf(stderr, "%s\n", line.c_str());
        return "console";
    }

  private:
    ConsoleSink sink_;
};

class Webhook final : public Sender {
  public:
    explicit Webhook(Channel channel) : channel_(std::move(channel)) {}

    std::string send(const Message& message, int& attempts, Cancel& cancel) override {
        http::Request request;
        request.method = "POST";
        request.url = open_url();
        request.headers = channel_.headers;
        request.headers.emplace_back("Idempotency-Key", message.key);
        request.timeout = channel_.timeout;
        request.retry = channel_.retry;
        request.tls = channel_.tls;
        request.json = channel_.format == "slack" ? slack(message) : generic(message);
        attempts = channel_.retry.attempts; // of a failure; a success says how many it took
        http::Response response = http::request(request, cancel);
        attempts = response.attempts;
        return receipt(response);
    }

  private:
    std::string open_url() const {
        if (auto* secret = channel_.url.get<SecretPtr>())
            return (*secret)->reveal();
        return *channel_.url.get<std::string>();
    }

    static Value slack(const Message& message) {
        std::string text = one_text(message), escaped;
        for (char c : text) // the three characters that mean something in its markup
            escaped += c == '&'   ? "&amp;"
                       : c == '<' ? "&lt;"
                       : c == '>' ? "&gt;"
                                  : std::string(1, c);
        return Map{{"text", escaped}};
    }

    static Value generic(const Message& message) {
        Map body;
        body.set("key", message.key).set("level", message.level).set("text", message.text);
        if (!message.title.empty())
            body.set("title", message.title);
        if (!message.run.empty())
            body.set("run", message.run);
        if (!message.step.empty())
            body.set("step", message.step);
        body.set("ts", time::iso_millis(time::now_micros()));
        if (!message.data.empty())
            body.set("data", redact(Value(message.data))); // a chat is no place for secrets
        return body;
    }

    /// What tells the message again: an id in the answer, a request id, or the status.
    static std::string receipt(const http::Response& response) {
        try {
            Value body = json::parse(response.body);
            if (auto* map = body.get<Map>())
                for (const char* name : {"id", "ts", "message_id", "key"})
                    if (const Value* id = map->find(name)) {
                        if (auto* text = id->get<std::string>(); text && !text->empty())
                            return text->substr(0, 200);
                        if (auto* number = id->get<std::int64_t>())
                            return std::to_string(*number);
                    }
        } catch (const Error&) { // Slack answers "ok"
        }
        for (const char* name : {"x-request-id", "x-slack-req-id"})
            if (auto id = response.header(name); !id.empty())
                return std::string(id);
        return fmt::format("status {}", response.status);
    }

    Channel channel_;
};

void check_word(const Channel& channel, const char* what, const std::string& word,
                const std::vector<std::string>& known) {
    for (const auto& name : known)
        if (name == word)
            return;
    throw Error("usage",
                fmt::format("channel '{}': unknown {} '{}'{}", channel.name, what, word,
                            text::did_you_mean(word, known)),
                "known: " + text::join(known, ", "));
}

} // namespace

std::unique_ptr<Sender> make_sender(const Channel& channel, ConsoleSink console) {
    check_word(channel, "kind", channel.kind, {"console", "webhook"});
    check_word(channel, "format", channel.format, {"generic", "slack"});
    if (channel.kind == "console")
        return std::make_unique<Console>(std::move(console));
    if (!channel.url.get<std::string>() && !channel.url.get<SecretPtr>())
        throw Error("usage", fmt::format("channel '{}': a webhook needs an url", channel.name));
    return std::make_unique<Webhook>(channel);
}

} // namespace runbook::notify
