// The journal over a store (contract in journal.h). The row of a run is read and held in the
// transaction that writes, so the fencing token is checked there, and two holders cannot both
// append. A mutex lets other threads than the journal's own look in.
#include "runtime/journal/journal.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/journal/chain.h"
#include "runtime/journal/holder.h"
#include "runtime/journal/store.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <mutex>

namespace runbook::journal {
namespace {

std::string_view state_name(RunState state) {
    return state == RunState::running ? "running" : state == RunState::held ? "held" : "finished";
}

struct Lease {
    std::int64_t fence = 0, until = 0, seq = 0;
    std::string head;     ///< hash of event `seq`
    std::int64_t now = 0; ///< by the clock that leases are judged by
    Holder holder;

    bool alive(bool one_machine) const {
        return holder.pid != 0 && until > now && life_of(holder, one_machine) != Life::gone;
    }
};

class StoredJournal : public Journal {
  public:
    explicit StoredJournal(std::unique_ptr<Store> store)
        : store_(std::move(store)), me_(this_process()) {}

    const std::string& name() const override { return store_->name(); }
    std::string warning() const override { return store_->warning(); }
    std::unique_ptr<Journal> again() const override {
        return std::make_unique<StoredJournal>(store_->again());
    }

    void together(const std::function<void()>& work) override;
    void create(const RunRecord& record) override;
    std::optional<RunRecord> find(const std::string& run) override;
    std::vector<RunRecord> runs(std::size_t limit) override { return newest(limit, true); }
    std::vector<RunRecord> listed(std::size_t limit) override { return newest(limit, false); }
    void finish(const std::string& run, RunState state, const std::string& outcome,
                int exit) override;
    std::int64_t acquire(const std::string& run, std::int64_t seconds) override;
    void renew(const std::string& run, std::int64_t fence, std::int64_t seconds) override;
    void release(const std::string& run, std::int64_t fence) override;
    void take_locks(const std::string& run, const std::vector<std::string>& names,
                    const std::string& initiator) override;
    Event append(const std::string& run, std::int64_t fence, const std::string& event,
                 const std::string& step, const Map& data) override;
    std::vector<Event> events(const std::string& run, std::int64_t after_seq) override;
    std::optional<std::int64_t> audit(const std::string& run) override;
    void post(const Request& request) override;
    std::vector<Request> requests(const std::string& run, std::int64_t after) override;

  private:
    using Lock = std::lock_guard<std::recursive_mutex>; ///< together() holds it around the others

    /// One change; none where an earlier one's commit has failed, or where only reading was asked.
    void change(const std::function<void()>& work);
    std::vector<RunRecord> records(const std::string& which, Params params, bool pinned = true);
    std::vector<RunRecord> newest(std::size_t limit, bool pinned);
    RunRecord record_of(const Row& row) const;
    /// Who holds the run, and the end of its chain; with `hold` nobody else changes it meanwhile.
    Lease lease(const std::string& run, bool hold = true);
    Lease fenced(const std::string& run, std::int64_t fence);
    void insert_locks(const std::string& run, std::vector<std::string> names,
                      const std::string& initiator);
    [[noreturn]] void taken_over(const std::string& run, std::int64_t fence, const Lease& by) const;
    std::string clock() const { return std::string(store_->clock()); }
    bool is_me(const Holder& holder) const {
        return holder.pid == me_.pid && holder.start == me_.start && holder.host == me_.host &&
               holder.boot == me_.boot;
    }

