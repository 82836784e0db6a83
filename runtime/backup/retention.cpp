#include "runtime/backup/retention.h"

#include "runtime/backup/manifest.h"
#include "runtime/backup/repository.h"
#include "runtime/backup/tree.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <set>

namespace runbook::backup {
namespace {

constexpr std::int64_t micros = 1'000'000;
/// The epoch was a Thursday; weeks begin on Monday.
constexpr std::int64_t monday = 3 * 86'400 * micros;

double seconds_between(std::int64_t from, std::int64_t to) {
    return static_cast<double>(to - from) / static_cast<double>(micros);
}

std::int64_t period_of(std::int64_t started, double length, std::int64_t shift) {
    const std::int64_t whole = static_cast<std::int64_t>(length) * micros;
    const std::int64_t at = started + shift;
    return at >= 0 ? at / whole : -((-at + whole - 1) / whole);
}

void check(const Keep& keep) {
    if (keep.last < 1)
        throw Error("usage", "retention: keep must be at least 1: with none, an old backup would "
                             "go before a new one is there");
    for (double span : {keep.within, keep.hourly, keep.daily, keep.weekly})
        if (!(span >= 0))
            throw Error("usage", "retention: a span of time cannot be negative");
}

/// The rules that count, for the backups of one source, newest first.
class Rules {
  public:
    Rules(const Keep& keep, std::int64_t now) : keep_(keep), now_(now) {}

    /// Why this one stays; empty: it goes.
    std::string keeps(const Entry& entry) {
        const std::int64_t started = entry.backup.started;
        const double age = seconds_between(started, now_);
        std::string why;
        auto because = [&](std::string text) {
            if (why.empty())
                why = std::move(text);
        };
        if (++seen_ <= keep_.last)
            because(keep_.last == 1 ? "the last one"
                                    : fmt::format("among the last {}", keep_.last));
        if (age < keep_.within)
            because("younger than " + text::duration(keep_.within));
        // Each period notes its newest, also where another rule keeps it already.
        tier(started, age, keep_.hourly, hour, 0, "newest of its hour", because);
        tier(started, age, keep_.daily, day, 0, "newest of its day", because);
        tier(started, age, keep_.weekly, week, monday, "newest of its week", because);
        return why;
    }

  private:
    template <class Because>
    void tier(std::int64_t started, double age, double span, double length, std::int64_t shift,
              const char* text, Because& because) {
        if (span > 0 && age < span &&
            taken_[length].insert(period_of(started, length, shift)).second)
            because(text);
    }

    const Keep& keep_;
    std::int64_t now_;
    int seen_ = 0;
    std::map<double, std::set<std::int64_t>> taken_;
};

/// Why one of the copies is pinned by now, or nothing.
std::string pinned_now(const std::vector<std::string>& files) {
    for (const std::string& file : files)
        try {
            if (in_repository(file)) // forget() looks there
                continue;
            if (std::string why = parse_manifest(file + ".json").pinned; !why.empty())
                return why;
        } catch (const Error&) { // gone, or no manifest any more: nobody's promise
        }
    return {};
}

void remove_copy(const std::string& file) {
    tree_remove(file);
    files::remove(file + ".sha256");
    files::remove(file + ".json");
}

/// Removes them from their repositories, and finds out which did not go: one that was pinned (or
/// otherwise changed) meanwhile has another id.
void forget(std::vector<Decision>& decisions, const Keys& keys, Cancel& cancel) {
    std::map<std::string, std::set<std::string>> gone; // by repository: places
    for (const Decision& decision : decisions)
        for (const std::string& file : decision.entry.backup.files)
            if (!decision.stays && in_repository(file))
                gone[parse_place(file).repository].insert(file);
    for (const auto& [place, files] : gone) {
        const Repository repository(place, keys);
        std::vector<std::string> ids;
        std::map<std::string, std::string> pinned;
        for (const auto& snapshot : repository.list(cancel))
            if (!files.contains(snapshot.backup.file))
                continue;
            else if (snapshot.backup.pinned.empty())
                ids.push_back(snapshot.id);
            else
                pinned[snapshot.backup.file] = snapshot.backup.pinned;
        repository.forget(ids, cancel);
        for (const auto& snapshot : repository.list(cancel))
            if (files.contains(snapshot.backup.file))
                pinned.emplace(snapshot.backup.file, snapshot.backup.pinned);
        for (Decision& decision : decisions)
            for (const std::string& file : decision.entry.backup.files)
                if (auto found = pinned.find(file); found != pinned.end()) {
                    decision.stays = true;
                    decision.why = found->second.empty() ? "changed meanwhile: look again"
                                                         : "pinned: " + found->second;
                }
    }
}

} // namespace

std::vector<Decision> retain(const std::vector<Entry>& entries, const Keep& keep,
                             std::int64_t now) {
    check(keep);
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return entries[a].backup.started > entries[b].backup.started;
    });
    std::vector<Decision> decisions(entries.size());
    std::map<std::string, Rules> rules;
    for (std::size_t index : order) {
        const Entry& entry = entries[index];
        Decision& decision = decisions[index];
        decision.entry = entry;
        const bool old = seconds_between(entry.backup.started, now) > day;
        if (entry.problem == "its file is gone" ||
            (entry.problem == "an upload that did not end" && old)) {
            decision.stays = false;
            decision.why = entry.problem;
        } else if (!entry.whole()) {
            decision.why = entry.problem.empty() ? "never verified: look at it first"
                                                 : "broken: " + entry.problem;
        } else if (entry.backup.started > now) {
            decision.why = "dated after now: look at the clock first";
        } else {
            auto rule = rules.try_emplace(entry.backup.source, keep, now).first;
            decision.why = rule->second.keeps(entry);
            if (!entry.backup.pinned.empty())
                decision.why = "pinned: " + entry.backup.pinned;
            decision.stays = !decision.why.empty();
            if (!decision.stays)
                decision.why = "older than every rule";
        }
    }
    return decisions;
}

