// `runbook help` and `runbook version`.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"

#include <fmt/format.h>

namespace runbook::cli {

int run_help(const Context&, const Arguments& arguments) {
    if (arguments.positional.empty()) {
        fmt::print("{}", help());
        return 0;
    }
    const std::string& name = arguments.positional.front();
    if (const Command* command = find_command(name)) {
        fmt::print("{}", help(*command));
        return 0;
    }
    std::vector<std::string> names;
    for (const Command& command : commands())
        if (!command.hidden)
            names.emplace_back(command.name);
    throw Error("usage",
                fmt::format("unknown command '{}'{}", name, text::did_you_mean(name, names)),
                "runbook --help lists the commands");
}

int run_version(const Context&, const Arguments&) {
    fmt::print("runbook {}\n", RUNBOOK_VERSION);
    return 0;
}

} // namespace runbook::cli