    std::unique_ptr<Store> store_;
    Holder me_;
    std::recursive_mutex mutex_;
    bool together_ = false;                    ///< a commit is open that takes in every change
    std::optional<Error> broken_;              ///< of the commit that failed
    std::map<std::string, std::int64_t> held_; ///< fences that this object was given
};

void StoredJournal::change(const std::function<void()>& work) {
    if (store_->read_only())
        throw Error("journal", "journal " + name() + ": opened for reading only");
    if (broken_)
        throw *broken_;
    if (together_)
        return work();
    try {
        store_->change(work);
    } catch (const Error& error) {
        if (error.kind() == "journal.unknown")
            broken_ = error;
        throw;
    }
}

void StoredJournal::together(const std::function<void()>& work) {
    const Lock lock(mutex_);
    const auto held = held_;
    try {
        change([&] {
            together_ = true;
            const std::shared_ptr<void> end(nullptr, [this](void*) { together_ = false; });
            work();
        });
    } catch (...) {
        held_ = held; // a lease that was not committed is none
        throw;
    }
}

RunRecord StoredJournal::record_of(const Row& row) const {
    RunRecord record;
    record.run = row.text(0);
    record.playbook = row.text(1);
    record.file = row.text(2);
    const std::string state = row.text(3);
    record.state = state == "running" ? RunState::running
                   : state == "held"  ? RunState::held
                                      : RunState::finished;
    record.started = row.integer(4);
    record.updated = row.integer(5);
    record.outcome = row.text(6);
    record.exit = static_cast<int>(row.integer(7));
    record.pinned = restored(row.text(8));
    record.fence = row.integer(9);
    record.lease_until = row.integer(10);
    const Lease lease{record.fence,
                      record.lease_until,
                      0,
                      {},
                      row.integer(15),
                      {row.integer(11), row.integer(12), row.text(13), row.text(14)}};
    record.owner_pid = lease.holder.pid;
    record.owner_host = lease.holder.host;
    record.owner_alive = lease.alive(store_->one_machine());
    return record;
}

/// Only inside of read() or change(). `which` is what follows FROM runs.
std::vector<RunRecord> StoredJournal::records(const std::string& which, Params params,
                                              bool pinned) {
    std::vector<RunRecord> out;
    store_->each("SELECT run, playbook, file, state, started, updated, outcome, exit, " +
                     std::string(pinned ? "pinned" : "'{}'") +
                     ", fence, lease_until, owner_pid, owner_start, owner_host, owner_boot, " +
                     clock() + " FROM runs " + which,
                 params, [&](const Row& row) { out.push_back(record_of(row)); });
    return out;
}

/// Read before each append, so without what is pinned.
Lease StoredJournal::lease(const std::string& run, bool hold) {
    std::optional<Lease> found;
    store_->each(
        "SELECT fence, lease_until, seq, head, owner_pid, owner_start, owner_host, "
        "owner_boot, " +
            clock() + " FROM runs WHERE run = ?" + std::string(hold ? store_->hold_rows() : ""),
        {run}, [&](const Row& row) {
            found =
                Lease{row.integer(0), row.integer(1),
                      row.integer(2), row.text(3),
                      row.integer(8), {row.integer(4), row.integer(5), row.text(6), row.text(7)}};
        });
    if (!found)
        throw Error("usage", "there is no run " + run + " in journal " + name(),
                    "`runbook runs` lists them");
    return *found;
}

void StoredJournal::taken_over(const std::string& run, std::int64_t fence, const Lease& by) const {
    const std::string who = by.holder.pid != 0
                                ? fmt::format("process {} on {}", by.holder.pid, by.holder.host)
                                : "another process, which has ended since";
    throw Error("journal.fenced",
                fmt::format("run {} was taken over by {} (token {}, ours is {})", run, who,
                            by.fence, fence),
                "this process must not touch the run any more; `runbook tail " + run +
                    "` follows it");
}

/// The lease, where `fence` is still the token of its holder.
Lease StoredJournal::fenced(const std::string& run, std::int64_t fence) {
    Lease found = lease(run);
    if (found.fence != fence)
        taken_over(run, fence, found);
    if (found.holder.pid == 0)
        throw Error("journal.fenced", "run " + run + " is not held by this process any more",
                    "`runbook resume " + run + "` goes on with it");
    return found;
}

void StoredJournal::create(const RunRecord& record) {
    const Lock lock(mutex_);
    const std::string pinned = stored(record.pinned);
    const std::string playbook = redact(record.playbook), file = redact(record.file);
    change([&] {
        std::int64_t started = record.started;
        if (started == 0)
            store_->each("SELECT " + clock(), {},
                         [&](const Row& row) { started = row.integer(0); });
        const std::int64_t made = store_->run(
            "INSERT INTO runs (run, playbook, file, state, started, updated, outcome, exit, "
            "pinned, head) VALUES (?, ?, ?, ?, ?, " +
                clock() + ", ?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
            {record.run, playbook, file, state_name(record.state), started, redact(record.outcome),
             std::int64_t{record.exit}, pinned,
             genesis(record.run, playbook, file, started, pinned)});
        if (made == 1)
            insert_locks(record.run, record.locks, record.initiator);
        else
            throw Error("usage", "run " + record.run + " exists already in journal " + name(),
                        "name another one with --run-id, or go on with `runbook resume " +
                            record.run + "`");
    });
}

std::optional<RunRecord> StoredJournal::find(const std::string& run) {
    const Lock lock(mutex_);
    std::vector<RunRecord> found;
    store_->read([&] { found = records("WHERE run = ?", {run}); });
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

std::vector<RunRecord> StoredJournal::newest(std::size_t limit, bool pinned) {
    const Lock lock(mutex_);
    std::vector<RunRecord> found;
    store_->read([&] {
        found = records("ORDER BY started DESC, run DESC LIMIT ?",
                        {static_cast<std::int64_t>(limit)}, pinned);
    });
    return found;
}

void StoredJournal::finish(const std::string& run, RunState state, const std::string& outcome,
                           int exit) {
    const Lock lock(mutex_);
    change([&] {
        const auto mine = held_.find(run);
        const Lease found = mine != held_.end() ? fenced(run, mine->second) : lease(run);
        if (mine == held_.end() && found.holder.pid != 0 && !is_me(found.holder))
            taken_over(run, -1, found);
        store_->run("UPDATE runs SET state = ?, outcome = ?, exit = ?, updated = " + clock() +
                        " WHERE run = ?",
                    {state_name(state), redact(outcome), std::int64_t{exit}, run});
        if (state == RunState::finished)
            store_->run("DELETE FROM locks WHERE run = ?", {run});
    });
}

/// Inside the caller's change.
void StoredJournal::insert_locks(const std::string& run, std::vector<std::string> names,
                                 const std::string& initiator) {
    // Who holds the lock: this run (true), nobody (false), or another run, which is told.
    const auto is_ours = [&](const std::string& name) {
        std::string other, who, where;
        store_->each("SELECT run, initiator, host FROM locks WHERE name = ?", {name},
                     [&](const Row& row) {
                         other = row.text(0);
                         who = row.text(1);
                         where = row.text(2);
                     });
        if (other.empty() || other == run)
            return other == run;
        const auto holder = records("WHERE run = ?", {other});
        if (!holder.empty())
            refuse_lock(name, holder.front(), who, where);
        return false;
    };
    for (std::string& name : names) {
        name = redact(name);
        is_ours(name); // the first one as declared is the one that is named
    }
    std::sort(names.begin(), names.end()); // one order everywhere: two runs never wait in a circle
    const std::string insert =
        "INSERT INTO locks (name, run, initiator, host, micros) VALUES (?, ?, ?, ?, " + clock() +
        ") ON CONFLICT (name) DO NOTHING";
    for (const std::string& name : names)
        while (store_->run(insert, {name, run, redact(initiator), me_.host}) == 0)
            if (is_ours(name)) // else it was given back between the two: once more
                break;
}

void StoredJournal::take_locks(const std::string& run, const std::vector<std::string>& names,
                               const std::string& initiator) {
    if (names.empty())
        return;
    const Lock lock(mutex_);
    change([&] {
        lease(run);
        insert_locks(run, names, initiator);
    });
}

std::int64_t StoredJournal::acquire(const std::string& run, std::int64_t seconds) {
    const Lock lock(mutex_);
    std::int64_t fence = 0;
    change([&] {
        const Lease found = lease(run);
        if (found.alive(store_->one_machine()) && !is_me(found.holder))
            throw Error("journal.held",
                        fmt::format("run {} is held by process {} on {} (lease until {} UTC)", run,
                                    found.holder.pid, found.holder.host,
                                    time::clock_utc(found.until)),
                        "`runbook tail " + run + "` follows it, `runbook cancel " + run +
                            "` asks it to stop");
        fence = found.fence + 1;
        store_->run("UPDATE runs SET fence = ?, lease_until = ?, owner_pid = ?, owner_start = ?, "
                    "owner_host = ?, owner_boot = ?, updated = ?, "
                    "outcome = CASE WHEN state = 'held' THEN '' ELSE outcome END, "
                    "exit = CASE WHEN state = 'held' THEN -1 ELSE exit END, "
                    "state = CASE WHEN state = 'held' THEN 'running' ELSE state END "
                    "WHERE run = ?",
                    {fence, found.now + seconds * 1'000'000, me_.pid, me_.start, me_.host, me_.boot,
                     found.now, run});
    });
    held_[run] = fence;
    return fence;
}

void StoredJournal::renew(const std::string& run, std::int64_t fence, std::int64_t seconds) {
    const Lock lock(mutex_);
    change([&] {
        const Lease found = fenced(run, fence);
        store_->run("UPDATE runs SET lease_until = ? WHERE run = ?",
                    {found.now + seconds * 1'000'000, run});
    });
}

void StoredJournal::release(const std::string& run, std::int64_t fence) {
    const Lock lock(mutex_);
    change([&] {
        store_->run("UPDATE runs SET owner_pid = 0, owner_start = 0, lease_until = 0 WHERE "
                    "run = ? AND fence = ?",
                    {run, fence});
    });
    held_.erase(run);
}

Event StoredJournal::append(const std::string& run, std::int64_t fence, const std::string& event,
                            const std::string& step, const Map& data) {
    const Lock lock(mutex_);
    const std::string text = stored(data);
    Event out{run, 0, 0, event, redact(step), restored(text), {}};
    change([&] {
        const Lease before = fenced(run, fence);
        out.seq = before.seq + 1;
        out.micros = before.now;
        out.hash = link(before.head, out, text);
        store_->run("INSERT INTO events (run, seq, micros, event, step, data, hash) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    {run, out.seq, out.micros, out.event, out.step, text, out.hash});
        store_->run("UPDATE runs SET seq = ?, head = ?, updated = ? WHERE run = ?",
                    {out.seq, out.hash, out.micros, run});
    });
    return out;
}

std::vector<Event> StoredJournal::events(const std::string& run, std::int64_t after_seq) {
    const Lock lock(mutex_);
    std::vector<Event> out;
    store_->read([&] {
        out.clear();
        store_->each("SELECT seq, micros, event, step, data, hash FROM events WHERE run = ? AND "
                     "seq > ? ORDER BY seq",
                     {run, after_seq}, [&](const Row& row) {
                         out.push_back({run, row.integer(0), row.integer(1), row.text(2),
                                        row.text(3), restored(row.text(4)), row.text(5)});
                     });
    });
    return out;
}

std::optional<std::int64_t> StoredJournal::audit(const std::string& run) {
    const Lock lock(mutex_);
    std::optional<std::int64_t> bad;
    const auto look = [&] {
        bad.reset();
        lease(run, false);
        std::string previous, head;
        std::int64_t last = 0, expected = 1;
        store_->each("SELECT playbook, file, started, pinned, seq, head FROM runs WHERE run = ?",
                     {run}, [&](const Row& row) {
                         previous =
                             genesis(run, row.text(0), row.text(1), row.integer(2), row.text(3));
                         last = row.integer(4);
                         head = row.text(5);
                     });
        store_->each(
            "SELECT seq, micros, event, step, data, hash FROM events WHERE run = ? ORDER BY seq",
            {run}, [&](const Row& row) {
                if (bad)
                    return;
                const Event event{run, row.integer(0), row.integer(1), row.text(2), row.text(3), {},
                                  {}};
                const std::string hash = link(previous, event, row.text(4));
                if (event.seq != expected || hash != row.text(5)) {
                    bad = expected;
                    return;
                }
                previous = hash;
                ++expected;
            });
        if (!bad && (last != expected - 1 || head != previous))
            bad = std::min(expected, last + 1);
    };
    store_->read(look, true);
    return bad;
}

void StoredJournal::post(const Request& request) {
    const Lock lock(mutex_);
    const std::string data = stored(request.data);
    change([&] {
        // The run's row is held, so that numbers become visible in their order: who reads above
        // the last one that was seen misses none.
        const Lease found = lease(request.run);
        store_->run("INSERT INTO requests (run, verb, subject, by, micros, data) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    {request.run, redact(request.verb), redact(request.subject), redact(request.by),
                     found.now, data});
    });
}

std::vector<Request> StoredJournal::requests(const std::string& run, std::int64_t after) {
    const Lock lock(mutex_);
    std::vector<Request> out;
    store_->read([&] {
        out.clear();
        store_->each("SELECT id, verb, subject, by, micros, data FROM requests WHERE run = ? AND "
                     "id > ? ORDER BY id",
                     {run, after}, [&](const Row& row) {
                         out.push_back({row.integer(0), run, row.text(1), row.text(2), row.text(3),
                                        row.integer(4), restored(row.text(5))});
                     });
    });
    return out;
}

bool is_postgres(const std::string& location) {
    return location.starts_with("postgres://") || location.starts_with("postgresql://");
}

/// Neither a URL of another kind nor half of one may become a file's name: a password would stand
/// in it, and in every message that names it.
void refuse_what_is_no_journal(const std::string& location) {
    if (location.starts_with("sqlite:") || is_postgres(location))
        return;
    constexpr const char* hint = "name a path, sqlite:PATH, or postgres://user@host/database";
    if (const std::size_t end = location.find("://"); end != std::string::npos)
        throw Error("journal",
                    "journal " + location.substr(0, end) +
                        "://…: a journal is a SQLite file or a schema of a PostgreSQL database",
                    hint);
    const std::size_t colon = location.find(':');
    const bool scheme = location.starts_with("postgres:") || location.starts_with("postgresql:") ||
                        location.starts_with("mysql:") || location.starts_with("mariadb:");
    const bool user = colon != std::string::npos && colon < location.find('/') &&
                      location.find('@', colon) != std::string::npos;
    if (scheme || user)
        throw Error("journal", "the journal's location is half a URL: its postgres:// is missing",
                    hint);
}

} // namespace

Value to_json(const Event& event) {
    Map out{{"ts", time::iso_millis(event.micros)}, {"run", event.run}};
    if (event.seq)
        out.set("seq", event.seq);
    out.set("event", event.event);
    if (!event.step.empty())
        out.set("step", event.step);
    for (const auto& [key, value] : event.data) {
        const bool taken =
            key == "ts" || key == "run" || key == "seq" || key == "event" || key == "step";
        out.set(taken ? key + "_" : key, value);
    }
    return out;
}

void refuse_lock(const std::string& name, const RunRecord& record, const std::string& initiator,
                 const std::string& host) {
    std::string hint =
        fmt::format("`runbook show {0}` says where it stands; it keeps the lock until "
                    "it has ended",
                    record.run);
    if (record.state == RunState::held || !record.owner_alive)
        hint += fmt::format(": `runbook resume {0}` or `runbook rollback {0}`", record.run);
    throw Error("usage",
                fmt::format("lock \"{}\" is held by run {} (playbook \"{}\", {}) of {} on {}", name,
                            record.run, record.playbook,
                            record.state == RunState::held ? "held"
                            : record.owner_alive           ? "running"
                                                           : "its process is gone",
                            initiator, host),
                hint);
}

std::string Journal::default_location() {
    if (const char* named = std::getenv("RUNBOOK_JOURNAL"); named && *named)
        return named;
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state && *state == '/')
        return std::string(state) + "/runbook/journal.db";
    const char* home = std::getenv("HOME");
    if (!home || *home != '/')
        throw Error("journal", "no place for the journal: neither XDG_STATE_HOME nor HOME is set",
                    "set one of them to a folder of this user");
    return std::string(home) + "/.local/state/runbook/journal.db";
}

bool Journal::is_remote(const std::string& location) {
    refuse_what_is_no_journal(location);
    return is_postgres(location);
}

std::unique_ptr<Journal> Journal::open(const std::string& location, bool read_only) {
    refuse_what_is_no_journal(location);
    if (is_postgres(location))
        return std::make_unique<StoredJournal>(open_postgres(location, read_only));
    constexpr std::string_view scheme = "sqlite:";
    std::string path = location.starts_with(scheme) ? location.substr(scheme.size()) : location;
    if (location.starts_with(scheme) && path.starts_with("//"))
        path.erase(0, 2);
    if (path.empty())
        throw Error("journal", "the journal's location is empty",
                    "name a path, sqlite:PATH, or postgres://user@host/database");
    path = std::filesystem::absolute(path).lexically_normal().string();
    return std::make_unique<StoredJournal>(open_sqlite(path, read_only));
}

} // namespace runbook::journal
