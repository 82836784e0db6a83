// The engine: loads a playbook, runs it durably, goes back when it must.
// Owns: one State per run, the journal's lease, the order of steps. Loop thread; blocks until the
// run has ended. Never includes a database header: what a playbook touches comes in through
// `register_bindings`.
#pragma once

#include "runtime/base/value.h"
#include "runtime/engine/schedule.h"
#include "runtime/vm/registry.h"
#include "runtime/vm/state.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runbook::view {
class EventSink;
}

namespace runbook::engine {

/// Installs every binding into a state; bindings/register_all.cpp, handed in by main.
using RegisterBindings = void (*)(vm::State&, vm::Registry&);

/// Exit codes of docs/playbook.md.
enum Exit { succeeded = 0, failed = 1, not_started = 2, held = 3, person_needed = 4 };

/// A follow-up of a run that succeeded: one occurrence of it.
struct FollowUp {
    std::string parent, name; ///< the run, and the name of the follow-up in its playbook
    std::int64_t number = 1;  ///< which occurrence
    std::int64_t due = 0;     ///< micros
    List missed;              ///< numbers of earlier occurrences that nobody started
};

/// The occurrence of a schedule that a run is.
struct Occurrence {
    std::string schedule, text; ///< its record in the journal, and when it is: "at 02:00 UTC"
    std::int64_t due = 0;       ///< micros
};

struct Rehearsal;

struct Options {
    std::string file;                                            ///< the playbook
    std::vector<std::pair<std::string, std::string>> parameters; ///< --NAME VALUE, as given
    std::string environment;          ///< --env, a section of runbook.toml
    std::string run_id;               ///< empty: made from date and random letters
    std::string start;                ///< --start: T, instead of the header's
    std::vector<std::string> approve; ///< gates approved beforehand, as the initiator
    std::string journal;              ///< location; empty: the default
    bool dry_run = false;
    double extend_s = 0;            ///< resume: so much more time for the question it waits at
    bool ahead = false;             ///< exec: create the run and leave it until T
    bool detach = false;            ///< leave at a gate with exit 3 instead of waiting
    bool interactive = false;       ///< standard input is a terminal on which people can be asked
    FollowUp followup;              ///< with a parent: only this follow-up is run, see follow_up()
    Occurrence schedule;            ///< with a schedule: it is an occurrence of that
    bool accept_changed = false;    ///< resume: go on although the source changed
    Rehearsal* rehearsal = nullptr; ///< the test that runs it, see rehearsal.h
    /// Beyond `needs`, for this run and its resumes: kind ("shell", "http"…) and entry.
    std::vector<std::pair<std::string, std::string>> allow;
};

/// One parameter of a playbook, for --help and for completion.
struct ParameterInfo {
    std::string name, type, doc;
    bool required = false;
    std::optional<std::string> default_text;
};

/// A finding of check: "playbooks/x.lua:12: step "backup": unknown option 'retires' (did you mean
/// 'retry'?)".
struct Finding {
    std::string file;
    int line = 0;
    std::string message;
    bool error = true; ///< false: a warning
};

class Engine {
  public:
    Engine(RegisterBindings register_bindings, view::EventSink& sink);
    ~Engine();

    /// Runs the playbook; returns the exit code. Everything that prevents the start throws Error
    /// (exit 2) before anything ran.
    int exec(const Options& options);
    /// Makes the playbook's reads and says its writes: no journal, and nothing changes. `show` gets
    /// one map an item as it is taken (docs/commands.md), at last {kind: "end"}. Returns 0, or 1
    /// where something contradicts the plan.
    int dry_run(const Options& options, const std::function<void(const Map&)>& show);
    /// Continues a run from its journal. `options.file` is ignored.
    int resume(const std::string& run, const Options& options);
    /// Rolls a held or failed run back.
    int rollback(const std::string& run, const std::string& way, const Options& options);

    /// Runs a failed step or checkpoint of a held run again and goes on.
    int retry(const std::string& run, const std::string& step, const Options& options);
    /// Runs a follow-up of a run that succeeded, as a run of its own named `options.run_id`: the
    /// source and parameters are those that the parent pinned, its results are there. Returns the
    /// exit code.
    int follow_up(const FollowUp& followup, const Options& options);
    /// The schedules of a playbook; `playbook` gets its name. Throws what loading raises, and
    /// Error{`usage`} where it has none.
    std::vector<Schedule> schedules(const Options& options, std::string* playbook);
    /// Posts the notices and reminders of a run that nobody holds whose date has come.
    void post_notices(const std::string& run, const Options& options);

    /// Loads the file (declarations only) and describes it: {name, summary, items:[…], window,
    /// way_back:[…], reach:{…}}. Parameters may be missing; they stand as "<name>".
    Map plan(const Options& options);
    /// The same as text for people, Markdown, Mermaid or JSON ("text", "md", "mermaid", "json").
    std::string plan_text(const Options& options, const std::string& format);
    /// Every problem that loading shows; never throws for the playbook's own mistakes.
    std::vector<Finding> check(const std::string& file);
    /// What the text of a playbook and its modules touches: {needs = {shell = […]…}, missing =
    /// [{what, kind, call, file, line}], unknown = [{kind, call, file, line}]}. Throws Error where
    /// it does not load.
    Map needs(const std::string& file);
    /// What `runbook exec FILE --help` shows; throws Error where the file does not load.
    std::vector<ParameterInfo> parameters(const std::string& file, std::string* summary = nullptr);

    /// The declarations of everything (bindings and words), for types, doc, completion and the
    /// REPL.
    const vm::Registry& registry();
    /// Adds the modules of the standard library, an area each (libraries.h).
    void declare_libraries(vm::Registry& into);

  private:
    int continue_run(const std::string& run, const std::string& mode, const std::string& way,
                     const Options& options);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace runbook::engine
