// `runbook runs`, `show`, `tail` and `report`: what looks into the journal.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/dated.h"
#include "runtime/cli/declarations.h"
#include "runtime/cli/output.h"
#include "runtime/cli/schedules.h"
#include "runtime/journal/journal.h"
#include "runtime/view/report/report.h"
#include "runtime/view/state.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace runbook::cli {

namespace {

/// Of what `runs` lists: a schedule also says what was missed.
std::string listed_state(journal::Journal& journal, const journal::RunRecord& run) {
    if (!view::is_schedule(run))
        return view::state_of(run);
    const auto missed = engine::fold_schedule(journal.events(run.run)).missed;
    return missed == 0 ? "scheduled" : fmt::format("scheduled, {} missed", missed);
}

std::string minute(std::int64_t micros) {
    const std::string iso = time::iso_millis(micros);
    return iso.substr(0, 10) + " " + iso.substr(11, 5);
}

Map to_map(const journal::RunRecord& run, const std::string& state) {
    return Map{{"run", run.run},
               {"playbook", run.playbook},
               {"file", run.file},
               {"state", state},
               {"outcome", run.outcome},
               {"exit", run.exit < 0 ? Value{} : Value{run.exit}},
               {"started", time::iso_millis(run.started)},
               {"updated", time::iso_millis(run.updated)}};
}

int audit(journal::Journal& journal, const journal::RunRecord& run) {
    const std::size_t events = journal.events(run.run).size();
    if (const auto bad = journal.audit(run.run)) {
        fmt::print(
            "run {}: event {} does not fit the chain: it, or one before it, was changed after "
            "it was written\n",
            run.run, *bad);
        return engine::failed;
    }
    fmt::print("run {}: {} events, chain whole\n", run.run,
               text::grouped(static_cast<std::int64_t>(events)));
    return 0;
}

/// A run whose process is gone will say nothing more.
bool over(const journal::RunRecord& run) {
    return run.state != journal::RunState::running ||
           (run.lease_until != 0 && run.lease_until < time::now_micros());
}

} // namespace

int run_runs(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments);
    const auto runs = journal->runs(static_cast<std::size_t>(arguments.number("limit", 20)));
    if (arguments.text("output") == "json") {
        for (const journal::RunRecord& run : runs)
            fmt::print("{}\n", json::dump(redact(Value(to_map(run, listed_state(*journal, run))))));
        return 0;
    }
    if (runs.empty()) {
        fmt::print("no runs in {}\n", journal->name());
        return 0;
    }
    std::vector<std::vector<std::string>> rows = {
        {"run", "started (UTC)", "playbook", "state", "exit"}};
    for (const journal::RunRecord& run : runs)
        rows.push_back({run.run, minute(run.started), run.playbook, listed_state(*journal, run),
                        run.exit < 0 ? "" : std::to_string(run.exit)});
    fmt::print("{}", redact(aligned(rows)));
    return 0;
}

int run_show(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments);
    const journal::RunRecord run = find_run(*journal, arguments.positional.front());
    if (arguments.has("audit"))
        return audit(*journal, run);
    const auto events = journal->events(run.run);
    if (arguments.text("output") == "json") {
        for (const journal::Event& event : events)
            fmt::print("{}\n", json::dump(redact(journal::to_json(event))));
        return 0;
    }
    fmt::print("{}", redact(aligned({{"run", run.run},
                                     {"playbook", run.playbook + "  " + run.file},
                                     {"started", time::iso_millis(run.started)},
                                     {"state", view::state_of(run, events)}})));
    fmt::print("\n");
    view::Settings settings = view::settings_for(stdout);
    settings.live = false;
    const auto output = view::file_output(stdout);
    const auto view = view::plain_view(*output, std::move(settings));
    for (const journal::Event& event : events)
        view->on_event(event);
    const std::vector<Dated> dated = dated_of(events);
    if (!dated.empty() && run.state != journal::RunState::finished)
        fmt::print("\n{}", redact(aligned(dated_rows(dated))));
    if (!events.empty() && run.state == journal::RunState::running && run.owner_alive)
        fmt::print("\nit runs (process {}): runbook tail, pause, cancel or rollback {}\n",
                   run.owner_pid, run.run);
    else if (!events.empty() && run.state != journal::RunState::finished)
        fmt::print("\nnext: runbook resume {0}, or runbook rollback {0}\n", run.run);
    return 0;
}

int run_tail(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments);
    const std::string name = arguments.positional.empty() ? "last" : arguments.positional.front();
    const std::string run = find_run(*journal, name).run;
    Shown shown(arguments);
    std::int64_t seen = 0;
    while (true) {
        // Read before the events: what it says is then no newer than they are.
        const auto record = journal->find(run);
        for (const journal::Event& event : journal->events(run, seen)) {
            shown.on_event(event);
            seen = event.seq;
        }
        if (!record || over(*record))
            return 0;
        shown.tick();
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

int run_report(const Context&, const Arguments& arguments) {
    const auto journal = open_journal(arguments);
    const journal::RunRecord run = find_run(*journal, arguments.positional.front());
    const std::string to = arguments.text("to");
    const std::string format =
        arguments.text("format", to.empty() ? std::string("md") : report_format(to));
    report::Options options;
    options.audited = true;
    options.altered = journal->audit(run.run);
    options.source = report::pinned_source(run.pinned);
    std::string text = report::render(format, journal->events(run.run), options);
    if (!text.ends_with('\n'))
        text += '\n';
    if (to.empty())
        fmt::print("{}", text);
    else
        write_file(to, text);
    return 0;
}

} // namespace runbook::cli
