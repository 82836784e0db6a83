// The streams of a copy (see run.h). One thread a stream, each with a session at both ends; parts
// are handed out largest first. The first error stops all others at their next row.
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
            std::vector<Part> parts)
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
        if (error_)
            std::rethrow_exception(error_);
    }
    std::map<std::string, TableCopied> totals() { return std::move(totals_); }

  private:
    void work() noexcept {
        try {
            auto from = prepared_.source->session(shared_.cancel);
            auto to = session();
            Cancel::Hook hook(shared_.cancel, [&] {
                from->interrupt();
                to->interrupt();
            });
            while (const Part* part = take())
                copy(*from, *to, *part);
        } catch (...) {
            fail(std::current_exception());
        }
    }

    std::unique_ptr<TargetSession> session() {
        std::lock_guard lock(mutex_);
        return prepared_.target->session(shared_.cancel);
    }

    const Part* take() {
        std::lock_guard lock(mutex_);
        if (shared_.stop || next_ == parts_.size())
            return nullptr;
        return &parts_[next_++];
    }

    void copy(SourceSession& from, TargetSession& to, const Part& part) {
        double begun = time::monotonic();
        auto rows = from.open(part, shared_.cancel);
        Feed feed(*rows, shared_, part, options_.chunk_bytes, options_.chunk_rows);
        for (int chunk = 0; feed.begin_chunk(); ++chunk) {
            to.load(part, chunk, feed, shared_.cancel);
            feed.flush();
            add(part, feed, begun);
        }
    }

    void add(const Part& part, const Feed& feed, double begun) {
        std::lock_guard lock(mutex_);
        TableCopied& table = totals_[part.table->name];
        table.rows += feed.rows();
        table.bytes += feed.bytes();
        table.chunks += 1;
        auto [first, fresh] = begun_.emplace(part.table->name, begun);
        first->second = std::min(first->second, begun);
        table.seconds = time::monotonic() - first->second;
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
    std::vector<Part> parts_;
    std::size_t next_ = 0;
    std::mutex mutex_;
    std::exception_ptr error_;
    std::map<std::string, TableCopied> totals_;
    std::map<std::string, double> begun_;
};

} // namespace

void load(Prepared& prepared, const std::string& run, const Options& options,
          const ProgressPtr& progress, Cancel& cancel, CopyResult& result) {
    int streams =
        std::clamp(options.streams, 1,
                   std::min(prepared.source->most_streams(), prepared.target->most_streams()));
    std::vector<Part> parts;
    for (const schema::TargetTable& table : prepared.plan.tables)
        for (Part& part : prepared.source->parts(table, streams))
            parts.push_back(std::move(part));
    std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
        return a.table != b.table ? a.table->source->bytes > b.table->source->bytes ||
                                        (a.table->source->bytes == b.table->source->bytes &&
                                         a.table->name < b.table->name)
                                  : a.number < b.number;
    });
    streams = std::max(1, std::min(streams, static_cast<int>(parts.size())));
    result.streams = streams;
    Shared shared(progress, cancel, options.rate_bytes_s, prepared.scan.rows, 0);
    Streams work(prepared, run, options, shared, std::move(parts));
    work.run(streams);
    auto totals = work.totals();
    for (const schema::TargetTable& table : prepared.plan.tables) {
        TableCopied copied = totals[table.name];
        copied.table = table.name;
        std::int64_t expected = prepared.scan.table_rows[table.source->name];
        if (copied.rows != expected)
            throw Error("copy.mismatch",
                        fmt::format("{}: the snapshot holds {} rows, {} were copied", table.name,
                                    expected, copied.rows),
                        "nothing is lost at the source; run copy.discard on the target");
        result.rows += copied.rows;
        result.bytes += copied.bytes;
        result.tables.push_back(std::move(copied));
    }
}

} // namespace runbook::copy
