// `runbook approve` and `reject`: an answer to a gate, through the journal.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/journal/journal.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::cli {

namespace {

/// Names of the run's gates, from its plan.
std::vector<std::string> gates(const std::vector<journal::Event>& events) {
    std::vector<std::string> names;
    for (const journal::Event& event : events) {
        const Value* items = event.event == "plan" ? event.data.find("items") : nullptr;
        if (const List* list = items ? items->get<List>() : nullptr)
            for (const Value& item : *list)
                if (const Map* map = item.get<Map>(); map && map->text("kind") == "gate")
                    names.push_back(map->text("name"));
        if (event.event == "gate.opened" || event.event == "decision.asked")
            names.push_back(event.step);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

int answer(const Arguments& arguments, const std::string& verb) {
    const auto journal = open_journal(arguments, false);
    const journal::RunRecord run = find_run(*journal, arguments.positional[0]);
    const std::string& gate = arguments.positional[1];
    if (run.state == journal::RunState::finished)
        throw Error("usage", fmt::format("run {} has ended already: {}", run.run, run.outcome));
    const std::vector<std::string> names = gates(journal->events(run.run));
    if (std::find(names.begin(), names.end(), gate) == names.end())
        throw Error("usage",
                    fmt::format("run {} has no gate '{}'{}", run.run, gate,
                                text::did_you_mean(gate, names)),
                    names.empty() ? "" : "gates: " + text::join(names, ", "));
    journal::Request request;
    request.run = run.run;
    request.verb = verb;
    request.subject = gate;
    request.by = user_name();
    if (arguments.has("why"))
        request.data.set("why", arguments.text("why"));
    journal->post(request);
    fmt::print("{} {} as {}\n", verb == "approve" ? "approved" : "rejected", gate, request.by);
    if (run.owner_pid == 0)
        fmt::print("nobody runs it now: runbook resume {}\n", run.run);
    return 0;
}

} // namespace

int run_approve(const Context&, const Arguments& arguments) {
    return answer(arguments, "approve");
}

int run_reject(const Context&, const Arguments& arguments) {
    return answer(arguments, "reject");
}

} // namespace runbook::cli
