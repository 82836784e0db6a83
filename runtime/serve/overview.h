// The runs of a journal, and of each what its events tell: what it is at, how far, whom it waits
// for. Any thread, one at a time. Owns: what was read before, so that events are read once. Never
// writes.
#pragma once

#include "runtime/journal/journal.h"
#include "runtime/view/model.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace runbook::serve {

struct Seen {
    journal::RunRecord record;
    std::string state;                    ///< view::state_name()
    std::vector<std::string> current;     ///< steps that run now
    std::size_t done = 0, planned = 0;    ///< of the plan's items; done: also what was skipped
    std::int64_t checkpoint_failures = 0; ///< how often one did not pass
    double seconds = 0;                   ///< from its start to its end, or until now
    std::string why, paused;
    std::string waits_for, role, deadline; ///< the question that is open, or nothing
};

class Overview {
  public:
    /// Newest first; schedules are left out. Throws as the journal does.
    std::vector<Seen> look(journal::Journal& journal, std::size_t limit);

  private:
    struct Known {
        std::int64_t updated = -1, seq = 0;
        std::unique_ptr<view::Model> model; ///< of a run that may go on
        Seen seen;
    };
    void read(journal::Journal& journal, Known& known);

    std::mutex mutex_;
    std::map<std::string, Known> known_;
};

} // namespace runbook::serve
