// The journal in SQLite (contract in journal.h). Every change is one BEGIN IMMEDIATE … COMMIT, so
// that the fencing token is checked in the transaction that writes. A mutex lets other threads than
// the journal's own look in.
#include "runtime/journal/journal.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/journal/holder.h"
#include "runtime/journal/schema.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <mutex>

namespace runbook::journal {
namespace {

/// Redacted, but with secrets as such: their tagged form is the origin, which a resume needs.
Value cleaned(const Value& value) {
    if (value.get<SecretPtr>())
        return value;
    if (const auto* list = value.get<List>()) {
        List out;
        for (const Value& item : *list)
            out.push_back(cleaned(item));
        return out;
    }
    if (const auto* map = value.get<Map>()) {
        Map out;
        for (const auto& [key, item] : *map)
            out.set(redact(key), cleaned(item));
        return out;
    }
    return redact(value);
}

std::string stored(const Map& data) {
    return json::dump_tagged(cleaned(data));
}

Map restored(const std::string& text) {
    Value value = json::parse_tagged(text);
    Map* map = value.get<Map>();
    return map ? std::move(*map) : Map{};
}

/// What the first event is chained to.
std::string genesis(const std::string& run, const std::string& playbook, const std::string& file,
                    std::int64_t started, const std::string& pinned) {
    return digest::sha256_hex(json::dump_tagged(Map{{"run", run},
                                                    {"playbook", playbook},
                                                    {"file", file},
                                                    {"started", started},
                                                    {"pinned", pinned}}));
}

std::string link(const std::string& previous, const Event& event, const std::string& data) {
    return digest::sha256_hex(previous + "\n" +
                              json::dump_tagged(Map{{"run", event.run},
                                                    {"seq", event.seq},
                                                    {"micros", event.micros},
                                                    {"event", event.event},
                                                    {"step", event.step},
                                                    {"data", data}}));
}

std::string_view state_name(RunState state) {
    return state == RunState::running ? "running" : state == RunState::held ? "held" : "finished";
}

constexpr const char* run_columns = "SELECT run, playbook, file, state, started, updated, outcome, "
                                    "exit, pinned, fence, lease_until, "
                                    "owner_pid, owner_start, owner_host, owner_boot FROM runs ";

struct Lease {
    std::int64_t fence = 0, until = 0, seq = 0;
    std::string head; ///< hash of event `seq`
    Holder holder;

    bool alive() const {
        return holder.pid != 0 && until > time::now_micros() && life_of(holder) != Life::gone;
    }
};

RunRecord record_of(const Statement& row) {
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
                      {row.integer(11), row.integer(12), row.text(13), row.text(14)}};
    record.owner_pid = lease.holder.pid;
    record.owner_host = lease.holder.host;
    record.owner_alive = lease.alive();
    return record;
}

class SqliteJournal : public Journal {
  public:
    SqliteJournal(std::unique_ptr<Database> database, bool read_only)
        : database_(std::move(database)), read_only_(read_only), me_(this_process()) {}

    void create(const RunRecord& record) override;
    std::optional<RunRecord> find(const std::string& run) override;
    std::vector<RunRecord> runs(std::size_t limit) override;
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
    using Lock = std::lock_guard<std::mutex>;

    /// Before each change: a journal whose last commit failed takes nothing more.
    void check_writable() const;
    void commit(Transaction& transaction);
    std::optional<RunRecord> record(const std::string& run);
    void insert_locks(const RunRecord& holder, const std::vector<std::string>& names,
                      const std::string& initiator);
    bool has_locks();
    Lease lease(const std::string& run);
    Lease fenced(const std::string& run, std::int64_t fence);
    bool is_me(const Holder& holder) const {
        return holder.pid == me_.pid && holder.start == me_.start && holder.host == me_.host &&
               holder.boot == me_.boot;
    }

