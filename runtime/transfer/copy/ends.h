// The two ends of a copy, one implementation each per engine.
// Owns: the interfaces. The main object of an end belongs to the thread that runs the copy; each
// stream opens a session of its own on its own thread.
#pragma once

#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/copy/feed.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace runbook::copy {

/// The select list of these columns.
std::string select_list(const std::vector<schema::TargetColumn>& columns);

class SourceSession {
  public:
    virtual ~SourceSession() = default;
    /// One at a time. Ends before the next is opened.
    virtual std::unique_ptr<RowSource> open(const Part& part, Cancel& cancel) = 0;
    /// Stops what runs in the server; from the cancel thread. Never throws.
    virtual void interrupt() noexcept = 0;
};

/// The source under one snapshot, which lives as long as the object.
class Source {
  public:
    virtual ~Source() = default;
    virtual const catalog::Database& database() const = 0;
    virtual const std::string& snapshot() const = 0;
    /// Throws where the snapshot has died, for the thread that watches the copy.
    virtual void check_snapshot(Cancel&) {}
    /// The session that holds the snapshot: for preflight.
    virtual db::Connection& holder() = 0;
    /// Some columns of all rows, over the holder's session, as COPY text.
    virtual std::unique_ptr<RowSource> keys(const schema::TargetTable& table,
                                            const std::vector<schema::TargetColumn>& columns) = 0;
    /// Server and database, the same ones for the same source at any time.
    virtual std::string identity() const = 0;
    virtual std::vector<Part> parts(const schema::TargetTable& table, int streams) const = 0;
    /// As Part::layout was when the parts were made, where the rows still lie so.
    virtual std::string layout(const Part&) const { return {}; }
    /// How many sessions may read at once.
    virtual int most_streams() const = 0;
    virtual std::unique_ptr<SourceSession> session(Cancel& cancel) = 0;
};

struct SourceOptions {
    catalog::Filter filter;
    db::Flavour target = db::Flavour::mysql;
    int streams = 1; ///< sessions to open at once, where each needs the snapshot from the start
    std::string snapshot; ///< an exported one that is read instead of a new one; PostgreSQL
};
std::unique_ptr<Source> open_source(const db::Url& url, const SourceOptions& options,
                                    Cancel& cancel);

class TargetSession {
  public:
    virtual ~TargetSession() = default;
    /// Loads one chunk in one transaction whose first statement is its ledger row. Whatever fails
    /// has been rolled back when this throws. Throws RowsRefused where rows may be rejected and one
    /// is at fault: the same chunk `careful`ly leaves it out.
    virtual void load(const Part& part, int chunk, Feed& feed, bool careful, Cancel& cancel) = 0;
    /// One statement after the load, with its row in the ledger: `number` among those of the table
    /// and kind. Where the ledger has it as begun, it is made only if it is not there.
    virtual void finish(const schema::TargetTable& table, const std::string& kind, int number,
                        const std::string& sql, bool begun, Cancel& cancel) = 0;
    virtual db::Connection& connection() = 0;
    virtual void interrupt() noexcept = 0;
};

class Target {
  public:
    virtual ~Target() = default;
    virtual schema::Target description() = 0;
    /// Where the rows come from; before anything else is asked of it.
    virtual void expect(db::Engine) {}
    /// How many sessions may write at once.
    virtual int most_streams() const { return 64; }
    /// Tables that the plan will need. Those that are there and hold no row are not in the way;
    /// with `beside`, nor are tables of other names. Before make_ready.
    virtual void will_need(const std::vector<std::string>& names, bool beside);
    /// Of these tables, those that are there and may be filled. After make_ready.
    virtual const std::vector<std::string>& existing() const;
    /// Throws `copy.refused` or `db.not_empty`; returns the unfinished run of the same source that
    /// is all there is, or nothing. Nothing is changed; without `dry`, no other copy can begin.
    virtual std::string make_ready(const std::string& source_identity, bool dry,
                                   Cancel& cancel) = 0;
    virtual void begin_run(const std::string& run, const std::string& source_identity,
                           const std::string& snapshot, const std::string& fence,
                           Cancel& cancel) = 0;
    /// Sessions load for this run from here on.
    virtual void continue_run(const std::string& run, Cancel& cancel) = 0;
    /// What the tables need first; only PostgreSQL is ever asked.
    virtual void make(const schema::Before& object, Cancel& cancel);
    virtual void create(const schema::TargetTable& table, Cancel& cancel) = 0;
    virtual void end_run(std::int64_t tables, std::int64_t rows, Cancel& cancel) = 0;
    virtual std::unique_ptr<TargetSession> session(Cancel& cancel) = 0;
    virtual db::Connection& control() = 0;
    /// Some session is copying into it right now.
    virtual bool running() = 0;
    /// Drops what the ledger names, then the ledger.
    virtual std::vector<std::string> discard(Cancel& cancel) = 0;
    /// As discard, for a copy that comes next: what it fills and did not make stays, empty.
    virtual void begin_anew(Cancel& cancel) { discard(cancel); }
};
std::unique_ptr<Target> open_target(const db::Url& url, const Options& options, Cancel& cancel);

/// Findings that only the data shows, and the profile that the mapping needs.
struct Scan {
    schema::Profile profile;
    std::vector<Finding> findings;
    std::int64_t rows = 0;
    std::map<std::string, std::int64_t> table_rows;
};
Scan scan_postgresql(Source& source, const rules::Decisions& rules, const schema::Target& target,
                     const Options& options, const ProgressPtr& progress, Cancel& cancel);

/// Groups of values that the target's collation holds for equal, of every unique key with texts.
std::vector<Finding> find_collisions(Source& source, Target& target, const schema::Plan& plan,
                                     const Options& options, Cancel& cancel);

} // namespace runbook::copy
