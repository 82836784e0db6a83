// `runbook pause`, `cancel` and `retry`, and what `resume` and `rollback` do where a run is live:
// asks through the journal and waits for what the run answers there.
#include "runtime/cli/commands/control.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace runbook::cli {

namespace {

using journal::RunRecord;
using journal::RunState;

constexpr double answer_s = 15, cancelled_s = 90;

void pause_a_moment() {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

std::int64_t last_seq(journal::Journal& journal, const std::string& run) {
    const auto events = journal.events(run);
    return events.empty() ? 0 : events.back().seq;
}

/// The run's state in a sentence, where no process runs it.
std::string idle_words(const RunRecord& run) {
    if (run.state == RunState::running)
        return fmt::format("run {} is not running: its process is gone", run.run);
    return fmt::format("run {} is not running: {}", run.run,
                       run.outcome == "person_needed" ? "a person is needed" : "it is held");
}

/// Throws Error{`usage`} unless a process runs it.
void require_live(const RunRecord& run) {
    if (run.state == RunState::finished)
        throw Error("usage", fmt::format("run {} has ended already: {}", run.run, run.outcome));
    if (!is_live(run))
        throw Error(
            "usage", idle_words(run),
            fmt::format("`runbook resume {0}` goes on, `runbook rollback {0}` goes back", run.run));
}

/// Names of the run's steps and checkpoints, from its plan.
std::vector<std::string> steps_of(const std::vector<journal::Event>& events) {
    std::vector<std::string> names;
    for (const journal::Event& event : events) {
        const Value* items = event.event == "plan" ? event.data.find("items") : nullptr;
        if (const List* list = items ? items->get<List>() : nullptr)
            for (const Value& item : *list)
                if (const Map* map = item.get<Map>();
                    map && map->text("kind") != "phase" && map->text("kind") != "monitor")
                    names.push_back(map->text("name"));
    }
    return names;
}

const journal::Event* find_event(const std::vector<journal::Event>& events, std::string_view name) {
    auto found = std::find_if(events.rbegin(), events.rend(),
                              [name](const journal::Event& event) { return event.event == name; });
    return found == events.rend() ? nullptr : &*found;
}

/// Posts and waits until the run has taken it; throws Error{`control`} where it refused or ended
/// first. Returns the event of the answer.
journal::Event ask(journal::Journal& journal, const RunRecord& run, const std::string& verb,
                   const Map& data) {
    const std::int64_t before = last_seq(journal, run.run);
    journal::Request request;
    request.run = run.run;
    request.verb = verb;
    request.by = user_name();
    request.data = data;
    journal.post(request);
    std::int64_t id = 0;
    for (const journal::Request& posted : journal.requests(run.run, 0))
        if (posted.verb == verb && posted.by == request.by)
            id = std::max(id, posted.id);
    const double until = time::monotonic() + answer_s;
    while (true) {
        const auto record = journal.find(run.run); // before the events: no newer than they are
        for (const journal::Event& event : journal.events(run.run, before))
            if (event.event.starts_with("control.") && event.data.integer("request") == id) {
                if (event.event == "control.refused")
                    throw Error("control",
                                fmt::format("run {}: {}", run.run, event.data.text("refused")));
                return event;
            }
        if (!record || !is_live(*record))
            throw Error("control",
                        fmt::format("run {} ended before it could {}: {}", run.run, verb,
                                    record && !record->outcome.empty() ? record->outcome
                                                                       : "its process is gone"));
        if (time::monotonic() > until)
            throw Error(
                "control",
                fmt::format("run {} has not answered within {}", run.run, text::duration(answer_s)),
                fmt::format("it is asked and may still do it: runbook tail {}", run.run));
        pause_a_moment();
    }
}

Map reason(const Arguments& arguments) {
    Map data;
    if (arguments.has("why"))
        data.set("why", arguments.text("why"));
    return data;
}

/// An answer that is no exception for the person: exit 1, with the hint where there is one.
int declined(const Error& error) {
    if (error.kind() != "control")
        throw error;
    print_error(error);
    return engine::failed;
}

} // namespace

bool is_live(const RunRecord& run) {
    return run.state == RunState::running && run.owner_alive;
}

int continue_live(journal::Journal& journal, const RunRecord& run) {
    const auto events = journal.events(run.run);
    const journal::Event* paused = find_event(events, "run.paused");
    const journal::Event* went_on = find_event(events, "run.continued");
    const journal::Event* asked = find_event(events, "control.taken");
    const bool waits = paused && (!went_on || went_on->seq < paused->seq);
    const bool will = asked && asked->data.text("verb") == "pause";
    if (!waits && !will)
        throw Error("usage",
                    fmt::format("run {} is running already (process {} on {}), and not paused",
                                run.run, run.owner_pid, run.owner_host),
                    fmt::format("`runbook tail {}` follows it", run.run));
    try {
        ask(journal, run, "resume", {});
    } catch (const Error& error) {
        return declined(error);
    }
    fmt::print("run {} goes on\n", run.run);
    return 0;
}

int rollback_live(journal::Journal& journal, const RunRecord& run, const Arguments& arguments) {
    Map data = reason(arguments);
    if (arguments.has("way"))
        data.set("way", arguments.text("way"));
    std::int64_t seen = last_seq(journal, run.run);
    try {
        ask(journal, run, "rollback", data);
    } catch (const Error& error) {
        return declined(error);
    }
    Shown shown(arguments);
    for (const journal::Event& event : journal.events(run.run))
        if (event.seq <= seen)
            shown.on_history(event);
    while (true) {
        const auto record = journal.find(run.run);
        for (const journal::Event& event : journal.events(run.run, seen)) {
            shown.on_event(event);
            seen = event.seq;
        }
        if (!record || record->state != RunState::running)
            return record && record->exit >= 0 ? record->exit : engine::person_needed;
        if (!is_live(*record)) {
            fmt::print(stderr, "error: run {}: its process is gone\nhint: runbook rollback {}\n",
                       run.run, run.run);
            return engine::person_needed;
        }
        shown.tick();
        pause_a_moment();
    }
}

int run_pause(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments, false);
    const RunRecord run = find_run(*journal, arguments.positional[0]);
    require_live(run);
    try {
        const journal::Event taken = ask(*journal, run, "pause", reason(arguments));
        const std::string during = taken.data.text("during");
        fmt::print("run {} pauses before its next step{}; runbook resume {} goes on\n", run.run,
                   during.empty() ? "" : redact(" (now: " + during + ")"), run.run);
    } catch (const Error& error) {
        return declined(error);
    }
    return 0;
}

