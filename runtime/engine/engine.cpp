#include "runtime/engine/engine.h"

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/base/worker.h"
#include "runtime/engine/beginning.h"
#include "runtime/engine/libraries.h"
#include "runtime/engine/library.h"
#include "runtime/engine/lists.h"
#include "runtime/engine/needs.h"
#include "runtime/engine/pin.h"
#include "runtime/engine/plan_text.h"
#include "runtime/engine/program.h"
#include "runtime/engine/reach.h"
#include "runtime/engine/rehearsal.h"
#include "runtime/engine/session.h"
#include "runtime/view/view.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <unistd.h>

namespace runbook::engine {

namespace {

/// The state of the run as the exit code tells it.
void settle(Session& session, int exit, const std::string& outcome) {
    const bool held_open = outcome == "held" || outcome == "person_needed";
    session.finish(held_open ? journal::RunState::held : journal::RunState::finished, outcome,
                   exit);
}

} // namespace

struct Engine::Impl {
    RegisterBindings register_bindings;
    view::EventSink& sink;
    std::unique_ptr<Session> described; ///< only for registry()

    void open_journal(Session& session) const {
        session.journal = journal::Journal::open(session.options.journal.empty()
                                                     ? journal::Journal::default_location()
                                                     : session.options.journal);
        session.journal_location = session.journal->name();
        if (const std::string warning = session.journal->warning(); !warning.empty())
            session.host().log("warn", warning);
        session.journal_worker = std::make_shared<Worker>();
        session.journal_is_file = !journal::Journal::is_remote(session.journal_location);
    }

    /// Runs the task to its end; Ctrl-C is its own, and the view is drawn ten times a second.
    void drive(Session& session, const vm::TaskPtr& task) const {
        session.scheduler().on_interrupt([&session, task](int) {
            if (session.interrupted)
                ::_exit(session.begun
                            ? 4
                            : 2); // asked twice: leave; the journal knows what was going on
            session.interrupted = true;
            session.scheduler().cancel(task, Error("cancelled", "interrupted"));
        });
        std::shared_ptr<void> ticking;
        std::function<void()> tick = [&] {
            sink.tick();
            ticking = session.scheduler().after(0.1, tick);
        };
        ticking = session.scheduler().after(0.1, tick);
        session.scheduler().run(task);
        ticking.reset();
    }

