// The order of things when following (see follow.h): publication, slot, copy, stream, drain.
#include "runtime/transfer/follow/follow.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/transfer/follow/follower.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace runbook::follow {
namespace {

using namespace std::chrono_literals;

constexpr auto writers_within = 10s; ///< for transactions that the fence did not wait for

void check_ends(const db::Url& source, const db::Url& target) {
    if (source.engine != db::Engine::postgresql || target.engine != db::Engine::mysql)
        throw Error("db.unsupported",
                    fmt::format("following {} into {} is not built in: PostgreSQL is followed into "
                                "MySQL and MariaDB",
                                source.masked(), target.masked()));
    if (target.name.empty())
        throw Error("argument", target.masked() + ": the URL names no database");
}

std::unique_ptr<db::Connection> open_target(const db::Url& url, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook follow";
    return db::connect(url, options, cancel);
}

/// The same for the same two databases at any time, so that what a killed client left is found.
std::string name_of(const db::Connection& source, const db::Connection& target) {
    return "runbook_" +
           digest::sha256_hex(source.server().identity + "/" + source.url().name + "\n" +
                              target.server().identity + "/" + target.url().name)
               .substr(0, 16);
}

std::string identity_of(const db::Connection& source) {
    return source.server().identity + "/" + source.url().name;
}

catalog::Filter filter_of(const copy::Options& options) {
    catalog::Filter filter;
    if (!options.schema.empty())
        filter.schemas = {options.schema};
    filter.include = options.include;
    filter.exclude = options.exclude;
    return filter;
}

Status outside_view(const Progress& ledger, const Wal& wal, const Options& options) {
    Status out;
    out.state = ledger.state;
    out.slot = ledger.slot;
    out.applied = ledger.applied;
    out.source = wal.now;
    if (ledger.state == "following" && wal.now > ledger.applied) {
        out.lag_bytes = static_cast<std::int64_t>(wal.now - ledger.applied);
        if (ledger.micros > 0 && wal.micros > ledger.micros)
            out.lag_seconds = static_cast<double>(wal.micros - ledger.micros) / 1e6;
    }
    out.transactions = ledger.transactions;
    out.changes = ledger.changes;
    out.wal_kept = wal.kept;
    out.wal_limit = options.max_wal;
    out.wal_bound = wal.bound;
    out.active = wal.active;
    return out;
}

/// Looks at the slot while the copy runs, and ends the copy where it keeps too much.
class Guard {
  public:
    Guard(const db::Url& source, std::string slot, std::int64_t limit, Cancel& outer)
        : source_(source), slot_(std::move(slot)), limit_(limit),
          hook_(outer, [this, &outer] { inner_.request(outer.reason()); }),
          thread_([this] { watch(); }) {}
    ~Guard() { end(); }
    Cancel& cancel() { return inner_; }
    void end() {
        {
            std::lock_guard lock(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        if (thread_.joinable())
            thread_.join();
    }
    /// Bytes kept where that was too much, else 0.
    std::int64_t exceeded() const { return exceeded_; }

  private:
    void watch() noexcept {
        while (limit_ > 0) {
            {
                std::unique_lock lock(mutex_);
                if (changed_.wait_for(lock, 2s, [this] { return ended_; }))
                    return;
            }
            try {
                Cancel unstoppable;
                std::int64_t kept =
                    wal_of(*open_source(source_, unstoppable), slot_, unstoppable).kept;
                if (kept <= limit_)
                    continue;
                exceeded_ = kept;
                inner_.request(Cancel::Reason::cancelled);
                return;
            } catch (const std::exception&) {
                // Unreachable now: the copy finds out by itself.
            }
        }
    }

    db::Url source_;
    std::string slot_;
    std::int64_t limit_;
    std::atomic<std::int64_t> exceeded_{0};
    Cancel inner_;
    Cancel::Hook hook_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ended_ = false;
    std::thread thread_;
};

void clean_up(const db::Url& source, const std::string& name, db::Connection& target) noexcept {
    try {
        Cancel unstoppable;
        Ledger ledger(target);
        if (target.alive() && ledger.read(unstoppable).state == "copying")
            ledger.set_state("stopped", unstoppable);
    } catch (const std::exception&) {
        // The slot's name says whose it is: the next start drops it.
    }
    try {
        Cancel unstoppable;
        drop_all(*open_source(source, unstoppable), name, unstoppable);
    } catch (const std::exception&) {
    }
}

/// Publication and slot are made here, and the copy at the slot's snapshot.
copy::CopyResult begin(const db::Url& source_url, const db::Url& target_url, db::Connection& source,
                       db::Connection& target, const std::string& name, const Options& options,
                       const ProgressPtr& progress, Cancel& cancel) {
    catalog::Database database = catalog::read_catalog(source, filter_of(options.copy), cancel);
    Attributes attributes = check_source(source, database, cancel);
    if (attributes.empty())
        throw Error("copy.refused", source_url.masked() + ": there is no table to copy");
    Stream stream(source_url, cancel);
    make_publication(source, name, database, cancel);
    try {
        Slot slot = stream.create_slot(
            name,
            [&] {
                if (progress)
                    progress->report({"waiting for open transactions of the source: " +
                                          text::join(open_writers(source, cancel), ", "),
                                      0, 0, 0, 0});
            },
            cancel);
        Progress ledger;
        ledger.state = "copying";
        ledger.slot = name;
        ledger.source = identity_of(source);
        ledger.applied = slot.consistent;
        ledger.micros = wal_of(source, name, cancel).micros;
        copy::Options copying = options.copy;
        copying.snapshot = slot.snapshot;
        copying.planned = [&](const schema::Plan& plan, const std::string& snapshot) {
            ledger.snapshot = snapshot;
            Ledger(target).begin(ledger, make_tables(plan, attributes), cancel);
        };
        Guard guard(source_url, name, options.max_wal, cancel);
        try {
            copy::CopyResult copied =
                copy::copy_database(source_url, target_url, copying, progress, guard.cancel());
            guard.end();
            auto session = open_target(target_url, cancel); // the other one may have idled too long
            Ledger(*session).set_state("following", cancel);
            return copied;
        } catch (const Error&) {
            guard.end();
            if (guard.exceeded() > 0)
                throw Error("follow.wal_limit",
                            fmt::format("{}: during the copy the slot {} made the server keep {} "
                                        "of its log, more than {}",
                                        source_url.masked(), name, text::bytes(guard.exceeded()),
                                        text::bytes(options.max_wal)),
                            "slot and publication were dropped before the disk fills; copy with "
                            "more streams, or raise max_wal");
            throw;
        }
    } catch (...) {
        clean_up(source_url, name, target);
        throw;
    }
}

/// Ended from outside, and gone with the next attempt. (db.cancelled: somebody's KILL.)
bool is_passing(const Error& error) {
    return error.kind() == "db.connection" || error.kind() == "db.deadlock" ||
           error.kind() == "db.lock_timeout" || error.kind() == "db.cancelled";
}

void wait(std::chrono::milliseconds time, Cancel& cancel) {
    auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
        cancel.check("following");
        std::this_thread::sleep_for(50ms);
    }
}

/// Runs `work` on a follower; where the stream or the target was lost, again on a new one, from
/// where the ledger stands.
template <class Work>
void with_follower(const db::Url& source, const db::Url& target, const Options& options,
                   const std::function<void(const Status&)>& told, const ProgressPtr& progress,
                   Cancel& cancel, Work work) {
    Lsn reached = 0;
    for (int attempt = 1;; ++attempt) {
        try {
            Follower follower(source, target, options, told, progress, cancel);
            if (follower.ledger().applied > reached)
                attempt = 1;
            reached = follower.ledger().applied;
            work(follower);
            return;
        } catch (const Error& error) {
            if (!is_passing(error) || attempt >= options.attempts)
                throw;
            if (progress)
                progress->line("", error.message() + "; trying again");
        }
        wait(std::chrono::milliseconds(500) * (1 << std::min(attempt, 5)), cancel);
    }
}

/// AUTO_INCREMENT goes on from the sequences, which no change stream carries.
std::int64_t set_numbers(Follower& follower, Cancel& cancel) {
    catalog::Filter filter;
    for (const Table& table : follower.tables()) {
        if (table.numbers.empty())
            continue;
        filter.include.push_back(table.name);
        if (std::find(filter.schemas.begin(), filter.schemas.end(), table.schema) ==
            filter.schemas.end())
            filter.schemas.push_back(table.schema);
    }
    if (filter.include.empty())
        return 0;
    std::int64_t count = 0;
    catalog::Database database = catalog::read_catalog(follower.source(), filter, cancel);
    for (const Table& table : follower.tables()) {
        const catalog::Table* source = database.table(table.schema, table.name);
        if (table.numbers.empty() || !source)
            continue;
        for (const Column& column : table.columns) {
            const catalog::Column* origin = source->column(column.source);
            if (column.target != table.numbers || !origin || !origin->identity ||
                !origin->identity->last_value)
                continue;
            follower.target().execute(
                fmt::format("ALTER TABLE {} AUTO_INCREMENT = {}", schema::mysql_name(table.target),
                            *origin->identity->last_value + origin->identity->increment),
                {}, {}, cancel);
            ++count;
        }
    }
    return count;
}

[[noreturn]] void still_written(const db::Url& source, const std::string& who) {
    throw Error("follow.writes", fmt::format("{}: {}", source.masked(), who),
                "close a write fence first (db.write_fence); following goes on, nothing was "
                "dropped");
}

void prove_quiet(Follower& follower, const db::Url& source, Cancel& cancel) {
    follower.follow_to(mark(follower.source(), follower.ledger().slot, cancel));
    std::int64_t changes = follower.ledger().changes;
    auto until = std::chrono::steady_clock::now() + writers_within;
    while (true) {
        std::vector<std::string> writers = open_writers(follower.source(), cancel);
        if (writers.empty())
            break;
        if (std::chrono::steady_clock::now() > until)
            still_written(source,
                          "a transaction that writes is still open: " + text::join(writers, ", "));
        wait(200ms, cancel);
    }
    follower.follow_to(mark(follower.source(), follower.ledger().slot, cancel));
    if (std::int64_t more = follower.ledger().changes - changes; more > 0)
        still_written(source, fmt::format("{} change{} after following was to end", more,
                                          more == 1 ? " was committed" : "s were committed"));
}

} // namespace

Started start(const db::Url& source_url, const db::Url& target_url, const Options& options,
              const ProgressPtr& progress, Cancel& cancel) {
    check_ends(source_url, target_url);
    Started out;
    Applier lock(target_url, cancel);
    db::Connection& target = lock.connection();
    auto source = open_source(source_url, cancel);
    std::string name = name_of(*source, target);
    Progress ledger = Ledger(target).read(cancel);
    copy::State copied = copy::state(target_url, cancel);
    bool ours = ledger.source == identity_of(*source) && ledger.slot == name;
    bool whole = copied.state == "done" && copied.snapshot == ledger.snapshot;
    if (ledger.state == "copying" && ours && whole && wal_of(*source, name, cancel).there) {
        Ledger(target).set_state("following", cancel); // it was killed in between
        ledger.state = "following";
    }
    if (ledger.state == "following" && ours && whole) {
        out.resumed = true;
    } else {
        if (ledger.state == "following" && !ours)
            throw Error("follow.refused",
                        target_url.masked() + ": another source is followed into it",
                        "its slot is " + ledger.slot + "; end that with copy.follow_off first");
        drop_all(*source, name, cancel); // what a killed client left
        out.copied =
            begin(source_url, target_url, *source, target, name, options, progress, cancel);
    }
    auto session = open_target(target_url, cancel);
    out.status =
        outside_view(Ledger(*session).read(cancel), wal_of(*source, name, cancel), options);
    return out;
}

Status run(const db::Url& source, const db::Url& target, const Options& options, Until until,
           const std::function<void(const Status&)>& told, const ProgressPtr& progress,
           Cancel& cancel) {
    check_ends(source, target);
    Status out;
    std::optional<Lsn> place;
    with_follower(source, target, options, told, progress, cancel, [&](Follower& follower) {
        if (until == Until::caught_up && !place)
            place = mark(follower.source(), follower.ledger().slot, cancel);
        follower.follow_to(place);
        out = follower.status();
    });
    return out;
}

Drained drain(const db::Url& source, const db::Url& target, const Options& options,
              const ProgressPtr& progress, Cancel& cancel) {
    check_ends(source, target);
    double begun = time::monotonic();
    Drained out;
    std::optional<Progress> before;
    {
        auto session = open_target(target, cancel);
        Progress ledger = Ledger(*session).read(cancel);
        if (ledger.state == "drained") { // it was killed after the last word
            auto connection = open_source(source, cancel);
            drop_all(*connection, ledger.slot, cancel);
            out.status = outside_view(ledger, wal_of(*connection, ledger.slot, cancel), options);
            return out;
        }
    }
    with_follower(source, target, options, {}, progress, cancel, [&](Follower& follower) {
        if (!before)
            before = follower.ledger();
        prove_quiet(follower, source, cancel);
        out.numbered = set_numbers(follower, cancel);
        Ledger(follower.target()).set_state("drained", cancel);
        follower.end_stream();
        drop_all(follower.source(), follower.ledger().slot, cancel);
        out.status = follower.status();
        out.status.state = "drained";
        out.status.active = false;
        out.status.wal_kept = 0;
        out.transactions = follower.ledger().transactions - before->transactions;
        out.changes = follower.ledger().changes - before->changes;
    });
    out.seconds = time::monotonic() - begun;
    return out;
}

Status status(const db::Url& source_url, const db::Url& target_url, const Options& options,
              Cancel& cancel) {
    check_ends(source_url, target_url);
    auto target = open_target(target_url, cancel);
    auto source = open_source(source_url, cancel);
    Progress ledger = Ledger(*target).read(cancel);
    if (ledger.slot.empty())
        ledger.slot = name_of(*source, *target);
    return outside_view(ledger, wal_of(*source, ledger.slot, cancel), options);
}

bool stop(const db::Url& source_url, const db::Url& target_url, Cancel& cancel) {
    check_ends(source_url, target_url);
    Applier lock(target_url, cancel);
    auto source = open_source(source_url, cancel);
    std::string name = name_of(*source, lock.connection());
    bool there = wal_of(*source, name, cancel).there;
    drop_all(*source, name, cancel);
    Ledger ledger(lock.connection());
    std::string state = ledger.read(cancel).state;
    if (state == "following" || state == "copying")
        ledger.set_state("stopped", cancel);
    return there;
}

Map to_map(const Status& status) {
    return Map{
        {"state", status.state},
        {"slot", status.slot},
        {"applied", lsn_text(status.applied)},
        {"source", lsn_text(status.source)},
        {"bytes", status.lag_bytes},
        {"seconds", status.lag_seconds},
        {"pending", status.pending},
        {"transactions", status.transactions},
        {"changes", status.changes},
        {"wal_kept", status.wal_kept},
        {"wal_limit", status.wal_limit},
        {"wal_bound", status.wal_bound},
        {"active", status.active},
        {"detail", fmt::format("{}: {:.1f} s and {} behind, {} changes applied, the source "
                               "keeps {} of its log",
                               status.state, status.lag_seconds, text::bytes(status.lag_bytes),
                               text::grouped(status.changes), text::bytes(status.wal_kept))}};
}

Map to_map(const Started& started) {
    Map out = started.copied ? copy::to_map(*started.copied) : Map{};
    out.set("resumed", started.resumed);
    out.set("follow", to_map(started.status));
    return out;
}

Map to_map(const Drained& drained) {
    Map out = to_map(drained.status);
    out.set("drained_transactions", drained.transactions);
    out.set("drained_changes", drained.changes);
    out.set("numbered", drained.numbered);
    out.set("drain_s", drained.seconds);
    out.set("detail", fmt::format("drained in {}: {} changes, nothing after them; slot and "
                                  "publication dropped",
                                  text::clock(drained.seconds), text::grouped(drained.changes)));
    return out;
}

} // namespace runbook::follow
