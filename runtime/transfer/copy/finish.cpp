// What follows the load (see run.h): indexes of several tables at once, foreign keys one after the
// other (each locks two tables and takes no time), their proof, sequences. A statement that the
// ledger has as done is not made again. One thread a session.
#include "runtime/transfer/copy/run.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace runbook::copy {
namespace {

using Task = std::function<void(TargetSession&)>;

class Finisher {
  public:
    Finisher(Prepared& prepared, const Options& options, ProgressPtr progress, Cancel& cancel,
             std::int64_t rows)
        : prepared_(prepared), options_(options), progress_(std::move(progress)), cancel_(cancel),
          rows_(rows) {
        for (const schema::TargetTable& table : prepared.plan.tables)
            tables_.push_back(&table);
        std::stable_sort(tables_.begin(), tables_.end(), [](const auto* a, const auto* b) {
            return a->source->bytes > b->source->bytes;
        });
    }

    void run() {
        statements("indexes", &schema::TargetTable::indexes, options_.streams);
        statements("foreign keys", &schema::TargetTable::foreign_keys, 1);
        prove();
        statements("sequences", &schema::TargetTable::after, 1);
    }

  private:
    void statements(const std::string& kind,
                    std::vector<std::string> schema::TargetTable::*statements, int sessions) {
        std::vector<Task> tasks;
        for (const schema::TargetTable* table : tables_)
            for (std::size_t i = 0; i < (table->*statements).size(); ++i) {
                const std::string& sql = (table->*statements)[i];
                const auto number = static_cast<int>(i);
                const std::string state = recorded(kind, table->name, number);
                if (state != "done")
                    tasks.emplace_back([this, table, kind, number, &sql, state](auto& session) {
                        say(kind + " of " + table->name);
                        session.finish(*table, kind, number, sql, state == "begun", cancel_);
                    });
            }
        parallel(std::move(tasks), sessions);
    }

    std::string recorded(const std::string& kind, const std::string& table, int number) const {
        if (!prepared_.goes_on)
            return {};
        auto found = prepared_.goes_on->finished.find(Recorded::key(kind, table, number));
        return found == prepared_.goes_on->finished.end() ? std::string() : found->second;
    }

    /// Every foreign key holds for every row, said by the target itself.
    void prove() {
        std::vector<Task> tasks;
        for (const schema::TargetTable* table : tables_)
            for (const schema::Proof& proof : table->proofs)
                tasks.emplace_back([this, table, &proof](auto& session) {
                    say("foreign keys of " + table->name);
                    Value value = db::fetch_value(session.connection(), proof.query);
                    const auto* orphans = value.template get<std::int64_t>();
                    if (!orphans || *orphans != 0)
                        throw Error(
                            "copy.mismatch",
                            fmt::format("{}: {} rows point to no row by {}", table->name,
                                        orphans ? text::grouped(*orphans) : "unknown", proof.name),
                            "the source holds them too, or the collation makes keys differ there");
                });
        parallel(std::move(tasks), options_.streams);
    }

    void say(const std::string& item) {
        std::lock_guard lock(mutex_);
        if (progress_)
            progress_->report({item, rows_, rows_, 0, 0});
    }

    void parallel(std::vector<Task> tasks, int sessions) {
        tasks_ = std::move(tasks);
        next_ = 0;
        const int count =
            std::min({sessions, prepared_.target->most_streams(), static_cast<int>(tasks_.size())});
        std::vector<std::thread> threads;
        for (int i = 0; i < count; ++i)
            threads.emplace_back([this] { work(); });
        for (std::thread& thread : threads)
            thread.join();
        if (error_)
            std::rethrow_exception(error_);
    }

    void work() noexcept {
        try {
            std::unique_ptr<TargetSession> session;
            {
                std::lock_guard lock(mutex_);
                session = prepared_.target->session(cancel_);
            }
            Cancel::Hook hook(cancel_, [&] { session->interrupt(); });
            while (const Task* task = take()) {
                cancel_.check("the copy");
                (*task)(*session);
            }
        } catch (...) {
            std::lock_guard lock(mutex_);
            if (!error_)
                error_ = std::current_exception();
        }
    }

    const Task* take() {
        std::lock_guard lock(mutex_);
        return error_ || next_ == tasks_.size() ? nullptr : &tasks_[next_++];
    }

    Prepared& prepared_;
    const Options& options_;
    ProgressPtr progress_;
    Cancel& cancel_;
    std::int64_t rows_;
    std::vector<const schema::TargetTable*> tables_;
    std::vector<Task> tasks_;
    std::size_t next_ = 0;
    std::mutex mutex_;
    std::exception_ptr error_;
};

} // namespace

void finish(Prepared& prepared, const Options& options, const ProgressPtr& progress, Cancel& cancel,
            std::int64_t rows) {
    Finisher(prepared, options, progress, cancel, rows).run();
}

} // namespace runbook::copy
