#include "runtime/view/state.h"

namespace runbook::view {

std::string state_name(const journal::RunRecord& run) {
    if (run.state == journal::RunState::running)
        return run.owner_alive ? "running" : "interrupted";
    return run.outcome.empty() ? "held" : run.outcome;
}

std::string state_of(const journal::RunRecord& run) {
    const std::string name = state_name(run);
    return name == "person_needed" ? "a person is needed"
           : name == "rolled_back" ? "rolled back"
                                   : name;
}

std::string state_of(const journal::RunRecord& run, const std::vector<journal::Event>& events) {
    std::string state = state_of(run);
    if (state == "running")
        for (auto event = events.rbegin(); event != events.rend(); ++event) {
            if (event->event == "run.paused")
                return event->data.text("why", "paused");
            if (event->event == "run.continued" || event->event == "rollback.started" ||
                event->event == "run.resumed")
                break;
        }
    return state;
}

bool is_schedule(const journal::RunRecord& record) {
    return record.outcome == scheduled;
}

} // namespace runbook::view
