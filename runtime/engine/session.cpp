#include "runtime/engine/session.h"

#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/base/worker.h"
#include "runtime/config/config.h"
#include "runtime/engine/needs.h"
#include "runtime/engine/rehearsal.h"
#include "runtime/engine/step_progress.h"
#include "runtime/view/view.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace runbook::engine {

namespace {

constexpr std::int64_t lease_seconds = 30;

/// require(name): a module beside the playbook, else the stdlib's; once.
int require_module(lua_State* L) {
    bool fine = false;
    {
        auto* session = static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1)));
        try {
            if (lua_type(L, 1) != LUA_TSTRING)
                throw Error("argument", "require: argument 1 'name': string expected, got " +
                                            vm::type_word(L, 1));
            const std::string name = lua_tostring(L, 1);
            lua_pushvalue(L, 1);
            lua_rawget(L, lua_upvalueindex(2));
            if (lua_islightuserdata(L, -1)) // the mark of one that is being loaded
                throw Error("load", fmt::format("require: module '{}' requires itself", name),
                            "move what both need into a module of its own");
            fine = !lua_isnil(L, -1);
            if (!fine) {
                lua_pop(L, 1);
                std::string path = name;
                for (char& c : path)
                    c = c == '.' ? '/' : c;
                if (path.find("..") != std::string::npos || path.starts_with("/"))
                    throw Error("load", fmt::format("require: '{}' is not a module name", name));
                const std::string beside = session->folder + path + ".lua";
                lua_getfield(L, LUA_REGISTRYINDEX, "runbook.sandbox"); // on this task's own stack
                const auto pinned = session->pinned_modules.find(beside);
                const bool is_pinned = pinned != session->pinned_modules.end();
                if (is_pinned || std::filesystem::exists(beside)) {
                    std::string text = is_pinned ? pinned->second : Session::read_file(beside);
                    vm::load_playbook_text(L, text, beside, -1);
                    session->modules.emplace_back(beside, std::move(text));
                } else if (load_embedded(L, "stdlib/" + path + ".lua")) {
                    lua_pushvalue(L, -2);
                    lua_setfenv(L, -2);
                } else {
                    throw Error(
                        "load",
                        fmt::format(
                            "module '{}' not found: no {}, and none in the standard library", name,
                            beside));
                }
                lua_remove(L, -2);
                lua_pushvalue(L, 1);
                lua_pushlightuserdata(L, session);
                lua_rawset(L, lua_upvalueindex(2));
                lua_pushcfunction(L, vm::error_handler); // while the module's frames are there
                lua_insert(L, -2);
                lua_pushvalue(L, 1);
                fine = lua_pcall(L, 1, 1, -3) == 0;
                const bool empty = fine && lua_isnil(L, -1);
                lua_pushvalue(L, 1);
                if (fine)
                    lua_pushvalue(L, -2);
                else
                    lua_pushnil(L); // another try loads it again
                lua_rawset(L, lua_upvalueindex(2));
                if (empty) {
                    fine = false;
                    throw Error(
                        "load",
                        fmt::format("module '{}' returned nothing: end it with `return M`", name));
                }
            }
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return fine ? 1 : lua_error(L);
}

[[noreturn]] void throw_load_error(const Map& error) {
    const bool usage = error.text("kind") == "usage";
    throw Error(usage ? "usage" : "load", usage ? error.text("message") : placed_message(error),
                error.text("hint"));
}

} // namespace

const vm::Permissions& EngineHost::permissions() const {
    const vm::Task* task = session->scheduler().current();
    allowed.step = task ? task->step_label : std::string();
    return allowed;
}

ProgressPtr EngineHost::progress() {
    const vm::Task* task = session->scheduler().current();
    return step_progress(*session, task ? task->step : std::string());
}

void EngineHost::log(std::string_view level, std::string_view text) {
    emit("log", Map{{"level", level}, {"text", text}});
}

void EngineHost::emit(std::string_view event, Map data) {
    const vm::Task* task = session->scheduler().current();
    session->pending.push_back(
        {std::string(event), task ? task->step : std::string(), std::move(data)});
}

Session::Session(RegisterBindings register_bindings, view::EventSink& view_sink, Options given)
    : options(std::move(given)), sink(view_sink) {
    if (options.rehearsal) {
        state = options.rehearsal->state;
        host().session = this;
        host().allowed = {};
    } else {
        auto engine_host = std::make_unique<EngineHost>();
        engine_host->session = this;
        engine_host->dry = options.dry_run;
        state = std::make_shared<vm::State>(std::move(engine_host));
        if (register_bindings)
            register_bindings(*state, registry);
    }
    install_require(*this);
}

Session::~Session() {
    release_lease();
    secrets.reset(); // its thread posts to the loop; leases end with the run
    state.reset();   // ends every task and worker before the journal goes
    journal_worker.reset();
}

