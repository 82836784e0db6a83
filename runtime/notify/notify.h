// Notifications: channels that carry a text to people, and the outbox that sends each message once.
// Owns: the channels of a run, which keys were delivered, each channel's turn and pace. Sending
// blocks the calling worker thread. A message that cannot be delivered never fails a step by
// itself: deliver() says so in its result, and throws only where the channel is `required`. Never
// touches Lua or the journal: what must outlast the process is the engine's.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/error.h"
#include "runtime/base/value.h"
#include "runtime/http/http.h"

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace runbook::notify {

/// How severe a message is, from the mildest.
enum class Level { info, warning, error, critical };
inline constexpr std::array<std::string_view, 4> level_names{"info", "warning", "error",
                                                             "critical"};
std::string_view name_of(Level level);
/// Nothing where it is none.
std::optional<Level> level_of(std::string_view word);

/// What `runbook.toml` or a playbook says about one channel; made by channel_of().
struct Channel {
    std::string name;
    std::string kind = "console"; ///< a name of kinds()
    std::string format;           ///< webhook: generic, slack, grafana; file: text, json
    Value url;                    ///< webhook, slack: text or Secret
    std::string api;              ///< slack, pagerduty, statuspage: where their API is
    Value token;                  ///< slack, statuspage, webhook: Secret
    Value key;                    ///< pagerduty: the integration's routing key
    std::string place; ///< slack: the channel; statuspage: the page; file: its path; smtp: host
    int port = 0;      ///< smtp
    std::string security = "starttls"; ///< smtp: starttls, tls, none
    std::string from, user;            ///< smtp
    Value password;                    ///< smtp
    std::vector<std::string> to;       ///< smtp: addresses
    std::vector<std::string> components;
    std::string style = "maintenance"; ///< statuspage: maintenance, incident
    bool threads = true; ///< what follows the first message of a run is an answer to it
    std::vector<std::pair<std::string, Value>> headers;
    std::chrono::milliseconds timeout{10'000}; ///< of one attempt
    http::Retry retry{.attempts = 8, .initial = std::chrono::milliseconds(500)};
    std::chrono::milliseconds pace{0}; ///< least time between two messages
    http::Tls tls;
    bool required = false;     ///< a failure is an error of the step
    Level level = Level::info; ///< milder messages are not for this channel
    /// Of the kind `route`: the channels for a level, each list also for those above it up to the
    /// next list.
    std::map<Level, std::vector<std::string>> routes;
};

/// The kinds of channels: console, file, bell, webhook, slack, pagerduty, statuspage, smtp, route.
std::vector<std::string> kinds();
/// The settings of a kind that are secrets: a reference to one in `runbook.toml`.
bool is_secret_setting(std::string_view key);
/// A channel from its settings; relative paths count from `folder`. Throws `usage` as "unknown
/// key …", "level: …" (without the channel's name, which the caller has).
Channel channel_of(const std::string& name, const std::string& kind, const Map& settings,
                   const std::string& folder = {});

struct Message {
    std::string text;
    std::string title; ///< may be empty
    Level level = Level::info;
    std::string run, step;
    Map data; ///< further members of the generic format
    /// At most one delivery per key and channel; empty: it is always sent. Sent as
    /// `Idempotency-Key`.
    std::string key;
    std::string stage;    ///< of a run: scheduled, started, update, rollback, rolled_back, held,
                          ///< failed, done; what a status page is told
    std::string action;   ///< of an incident: trigger (if left out), acknowledge, resolve
    std::string incident; ///< which one; its key if left out
    std::string thread;   ///< what the first message of the run got back from this channel
    bool again = false;   ///< may have been sent before: whoever can look it up does
};

/// What a sender returns of a delivered message.
struct Receipt {
    std::string text;      ///< what the provider tells the message by
    std::string thread;    ///< for `Message::thread` of those that follow
    bool repeated = false; ///< it was there already
};

/// The outcome for one channel: what goes into `notify.sent` or `notify.failed`.
struct Delivery {
    std::string channel, text, key;
    bool delivered = false;
    bool repeated = false; ///< the key had been delivered before: nothing was sent
    std::string receipt; ///< what the provider answered to tell the message by; console: "console"
    std::string thread;
    int attempts = 0;
    std::string error_kind, error;
};

/// Carries messages to one channel.
class Sender {
  public:
    virtual ~Sender() = default;
    /// One attempt. Throws Error; `notify.unavailable`, `http.connection` and `http.timeout` are
    /// worth another one, not before its retry_after.
    virtual Receipt send(const Message& message, Cancel& cancel) = 0;
    /// For `runbook channels --test`: sends, or looks whether it could.
    virtual Receipt probe(const Message& message, Cancel& cancel) { return send(message, cancel); }
};

/// Where the console channel writes a line; on the calling thread. Null: standard error.
using ConsoleSink = std::function<void(const std::string& line)>;

std::unique_ptr<Sender> make_sender(const Channel& channel, ConsoleSink console);

/// Where a channel leads, for people: never a secret or the path of a hook.
std::string leads_to(const Channel& channel);

/// Remembers deliveries; the first form lives as long as the process.
class Ledger {
  public:
    virtual ~Ledger() = default;
    virtual bool delivered(const std::string& channel, const std::string& key) = 0;
    virtual void record(const std::string& channel, const std::string& key) = 0;
};
std::unique_ptr<Ledger> memory_ledger();

class Outbox {
  public:
    explicit Outbox(ConsoleSink console = {}, std::unique_ptr<Ledger> ledger = memory_ledger());

    /// Adds or replaces. There is always a channel `console`. Throws `usage`.
    void add(const Channel& channel);
    /// Names in their order.
    std::vector<std::string> channels() const;
    /// Null where there is none.
    std::shared_ptr<const Channel> find(const std::string& name) const;
    /// That key was delivered there by an earlier process.
    void remember(const std::string& channel, const std::string& key);
    /// The run that messages without one are of.
    void set_run(const std::string& run);
    std::string run() const;

    /// The channels that a message of that level goes to: routes resolved, each once, without those
    /// that it is too mild for. Throws `usage` for an unknown one, naming the nearest.
    std::vector<std::string> route(const std::vector<std::string>& names, Level level) const;

    /// Sends to each of the named channels, in their order, waiting for each one's turn and pace,
    /// and again after a failure that may pass. Throws `usage` for an unknown channel (before
    /// anything is sent, naming the nearest), `notify.failed` where a required channel failed
    /// (after all were tried; not unless `raise`), `cancelled`, `timeout`.
    std::vector<Delivery> deliver(const std::vector<std::string>& channels, const Message& message,
                                  Cancel& cancel, bool raise = true);
    /// One attempt to send, or only to look, whatever the level. Throws as Sender::send().
    Receipt probe(const std::string& channel, const Message& message, Cancel& cancel);
    /// Why that channel's message is not there yet, as far as it was tried; empty: no failure.
    std::string trouble(const std::string& channel) const;

  private:
    struct Entry;
    std::shared_ptr<Entry> entry(const std::string& name) const;
    void attempt_all(Entry& entry, Message message, Delivery& delivery, Cancel& cancel);

    ConsoleSink console_;
    std::unique_ptr<Ledger> ledger_;
    mutable std::mutex mutex_; ///< over entries_ and run_; sending happens outside
    std::string run_;
    std::map<std::string, std::shared_ptr<Entry>> entries_;
};

} // namespace runbook::notify
