// The durable journal: what a run has done, synced before and after each effect.
// Owns: runs, events (append-only, hash-chained), requests from other terminals, the lease. Calls
// block (fsync, network); the host sees to it that none runs inside of Lua. No Lua header.
#pragma once

#include "runtime/base/value.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runbook::journal {

/// One line of a run's history. `hash` = SHA-256(previous hash, canonical JSON of the rest), hex.
struct Event {
    std::string run;
    std::int64_t seq = 0;    ///< 1, 2, 3… within the run
    std::int64_t micros = 0; ///< wall clock, UTC
    std::string event;       ///< `step.started`, `run.finished`…
    std::string step;        ///< empty where it belongs to no step
    Map data;                ///< redacted already
    std::string hash;
};

/// {"ts","run","seq","event","step",…data} as one JSON object; `step` only where there is one,
/// `seq` only in a journaled event. A key of `data` that has one of these names gets a trailing
/// underscore.
Value to_json(const Event& event);

enum class RunState { running, held, finished };

struct RunRecord {
    std::string run;
    std::string playbook; ///< name
    std::string file;     ///< absolute path
    RunState state = RunState::running;
    std::int64_t started = 0, updated = 0; ///< micros
    std::string outcome; ///< succeeded, rolled back, held, failed…; empty while running
    int exit = -1;
    std::int64_t owner_pid = 0; ///< process that holds the lease, 0 for none
    std::string owner_host;
    std::int64_t fence = 0;       ///< fencing token, grows with each holder
    std::int64_t lease_until = 0; ///< micros
    bool owner_alive = false; ///< as far as this host can tell; a lease that ran out counts as gone
    Map pinned; ///< parameters (secrets as origins), sources with their text and sha256
    std::vector<std::string> locks; ///< for create(): taken with the run, or the run is not created
    std::string initiator; ///< for create(): who started it, named to whoever wants its locks
};

/// What another terminal asks of a live or held run (approve, reject, cancel…).
struct Request {
    std::int64_t id = 0;
    std::string run, verb, subject, by;
    std::int64_t micros = 0;
    Map data;
};

/// What a run is told that wants a lock which `record` has: Error{`usage`}.
[[noreturn]] void refuse_lock(const std::string& name, const RunRecord& record,
                              const std::string& initiator, const std::string& host);

class Journal {
  public:
    virtual ~Journal() = default;

    /// Opens or creates. `location` is a path, `sqlite:PATH`, or `postgres://…` (password from
    /// there, RUNBOOK_JOURNAL_PASSWORD or ~/.pgpass). An older journal is brought up to date, a
    /// newer one refused. `read_only` works on a read-only folder, or with SELECT alone. Throws
    /// Error{`journal`} with the path or masked URL, the reason and what to do, and Error{`usage`}
    /// for a URL that is none.
    static std::unique_ptr<Journal> open(const std::string& location, bool read_only = false);
    /// RUNBOOK_JOURNAL, else $XDG_STATE_HOME/runbook/journal.db, else
    /// ~/.local/state/runbook/journal.db.
    static std::string default_location();
    /// Whether `location` names a server rather than a file.
    static bool is_remote(const std::string& location);

    /// What people are shown: the absolute path, or the URL without password and options.
    virtual const std::string& name() const = 0;
    /// What weakens its promise (a server that does not sync); empty where nothing does.
    virtual std::string warning() const = 0;
    /// One more connection to the same journal, for another thread.
    virtual std::unique_ptr<Journal> again() const = 0;

    /// All that `work` creates, acquires, appends, finishes and releases through this object is one
    /// commit: all of it is there or nothing. `work` only writes, throws what those throw, and may
    /// run again where the connection was lost before the commit was sent: nothing of the first
    /// turn is there then.
    virtual void together(const std::function<void()>& work) = 0;

    /// `started` of 0 means now. Throws Error{`usage`} where the run id exists, or where another
    /// run has one of `record.locks`; run and locks are one transaction.
    virtual void create(const RunRecord& record) = 0;
    virtual std::optional<RunRecord> find(const std::string& run) = 0;
    /// Newest first.
    virtual std::vector<RunRecord> runs(std::size_t limit = 100) = 0;
    /// The same without what is pinned, which is most of a record: for who looks at all of them.
    virtual std::vector<RunRecord> listed(std::size_t limit) = 0;
    /// Only for the holder of the lease, or where nobody holds it: else Error{`journal.fenced`}.
    /// A finished run gives back its locks; a held one keeps them, whether its process lives or
    /// not.
    virtual void finish(const std::string& run, RunState state, const std::string& outcome,
                        int exit) = 0;

    /// Takes the lease: throws Error{`journal.held`} naming the holder while another live process
    /// has it. A holder on this host whose process is gone loses it at once. A held run is
    /// running again. Returns the fencing token.
    virtual std::int64_t acquire(const std::string& run, std::int64_t seconds) = 0;
    /// Takes locks for a run that exists (one that is rolled back after its end); those that it has
    /// already stay. All or none: Error{`usage`} as in create().
    virtual void take_locks(const std::string& run, const std::vector<std::string>& names,
                            const std::string& initiator) = 0;
    /// Throws Error{`journal.fenced`} where another process has it by now.
    virtual void renew(const std::string& run, std::int64_t fence, std::int64_t seconds) = 0;
    /// Does nothing where another process has it by now.
    virtual void release(const std::string& run, std::int64_t fence) = 0;

    /// Appends and syncs; fills seq, micros and hash. Throws Error{`journal.fenced`} where the
    /// token is old, and Error{`journal.unknown`} where the commit failed: it may or may not be
    /// there, the run stops.
    virtual Event append(const std::string& run, std::int64_t fence, const std::string& event,
                         const std::string& step, const Map& data) = 0;
    virtual std::vector<Event> events(const std::string& run, std::int64_t after_seq = 0) = 0;
    /// Number of the first event that is altered or missing, or nothing where the chain is whole.
    /// The chain begins at the run's own record, so altered parameters or sources show as event 1.
    virtual std::optional<std::int64_t> audit(const std::string& run) = 0;

    /// Throws Error{`usage`} where there is no such run. `id` and `micros` are filled by the
    /// journal.
    virtual void post(const Request& request) = 0;
    /// Requests of the run with an id above `after`.
    virtual std::vector<Request> requests(const std::string& run, std::int64_t after) = 0;
};

} // namespace runbook::journal