std::string Session::read_file(const std::string& path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
        throw Error("usage", fmt::format("{} is a folder, not a playbook", path));
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error("usage", fmt::format("{}: no such file, or it cannot be read", path));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

const std::optional<std::string>& Session::template_text(const std::string& path) {
    const std::string file = folder + path;
    const auto [entry, added] = templates.try_emplace(file);
    std::error_code ignored;
    if (added && !templates_pinned && std::filesystem::is_regular_file(file, ignored))
        entry->second = read_file(file);
    return entry->second;
}

void install_require(Session& session) {
    lua_State* L = session.state->L();
    session.state->push_sandbox();
    lua_pushliteral(L, "require");
    lua_pushlightuserdata(L, &session);
    lua_newtable(L);
    lua_pushcclosure(L, require_module, 2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

std::string placed_message(const Map& error) {
    const Value* at = error.find("where");
    const Map* where = at ? at->get<Map>() : nullptr;
    const std::string message = error.text("message");
    return where ? fmt::format("{}:{}: {}", where->text("file"), where->integer("line"), message)
                 : message;
}

Value call_program(lua_State* L, const char* name) {
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.program");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (lua_pcall(L, 0, 1, 0) != 0) {
        const Error error = vm::to_error(L, -1);
        lua_pop(L, 1);
        throw error;
    }
    Value value = vm::to_value(L, -1);
    lua_pop(L, 1);
    return value;
}

void Session::load(bool complete_parameters) {
    lua_State* L = state->L();
    complete = complete_parameters;
    if (source.empty())
        source = read_file(options.file);
    folder = std::filesystem::path(options.file).parent_path().string();
    if (!folder.empty())
        folder += "/";
    settings = config::load(folder);
    if (!options.environment.empty())
        config = settings.parameters(options.environment);
    if (complete) {
        secret::configure(settings.vault);
        secrets = std::make_unique<secret::Use>([this](const std::string& text) {
            scheduler().post([this, text] { host().log("warn", text); });
        });
    }
    channels = add_channels(*this);
    if (!roster_pinned) {
        Map roles;
        for (const config::Role& role : settings.roster)
            roles.set(role.name, List(role.people.begin(), role.people.end()));
        roster = Roster(roles);
    }

    push_engine_library(L, *this);
    lua_pushlstring(L, options.file.data(), options.file.size());
    lua_setfield(L, -2, "file");
    const int host_index = lua_gettop(L);
    if (options.rehearsal)
        options.rehearsal->prepare(*this, host_index);
    lua_pushvalue(L, host_index);
    state->load_host_file("runtime/engine/load/init.lua", 1);
    const int program_index = lua_gettop(L);

    // the words become names of the sandbox
    state->push_sandbox();
    lua_getfield(L, program_index, "words");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 2);

    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.program");
    lua_pushvalue(L, host_index);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.host");
    lua_settop(L, host_index - 1);

    state->push_sandbox();
    try {
        vm::load_playbook_text(L, source, options.file, -1);
    } catch (const Error&) {
        lua_settop(L, host_index - 1);
        throw;
    }
    lua_remove(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.chunk");
    // a wrapper gives every error the table with the playbook's line
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.host");
    lua_getfield(L, -1, "try");
    lua_remove(L, -2);
    lua_insert(L, -2);
    vm::TaskPtr task = scheduler().spawn(L, 1, "load");
    task->allowance = {vm::Effect::none,
                       "has an effect, and a playbook only declares while it loads",
                       "move the call into the run function of a step"};
    scheduler().run(task);
    if (task->failed || lua_toboolean(task->L, lua_gettop(task->L) - task->results + 1) == 0)
        throw_load_error(vm::error_map(task->L, -1));

    call_program(L, "loaded");
    if (!options.followup.parent.empty())
        call_program(L, "choose_followup");
    const Value permissions = call_program(L, "permissions");
    if (const Map* map = permissions.get<Map>()) {
        host().allowed.shell = names_at(*map, "shell");
        host().allowed.http = names_at(*map, "http");
        host().allowed.files = names_at(*map, "files");
        host().allowed.net = names_at(*map, "net");
        host().allowed.redis = names_at(*map, "redis");
        host().allowed.ssh = names_at(*map, "ssh");
        const Value* confine = map->find("confine");
        const bool* confined = confine ? confine->get<bool>() : nullptr;
        host().allowed.confine = confined && *confined;
        host().allowed.declared_at = map->text("declared_at");
        widen(host().allowed, options.allow);
    }
}

void Session::take_lease() {
    fence = journal->acquire(run, lease_seconds);
}

void Session::keep_lease() {
    beat_ = std::thread([this] { heartbeat(); });
}

void Session::heartbeat() {
    // its own connection: the lease must not depend on what the run's is doing
    std::unique_ptr<journal::Journal> own;
    std::unique_lock lock(beat_mutex_);
    while (!beat_wake_.wait_for(lock, std::chrono::seconds(lease_seconds / 3),
                                [this] { return beat_stop_; })) {
        try {
            if (!own)
                own = journal->again();
            own->renew(run, fence, lease_seconds);
        } catch (const std::exception&) {
            own.reset(); // the next append finds out by its fencing token
        }
    }
}

void Session::stop_heartbeat() {
    {
        std::lock_guard lock(beat_mutex_);
        beat_stop_ = true;
    }
    beat_wake_.notify_all();
    if (beat_.joinable())
        beat_.join();
}

void Session::finish(journal::RunState state, const std::string& outcome, int exit) {
    stop_heartbeat();
    journal->together([&] {
        journal->finish(run, state, outcome, exit);
        journal->release(run, fence);
    });
    fence = 0;
}

void Session::release_lease() {
    stop_heartbeat();
    if (journal && fence > 0) {
        try {
            journal->release(run, fence);
        } catch (const std::exception&) {
            fence = 0; // it runs out by itself
        }
        fence = 0;
    }
}

} // namespace runbook::engine
