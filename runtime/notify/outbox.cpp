// The outbox: which keys were delivered, where a level leads, turns, paces, retries. Worker
// threads; see notify.h.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/notify/notify.h"
#include "runtime/notify/turn.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace runbook::notify {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class MemoryLedger final : public Ledger {
  public:
    bool delivered(const std::string& channel, const std::string& key) override {
        std::lock_guard lock(mutex_);
        return delivered_.contains({channel, key});
    }
    void record(const std::string& channel, const std::string& key) override {
        std::lock_guard lock(mutex_);
        delivered_.insert({channel, key});
    }

  private:
    std::mutex mutex_;
    std::set<std::pair<std::string, std::string>> delivered_;
};

/// The longest that a provider may ask to be left alone, before it counts as failed.
constexpr double longest_pause_s = 300;

bool may_pass(const Error& error) {
    return error.kind() == "notify.unavailable" || error.kind() == "http.connection" ||
           error.kind() == "http.timeout";
}

/// Full jitter; what the provider asked for is the least.
milliseconds delay_after(const http::Retry& retry, int attempt, const Error& error) {
    double limit = static_cast<double>(retry.initial.count());
    for (int i = 1; i < attempt && limit < static_cast<double>(retry.max_delay.count()); ++i)
        limit *= retry.backoff;
    limit = std::min(limit, static_cast<double>(retry.max_delay.count()));
    thread_local std::mt19937_64 random{std::random_device{}()};
    const double drawn = std::uniform_real_distribution<>(0, limit)(random);
    return milliseconds(static_cast<std::int64_t>(std::max(drawn, error.retry_after() * 1000 + 1)));
}

std::string with_hint(const Error& error) {
    return redact(error.message() + (error.hint().empty() ? "" : "; " + error.hint()));
}

} // namespace

struct Outbox::Entry {
    Channel channel;
    std::unique_ptr<Sender> sender; ///< null for a route
    Turns turns;
    Clock::time_point free_at{}; ///< of whose turn it is
    std::mutex mutex;            ///< over trouble
    std::string trouble;

    void set_trouble(const std::string& text) {
        std::lock_guard lock(mutex);
        trouble = text;
    }
};

std::unique_ptr<Ledger> memory_ledger() {
    return std::make_unique<MemoryLedger>();
}

Outbox::Outbox(ConsoleSink console, std::unique_ptr<Ledger> ledger)
    : console_(std::move(console)), ledger_(std::move(ledger)) {
    add(Channel{.name = "console"});
}

void Outbox::add(const Channel& channel) {
    auto entry = std::make_shared<Entry>();
    entry->channel = channel;
    if (channel.kind != "route")
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

std::shared_ptr<Outbox::Entry> Outbox::entry(const std::string& name) const {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : found->second;
}

std::shared_ptr<const Channel> Outbox::find(const std::string& name) const {
    auto found = entry(name);
    return found ? std::shared_ptr<const Channel>(found, &found->channel) : nullptr;
}

void Outbox::remember(const std::string& channel, const std::string& key) {
    ledger_->record(channel, key);
}

void Outbox::set_run(const std::string& run) {
    std::lock_guard lock(mutex_);
    run_ = run;
}

std::string Outbox::run() const {
    std::lock_guard lock(mutex_);
    return run_;
}

std::string Outbox::trouble(const std::string& channel) const {
    auto found = entry(channel);
    if (!found)
        return {};
    std::lock_guard lock(found->mutex);
    return found->trouble;
}

Receipt Outbox::probe(const std::string& channel, const Message& message, Cancel& cancel) {
    return entry(channel)->sender->probe(message, cancel);
}

std::vector<std::string> Outbox::route(const std::vector<std::string>& names, Level level) const {
    std::vector<std::string> list;
    const auto add = [&](const Channel& channel) {
        if (channel.level <= level &&
            std::find(list.begin(), list.end(), channel.name) == list.end())
            list.push_back(channel.name);
    };
    const auto known = [&](const std::string& name) {
        if (auto channel = find(name))
            return channel;
        const std::vector<std::string> all = channels();
        throw Error(
            "usage",
            fmt::format("no notification channel '{}'{}", name, text::did_you_mean(name, all)),
            "known: " + text::join(all, ", "));
    };
    for (const std::string& name : names) {
        const auto channel = known(name);
        if (channel->kind != "route") {
            add(*channel);
            continue;
        }
        auto way = channel->routes.upper_bound(level); // the list of this level, or of the next
        if (way == channel->routes.begin())            // below that there is
            continue;
        for (const std::string& target : std::prev(way)->second)
            add(*known(target));
    }
    return list;
}

void Outbox::attempt_all(Entry& entry, Message message, Delivery& delivery, Cancel& cancel) {
    const Channel& channel = entry.channel;
    Turns::Held turn(entry.turns, cancel);
    for (int attempt = 1;; ++attempt) {
        const auto early = std::chrono::ceil<milliseconds>(entry.free_at - Clock::now());
        if (early.count() > 0)
            nap(early, cancel);
        milliseconds delay{0};
        try {
            delivery.attempts = attempt;
            Receipt receipt = entry.sender->send(message, cancel);
            entry.free_at = Clock::now() + channel.pace;
            entry.set_trouble("");
            delivery.delivered = true;
            delivery.repeated = receipt.repeated;
            delivery.receipt = redact(receipt.text);
            delivery.thread = receipt.thread;
            return;
        } catch (const Error& error) {
            entry.free_at = Clock::now() + channel.pace;
            cancel.check("notify");
            delivery.error_kind = error.kind();
            delivery.error = with_hint(error) + fmt::format("; try it: runbook channels --test {}",
                                                            text::shell_quote(channel.name));
            entry.set_trouble(with_hint(error));
            if (!may_pass(error) || attempt >= channel.retry.attempts ||
                error.retry_after() > longest_pause_s)
                return;
            delay = delay_after(channel.retry, attempt, error);
            message.again = true; // it may have arrived all the same
        }
        nap(delay, cancel);
    }
}

std::vector<Delivery> Outbox::deliver(const std::vector<std::string>& channels,
                                      const Message& given, Cancel& cancel, bool raise) {
    const std::vector<std::string> names =
        route(channels,
              given.action.empty() || given.action == "trigger" ? given.level : Level::critical);
    std::vector<std::shared_ptr<Entry>> targets;
    for (const auto& name : names)
        targets.push_back(entry(name));
    Message message = given;
    message.text = redact(given.text);
    message.title = redact(given.title);
    if (Value data = redact(Value(given.data)); data.get<Map>())
        message.data = *data.get<Map>(); // a chat is no place for secrets
    const bool keyed = !given.key.empty();
    if (!keyed)
        message.key = digest::uuid();
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
        attempt_all(*target, message, delivery, cancel);
        if (delivery.delivered)
            ledger_->record(delivery.channel, delivery.key);
        outcome.push_back(delivery);
        if (!delivery.delivered && target->channel.required && failed.empty())
            failed = fmt::format("channel '{}': {}", delivery.channel, delivery.error);
    }
    if (raise && !failed.empty())
        throw Error("notify.failed", failed, "the channel is declared as required");
    return outcome;
}

} // namespace runbook::notify
