// One loaded playbook: the state it lives in, its journal, and what the engine's Lua files may ask
// of the host. Owns: State, Registry, Journal and the heartbeat of its lease. Loop thread, except
// the journal's own worker.
#pragma once

#include "runtime/config/config.h"
#include "runtime/engine/authority.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/identity.h"
#include "runtime/journal/journal.h"
#include "runtime/secret/sources.h"
#include "runtime/vm/host.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace runbook {
class Worker;
}

namespace runbook::engine {

struct Session;

/// The Host of a run: permissions from `needs`, progress to the view, log and emit to the journal.
class EngineHost final : public vm::Host {
  public:
    const vm::Permissions& permissions() const override;
    ProgressPtr progress() override;
    void log(std::string_view level, std::string_view text) override;
    void emit(std::string_view event, Map data) override;
    bool dry_run() const override { return dry; }

    Session* session = nullptr;
    mutable vm::Permissions allowed;
    bool dry = false;
};

struct Pending {
    std::string event, step;
    Map data;
};

struct Session {
    Session(RegisterBindings register_bindings, view::EventSink& sink, Options options);
    ~Session();

    /// Loads the file: declarations only. `complete`: every parameter must be there. Throws Error
    /// (exit 2).
    void load(bool complete);
    /// Reads the file's text; throws Error{`usage`}.
    static std::string read_file(const std::string& path);
    /// Text of a template beside the playbook, read once; nothing where there is none.
    const std::optional<std::string>& template_text(const std::string& path);
    void take_lease();
    /// Keeps the lease that was taken alive, from a thread of its own.
    void keep_lease();
    /// Both.
    void hold_lease() {
        take_lease();
        keep_lease();
    }
    void release_lease();
    /// Writes down how the run ended, or where it is held, and gives the lease back: one commit.
    void finish(journal::RunState state, const std::string& outcome, int exit);

    vm::Scheduler& scheduler() { return state->scheduler(); }
    EngineHost& host() { return static_cast<EngineHost&>(state->host()); }

    Options options;
    view::EventSink& sink;
    std::shared_ptr<vm::State> state; ///< a test shares it among its runs
    vm::Registry registry;
    bool loading = true, complete = true;
    std::string source, folder;
    std::vector<std::pair<std::string, std::string>> modules; ///< path, text
    std::map<std::string, std::string> pinned_modules;        ///< path = text, instead of the files
    std::map<std::string, std::optional<std::string>> templates; ///< path = text, nothing: no file
    bool templates_pinned = false; ///< those of the run that is followed, whatever the files say
    std::vector<journal::Event> parent_history; ///< of a follow-up: the run it follows
    Map config;                                 ///< parameter values of the environment
    config::Config settings;                    ///< runbook.toml beside the playbook
    std::unique_ptr<secret::Use> secrets;       ///< leases are renewed while it is there
    Map channels;  ///< name = {required, problem, leads_to}: where messages can go
    Roster roster; ///< of runbook.toml; a continued run has the one it was pinned with
    bool roster_pinned = false;
    std::string initiator;   ///< who started the run; empty while it is not known
    std::string plan_sha256; ///< of source, modules, parameters and roster: what people agree to

    std::unique_ptr<journal::Journal> journal;
    std::shared_ptr<Worker> journal_worker; ///< for a journal on a server, or on a slow disk
    bool journal_is_file = false; ///< its writes are done by the loop, between two pieces of Lua
    double journal_avoids_loop_until = 0; ///< monotonic seconds: the disk was slow
    std::string journal_location, run;
    std::int64_t fence = 0, last_request = 0;
    std::int64_t newest_request = 0; ///< what was asked before this process had the run
    std::deque<Pending> pending;
    std::map<std::string, double> progressed; ///< step → when its work last got on, monotonic
    std::string mode = "exec";
    bool interrupted = false, begun = false;
    vm::TaskPtr main_task;
    std::function<void(const Map&)> on_dry; ///< gets each item of a dry run
    std::function<void()> on_begin; ///< creates or continues the run; journal's thread is idle then

  private:
    void heartbeat();
    void stop_heartbeat();
    std::thread beat_;
    std::mutex beat_mutex_;
    std::condition_variable beat_wake_;
    bool beat_stop_ = false;
};

/// Pushes the host library for the engine's Lua files (scheduler's functions included).
void push_engine_library(lua_State* L, Session& session);
/// "file:line: message" of an error as data (vm::error_map); the message where it has no place.
std::string placed_message(const Map& error);
/// Calls a function of the loaded program without arguments and returns its result as data.
Value call_program(lua_State* L, const char* name);
/// Puts `require` into the sandbox: modules beside the playbook, then the stdlib.
void install_require(Session& session);
/// Hands the channels of `session.settings` to the outbox; returns {name = {required, problem,
/// leads_to}}.
/// Throws Error{`load`} with the line of runbook.toml.
Map add_channels(Session& session);
/// The registry's entries for the words of the language, from options.lua.
void describe_words(Session& session, const Map& options);
/// Adds the functions of authority.h to the host library on top of the stack.
void push_people_library(lua_State* L, Session& session);

} // namespace runbook::engine
