// The streams of a copy (see run.h). One thread a stream, each with a session at both ends; parts
// are handed out largest first. The first error stops all others at their next row.
#include "runtime/transfer/copy/governor.h"
#include "runtime/transfer/copy/rejects.h"
#include "runtime/transfer/copy/run.h"

#include "runtime/base/error.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <thread>

namespace runbook::copy {
namespace {

class Streams {
  public:
    Streams(Prepared& prepared, std::string run, const Options& options, Shared& shared,
            std::vector<RecordedPart> parts)
        : prepared_(prepared), run_(std::move(run)), options_(options), shared_(shared),
          parts_(std::move(parts)) {}

    void run(int count) {
        std::vector<std::thread> threads;
        try {
            for (int i = 0; i < count; ++i)
                threads.emplace_back([this] { work(); });
        } catch (const std::system_error& error) {
            fail(std::make_exception_ptr(
                Error("internal", std::string("no thread for a stream: ") + error.what())));
        }
        for (std::thread& thread : threads)
            thread.join();
        if (std::exception_ptr ended = shared_.error())
            std::rethrow_exception(ended);
        if (error_)
            std::rethrow_exception(error_);
    }
    /// From each table's first chunk to its last.
    const std::map<std::string, double>& seconds() const { return seconds_; }

  private:
    void work() noexcept {
        try {
            auto from = prepared_.source->session(shared_.cancel);
            auto to = session();
            Cancel::Hook hook(shared_.cancel, [&] {
                from->interrupt();
                to->interrupt();
            });
            while (std::optional<RecordedPart> part = take())
                copy(*from, *to, std::move(*part));
        } catch (...) {
            fail(std::current_exception());
        }
    }

    std::unique_ptr<TargetSession> session() {
        std::lock_guard lock(mutex_);
        return prepared_.target->session(shared_.cancel);
    }

    std::optional<RecordedPart> take() {
        std::lock_guard lock(mutex_);
        if (shared_.stop || next_ == parts_.size())
            return std::nullopt;
        return parts_[next_++];
    }

    void copy(SourceSession& from, TargetSession& to, RecordedPart recorded) {
        double begun = time::monotonic();
        Part part = recorded.part;
        bool careful = false; // the next chunk was refused for one of its rows
        for (bool ended = recorded.complete; !ended;) {
            auto rows = from.open(part, shared_.cancel);
            Feed feed(*rows, shared_, part, options_.chunk_bytes, options_.chunk_rows);
            try {
                while (feed.begin_chunk()) {
                    to.load(part, part.first_chunk, feed, careful, shared_.cancel);
                    feed.flush();
                    took(part, begun);
                    careful = false;
                    ++part.first_chunk;
                    part.after = feed.place();
                }
                Ledger(to.connection()).end_part(run_, part, shared_.cancel);
                ended = true;
            } catch (const RowsRefused& refused) {
                if (part.order.empty() && part.first_chunk > 0)
                    throw Error("copy.refused",
                                part.table->name +
                                    ": its rows have no order in which the refused "
                                    "ones could be looked for: " +
                                    refused.why,
                                "copy without rejects, or mend the rows in the source");
                feed.take_back();
                careful = true;
            } catch (const ChunkIsThere&) {
                // A session of the dead process committed after all: go on behind its chunk.
                RecordedPart there = Ledger(to.connection()).progress(run_, part, shared_.cancel);
                ended = there.complete;
                if (!ended && (part.order.empty() || there.part.after.empty() ||
                               there.part.first_chunk <= part.first_chunk))
                    throw Error("copy.mismatch",
                                part.table->name + ": another session is loading the same chunks",
                                "see that no other copy is running, and start this one again");
                part = there.part;
            }
        }
    }

    void took(const Part& part, double begun) {
        shared_.loaded(part.table->name, spent(part, begun));
    }

    double spent(const Part& part, double begun) {
        std::lock_guard lock(mutex_);
        auto [first, fresh] = begun_.emplace(part.table->name, begun);
        first->second = std::min(first->second, begun);
        return seconds_[part.table->name] = time::monotonic() - first->second;
    }

