// `runbook repl`.
#include "runtime/repl/repl.h"

#include "runtime/base/error.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/passwords.h"
#include "runtime/vm/backtrace.h"

#include <fmt/format.h>

namespace runbook::cli {

int run_repl(const Context& context, const Arguments& arguments) {
    repl::Options options;
    vm::whole_stack = arguments.has("backtrace");
    options.read_write = arguments.has("read-write");
    if (!arguments.positional.empty())
        options.file = arguments.positional.front();
    for (const std::string& entry : arguments.all("connect")) {
        const std::size_t equals = entry.find('=');
        if (equals == 0 || equals == std::string::npos || equals > entry.find("://"))
            throw Error("usage", "--connect needs NAME=URL",
                        "for example --connect prod=postgres://ops@db1/shop");
        options.connect.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
    }
    warn_of_passwords(options.connect, "--connect ");
    return repl::run(context.register_bindings, options);
}

} // namespace runbook::cli