    std::unique_ptr<Database> database_;
    bool read_only_;
    Holder me_;
    std::mutex mutex_;
    std::string broken_;                       ///< message of the failed commit
    std::map<std::string, std::int64_t> held_; ///< fences that this object was given
};

void SqliteJournal::check_writable() const {
    if (read_only_)
        throw Error("journal", "journal " + database_->path() + ": opened for reading only");
    if (!broken_.empty())
        throw Error(
            "journal.unknown", broken_,
            "nothing was done on top of it: free space or repair the disk, then resume the run");
}

void SqliteJournal::commit(Transaction& transaction) {
    try {
        transaction.commit();
    } catch (const Error& error) {
        broken_ = error.message();
        throw;
    }
}

std::optional<RunRecord> SqliteJournal::record(const std::string& run) {
    Statement statement(*database_, std::string(run_columns) + "WHERE run = ?");
    if (!statement.bind(run).step())
        return {};
    return record_of(statement);
}

/// Who holds the run, and the end of its chain: read before each append, so without what is pinned.
Lease SqliteJournal::lease(const std::string& run) {
    Statement row(*database_, "SELECT fence, lease_until, seq, head, owner_pid, owner_start, "
                              "owner_host, owner_boot FROM runs WHERE run = ?");
    if (!row.bind(run).step())
        throw Error("usage", "there is no run " + run + " in journal " + database_->path(),
                    "`runbook runs` lists them");
    return {row.integer(0),
            row.integer(1),
            row.integer(2),
            row.text(3),
            {row.integer(4), row.integer(5), row.text(6), row.text(7)}};
}

/// The lease, where `fence` is still the token of its holder.
Lease SqliteJournal::fenced(const std::string& run, std::int64_t fence) {
    Lease found = lease(run);
    if (found.fence != fence)
        throw Error("journal.fenced",
                    fmt::format("run {} was taken over by process {} on {} (token {}, ours is {})",
                                run, found.holder.pid, found.holder.host, found.fence, fence),
                    "this process must not touch the run any more; `runbook tail " + run +
                        "` follows it");
    if (found.holder.pid == 0)
        throw Error("journal.fenced", "run " + run + " is not held by this process any more",
                    "`runbook resume " + run + "` goes on with it");
    return found;
}

void SqliteJournal::create(const RunRecord& record) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    if (this->record(record.run))
        throw Error(
            "usage", "run " + record.run + " exists already in journal " + database_->path(),
            "name another one with --run-id, or go on with `runbook resume " + record.run + "`");
    const std::int64_t started = record.started ? record.started : time::now_micros();
    const std::string pinned = stored(record.pinned);
    const std::string playbook = redact(record.playbook), file = redact(record.file);
    Statement(
        *database_,
        "INSERT INTO runs (run, playbook, file, state, started, updated, outcome, exit, pinned, "
        "head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(record.run)
        .bind(playbook)
        .bind(file)
        .bind(state_name(record.state))
        .bind(started)
        .bind(time::now_micros())
        .bind(redact(record.outcome))
        .bind(std::int64_t{record.exit})
        .bind(pinned)
        .bind(genesis(record.run, playbook, file, started, pinned))
        .run();
    RunRecord holder = record;
    holder.playbook = playbook;
    holder.started = started;
    insert_locks(holder, record.locks, record.initiator);
    commit(transaction);
}

/// The table is made with the first lock, so that journals of before take locks as well.
bool SqliteJournal::has_locks() {
    return Statement(*database_,
                     "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'locks'")
        .step();
}

/// Inside the caller's transaction.
void SqliteJournal::insert_locks(const RunRecord& holder, const std::vector<std::string>& names,
                                 const std::string& initiator) {
    if (names.empty())
        return;
    if (!has_locks())
        database_->execute(
            "CREATE TABLE locks (name TEXT PRIMARY KEY, run TEXT NOT NULL, initiator "
            "TEXT NOT NULL, host TEXT NOT NULL, micros INTEGER NOT NULL) STRICT");
    for (const std::string& given : names) {
        const std::string name = redact(given);
        Statement row(*database_, "SELECT run, initiator, host, micros FROM locks WHERE name = ?");
        if (row.bind(name).step()) {
            const std::string other = row.text(0);
            if (other == holder.run)
                continue;
            const auto record = this->record(other);
            refuse_lock(name, record ? *record : RunRecord{.run = other, .playbook = "?"},
                        row.text(1), row.text(2));
        }
        Statement(*database_, "INSERT INTO locks VALUES (?, ?, ?, ?, ?)")
            .bind(name)
            .bind(holder.run)
            .bind(initiator)
            .bind(me_.host)
            .bind(time::now_micros())
            .run();
    }
}

void SqliteJournal::take_locks(const std::string& run, const std::vector<std::string>& names,
                               const std::string& initiator) {
    if (names.empty())
        return;
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    lease(run);
    insert_locks(*record(run), names, initiator);
    commit(transaction);
}

std::optional<RunRecord> SqliteJournal::find(const std::string& run) {
    Lock lock(mutex_);
    return record(run);
}

std::vector<RunRecord> SqliteJournal::runs(std::size_t limit) {
    Lock lock(mutex_);
    Statement statement(*database_,
                        std::string(run_columns) + "ORDER BY started DESC, run DESC LIMIT ?");
    statement.bind(static_cast<std::int64_t>(limit));
    std::vector<RunRecord> out;
    while (statement.step())
        out.push_back(record_of(statement));
    return out;
}

void SqliteJournal::finish(const std::string& run, RunState state, const std::string& outcome,
                           int exit) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    const Lease found = lease(run);
    const auto mine = held_.find(run);
    if (mine != held_.end())
        fenced(run, mine->second);
    else if (found.holder.pid != 0 && !is_me(found.holder))
        fenced(run, -1);
    Statement(*database_,
              "UPDATE runs SET state = ?, outcome = ?, exit = ?, updated = ? WHERE run = ?")
        .bind(state_name(state))
        .bind(redact(outcome))
        .bind(std::int64_t{exit})
        .bind(time::now_micros())
        .bind(run)
        .run();
    if (state == RunState::finished && has_locks())
        Statement(*database_, "DELETE FROM locks WHERE run = ?").bind(run).run();
    commit(transaction);
}

