// The description of each command: the one source of parsing, help and completion.
// Owns: the table. Main thread; constant data.
#pragma once

#include "runtime/engine/engine.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::cli {

struct Arguments;

/// What may stand for a value, for completion.
enum class Complete { nothing, file, folder, run, command, shell, name, question, decision };

struct Option {
    std::string_view name;  ///< without dashes
    std::string_view value; ///< "FILE"; "plain|json" lists the choices; empty: a flag
    std::string_view doc;
    Complete complete = Complete::nothing;
    bool repeated = false;
};

struct Positional {
    std::string_view name; ///< "RUN"
    Complete complete = Complete::nothing;
    bool required = true;
    bool repeated = false; ///< the last one only
};

struct Context {
    engine::RegisterBindings register_bindings;
};

struct Command {
    std::string_view name, summary;
    std::vector<Positional> positional;
    std::vector<Option> options;
    std::string_view examples; ///< lines, shown first
    std::string_view details;  ///< paragraphs after the options
    std::string_view exits;    ///< lines "0  succeeded"
    bool parameters = false;   ///< takes the playbook's own parameters as options
    bool hidden = false;
    int (*run)(const Context&, const Arguments&) = nullptr;
};

/// All commands, in the order of --help.
std::span<const Command> commands();
/// Null where there is none.
const Command* find_command(std::string_view name);

/// "runbook show RUN [--audit]".
std::string usage(const Command& command);
/// What `runbook COMMAND --help` prints.
std::string help(const Command& command);
/// What `runbook --help` prints.
std::string help();
/// `text` broken into lines of at most `width` columns, each but the first after `indent` blanks.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = 80);

// One file each in runtime/cli/commands/.
int run_exec(const Context&, const Arguments&);
int run_resume(const Context&, const Arguments&);
int run_retry(const Context&, const Arguments&);
int run_rollback(const Context&, const Arguments&);
int run_pause(const Context&, const Arguments&);
int run_cancel(const Context&, const Arguments&);
int run_runs(const Context&, const Arguments&);
int run_show(const Context&, const Arguments&);
int run_tail(const Context&, const Arguments&);
int run_report(const Context&, const Arguments&);
int run_channels(const Context&, const Arguments&);
int run_due(const Context&, const Arguments&);
int run_plan(const Context&, const Arguments&);
int run_check(const Context&, const Arguments&);
int run_test(const Context&, const Arguments&);
int run_approve(const Context&, const Arguments&);
int run_reject(const Context&, const Arguments&);
int run_confirm(const Context&, const Arguments&);
int run_waive(const Context&, const Arguments&);
int run_answer(const Context&, const Arguments&);
int run_repl(const Context&, const Arguments&);
int run_copy(const Context&, const Arguments&);
int run_follow(const Context&, const Arguments&);
int run_verify(const Context&, const Arguments&);
int run_backup(const Context&, const Arguments&);
int run_serve(const Context&, const Arguments&);
int run_types(const Context&, const Arguments&);
int run_doc(const Context&, const Arguments&);
int run_docs(const Context&, const Arguments&);
int run_completion(const Context&, const Arguments&);
int run_complete(const Context&, const Arguments&);
int run_version(const Context&, const Arguments&);
int run_help(const Context&, const Arguments&);

} // namespace runbook::cli