std::vector<Decision> prune(const std::vector<std::string>& folders, const std::string& source,
                            const Keep& keep, bool remove, const Keys& keys, Cancel* cancel) {
    Cancel none;
    Cancel& stop = cancel ? *cancel : none;
    std::vector<Entry> entries = list(folders, keys, &stop);
    if (!source.empty())
        std::erase_if(entries, [&](const Entry& entry) { return entry.backup.source != source; });
    std::vector<Decision> decisions = retain(entries, keep, time::now_micros());
    if (!remove)
        return decisions;
    for (Decision& decision : decisions)
        if (const std::string why = pinned_now(decision.entry.backup.files);
            !decision.stays && !why.empty()) {
            decision.stays = true;
            decision.why = "pinned: " + why;
        }
    forget(decisions, keys, stop); // first: whoever stays there stays everywhere
    for (const Decision& decision : decisions)
        for (const std::string& file : decision.entry.backup.files)
            if (!decision.stays && !in_repository(file))
                remove_copy(file);
    return decisions;
}

namespace {

/// Whole backups of one source, newest first.
std::vector<const Entry*> whole_of(const std::vector<Entry>& entries, const std::string& source) {
    std::vector<const Entry*> found;
    for (const Entry& entry : entries)
        if (entry.whole() && entry.backup.source == source)
            found.push_back(&entry);
    std::stable_sort(found.begin(), found.end(), [](const Entry* a, const Entry* b) {
        return a->backup.started > b->backup.started;
    });
    return found;
}

std::string restored_problem(const std::vector<const Entry*>& whole, double within,
                             std::int64_t now) {
    for (const Entry* entry : whole)
        if (entry->backup.verified == Verified::restored) {
            const double age = seconds_between(entry->backup.started, now);
            return age < within
                       ? std::string()
                       : fmt::format("the newest test-restored backup is {} old, allowed are {}",
                                     text::duration(std::floor(age)), text::duration(within));
        }
    return "no backup was ever test-restored";
}

} // namespace

Health health(const std::vector<Entry>& entries, const std::string& source, const Policy& policy,
              std::int64_t now) {
    if (!(policy.every > 0))
        throw Error("usage", "backup policy: every must be more than no time");
    const std::vector<const Entry*> whole = whole_of(entries, source);
    Health health;
    if (whole.empty()) {
        health.level = "critical";
        health.why.push_back("there is no whole backup of " + source);
        return health;
    }
    const double grace = policy.grace > 0 ? policy.grace : policy.every / 10;
    health.age = seconds_between(whole.front()->backup.started, now);
    health.missed =
        static_cast<int>(std::clamp(std::floor((health.age - grace) / policy.every), 0.0, 1e6));
    if (health.missed > 0)
        health.why.push_back(
            fmt::format("{} backup{} missed: the newest is {} old, one is due every {}",
                        health.missed, health.missed == 1 ? "" : "s in a row",
                        text::duration(std::floor(health.age)), text::duration(policy.every)));
    if (health.age < 0)
        health.why.push_back("the newest backup is dated after now: look at the clock");
    if (static_cast<int>(whole.size()) < policy.keep)
        health.why.push_back(fmt::format("{} whole backup{}, required are {}", whole.size(),
                                         whole.size() == 1 ? "" : "s", policy.keep));
    if (policy.restored > 0)
        if (std::string problem = restored_problem(whole, policy.restored, now); !problem.empty())
            health.why.push_back(problem);
    if (policy.rto > 0) {
        const Backup* last = nullptr;
        for (const Entry* entry : whole)
            if (entry->backup.restored_at > (last ? last->restored_at : 0))
                last = &entry->backup;
        if (!last)
            health.why.push_back("no restore was ever timed");
        else if (last->restore_seconds > policy.rto)
            health.why.push_back(fmt::format("the newest test restore took {}, allowed are {}",
                                             text::duration(std::ceil(last->restore_seconds)),
                                             text::duration(policy.rto)));
    }
    for (const std::string& text : whole.front()->backup.unusual)
        if (policy.shrink > 0 && !text.starts_with("it has ")) // sizes are compared below
            health.why.push_back("the newest: " + text);
    if (policy.shrink > 0 && whole.size() > 1) {
        const auto size = whole[0]->backup.bytes, before = whole[1]->backup.bytes;
        const bool grown = size > 3 * before && size > before + (1 << 20);
        if (grown || static_cast<double>(size) < policy.shrink * static_cast<double>(before))
            health.why.push_back(fmt::format("the newest has {}, the one before had {}",
                                             text::bytes(size), text::bytes(before)));
    }
    health.met = health.why.empty();
    health.level = health.met ? "ok" : health.missed >= 2 ? "critical" : "warning";
    return health;
}

} // namespace runbook::backup
