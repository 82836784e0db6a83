// One test of a playbook (contract in rehearsal.h).
#include "runtime/engine/rehearsal.h"

#include "runtime/base/redact.h"
#include "runtime/base/rehearsal.h"
#include "runtime/engine/library.h"
#include "runtime/engine/lists.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

namespace runbook::engine {

namespace {

/// 2026-01-05 09:00 UTC, a Monday: every test begins at the same moment.
constexpr std::int64_t begins_at = 1'767'603'600'000'000;
constexpr const char* tester = "tester";
constexpr const char* key = "runbook.rehearsal"; ///< the table of words.lua, in the registry

Rehearsal& rehearsal_of(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.rehearsal.self");
    auto* self = static_cast<Rehearsal*>(lua_touserdata(L, -1));
    lua_pop(L, 1);
    return *self;
}

/// rehearse(request): parks until whoever runs the test has done what the table says; returns its
/// answer.
int start_rehearse(lua_State* L) {
    return wait_after(L, [L] {
        Rehearsal& self = rehearsal_of(L);
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "run";
        Value asked = vm::to_value(L, 1);
        vm::Scheduler::of(L).park(L, operation);
        self.request = *asked.get<Map>();
        self.waiting = operation;
    });
}

/// crash(): the run ends here, as if its process had died. Never returns.
int start_crash(lua_State* L) {
    return wait_after(L, [L] {
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "crash";
        operation->steadfast = true;
        vm::Scheduler::of(L).park(L, operation);
        rehearsal_of(L).crashed = true;
    });
}

/// post(verb, subject, by, data): what another terminal asks of the run.
int start_post(lua_State* L) {
    int status = -1;
    {
        Session* session = &session_of(L);
        journal::Request request;
        request.run = session->run;
        request.verb = text_at(L, 1);
        request.subject = text_at(L, 2);
        request.by = text_at(L, 3);
        const Value data = vm::to_value(L, 4);
        if (const Map* map = data.get<Map>())
            request.data = *map;
        status = park_on_journal(
            L, [session, request](Cancel&) { session->journal->post(request); },
            [](lua_State*) { return 0; });
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// tell(text): a line of the test itself.
int tell(lua_State* L) {
    return guarded(L, [L] {
        fmt::print(stderr, "    {}\n", redact(text_at(L, 1)));
        return 0;
    });
}

/// functions(): what bindings declare, each {area, name, effect}: "reads" or "writes"; pure ones
/// are left out.
int push_functions(lua_State* L) {
    return guarded(L, [L] {
        List all;
        for (const vm::AreaDoc& area : session_of(L).registry.areas())
            for (const vm::FunctionDoc& function : area.functions)
                if (!area.name.empty())
                    all.push_back(
                        Map{{"area", area.name},
                            {"name", function.name},
                            {"answers", function.answers_in_tests},
                            {"effect", function.effect == vm::Effect::none     ? "none"
                                       : function.effect == vm::Effect::writes ? "writes"
                                                                               : "reads"}});
        vm::push_value(L, all);
        return 1;
    });
}

Map error_entry(const Error& error) {
    Map map{{"kind", error.kind()}, {"message", redact(error.message())}};
    if (!error.hint().empty())
        map.set("hint", redact(error.hint()));
    return map;
}

Value history_of(journal::Journal& journal, const std::string& run) {
    List events;
    for (const journal::Event& event : journal.events(run))
        events.push_back(Map{{"event", event.event},
                             {"step", event.step},
                             {"at", static_cast<double>(event.micros) / 1e6},
                             {"data", event.data}});
    return events;
}

} // namespace

Rehearsal::Rehearsal(RegisterBindings register_bindings, const std::string& file) {
    rehearsal::stopped_at = begins_at;
    pretend_user(tester);
    Options options;
    options.file = file;
    base_ = std::make_unique<Session>(register_bindings, *this, options);
    state = base_->state;
    state->scheduler().use_virtual_time();
    load();
}

Rehearsal::~Rehearsal() {
    test_.reset();
    waiting.reset();
    state.reset();
    base_.reset();
    pretend_user("");
    rehearsal::stopped_at = 0;
}

void Rehearsal::load() {
    lua_State* L = state->L();
    base_->source = Session::read_file(base_->options.file);
    base_->folder = std::filesystem::path(base_->options.file).parent_path().string();
    if (!base_->folder.empty())
        base_->folder += "/";
    lua_pushlightuserdata(L, this);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.rehearsal.self");
    push_engine_library(L, *base_);
    lua_pushcfunction(L, push_functions);
    lua_setfield(L, -2, "functions");
    lua_pushcfunction(L, tell);
    lua_setfield(L, -2, "tell");
    vm::push_waiting_function(L, start_rehearse, 0);
    lua_setfield(L, -2, "rehearse");
    vm::push_waiting_function(L, start_crash, 0);
    lua_setfield(L, -2, "crash");
    vm::push_waiting_function(L, start_post, 0);
    lua_setfield(L, -2, "post");
    lua_pushlstring(L, base_->options.file.data(), base_->options.file.size());
    lua_setfield(L, -2, "file");
    state->push_sandbox();
    lua_setfield(L, -2, "sandbox");
    state->load_host_file("runtime/engine/test/init.lua", 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, key);
    lua_getfield(L, -1, "words"); // the environment of the test file
    vm::load_playbook_text(L, base_->source, base_->options.file, -1);
    lua_getfield(L, -3, "declare");
    lua_insert(L, -2);
    const vm::TaskPtr task = state->scheduler().spawn(L, 1, "load");
    task->allowance = {vm::Effect::none,
                       "has an effect, and a test file only declares while it loads",
                       "move the call into a test"};
    state->scheduler().run(task);
    lua_settop(L, 0);
    if (task->failed || lua_toboolean(task->L, lua_gettop(task->L) - task->results + 1) == 0) {
        const Map map = vm::error_map(task->L, -1);
        throw Error("load", placed_message(map), map.text("hint"));
    }
}

std::vector<TestCase> Rehearsal::tests() {
    lua_State* L = state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, key);
    lua_getfield(L, -1, "tests");
    std::vector<TestCase> result;
    for (int i = 1; i <= static_cast<int>(lua_objlen(L, -1)); ++i) {
        lua_rawgeti(L, -1, i);
        TestCase one;
        lua_getfield(L, -1, "name");
        one.name = text_at(L, -1);
        lua_getfield(L, -2, "line");
        one.line = static_cast<int>(lua_tointeger(L, -1));
        one.file = base_->options.file;
        result.push_back(std::move(one));
        lua_pop(L, 3);
    }
    lua_pop(L, 2);
    return result;
}

TestResult Rehearsal::run(std::size_t index, const std::string& journal) {
    const auto began = std::chrono::steady_clock::now();
    journal_ = journal;
    lua_State* L = state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, key);
    lua_getfield(L, -1, "run_test");
    lua_pushinteger(L, static_cast<lua_Integer>(index + 1));
    test_ = state->scheduler().spawn(L, 1, "test");
    lua_settop(L, 0);
    bool stuck = false;
    while (!test_->ended && !stuck) {
        stuck =
            !state->scheduler().run_until([this] { return test_->ended || request.has_value(); });
        if (!request)
            continue;
        const Map asked = std::move(*request);
        request.reset();
        const vm::OperationPtr operation = std::move(waiting);
        auto answer = std::make_shared<Map>(perform(asked));
        operation->push = [answer](lua_State* to) {
            vm::push_value(to, *answer);
            return 1;
        };
        state->scheduler().complete(operation);
    }
    TestResult result;
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (stuck) {
        result.message = "the test waits, and nothing can happen any more";
        return result;
    }
    const int base = lua_gettop(test_->L) - test_->results + 1;
    result.passed = !test_->failed && lua_toboolean(test_->L, base) != 0;
    if (result.passed)
        return result;
    const Map map = vm::error_map(test_->L, -1);
    result.message = placed_message(map);
    result.hint = map.text("hint");
    result.traceback = map.text("traceback");
    return result;
}

Map Rehearsal::perform(const Map& asked) {
    Options options;
    options.rehearsal = this;
    options.journal = journal_;
    options.file = asked.text("file");
    options.environment = asked.text("env");
    options.start = asked.text("start");
    options.detach = asked.boolean("detach");
    options.accept_changed = asked.boolean("accept_changed");
    options.extend_s = asked.number("extend", 0);
    options.run_id = asked.text("run");
    for (const Value& pair : list_at(asked, "params"))
        options.parameters.emplace_back(*(*pair.get<List>())[0].get<std::string>(),
                                        *(*pair.get<List>())[1].get<std::string>());
    roster_ = asked.find("roster") ? *asked.find("roster") : Value{};
    pretend_user(asked.text("by", tester));
    crashed = false;
    const std::string verb = asked.text("verb"), what = asked.text("what");
    Map answer{{"run", options.run_id}};
    try {
        Engine engine(nullptr, *this);
        int exit = 0;
        if (verb == "resume")
            exit = engine.resume(options.run_id, options);
        else if (verb == "rollback")
            exit = engine.rollback(options.run_id, what, options);
        else if (verb == "retry")
            exit = engine.retry(options.run_id, what, options);
        else if (verb == "follow up")
            exit = engine.follow_up(
                {asked.text("parent"), what, asked.integer("number", 1), asked.integer("due"), {}},
                options);
        else
            exit = engine.exec(options);
        answer.set("exit", exit);
    } catch (const Error& error) {
        answer.set("error", error_entry(error));
        answer.set("exit",
                   error.kind() == "usage" || error.kind() == "load" ? not_started : person_needed);
    }
    take_back();
    try {
        const auto journal = journal::Journal::open(journal_);
        if (const auto record = journal->find(options.run_id)) {
            answer.set("outcome", record->outcome);
            answer.set("events", history_of(*journal, options.run_id));
        }
    } catch (const Error& error) {
        answer.set("error", error_entry(error));
    }
    return answer;
}

/// The state is the test file's again: nothing of it may point to the session of a run that is
/// over.
void Rehearsal::take_back() {
    lua_State* L = state->L();
    base_->host().session = base_.get();
    base_->host().allowed = {};
    push_engine_library(L, *base_);
    lua_settop(L, 0);
    install_require(*base_);
    pretend_user(tester);
}

void Rehearsal::prepare(Session& session, int host_index) {
    lua_State* L = state->L();
    if (const Map* map = roster_.get<Map>())
        session.roster = Roster(*map);
    lua_getfield(L, LUA_REGISTRYINDEX, key);
    lua_getfield(L, -1, "prepare");
    lua_pushvalue(L, host_index);
    if (lua_pcall(L, 1, 0, 0) != 0)
        throw vm::to_error(L, -1);
    lua_pop(L, 1);
}

void Rehearsal::drive(const vm::TaskPtr& task) {
    vm::Scheduler& scheduler = state->scheduler();
    const bool alive = scheduler.run_until([&] { return task->ended || crashed; });
    scheduler.abandon(test_);
    if (!alive)
        throw Error("test.stuck", "nothing can happen any more");
    if (crashed)
        throw Error("test.crash", "the test ended the process here");
}

} // namespace runbook::engine