int run_cancel(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments, false);
    const RunRecord run = find_run(*journal, arguments.positional[0]);
    require_live(run);
    std::int64_t seen = 0;
    try {
        seen = ask(*journal, run, "cancel", reason(arguments)).seq;
    } catch (const Error& error) {
        return declined(error);
    }
    const double until = time::monotonic() + cancelled_s;
    while (true) {
        const auto record = journal->find(run.run);
        if (!record || record->state != RunState::running) {
            const auto events = journal->events(run.run, seen);
            const journal::Event* end = find_event(events, "run.held");
            if (!end) {
                fmt::print("run {} has ended: {}\n", run.run, record ? record->outcome : "");
                return engine::failed;
            }
            fmt::print("run {} is held: {}\n", run.run, redact(end->data.text("why")));
            fmt::print("next: runbook resume {0}, or runbook rollback {0}\n", run.run);
            return 0;
        }
        if (!is_live(*record)) {
            fmt::print(stderr, "error: run {}: its process is gone\n", run.run);
            return engine::failed;
        }
        if (time::monotonic() > until) {
            fmt::print(stderr,
                       "error: run {0} has not stopped within {1}\nhint: it is being cancelled: "
                       "runbook tail {0}\n",
                       run.run, text::duration(cancelled_s));
            return engine::failed;
        }
        pause_a_moment();
    }
}

std::string retried_run(const Arguments& arguments) {
    const auto journal = open_journal(arguments);
    const RunRecord run = find_run(*journal, arguments.positional[0]);
    const std::string& step = arguments.positional[1];
    if (run.state == RunState::finished)
        throw Error("usage", fmt::format("run {} has ended already: {}", run.run, run.outcome));
    const std::vector<std::string> names = steps_of(journal->events(run.run));
    if (std::find(names.begin(), names.end(), step) == names.end())
        throw Error("usage",
                    fmt::format("run {} has no step '{}'{}", run.run, step,
                                text::did_you_mean(step, names)),
                    names.empty() ? "" : "steps: " + text::join(names, ", "));
    if (is_live(run))
        throw Error("usage",
                    fmt::format("run {} is running (process {} on {}): a step is retried where the "
                                "run is held",
                                run.run, run.owner_pid, run.owner_host),
                    fmt::format("`runbook cancel {}` holds it", run.run));
    return run.run;
}

} // namespace runbook::cli
