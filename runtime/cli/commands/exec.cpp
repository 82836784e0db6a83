// `runbook exec`, `resume`, `retry` and `rollback`: what runs.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/commands/control.h"
#include "runtime/cli/output.h"
#include "runtime/cli/playbook.h"
#include "runtime/engine/dry_text.h"
#include "runtime/journal/journal.h"
#include "runtime/view/lines.h"
#include "runtime/vm/leaving.h"

#include <fmt/format.h>

#include <unistd.h>

namespace runbook::cli {

namespace {

engine::Options run_options(const Arguments& arguments) {
    engine::Options options;
    options.journal = arguments.text("journal");
    options.approve = arguments.all("approve");
    options.detach = arguments.has("detach");
    if (arguments.has("extend")) {
        const auto seconds = text::parse_duration(arguments.text("extend"));
        if (!seconds || *seconds <= 0)
            throw Error("usage", fmt::format("--extend: a duration such as 30m expected, got '{}'",
                                             arguments.text("extend")));
        options.extend_s = *seconds;
    }
    options.accept_changed = arguments.has("accept-changed");
    for (const char* kind : {"shell", "ssh", "http", "files", "net", "redis"})
        for (const std::string& entry : arguments.all(std::string("allow-") + kind))
            options.allow.emplace_back(kind, entry);
    options.interactive = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
    return options;
}

/// The report is written whatever the outcome; where it cannot be, the outcome stays.
int finished(Shown& shown, int exit) {
    try {
        shown.finish();
    } catch (const Error& error) {
        fmt::print(stderr, "error: {}\n", error.message());
    }
    return exit;
}

/// A run that had begun and stopped on an error needs a person.
template <class Run>
int guarded(Shown& shown, Run run) {
    vm::leave_memory(); // one run a process
    try {
        return finished(shown, run());
    } catch (const Error& error) {
        if (!error.in_doubt())
            throw;
        print_error(error);
        return finished(shown, engine::person_needed);
    }
}

/// The playbook's reads, its writes as lines; no run.
int dry_run(const Context& context, const engine::Options& options, const Arguments& arguments) {
    for (const char* option : {"report", "detach", "ahead", "run-id"})
        if (arguments.has(option))
            throw Error("usage", fmt::format("--{} and --dry-run: a dry run is no run", option),
                        "leave one of them out");
    const std::string output = arguments.text("output");
    view::Settings settings = view::settings_for(stdout);
    const int width = settings.columns();
    const auto columns = static_cast<std::size_t>(width > 0 ? width : 80);
    engine::Engine engine(context.register_bindings, silent());
    return engine.dry_run(options, [&](const Map& item) {
        const std::string text = output == "json" ? json::dump(redact(Value(item))) + "\n"
                                                  : engine::dry_text(item, columns);
        fmt::print("{}", settings.unicode || output == "json" ? text : view::in_ascii(text));
        std::fflush(stdout);
    });
}

} // namespace

int run_exec(const Context& context, const Arguments& arguments) {
    const std::string& file = arguments.positional.front();
    if (arguments.has("help")) {
        fmt::print("{}", playbook_help(context, file));
        return 0;
    }
    engine::Options options = run_options(arguments);
    options.file = file;
    options.environment = arguments.text("env");
    options.run_id = arguments.text("run-id");
    options.start = arguments.text("start");
    options.ahead = arguments.has("ahead");
    options.parameters = parameters_of(context, *find_command("exec"), file, arguments.rest);
    if (arguments.has("dry-run"))
        return dry_run(context, options, arguments);
    Shown shown(arguments);
    engine::Engine engine(context.register_bindings, shown);
    return guarded(shown, [&] { return engine.exec(options); });
}

int run_resume(const Context& context, const Arguments& arguments) {
    const auto record = find_run(*open_journal(arguments), arguments.positional.front());
    if (is_live(record))
        return continue_live(*open_journal(arguments, false), record);
    const std::string& run = record.run;
    Shown shown(arguments);
    engine::Engine engine(context.register_bindings, shown);
    return guarded(shown, [&] { return engine.resume(run, run_options(arguments)); });
}

int run_retry(const Context& context, const Arguments& arguments) {
    const std::string run = retried_run(arguments);
    Shown shown(arguments);
    engine::Engine engine(context.register_bindings, shown);
    return guarded(
        shown, [&] { return engine.retry(run, arguments.positional[1], run_options(arguments)); });
}

int run_rollback(const Context& context, const Arguments& arguments) {
    const auto record = find_run(*open_journal(arguments), arguments.positional.front());
    if (is_live(record))
        return rollback_live(*open_journal(arguments, false), record, arguments);
    const std::string& run = record.run;
    Shown shown(arguments);
    engine::Engine engine(context.register_bindings, shown);
    return guarded(
        shown, [&] { return engine.rollback(run, arguments.text("way"), run_options(arguments)); });
}

} // namespace runbook::cli
