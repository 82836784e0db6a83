// The outbox: which keys were delivered, retries, templates. Worker threads; see notify.h.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/notify/notify.h"

#include <fmt/format.h>

namespace runbook::notify {
namespace {

class MemoryLedger final : public Ledger {
  public:
    bool delivered(const std::string& channel, const std::string& key) override {
        std::lock_guard lock(mutex_);
        return delivered_.contains({channel, key});
    }
    void about_to_send(const std::string&, const std::string&) override {}
    void record(const Delivery& delivery) override {
        std::lock_guard lock(mutex_);
        if (delivery.delivered)
            delivered_.insert({delivery.channel, delivery.key});
    }

  private:
    std::mutex mutex_;
    std::set<std::pair<std::string, std::string>> delivered_;
};

} // namespace

std::unique_ptr<Ledger> memory_ledger() {
    return std::make_unique<MemoryLedger>();
}

Outbox::Outbox(ConsoleSink console, std::unique_ptr<Ledger> ledger)
    : console_(std::move(console)), ledger_(std::move(ledger)) {
    add(Channel{.name = "console"});
}

void Outbox::add(const Channel& channel) {
    if (channel.name.empty())
        throw Error("usage", "a notification channel needs a name");
    auto entry = std::make_shared<Entry>();
    entry->channel = channel;
    entry->sender = make_sender(channel, console_);
    std::lock_guard lock(mutex_);
    entries_[channel.name] = std::move(entry);
}

std::vector<std::string> Outbox::channels() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_)
        names.push_back(name);
    return names;
}

std::vector<Delivery> Outbox::deliver(const std::vector<std::string>& channels,
                                      const Message& given, Cancel& cancel) {
    std::vector<std::shared_ptr<Entry>> targets;
    for (const auto& name : channels) {
        auto known = this->channels();
        std::lock_guard lock(mutex_);
        auto found = entries_.find(name);
        if (found == entries_.end())
            throw Error("usage",
                        fmt::format("no notification channel '{}'{}", name,
                                    text::did_you_mean(name, known)),
                        "known: " + text::join(known, ", "));
        targets.push_back(found->second);
    }
    Message message = given;
    message.text = redact(given.text);
    message.title = redact(given.title);
    // A message without run, step and key of its own is told apart by nothing: it is always sent.
    bool keyed = !given.key.empty() || !given.run.empty();
    if (message.key.empty())
        message.key = digest::sha256_hex(given.run + '\0' + given.step + '\0' + message.title +
                                         '\0' + message.text)
                          .substr(0, 32);
    std::vector<Delivery> outcome;
    std::string failed;
    for (const auto& target : targets) {
        Delivery delivery;
        delivery.channel = target->channel.name;
        delivery.text = message.text;
        delivery.key = message.key;
        if (keyed && ledger_->delivered(delivery.channel, delivery.key)) {
            delivery.delivered = delivery.repeated = true;
            outcome.push_back(delivery);
            continue;
        }
        ledger_->about_to_send(delivery.channel, delivery.key);
        try {
            delivery.receipt = target->sender->send(message, delivery.attempts, cancel);
            delivery.delivered = true;
        } catch (const Error& error) {
            delivery.error_kind = error.kind();
            delivery.error = redact(error.message());
        }
        ledger_->record(delivery);
        outcome.push_back(delivery);
        cancel.check("notify");
        if (!delivery.delivered && target->channel.required && failed.empty())
            failed = fmt::format("channel '{}': {}", delivery.channel, delivery.error);
    }
    if (!failed.empty())
        throw Error("notify.failed", failed, "the channel is declared as required");
    return outcome;
}

} // namespace runbook::notify
