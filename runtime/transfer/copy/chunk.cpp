// The transaction of a chunk (see chunk.h). Runs on the stream's thread.
#include "runtime/transfer/copy/chunk.h"

#include "runtime/transfer/copy/ledger.h"

namespace runbook::copy {

void roll_back(db::Connection& connection) noexcept {
    try {
        Cancel unstoppable;
        if (connection.alive())
            connection.rollback(unstoppable);
    } catch (const std::exception&) {
        // The session is lost.
    }
}

void load_chunk(db::Connection& connection, Rejects& rejects, const std::string& run,
                const Part& part, int chunk, Feed& feed, bool careful,
                const std::function<void(Feed&)>& load, Cancel& cancel) {
    Ledger ledger(connection);
    std::int64_t rejected = 0;
    connection.begin(cancel);
    try {
        ledger.begin_chunk(
            run, part, chunk, [&](const std::string& text) { feed.say(text); }, cancel);
        if (careful)
            rejected = rejects.load(connection, run, part, feed, load, cancel);
        else
            load(feed);
        ledger.end_chunk(run, part, chunk, feed, rejected, cancel);
        connection.commit(cancel);
    } catch (const Error& error) {
        roll_back(connection);
        rejects.take_back(rejected);
        if (!careful && rejects.collects() && Rejects::is_of_rows(error))
            throw RowsRefused{error.message()};
        throw;
    } catch (...) {
        roll_back(connection);
        throw;
    }
}

} // namespace runbook::copy
