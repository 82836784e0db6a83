#include "runtime/cli/cli.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/passwords.h"

#include <fmt/format.h>

#include <clocale>
#include <csignal>
#include <cstdio>

namespace runbook::cli {

namespace {

const Command& command_of(const std::string& word) {
    if (const Command* command = find_command(word))
        return *command;
    const bool option = word.starts_with('-');
    std::vector<std::string> names = {"--help", "--version"};
    if (!option)
        names.clear();
    for (const Command& command : commands())
        if (!command.hidden && !option)
            names.emplace_back(command.name);
    throw Error("usage",
                fmt::format("unknown {} '{}'{}", option ? "option" : "command", word,
                            text::did_you_mean(word, names)),
                "runbook --help lists the commands");
}

/// `runbook exec FILE --help` belongs to the playbook; every other help is the command's.
bool wants_command_help(const Command& command, const Arguments& arguments) {
    return arguments.has("help") && !(command.name == "exec" && !arguments.positional.empty());
}

int dispatch(const Context& context, std::vector<std::string> words) {
    if (words.empty()) {
        fmt::print(stderr, "{}", help());
        return engine::not_started;
    }
    std::string name = words.front();
    words.erase(words.begin());
    if (name == "--help" || name == "-h")
        name = "help";
    if (name == "--version")
        name = "version";
    const Command& command = command_of(name);
    const Arguments arguments =
        command.name == "__complete" ? Arguments{words, {}, {}} : parse(command, words);
    if (wants_command_help(command, arguments)) {
        fmt::print("{}", help(command));
        return 0;
    }
    if (arguments.has("journal"))
        warn_of_passwords({{"journal", arguments.text("journal")}}, "--");
    return command.run(context, arguments);
}

} // namespace

int run(int argc, char** argv, engine::RegisterBindings register_bindings) {
    std::setlocale(LC_CTYPE, ""); // widths of characters
    std::signal(SIGPIPE, SIG_IGN);
    try {
        const int code = dispatch({register_bindings}, {argv + 1, argv + argc});
        if (std::fflush(stdout) != 0 && code == 0) {
            fmt::print(stderr, "error: standard output cannot be written\n");
            return engine::not_started;
        }
        return code;
    } catch (const Error& error) {
        std::fflush(stdout);
        print_error(error);
    } catch (const std::exception& error) {
        std::fflush(stdout);
        print_error(Error("internal", fmt::format("internal error: {}", error.what()),
                          "please report it with the command that you ran"));
    }
    return engine::not_started;
}

} // namespace runbook::cli
