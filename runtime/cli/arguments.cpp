// CLI11's only translation unit (docs/architecture.md). Main thread.
#include "runtime/cli/arguments.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/command.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace runbook::cli {

namespace {

std::string hint_for(const Command& command) {
    return fmt::format("runbook {} --help shows examples and options", command.name);
}

std::vector<std::string> option_names(const Command& command) {
    std::vector<std::string> names;
    for (const Option& option : command.options)
        names.push_back("--" + std::string(option.name));
    names.emplace_back("--help");
    return names;
}

/// Whether `--name` of `word` is an option of the command.
const Option* find_option(const Command& command, std::string_view name) {
    for (const Option& option : command.options)
        if (option.name == name)
            return &option;
    return nullptr;
}

[[noreturn]] void unknown_option(const Command& command, const std::string& word,
                                 const std::vector<std::string>& names) {
    const std::string option = word.substr(0, word.find('='));
    throw Error("usage",
                fmt::format("unknown option '{}'{}", option, text::did_you_mean(option, names)),
                hint_for(command));
}

void check_choice(const Command& command, const Option& option, const std::string& value) {
    if (option.value.find('|') == std::string_view::npos)
        return;
    const std::vector<std::string> choices = text::split(option.value, '|');
    if (std::find(choices.begin(), choices.end(), value) == choices.end())
        throw Error("usage",
                    fmt::format("--{} '{}' is none of {}{}", option.name, value,
                                text::join(choices, ", "), text::did_you_mean(value, choices)),
                    hint_for(command));
}

void check_positional(const Command& command, const Arguments& arguments) {
    for (std::size_t i = 0; i < command.positional.size(); ++i)
        if (command.positional[i].required && arguments.positional.size() <= i)
            throw Error("usage",
                        fmt::format("{}: {} is missing", command.name, command.positional[i].name),
                        "usage: " + usage(command));
    const bool many = !command.positional.empty() && command.positional.back().repeated;
    if (!many && arguments.positional.size() > command.positional.size())
        throw Error("usage",
                    fmt::format("{}: unexpected argument '{}'", command.name,
                                arguments.positional[command.positional.size()]),
                    "usage: " + usage(command));
}

void check_rest(const Command& command, const Arguments& arguments) {
    for (const std::string& word : arguments.rest) {
        if (word.starts_with('-') && word.size() > 1)
            unknown_option(command, word, option_names(command));
        throw Error("usage", fmt::format("{}: unexpected argument '{}'", command.name, word),
                    "usage: " + usage(command));
    }
}

/// The file is the first word that is no option; an unknown option before it would have swallowed
/// it as its value.
void take_file(const Command& command, Arguments& arguments) {
    if (arguments.rest.empty())
        return;
    const std::string first = arguments.rest.front();
    if (first.starts_with("--") && first.size() > 2)
        throw Error("usage", fmt::format("'{}' stands before the playbook", first),
                    fmt::format("the file comes first: runbook {} FILE {} …", command.name,
                                first.substr(0, first.find('='))));
    arguments.positional.push_back(first);
    arguments.rest.erase(arguments.rest.begin());
}

} // namespace

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second.back();
}

std::vector<std::string> Arguments::all(const std::string& name) const {
    const auto found = options.find(name);
    return found == options.end() ? std::vector<std::string>{} : found->second;
}

int Arguments::number(const std::string& name, int otherwise) const {
    if (!has(name))
        return otherwise;
    const std::string value = text(name);
    int result = 0;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (problem != std::errc{} || end != value.data() + value.size() || result < 1)
        throw Error("usage", fmt::format("--{} '{}' is not a whole number from 1 up", name, value));
    return result;
}

Arguments parse(const Command& command, std::span<const std::string> words) {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    std::map<std::string, std::vector<std::string>> values;
    std::map<std::string, bool> flags;
    for (const Option& option : command.options) {
        const std::string name(option.name);
        if (option.value.empty())
            app.add_flag("--" + name, flags[name]);
        else
            app.add_option("--" + name, values[name])
                ->expected(1)
                ->allow_extra_args(false)
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    app.add_flag("-h,--help", flags["help"]);
    Arguments arguments;
    if (!command.parameters)
        app.add_option("positional", arguments.positional)->expected(0, 1 << 20);
    try {
        app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::ParseError& problem) {
        // "--output: 1 required TEXT missing"
        const std::string message = problem.what();
        const std::string name = message.substr(0, message.find(':'));
        const Option* option =
            name.starts_with("--") ? find_option(command, name.substr(2)) : nullptr;
        if (!option)
            throw Error("usage", message, hint_for(command));
        if (option->value.empty())
            throw Error("usage", fmt::format("{} takes no value", name), hint_for(command));
        throw Error("usage", fmt::format("{} needs a value: {}", name, option->value),
                    hint_for(command));
    }
    for (auto& [name, list] : values)
        if (!list.empty())
            arguments.options[name] = list;
    for (const auto& [name, given] : flags)
        if (given)
            arguments.options[name] = {"true"};
    arguments.rest = app.remaining();
    if (command.parameters)
        take_file(command, arguments);
    if (arguments.has("help"))
        return arguments;
    for (const Option& option : command.options) {
        const std::string name(option.name);
        for (const std::string& value : arguments.all(name))
            check_choice(command, option, value);
        if (option.value == "N")
            static_cast<void>(arguments.number(name, 1));
    }
    if (!command.parameters)
        check_rest(command, arguments);
    check_positional(command, arguments);
    return arguments;
}

std::vector<std::pair<std::string, std::string>>
playbook_parameters(const Command& command, std::span<const std::string> rest,
                    const std::vector<Parameter>* known) {
    const auto find = [&](std::string_view name) -> const Parameter* {
        if (known)
            for (const Parameter& parameter : *known)
                if (parameter.name == name)
                    return &parameter;
        return nullptr;
    };
    std::vector<std::pair<std::string, std::string>> result;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        const std::string& word = rest[i];
        if (!word.starts_with("--") || word.size() < 3)
            throw Error("usage", fmt::format("{}: unexpected argument '{}'", command.name, word),
                        "a parameter is given as --NAME VALUE");
        const std::size_t equals = word.find('=');
        std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
        std::replace(name.begin(), name.end(), '_', '-');
        const Parameter* parameter = find(name);
        if (!parameter && name.starts_with("no-") && equals == std::string::npos)
            if (const Parameter* off = find(std::string_view(name).substr(3));
                off && off->boolean) {
                result.emplace_back(off->name, "false");
                continue;
            }
        if (known && !parameter) {
            std::vector<std::string> names = option_names(command);
            for (const Parameter& other : *known)
                names.push_back("--" + other.name);
            unknown_option(command, word, names);
        }
        if (equals != std::string::npos) {
            result.emplace_back(name, word.substr(equals + 1));
            continue;
        }
        const bool value = i + 1 < rest.size() && !rest[i + 1].starts_with("--");
        if (parameter && parameter->boolean) {
            const bool written = value && (rest[i + 1] == "true" || rest[i + 1] == "false");
            result.emplace_back(name, written ? rest[++i] : "true");
        } else if (value) {
            result.emplace_back(name, rest[++i]);
        } else if (!known) {
            result.emplace_back(name, "true");
        } else {
            throw Error("usage", fmt::format("parameter --{} needs a value", name),
                        hint_for(command));
        }
    }
    return result;
}

} // namespace runbook::cli
