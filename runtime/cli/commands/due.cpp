// `runbook due`: schedules, follow-ups and notices whose time has come. For cron; whatever runs
// twice at once starts nothing twice, because each run of these has a name of its own.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/dated.h"
#include "runtime/cli/output.h"
#include "runtime/cli/schedules.h"
#include "runtime/journal/journal.h"
#include "runtime/view/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

namespace runbook::cli {

namespace {

/// One occurrence of a follow-up.
struct Occurrence {
    engine::FollowUp followup;
    std::string owner, run, state; ///< the name of its run; due, to come, left out, or of that run
};

struct Due {
    std::vector<Occurrence> occurrences;
    std::vector<std::string> notices; ///< runs with a notice or reminder whose date has come
    std::vector<Dated> dated;
    std::vector<std::string> waiting; ///< held runs whose `not_before` has come
    std::vector<Scheduled> schedules;
};

const List& list_at(const Map& map, std::string_view key) {
    static const List none;
    const Value* value = map.find(key);
    const List* list = value ? value->get<List>() : nullptr;
    return list ? *list : none;
}

std::int64_t micros_of(const Value& iso) {
    const auto* text = iso.get<std::string>();
    const auto at = text ? time::parse(*text) : std::nullopt;
    return at ? at->micros : 0;
}

/// The occurrences of one follow-up: of those whose time has come, the newest is due, and what lies
/// between it and the last one that was started is left out.
void add_occurrences(journal::Journal& journal, const std::string& parent, const Map& data,
                     std::vector<Occurrence>& out) {
    const List& times = list_at(data, "at");
    const std::int64_t now = time::now_micros();
    const std::size_t first = out.size();
    for (std::size_t i = 0; i < times.size(); ++i) {
        Occurrence one;
        one.followup.parent = parent;
        one.followup.name = data.text("followup");
        one.followup.number = static_cast<std::int64_t>(i) + 1;
        one.followup.due = micros_of(times[i]);
        one.owner = data.text("owner");
        one.run = fmt::format("{}.{}", parent, data.text("slug"));
        if (times.size() > 1)
            one.run += fmt::format(".{}", i + 1);
        if (const auto run = journal.find(one.run))
            one.state = view::state_of(*run);
        else
            one.state = one.followup.due <= now ? "due" : "to come";
        out.push_back(std::move(one));
    }
    bool later_one_began = false;
    Occurrence* newest = nullptr;
    for (std::size_t i = out.size(); i-- > first;) {
        Occurrence& one = out[i];
        if (one.state == "to come")
            continue;
        if (one.state != "due") {
            later_one_began = true;
        } else if (later_one_began) {
            one.state = "left out";
        } else if (!newest) {
            newest = &one;
        } else {
            one.state = "left out";
            newest->followup.missed.insert(newest->followup.missed.begin(),
                                           Value(one.followup.number));
        }
    }
}

/// Whether the run was held only until a time that has come.
bool wait_is_over(const std::vector<journal::Event>& events) {
    for (auto it = events.rbegin(); it != events.rend(); ++it)
        if (it->event == "run.held") {
            const std::int64_t till = micros_of(Value(it->data.text("till")));
            return till > 0 && till <= time::now_micros();
        }
    return false;
}

Due look(journal::Journal& journal) {
    Due due;
    const auto runs = journal.runs(100'000);
    due.schedules = known_schedules(journal, runs);
    for (const journal::RunRecord& run : runs) {
        const bool succeeded =
            run.state == journal::RunState::finished && run.outcome == "succeeded";
        if (!succeeded && run.state != journal::RunState::held)
            continue;
        const auto events = journal.events(run.run);
        for (Dated& one : dated_of(events)) {
            if (one.at <= time::now_micros() &&
                (due.notices.empty() || due.notices.back() != run.run))
                due.notices.push_back(run.run);
            due.dated.push_back(std::move(one));
        }
        if (!succeeded && wait_is_over(events))
            due.waiting.push_back(run.run);
        for (const journal::Event& event : events)
            if (succeeded && event.event == "followup.scheduled")
                add_occurrences(journal, run.run, event.data, due.occurrences);
    }
    std::stable_sort(due.dated.begin(), due.dated.end(),
                     [](const Dated& a, const Dated& b) { return a.at < b.at; });
    std::stable_sort(
        due.occurrences.begin(), due.occurrences.end(),
        [](const Occurrence& a, const Occurrence& b) { return a.followup.due < b.followup.due; });
    return due;
}

std::string minute(std::int64_t micros) {
    const std::string iso = time::iso_millis(micros);
    return iso.substr(0, 10) + " " + iso.substr(11, 5);
}

/// The schedules, each with its next occurrence, or the one that has come.
void list_schedules(const std::vector<Scheduled>& schedules, bool as_json) {
    std::vector<std::vector<std::string>> rows = {{"due (UTC)", "schedule", "", "state", "missed"}};
    for (const Scheduled& one : schedules) {
        const std::string state = one.due ? "due" : one.known ? "to come" : "not known yet";
        const std::string& id = one.schedule.id;
        if (as_json)
            fmt::print("{}\n",
                       json::dump(redact(Value(
                           Map{{"schedule", id.substr(id.find('.') + 1)},
                               {"playbook", one.playbook},
                               {"file", one.file},
                               {"when", one.schedule.text},
                               {"due", time::iso_millis(one.at * 1'000'000)},
                               {"run", one.schedule.run_of(one.at)},
                               {"state", state},
                               {"blocked", one.blocked},
                               {"missed", one.state.missed},
                               {"last_missed",
                                one.state.last_missed == 0
                                    ? Value{}
                                    : Value{time::iso_millis(one.state.last_missed * 1'000'000)}},
                               {"why", one.state.last_why}}))));
        rows.push_back(
            {minute(one.at * 1'000'000), id.substr(id.find('.') + 1), one.schedule.text,
             one.blocked.empty() ? state : state + "; " + one.blocked,
             one.state.missed == 0
                 ? ""
                 : fmt::format("{}, the last for {}: {}", one.state.missed,
                               minute(one.state.last_missed * 1'000'000), one.state.last_why)});
    }
    if (!as_json && !schedules.empty())
        fmt::print("{}", redact(aligned(rows)));
}

int list(const Due& due, const Arguments& arguments) {
    const bool as_json = arguments.text("output") == "json";
    std::vector<std::vector<std::string>> rows = {
        {"due (UTC)", "follow-up", "of run", "owner", "state", "run"}};
    list_schedules(due.schedules, as_json);
    for (const Occurrence& one : due.occurrences) {
        if (as_json)
            fmt::print("{}\n",
                       json::dump(redact(Value(Map{{"followup", one.followup.name},
                                                   {"number", one.followup.number},
                                                   {"parent", one.followup.parent},
                                                   {"due", time::iso_millis(one.followup.due)},
                                                   {"owner", one.owner},
                                                   {"state", one.state},
                                                   {"run", one.run}}))));
        rows.push_back({minute(one.followup.due), one.followup.name, one.followup.parent, one.owner,
                        one.state, one.run});
    }
    if (as_json) {
        for (const Dated& one : due.dated)
            fmt::print("{}\n", json::dump(redact(Value(dated_map(one)))));
        return 0;
    }
    if (due.occurrences.empty() && due.schedules.empty() && due.dated.empty())
        fmt::print("nothing is due or to come\n");
    if (!due.occurrences.empty())
        fmt::print("{}{}", due.schedules.empty() ? "" : "\n", redact(aligned(rows)));
    if (!due.dated.empty())
        fmt::print("{}{}", due.schedules.empty() && due.occurrences.empty() ? "" : "\n",
                   redact(aligned(dated_rows(due.dated))));
    for (const std::string& run : due.waiting)
        fmt::print("its wait is over: run {}\n", run);
    return 0;
}

/// The journal is named relative to where the command was given; a run changes the folder.
std::string lasting_location(const Arguments& arguments) {
    const std::string location = journal_location(arguments);
    return location.find("://") != std::string::npos || location.starts_with("sqlite:")
               ? location
               : std::filesystem::absolute(location).string();
}

/// `due --list`: of everything, or with the schedules of the files instead of those that are known.
int list(const Context& context, const Arguments& arguments) {
    const std::vector<std::string>& files = arguments.positional;
    std::unique_ptr<journal::Journal> journal;
    std::error_code ignored;
    const std::string location = lasting_location(arguments);
    const bool there = journal::Journal::is_remote(location) || location.starts_with("sqlite:") ||
                       std::filesystem::exists(location, ignored);
    if (files.empty() || there)
        journal = open_journal(arguments);
    Due due = journal ? look(*journal) : Due{};
    if (!files.empty())
        due.schedules = schedules_of(context, arguments, files, journal.get());
    return list(due, arguments);
}

/// From bad to good: 4, 2, 1, 0; one that waits for people is no failure.
int worse(int a, int b) {
    const auto rank = [](int exit) {
        return exit == engine::person_needed ? 3
               : exit == engine::not_started ? 2
                                             : exit == engine::failed;
    };
    return rank(b) > rank(a) ? b : a;
}

int tell(const Error& error, const std::string& what) {
    print_error(error, what);
    return error.in_doubt() ? engine::person_needed : engine::not_started;
}

} // namespace

int run_due(const Context& context, const Arguments& arguments) {
    const std::vector<std::string>& files = arguments.positional;
    engine::Options options;
    options.journal = lasting_location(arguments);
    options.detach = true;
    if (arguments.has("timer")) {
        fmt::print("{}", timer_lines(arguments, schedules_of(context, arguments, files, nullptr)));
        return 0;
    }
    if (arguments.has("list"))
        return list(context, arguments);
    const auto journal = files.empty()
                             ? open_journal(arguments)
                             : journal::Journal::open(options.journal); // a first one makes it
    const Due due = look(*journal);
    const std::filesystem::path here = std::filesystem::current_path();
    int exit = 0;
    for (const std::string& run : due.notices) {
        try {
            Shown shown(arguments);
            engine::Engine(context.register_bindings, shown).post_notices(run, options);
        } catch (const Error& error) {
            if (error.kind() != "journal.held") // whoever holds it posts them
                exit = worse(exit, tell(error, "run " + run));
        }
        std::filesystem::current_path(here);
    }
    for (const std::string& run : due.waiting) {
        try {
            Shown shown(arguments);
            exit =
                worse(exit, engine::Engine(context.register_bindings, shown).resume(run, options));
            shown.finish();
        } catch (const Error& error) {
            if (error.message().starts_with("--detach: ")) { // told in its channels too
                fmt::print(stderr,
                           "{}: its time has come, and somebody has to go on with it: runbook "
                           "resume {} ({})\n",
                           run, run, error.message().substr(10));
                exit = worse(exit, engine::person_needed);
            } else {
                exit = worse(exit, tell(error, "run " + run));
            }
        }
        std::filesystem::current_path(here);
    }
    for (const Occurrence& one : due.occurrences) {
        if (one.state == "interrupted" || one.state == "held")
            fmt::print(stderr, "{}: {} (runbook resume {})\n", one.followup.name, one.state,
                       one.run);
        if (one.state != "due" || journal->find(one.run)) // another `due` was faster
            continue;
        try {
            Shown shown(arguments);
            options.run_id = one.run;
            exit = worse(
                exit,
                engine::Engine(context.register_bindings, shown).follow_up(one.followup, options));
            shown.finish();
        } catch (const Error& error) {
            exit = worse(exit, tell(error, fmt::format("follow-up \"{}\" of run {}",
                                                       one.followup.name, one.followup.parent)));
        }
        std::filesystem::current_path(here);
    }
    for (const std::string& file :
         files) { // last: they may take hours, and no other waits for them
        try {
            exit = worse(exit, start_scheduled(context, arguments, file, options));
        } catch (const Error& error) {
            exit = worse(exit, tell(error, file));
        }
        std::filesystem::current_path(here);
    }
    return exit;
}

} // namespace runbook::cli