    int run(Session& session, const std::vector<journal::Event>& history,
            const std::string& way) const {
        lua_State* L = session.state->L();
        session.loading = false;
        session.last_request = 0;
        // What was asked while nobody ran it still counts; what an earlier process has seen does
        // not.
        for (const journal::Request& request : session.journal->requests(session.run, 0)) {
            session.newest_request = std::max(session.newest_request, request.id);
            if (history.empty() || request.micros <= history.back().micros)
                session.last_request = std::max(session.last_request, request.id);
        }
        link_run(session);
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.host");
        lua_getfield(L, -1, "try");
        lua_remove(L, -2);
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.mainloop");
        lua_getfield(L, -1, "main");
        lua_remove(L, -2);
        push_history(L, history);
        lua_pushlstring(L, session.mode.data(), session.mode.size());
        lua_pushlstring(L, way.data(), way.size());
        vm::TaskPtr task = session.scheduler().spawn(L, 4, "run");
        session.main_task = task;
        if (session.options.rehearsal)
            session.options.rehearsal->drive(task);
        else
            drive(session, task);
        const int base = lua_gettop(task->L) - task->results + 1;
        if (task->failed || lua_toboolean(task->L, base) == 0) {
            const Error error = vm::to_error(task->L, -1);
            if (!session.begun || error.kind() == "usage")
                throw error;
            throw Error(
                error.kind(), fmt::format("run {} stopped: {}", session.run, error.message()),
                error.hint().empty()
                    ? fmt::format(
                          "nothing was retried; see `runbook show {0}`, then `runbook resume {0}`",
                          session.run)
                    : error.hint())
                .set_in_doubt();
        }
        const int exit = static_cast<int>(lua_tointeger(task->L, base + 1));
        const std::string outcome = lua_tostring(task->L, base + 2);
        settle(session, exit, outcome);
        return exit;
    }
};

Engine::Engine(RegisterBindings register_bindings, view::EventSink& sink)
    : impl_(std::make_unique<Impl>(Impl{register_bindings, sink, nullptr})) {}
Engine::~Engine() = default;

int Engine::exec(const Options& options) {
    Session session(impl_->register_bindings, impl_->sink, options);
    session.initiator = current_user();
    session.load(true);
    refuse_findings(undefined_names(session));
    refuse_findings(program_findings(session));
    refuse_findings(undeclared_needs(session));
    impl_->open_journal(session);
    const Map plan =
        *describe(session).get<Map>(); // now: no second Lua call from inside the run's task
    session.plan_sha256 = plan_hash(session, plan);
    session.on_begin = [&] { start(session, plan); };
    return impl_->run(session, {}, "");
}

int Engine::dry_run(const Options& options, const std::function<void(const Map&)>& show) {
    Options dry = options;
    dry.dry_run = true;
    Session session(impl_->register_bindings, impl_->sink, dry);
    session.load(true);
    refuse_findings(undefined_names(session));
    refuse_findings(program_findings(session));
    session.run = "dry-run";
    session.mode = "dry-run";
    session.host().allowed.uses = std::make_shared<vm::Uses>();
    session.on_dry = [&](const Map& item) {
        if (item.text("kind") == "end")
            show(seen_needs(session.host().allowed));
        show(item);
    };
    session.loading = false;
    link_run(session);
    lua_State* L = session.state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.host");
    lua_getfield(L, -1, "try");
    lua_remove(L, -2);
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.mainloop");
    lua_getfield(L, -1, "dry");
    lua_remove(L, -2);
    vm::TaskPtr task = session.scheduler().spawn(L, 1, "dry run");
    session.main_task = task;
    session.scheduler().on_interrupt([&session, task](int) {
        if (session.interrupted)
            ::_exit(failed);
        session.interrupted = true;
        session.scheduler().cancel(task, Error("cancelled", "interrupted"));
    });
    session.scheduler().run(task);
    const int base = lua_gettop(task->L) - task->results + 1;
    if (task->failed || lua_toboolean(task->L, base) == 0)
        throw vm::to_error(task->L, -1);
    return static_cast<int>(lua_tointeger(task->L, base + 1));
}

namespace {

/// Loads a follow-up from what the run that it follows pinned: what stands in the files by now does
/// not matter.
void follow(Session& session, const FollowUp& followup, const Map& pinned) {
    session.options.followup = followup;
    session.parent_history = session.journal->events(followup.parent);
    session.source = pinned.text("source");
    for (const Value& item : list_at(pinned, "modules"))
        session.pinned_modules[item.get<Map>()->text("path")] = item.get<Map>()->text("text");
    session.templates_pinned = pinned.contains("templates");
    for (const Value& item : list_at(pinned, "templates"))
        if (const Map& one = *item.get<Map>(); one.contains("text"))
            session.templates[one.text("path")] = one.text("text");
    session.load(true);
}

/// Loads the pinned program of a run into a session, refusing a changed source.
void load_pinned(Session& session, const journal::RunRecord& record) {
    const Map& pinned = record.pinned;
    session.run = record.run;
    session.initiator = pinned.text("initiator");
    session.roster_pinned = !session.options.accept_changed;
    if (const Value* roster = pinned.find("roster"); roster && roster->get<Map>())
        session.roster = Roster(*roster->get<Map>());
    session.options.file = pinned.text("file");
    session.options.environment = pinned.text("environment");
    std::error_code error;
    std::filesystem::current_path(pinned.text("cwd"), error);
    if (error)
        throw Error("usage", fmt::format("run {}: its working directory {} is gone", record.run,
                                         pinned.text("cwd")));
    const auto given_again = session.options.parameters; // secrets that were on the command line
    session.options.parameters.clear();
    for (const Value& item : list_at(pinned, "parameters"))
        session.options.parameters.emplace_back(*(*item.get<List>())[0].get<std::string>(),
                                                *(*item.get<List>())[1].get<std::string>());
    for (const auto& entry : given_again)
        if (std::find(session.options.parameters.begin(), session.options.parameters.end(),
                      entry) == session.options.parameters.end())
            session.options.parameters.push_back(entry);
    if (const Value* value = pinned.find("followup")) {
        const Map& followup = *value->get<Map>();
        follow(session,
               {followup.text("parent"), followup.text("name"), followup.integer("number"),
                followup.integer("due"), list_at(followup, "missed")},
               pinned);
        return;
    }
    const std::string now = Session::read_file(session.options.file);
    if (now != pinned.text("source") && !session.options.accept_changed)
        throw Error("usage",
                    fmt::format("{}:{}: the playbook has changed since run {} started",
                                session.options.file, first_difference(now, pinned.text("source")),
                                record.run),
                    "put it back as it was, or resume with --accept-changed");
    session.source = now;
    session.load(true);
    if (!session.options.accept_changed)
        for (const Value& item : list_at(pinned, "modules"))
            for (const auto& [path, text] : session.modules)
                if (path == item.get<Map>()->text("path") && text != item.get<Map>()->text("text"))
                    throw Error("usage",
                                fmt::format("{}:{}: the module has changed since run {} started",
                                            path,
                                            first_difference(text, item.get<Map>()->text("text")),
                                            record.run),
                                "put it back as it was, or resume with --accept-changed");
    if (!session.options.accept_changed)
        if (const std::string changed = changed_template(session, pinned, record.run);
            !changed.empty())
            throw Error("usage", changed, "put it back as it was, or resume with --accept-changed");
    refuse_findings(undefined_names(session));
    refuse_findings(program_findings(session));
}

/// Whether this user may order `mode`, by what the run itself has agreed to: a roster or a header
/// that was edited since gives nobody a right.
Right right_to_continue(const std::vector<journal::Event>& history, const std::string& mode) {
    Names roles, initiators;
    Roster roster;
    for (const journal::Event& event : history) {
        if (event.event == "run.started")
            initiators.push_back(event.data.text("initiator"));
        if (event.event == "plan.changed")
            initiators.push_back(event.data.text("by"));
        if (event.event != "plan" && event.event != "plan.changed")
            continue;
        roles = names_at(event.data, "orders");
        if (const Value* value = event.data.find("roster"); value && value->get<Map>())
            roster = Roster(*value->get<Map>());
    }
    return right_to_order(roles, roster, initiators, current_user(), mode);
}

/// Nothing happened: a held run is held again, as it was.
[[noreturn]] void refuse_to_continue(Session& session, const journal::RunRecord& record,
                                     const Error& error) {
    if (record.state == journal::RunState::held)
        session.journal->finish(session.run, record.state, record.outcome, record.exit);
    throw error;
}

} // namespace

int Engine::resume(const std::string& run, const Options& options) {
    return continue_run(run, "resume", "", options);
}

int Engine::rollback(const std::string& run, const std::string& way, const Options& options) {
    return continue_run(run, "rollback", way, options);
}

int Engine::retry(const std::string& run, const std::string& step, const Options& options) {
    return continue_run(run, "retry", step, options);
}

int Engine::continue_run(const std::string& run, const std::string& mode, const std::string& way,
                         const Options& options) {
    Session session(impl_->register_bindings, impl_->sink, options);
    session.mode = mode;
    impl_->open_journal(session);
    const auto record = session.journal->find(run);
    if (!record)
        throw Error("usage", fmt::format("no run '{}' in {}", run, session.journal_location),
                    "`runbook runs` lists them");
    const bool may_go_back = mode == "rollback" && record->outcome == "succeeded";
    if (record->state == journal::RunState::finished && !may_go_back)
        throw Error("usage", fmt::format("run {} has ended already: {}", run, record->outcome));
    // Read while the playbook loads; what another process writes until the lease is taken comes
    // behind it.
    auto read = std::async(std::launch::async, [&] { return session.journal->events(run); });
    load_pinned(session, *record);
    const Map plan = *describe_head(session).get<Map>();
    session.plan_sha256 = plan_hash(session, plan);
    session.hold_lease();
    try {
        session.journal->take_locks(run, locks_of(plan), current_user());
    } catch (const Error& error) {
        refuse_to_continue(session, *record, error);
    }
    auto history = read.get();
    complete_history(session, history);
    std::string agreed;
    for (const journal::Event& event : history) {
        if (event.event == "plan" || event.event == "plan.changed")
            agreed = event.data.text("plan_sha256");
        if (event.event == "needs.widened") // what was allowed once, this run keeps
            widen(session.host().allowed, to_grants(event.data.find("allow")));
        if (event.event != "run.started" || options.accept_changed)
            continue;
        if (const std::string changed = changed_parameter(plan, event.data); !changed.empty())
            refuse_to_continue(
                session, *record,
                Error("usage", changed, "give it as it was, or resume with --accept-changed"));
    }
    const Right right = right_to_continue(history, mode);
    if (!right.refusal.empty())
        refuse_to_continue(session, *record,
                           Error("usage", fmt::format("run {}: {}", run, right.refusal)));
    for (const journal::Event& event : history)
        impl_->sink.on_history(event);
    Map changed; // now: no second Lua call from inside the run's task
    if (!agreed.empty() && agreed != session.plan_sha256) {
        changed = shown_plan(session, *describe(session).get<Map>());
        changed.set("by", current_user());
        changed.set("before", agreed);
    }
    session.on_begin = [&] {
        List roles(right.answer.roles.begin(), right.answer.roles.end());
        append(session, "run.resumed",
               Map{{"by", current_user()},
                   {"host", host_name()},
                   {"order", mode},
                   {"checked", right.answer.checked},
                   {"roles", roles}});
        append_widened(session, options.allow);
        if (!changed.empty())
            append(session, "plan.changed", changed);
    };
    try {
        return impl_->run(session, history, way);
    } catch (const Error&) {
        // refused before it began: the run is what it was, not one that was interrupted
        if (!session.begun && record->state == journal::RunState::held)
            session.journal->finish(run, record->state, record->outcome, record->exit);
        throw;
    }
}

int Engine::follow_up(const FollowUp& followup, const Options& options) {
    Session session(impl_->register_bindings, impl_->sink, options);
    impl_->open_journal(session);
    auto parent = session.journal->find(followup.parent);
    if (!parent)
        throw Error("usage",
                    fmt::format("no run '{}' in {}", followup.parent, session.journal_location));
    parent->pinned.set("followup", Map{{"parent", followup.parent},
                                       {"name", followup.name},
                                       {"number", followup.number},
                                       {"due", followup.due},
                                       {"missed", followup.missed}});
    load_pinned(session, *parent);
    session.run.clear();
    Map plan = *describe(session).get<Map>();
    plan.set("name", fmt::format("{}: {}", plan.text("name"), followup.name));
    session.plan_sha256 = plan_hash(session, plan);
    session.on_begin = [&] { start(session, plan); };
    return impl_->run(session, {}, "");
}

std::vector<Schedule> Engine::schedules(const Options& options, std::string* playbook) {
    const Map described = plan(options);
    *playbook = described.text("name");
    std::vector<Schedule> made;
    for (const Value& value : list_at(described, "schedules")) {
        Map map = *value.get<Map>();
        std::string id = "schedule." + map.text("slug");
        for (const std::string& part : {options.environment, map.text("part")})
            id += part.empty() ? "" : "." + part;
        made.push_back(schedule_from(map.set("id", id)));
    }
    if (made.empty())
        throw Error("usage",
                    fmt::format("{}: playbook \"{}\" has no schedule", options.file, *playbook),
                    "give its header one: schedule = { at = \"02:00 Europe/Berlin\" }");
    return made;
}

void Engine::post_notices(const std::string& run, const Options& options) {
    Session session(impl_->register_bindings, impl_->sink, options);
    session.mode = "notices";
    impl_->open_journal(session);
    const auto record = session.journal->find(run);
    if (!record)
        throw Error("usage", fmt::format("no run '{}' in {}", run, session.journal_location));
    load_pinned(session, *record);
    session.plan_sha256 = plan_hash(session, *describe(session).get<Map>());
    session.hold_lease();
    session.on_begin = [] {};
    impl_->run(session, session.journal->events(run), "");
}

Map Engine::plan(const Options& options) {
    Session session(impl_->register_bindings, impl_->sink, options);
    session.load(false);
    return *describe(session).get<Map>();
}

std::string Engine::plan_text(const Options& options, const std::string& format) {
    return format_plan(plan(options), format);
}

std::vector<Finding> Engine::check(const std::string& file) {
    std::vector<Finding> findings;
    try {
        Options options;
        options.file = file;
        Session session(impl_->register_bindings, impl_->sink, options);
        try {
            session.load(false);
        } catch (const Error& error) {
            // "file:line: message"
            const std::string& text = error.message();
            Finding finding{file, 1, text, true};
            if (text.starts_with(file + ":")) {
                std::size_t used = 0;
                const std::string rest = text.substr(file.size() + 1);
                try {
                    finding.line = std::stoi(rest, &used);
                    finding.message = rest.substr(std::min(used + 2, rest.size()));
                } catch (const std::exception&) {
                    finding.message = text;
                }
            }
            findings.push_back(finding);
        }
        lua_State* L = session.state->L();
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.chunk");
        const bool compiled = lua_isfunction(L, -1);
        lua_pop(L, 1);
        if (compiled)
            for (const Finding& finding : undefined_names(session))
                if (findings.empty() || findings.front().line != finding.line)
                    findings.push_back(finding);
        if (findings.empty())
            findings = program_findings(session);
        if (findings.empty())
            findings = undeclared_needs(session);
    } catch (const Error& error) {
        findings.push_back({file, 0, error.message(), true});
    }
    return findings;
}

Map Engine::needs(const std::string& file) {
    Options options;
    options.file = file;
    Session session(impl_->register_bindings, impl_->sink, options);
    session.load(false);
    return reach_of(session);
}

std::vector<ParameterInfo> Engine::parameters(const std::string& file, std::string* summary) {
    Options options;
    options.file = file;
    const Map description = plan(options);
    if (summary)
        *summary = description.text("summary");
    std::vector<ParameterInfo> result;
    for (const Value& item : list_at(description, "parameters")) {
        const Map& map = *item.get<Map>();
        ParameterInfo info{map.text("name"), map.text("type"), map.text("doc"),
                           map.boolean("required"), std::nullopt};
        if (map.contains("default"))
            info.default_text = map.text("default");
        result.push_back(std::move(info));
    }
    return result;
}

const vm::Registry& Engine::registry() {
    if (!impl_->described) {
        Options options;
        options.file = "help";
        impl_->described =
            std::make_unique<Session>(impl_->register_bindings, impl_->sink, options);
        lua_State* L = impl_->described->state->L();
        impl_->described->state->load_host_file("runtime/engine/load/options.lua", 0);
        describe_words(*impl_->described, *vm::to_value(L, -1).get<Map>());
        lua_pop(L, 1);
    }
    return impl_->described->registry;
}

void Engine::declare_libraries(vm::Registry& into) {
    registry();
    engine::declare_libraries(impl_->described->state->L(), into);
}

} // namespace runbook::engine
