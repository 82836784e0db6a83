// The table `_runbook_copy` in the target: what a copy has made there, written in the same
// transaction as what it tells of.
// Owns: its statements for each engine. Runs on whichever connection it is given. A chunk's row is
// the first statement of the chunk's transaction: whoever does that chunk again waits until the
// session that began it has committed or is rolled back, and then sees which.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/copy/feed.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runbook::copy {

inline constexpr const char* ledger_table = "_runbook_copy";

/// Thrown where the chunk that was to be begun is there: somebody committed it meanwhile.
struct ChunkIsThere {};

/// A part as the ledger has it, and how far it was loaded.
struct RecordedPart {
    std::string table;
    Part part; ///< `table` is null; `after` and `first_chunk` say where to go on
    std::int64_t rows = 0, bytes = 0, chunks = 0;
    bool complete = false;
};

/// What is needed to go on with a run that was cut off.
struct Recorded {
    std::string fence;  ///< moment of the source's write fence, empty where there was none
    std::string digest; ///< of the plan; empty where the run was cut off before its parts stood
    std::vector<RecordedPart> parts;
    /// States of indexes, foreign keys and the like by kind, table and number.
    std::map<std::string, std::string> finished;
    /// Every row is there; what may be missing is indexes and keys.
    bool complete() const;
    static std::string key(const std::string& kind, const std::string& table, int number);
};

class Ledger {
  public:
    explicit Ledger(db::Connection& connection) : connection_(connection) {}

    bool exists(Cancel& cancel);
    void create(Cancel& cancel);
    void drop(Cancel& cancel);

    /// State of the newest run, without `running`.
    State read(Cancel& cancel);
    /// Tables that runs have made or begun to make.
    std::vector<std::string> tables(Cancel& cancel);

    /// Tables that were there, and that runs have filled or begun to fill.
    std::vector<std::string> existing(Cancel& cancel);

    /// Views that a run has made.
    std::vector<std::string> views(Cancel& cancel);
    /// Objects of a kind that runs have made or begun to make, by name.
    std::vector<std::string> named(const char* kind, Cancel& cancel);

    void begin_run(const std::string& run, const std::string& source, const std::string& snapshot,
                   const std::string& fence, Cancel& cancel);
    /// The run goes on with another snapshot.
    void continue_run(const std::string& run, const std::string& source,
                      const std::string& snapshot, const std::string& fence, Cancel& cancel);
    /// All parts of all tables, in one transaction.
    void plan(const std::string& run, const std::string& digest, const std::vector<Part>& parts,
              Cancel& cancel);
    Recorded recorded(const std::string& run, Cancel& cancel);
    /// Returns once no session is in the middle of a chunk: all have committed or are rolled back.
    /// `say` is told when it takes long.
    void settle(const std::string& run, const std::function<void(const std::string&)>& say,
                Cancel& cancel);
    void end_run(const std::string& run, std::int64_t tables, std::int64_t rows, Cancel& cancel);
    /// `kind`: table, indexes, foreign keys…; `state`: begun, done. `number` tells statements of
    /// one kind and table apart.
    void object(const std::string& run, const std::string& kind, const std::string& table,
                const std::string& state, Cancel& cancel, int number = 0);
    void forget(const std::string& run, const std::string& table, Cancel& cancel);
    /// The first statement of a chunk's transaction. Waits, and says so, where another session has
    /// begun this chunk and not ended it. Throws ChunkIsThere.
    void begin_chunk(const std::string& run, const Part& part, int chunk,
                     const std::function<void(const std::string&)>& say, Cancel& cancel);
    /// `feed` is at the end of the chunk; `rejected` of its rows went into the table of rejects.
    void end_chunk(const std::string& run, const Part& part, int chunk, const Feed& feed,
                   std::int64_t rejected, Cancel& cancel);
    /// The part has no row behind its last chunk.
    void end_part(const std::string& run, const Part& part, Cancel& cancel);
    /// The part's last chunk that is there: rows, bytes, chunks, after and first_chunk of all.
    RecordedPart progress(const std::string& run, const Part& part, Cancel& cancel);

  private:
    void execute(const std::string& sql, std::vector<Value> params, Cancel& cancel);
    std::string name() const;
    bool is_mysql() const;
    db::Connection& connection_;
};

} // namespace runbook::copy
