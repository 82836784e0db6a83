// Notifications: channels that carry a text to people, and the outbox that sends each message once.
// Owns: the channels of a run, and which keys were delivered. Sending blocks the calling worker
// thread. A message that cannot be delivered never fails a step by itself: deliver() says so in its
// result, and throws only where the channel is `required`. Never touches Lua or the journal.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"
#include "runtime/http/http.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace runbook::notify {

/// What `runbook.toml` or a playbook says about one channel.
struct Channel {
    std::string name;
    std::string kind = "console"; ///< console, webhook
    std::string format =
        "generic"; ///< webhook: generic (the whole message as JSON), slack ({"text": …})
    Value url;     ///< webhook: text or Secret
    std::vector<std::pair<std::string, Value>> headers;
    std::chrono::milliseconds timeout{10'000};
    http::Retry retry{.attempts = 3, .initial = std::chrono::milliseconds(500)};
    http::Tls tls;
    bool required = false; ///< a failure is an error of the step
};

struct Message {
    std::string text;
    std::string title;          ///< may be empty
    std::string level = "info"; ///< info, warning, error
    std::string run, step;
    Map data; ///< further members of the generic format
    /// At most one delivery per key and channel; empty: made from run, step and text. Sent as
    /// `Idempotency-Key`.
    std::string key;
};

/// The outcome for one channel: what goes into `notify.sent` or `notify.failed`.
struct Delivery {
    std::string channel, text, key;
    bool delivered = false;
    bool repeated = false; ///< the key had been delivered before: nothing was sent
    std::string receipt; ///< what the provider answered to tell the message by; console: "console"
    int attempts = 0;
    std::string error_kind, error;
};

/// Carries messages to one channel.
class Sender {
  public:
    virtual ~Sender() = default;
    /// Returns the receipt, sets the attempts made; throws Error of any kind.
    virtual std::string send(const Message& message, int& attempts, Cancel& cancel) = 0;
};

/// Where the console channel writes a line; on the calling thread. Null: standard error.
using ConsoleSink = std::function<void(const std::string& line)>;

/// Throws `usage` for an unknown kind or format, or a webhook without an URL.
std::unique_ptr<Sender> make_sender(const Channel& channel, ConsoleSink console);

/// Remembers deliveries; the first form lives as long as the process. A journaled one loads
/// `delivered` at resume and is told of each delivery before and after.
class Ledger {
  public:
    virtual ~Ledger() = default;
    virtual bool delivered(const std::string& channel, const std::string& key) = 0;
    virtual void about_to_send(const std::string& channel, const std::string& key) = 0;
    virtual void record(const Delivery& delivery) = 0;
};
std::unique_ptr<Ledger> memory_ledger();

class Outbox {
  public:
    explicit Outbox(ConsoleSink console = {}, std::unique_ptr<Ledger> ledger = memory_ledger());

    /// Adds or replaces. There is always a channel `console`. Throws `usage`.
    void add(const Channel& channel);
    std::vector<std::string> channels() const;

    /// Sends to each of the named channels, in their order. Throws `usage` for an unknown channel
    /// (before anything is sent, naming the nearest), `notify.failed` where a required channel
    /// failed (after all were tried), `cancelled`, `timeout`.
    std::vector<Delivery> deliver(const std::vector<std::string>& channels, const Message& message,
                                  Cancel& cancel);

  private:
    struct Entry {
        Channel channel;
        std::unique_ptr<Sender> sender;
    };
    ConsoleSink console_;
    std::unique_ptr<Ledger> ledger_;
    mutable std::mutex mutex_; ///< over entries_; sending happens outside
    std::map<std::string, std::shared_ptr<Entry>> entries_;
};

} // namespace runbook::notify
