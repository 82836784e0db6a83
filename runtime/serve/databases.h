// Whether the named connections of runbook.toml answer. Any thread. Each is asked on a thread of
// its own, read-only; what was found is kept for some seconds, so that many who ask are one look.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/config/config.h"

#include <list>
#include <mutex>
#include <string>
#include <vector>

namespace runbook::serve {

class Databases {
  public:
    /// Relative paths of secrets are looked for in `folder`.
    Databases(std::vector<config::Connection> connections, std::string folder);

    /// {status, checked, connections: [{name, database, reachable, …}]}: "ok" where all answer,
    /// "failing" where one does not, "unknown" where there is none to ask. No user and no password
    /// in it.
    Map look();
    /// Ends what is being asked, for good.
    void stop();

  private:
    Map ask(const config::Connection& connection, Cancel& cancel) const;

    std::vector<config::Connection> connections_;
    std::string folder_;
    std::mutex looking_; ///< one look at a time
    Map found_;
    double found_at_ = 0; ///< monotonic seconds; 0: never
    std::mutex mutex_;    ///< those below
    std::list<Cancel> asking_;
    bool stopped_ = false;
};

} // namespace runbook::serve
