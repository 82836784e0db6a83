// What a copy must not do to the servers it runs on: keep a snapshot for too long, leave replicas
// behind, add to a load. Internal to runtime/transfer/copy.
// Owns: a thread and its own sessions, while the streams load. No chunk begins while a limit is
// exceeded; a snapshot that is too old, or dead, ends the copy.
#pragma once

#include "runtime/transfer/copy/run.h"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace runbook::copy {

class Governor {
  public:
    Governor(Prepared& prepared, const Options& options, Shared& shared);
    ~Governor();
    Governor(const Governor&) = delete;
    Governor& operator=(const Governor&) = delete;

  private:
    void watch() noexcept;
    void check_age() const;
    /// Why chunks are held back; empty where nothing does.
    std::string reason();
    std::string lag_of(const db::Url& url);
    std::string lag_of_own_replicas();
    std::string load_of(const db::Url& url);
    db::Connection& session(const db::Url& url);

    Prepared& prepared_;
    const Options& options_;
    Shared& shared_;
    Cancel unstoppable_;
    std::map<std::string, std::unique_ptr<db::Connection>> sessions_; ///< by masked URL
    std::mutex mutex_;
    std::condition_variable woken_;
    bool over_ = false;
    std::thread thread_;
};

/// Seconds that a replica is behind; nothing where it does not replicate. Throws `argument` where
/// it is no replica.
std::optional<double> lag_s(db::Connection& replica, Cancel& cancel);

} // namespace runbook::copy