std::int64_t SqliteJournal::acquire(const std::string& run, std::int64_t seconds) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    const Lease found = lease(run);
    if (found.alive() && !is_me(found.holder))
        throw Error("journal.held",
                    fmt::format("run {} is held by process {} on {} (lease until {} UTC)", run,
                                found.holder.pid, found.holder.host, time::clock_utc(found.until)),
                    "`runbook tail " + run + "` follows it, `runbook cancel " + run +
                        "` asks it to stop");
    const std::int64_t fence = found.fence + 1, now = time::now_micros();
    Statement(*database_,
              "UPDATE runs SET fence = ?, lease_until = ?, owner_pid = ?, owner_start = ?, "
              "owner_host = ?, "
              "owner_boot = ?, updated = ?, outcome = iif(state = 'held', '', outcome), "
              "exit = iif(state = 'held', -1, exit), state = iif(state = 'held', 'running', state) "
              "WHERE run = ?")
        .bind(fence)
        .bind(now + seconds * 1'000'000)
        .bind(me_.pid)
        .bind(me_.start)
        .bind(me_.host)
        .bind(me_.boot)
        .bind(now)
        .bind(run)
        .run();
    commit(transaction);
    held_[run] = fence;
    return fence;
}

void SqliteJournal::renew(const std::string& run, std::int64_t fence, std::int64_t seconds) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    fenced(run, fence);
    Statement(*database_, "UPDATE runs SET lease_until = ? WHERE run = ?")
        .bind(time::now_micros() + seconds * 1'000'000)
        .bind(run)
        .run();
    commit(transaction);
}

void SqliteJournal::release(const std::string& run, std::int64_t fence) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    Statement(*database_, "UPDATE runs SET owner_pid = 0, owner_start = 0, lease_until = 0 WHERE "
                          "run = ? AND fence = ?")
        .bind(run)
        .bind(fence)
        .run();
    commit(transaction);
    held_.erase(run);
}

