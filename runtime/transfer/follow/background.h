// Follows that this process runs beside everything else: one thread for each pair of databases.
// Owns: the threads, from ensure() until end() or the end of the process. Any thread may ask.
// A follow that ends by itself keeps its error, which the next question raises.
#pragma once

#include "runtime/transfer/follow/follow.h"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace runbook::follow {

class Background {
  public:
    static Background& instance();
    ~Background();

    /// Starts one unless it runs. Throws the error that the last one ended with; the next call
    /// starts it again.
    void ensure(const db::Url& source, const db::Url& target, const Options& options);
    /// What it said last; nothing where none runs or it has not said anything yet.
    std::optional<Status> latest(const db::Url& source, const db::Url& target);
    /// Stops it, in the middle of what it does; what is in the target stays whole.
    void end(const db::Url& source, const db::Url& target) noexcept;

  private:
    struct Job;
    static std::string key_of(const db::Url& source, const db::Url& target);
    std::mutex mutex_;
    std::map<std::string, std::unique_ptr<Job>> jobs_;
};

} // namespace runbook::follow