    void fail(std::exception_ptr error) noexcept {
        std::lock_guard lock(mutex_);
        if (!error_)
            error_ = std::move(error);
        shared_.stop = true;
    }

    Prepared& prepared_;
    std::string run_;
    const Options& options_;
    Shared& shared_;
    std::vector<RecordedPart> parts_;
    std::size_t next_ = 0;
    std::mutex mutex_;
    std::exception_ptr error_;
    std::map<std::string, double> begun_, seconds_;
};

/// What the ledger says is there, against what the snapshot holds; after a resume also against what
/// the target counts.
void take_account(Prepared& prepared, const std::string& run,
                  const std::map<std::string, double>& seconds, bool rejects, Cancel& cancel,
                  CopyResult& result) {
    std::map<std::string, TableCopied> totals;
    db::Connection& target = prepared.target->control();
    for (const RecordedPart& part : Ledger(target).recorded(run, cancel).parts) {
        TableCopied& table = totals[part.table];
        table.rows += part.rows;
        table.bytes += part.bytes;
        table.chunks += part.chunks;
    }
    const bool same_data =
        !result.resumed || (!prepared.fence.empty() && prepared.fence == prepared.goes_on->fence);
    for (const schema::TargetTable& table : prepared.plan.tables) {
        TableCopied copied = totals[table.name];
        copied.table = table.name;
        if (auto spent = seconds.find(table.name); spent != seconds.end())
            copied.seconds = spent->second;
        if (rejects)
            copied.rejected = Rejects::count(target, run, table.name);
        result.rejected += copied.rejected;
        const std::int64_t expected = prepared.scan.table_rows[table.source->name];
        if (same_data && copied.rows + copied.rejected != expected)
            throw Error("copy.mismatch",
                        fmt::format("{}: the snapshot holds {} rows, {} were copied{}", table.name,
                                    expected, copied.rows,
                                    rejects ? fmt::format(", {} rejected", copied.rejected) : ""),
                        "nothing is lost at the source; run copy.discard on the target");
        if (result.resumed) {
            const Value value =
                db::fetch_value(target, "SELECT count(*) FROM " + target.quote_name(table.name));
            const auto* there = value.get<std::int64_t>();
            if (!there || *there != copied.rows)
                throw Error(
                    "copy.mismatch",
                    fmt::format("{}: {} rows were copied, the target holds {}", table.name,
                                copied.rows, there ? *there : -1),
                    "somebody else wrote to it; with resume = false (--anew) the copy begins "
                    "anew");
        }
        result.rows += copied.rows;
        result.bytes += copied.bytes;
        result.tables.push_back(std::move(copied));
    }
}

} // namespace

void load(Prepared& prepared, const std::string& run, const Options& options,
          const ProgressPtr& progress, Cancel& cancel, CopyResult& result) {
    std::map<std::string, const schema::TargetTable*> tables;
    for (const schema::TargetTable& table : prepared.plan.tables)
        tables[table.name] = &table;
    std::vector<RecordedPart> parts;
    Shared shared(progress, cancel, options.rate_bytes_s, prepared.scan.rows, 0);
    for (RecordedPart& part : prepared.goes_on->parts) {
        shared.there_already(part.rows, part.bytes);
        part.part.table = tables.at(part.table);
        shared.expect(part.table, prepared.scan.table_rows[part.part.table->source->name],
                      part.rows);
        if (!part.complete)
            parts.push_back(part);
    }
    std::stable_sort(parts.begin(), parts.end(), [](const RecordedPart& a, const RecordedPart& b) {
        const std::int64_t left = a.part.table->source->bytes, right = b.part.table->source->bytes;
        return a.table != b.table ? left > right || (left == right && a.table < b.table)
                                  : a.part.number < b.part.number;
    });
    const int streams =
        std::max(1, std::min({options.streams, prepared.source->most_streams(),
                              prepared.target->most_streams(), static_cast<int>(parts.size())}));
    result.streams = streams;
    Streams work(prepared, run, options, shared, std::move(parts));
    {
        Governor governor(prepared, options, shared);
        work.run(streams);
    }
    result.held_s = shared.held_s();
    take_account(prepared, run, work.seconds(), options.rejects > 0, cancel, result);
}

} // namespace runbook::copy