Event SqliteJournal::append(const std::string& run, std::int64_t fence, const std::string& event,
                            const std::string& step, const Map& data) {
    Lock lock(mutex_);
    check_writable();
    const std::string text = stored(data);
    Transaction transaction(*database_);
    const Lease before = fenced(run, fence);
    Event out{run, before.seq + 1, time::now_micros(), event, redact(step), restored(text), {}};
    out.hash = link(before.head, out, text);
    Statement(*database_, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(run)
        .bind(out.seq)
        .bind(out.micros)
        .bind(out.event)
        .bind(out.step)
        .bind(text)
        .bind(out.hash)
        .run();
    Statement(*database_, "UPDATE runs SET seq = ?, head = ?, updated = ? WHERE run = ?")
        .bind(out.seq)
        .bind(out.hash)
        .bind(out.micros)
        .bind(run)
        .run();
    commit(transaction);
    return out;
}

std::vector<Event> SqliteJournal::events(const std::string& run, std::int64_t after_seq) {
    Lock lock(mutex_);
    Statement statement(
        *database_,
        "SELECT run, seq, micros, event, step, data, hash FROM events WHERE run = ? AND "
        "seq > ? ORDER BY seq");
    statement.bind(run).bind(after_seq);
    std::vector<Event> out;
    while (statement.step())
        out.push_back({statement.text(0), statement.integer(1), statement.integer(2),
                       statement.text(3), statement.text(4), restored(statement.text(5)),
                       statement.text(6)});
    return out;
}

std::optional<std::int64_t> SqliteJournal::audit(const std::string& run) {
    Lock lock(mutex_);
    const Transaction one_view(*database_, true);
    lease(run);
    Statement record(*database_,
                     "SELECT playbook, file, started, pinned, seq, head FROM runs WHERE run = ?");
    record.bind(run).step();
    std::string previous =
        genesis(run, record.text(0), record.text(1), record.integer(2), record.text(3));
    Statement statement(
        *database_,
        "SELECT seq, micros, event, step, data, hash FROM events WHERE run = ? ORDER BY seq");
    statement.bind(run);
    std::int64_t expected = 1;
    for (; statement.step(); ++expected) {
        const Event event{run,
                          statement.integer(0),
                          statement.integer(1),
                          statement.text(2),
                          statement.text(3),
                          {},
                          {}};
        const std::string hash = link(previous, event, statement.text(4));
        if (event.seq != expected || hash != statement.text(5))
            return expected;
        previous = hash;
    }
    const bool whole = record.integer(4) == expected - 1 && record.text(5) == previous;
    return whole ? std::nullopt : std::optional(std::min(expected, record.integer(4) + 1));
}

void SqliteJournal::post(const Request& request) {
    Lock lock(mutex_);
    check_writable();
    Transaction transaction(*database_);
    lease(request.run);
    Statement(
        *database_,
        "INSERT INTO requests (run, verb, subject, by, micros, data) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(request.run)
        .bind(redact(request.verb))
        .bind(redact(request.subject))
        .bind(redact(request.by))
        .bind(time::now_micros())
        .bind(stored(request.data))
        .run();
    commit(transaction);
}

std::vector<Request> SqliteJournal::requests(const std::string& run, std::int64_t after) {
    Lock lock(mutex_);
    Statement statement(
        *database_,
        "SELECT id, run, verb, subject, by, micros, data FROM requests WHERE run = ? AND "
        "id > ? ORDER BY id");
    statement.bind(run).bind(after);
    std::vector<Request> out;
    while (statement.step())
        out.push_back({statement.integer(0), statement.text(1), statement.text(2),
                       statement.text(3), statement.text(4), statement.integer(5),
                       restored(statement.text(6))});
    return out;
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
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state && *state == '/')
        return std::string(state) + "/runbook/journal.db";
    const char* home = std::getenv("HOME");
    if (!home || *home != '/')
        throw Error("journal", "no place for the journal: neither XDG_STATE_HOME nor HOME is set",
                    "set one of them to a folder of this user");
    return std::string(home) + "/.local/state/runbook/journal.db";
}

std::unique_ptr<Journal> Journal::open(const std::string& location, bool read_only) {
    constexpr std::string_view scheme = "sqlite:";
    std::string path = location.starts_with(scheme) ? location.substr(scheme.size()) : location;
    if (location.starts_with(scheme) && path.starts_with("//"))
        path.erase(0, 2);
    if (path.find("://") != std::string::npos)
        throw Error("journal",
                    "journal " + redact(location) + ": only SQLite journals are supported",
                    "name a file, as a path or as sqlite:PATH");
    if (path.empty())
        throw Error("journal", "the journal's location is empty",
                    "name a file, as a path or as sqlite:PATH");
    path = std::filesystem::absolute(path).lexically_normal().string();
    return std::make_unique<SqliteJournal>(
        read_only ? open_for_reading(path) : open_for_writing(path), read_only);
}

} // namespace runbook::journal
