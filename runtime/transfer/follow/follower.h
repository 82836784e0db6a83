// One attempt at following: stream, target and their sessions, from the ledger's place on.
// Owns: those sessions and the changes in between. One thread. Internal to runtime/transfer/follow.
#pragma once

#include "runtime/transfer/follow/apply.h"
#include "runtime/transfer/follow/follow.h"
#include "runtime/transfer/follow/source.h"
#include "runtime/transfer/follow/stream.h"

#include <chrono>
#include <map>
#include <memory>

namespace runbook::follow {

class Follower {
  public:
    /// Opens everything and starts the stream. Throws where the ledger does not say `following`.
    Follower(const db::Url& source, const db::Url& target, const Options& options,
             const std::function<void(const Status&)>& told, const ProgressPtr& progress,
             Cancel& cancel);
    ~Follower();

    /// Returns when everything before `place` is in the target; never without one.
    void follow_to(std::optional<Lsn> place);

    db::Connection& source() { return *source_; }
    db::Connection& target() { return applier_.connection(); }
    const Progress& ledger() const { return ledger_; }
    const std::vector<Table>& tables() const { return tables_; }
    Status status();
    /// Ends the stream, so that the slot can be dropped.
    void end_stream() { stream_.reset(); }

  private:
    using Clock = std::chrono::steady_clock;
    void take(const pgoutput::Message& message);
    void take_relation(const pgoutput::Relation& relation);
    void take_truncate(const pgoutput::Truncate& truncate);
    std::shared_ptr<const Bound> bound_of(std::uint32_t relation) const;
    void add(Change change);
    void flush();
    void commit(Lsn to, std::int64_t micros);
    void commit_if_due(bool idle);
    void look_after();
    void guard_wal();

    const Options& options_;
    std::function<void(const Status&)> told_;
    ProgressPtr progress_;
    Cancel& cancel_;
    Applier applier_; ///< first: its lock is what the ledger is read under
    std::unique_ptr<db::Connection> source_;
    Progress ledger_;
    std::vector<Table> tables_;
    std::map<std::string, const Table*> by_name_;
    std::unique_ptr<Stream> stream_;
    std::map<std::uint32_t, std::shared_ptr<const Bound>> bound_;
    std::vector<Change> changes_;      ///< received, not sent to the target
    std::size_t bytes_ = 0;            ///< of them
    std::int64_t transactions_ = 0;    ///< received whole, not committed in the target
    std::int64_t inside_ = 0;          ///< changes of the one that is being received
    std::int64_t changed_ = 0;         ///< changes of the open transaction of the target
    Lsn received_ = 0;                 ///< end of the last whole one
    std::int64_t received_micros_ = 0; ///< when it was committed
    Lsn committing_ = 0;               ///< commit of the one that is being received; 0: none
    Clock::time_point first_, committed_at_, confirmed_at_, guarded_at_, told_at_, asked_at_;
    Wal wal_;
};

/// Throws `follow.wal_limit` after dropping the slot where it keeps too much.
void check_wal(db::Connection& source, db::Connection& target, const std::string& slot,
               const Wal& wal, const Options& options, Cancel& cancel);

} // namespace runbook::follow
