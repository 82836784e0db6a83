// What a command is told and how it is shown: checks, environment, the helper's specification.
#include "runtime/process/command.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <unistd.h>

namespace runbook::process {

std::string env_text(const std::string& name, const Value& value) {
    if (auto* text = value.get<std::string>())
        return *text;
    if (auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    if (auto* number = value.get<std::int64_t>())
        return std::to_string(*number);
    if (auto* number = value.get<double>())
        return fmt::format("{}", *number);
    if (auto* flag = value.get<bool>())
        return *flag ? "true" : "false";
    throw Error(
        "usage",
        fmt::format("environment variable {}: text, number, boolean or secret expected, got {}",
                    name, value.type_name()));
}

std::string input_text(const Value& value) {
    if (value.is_null())
        return {};
    if (auto* text = value.get<std::string>())
        return *text;
    if (auto* bytes = value.get<Bytes>())
        return bytes->data;
    if (auto* secret = value.get<SecretPtr>())
        return (*secret)->reveal();
    throw Error("usage", fmt::format("standard input: text expected, got {}", value.type_name()));
}

namespace {

/// The inherited environment with the command's changes, as NAME=value. What the host itself was
/// given as a RUNBOOK_ variable and knows to be secret is not handed on.
std::vector<std::string> environment(const Command& command) {
    std::map<std::string, std::string> all;
    for (char** entry = environ; *entry; ++entry) {
        std::string_view text = *entry;
        std::size_t equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0)
            continue;
        std::string_view value = text.substr(equals + 1);
        if (text.starts_with("RUNBOOK_") && holds_secret(value))
            continue;
        all[std::string(text.substr(0, equals))] = value;
    }
    for (const auto& [name, value] : command.env) {
        if (name.empty() || name.find('=') != std::string::npos)
            throw Error("usage",
                        fmt::format("'{}' is not a name for an environment variable", name));
        if (value.is_null())
            all.erase(name);
        else
            all[name] = env_text(name, value);
    }
    std::vector<std::string> list;
    for (const auto& [name, value] : all)
        list.push_back(name + "=" + value);
    return list;
}

} // namespace

void check(const Command& command) {
    if (command.argv.empty() || command.argv[0].empty())
        throw Error("usage", "a command needs at least the name of a program");
    for (const auto& word : command.argv) {
        if (word.find('\0') != std::string::npos)
            throw Error("usage",
                        fmt::format("`{}`: an argument contains a NUL byte", describe(command)));
        if (holds_secret(word))
            throw Error(
                "usage",
                fmt::format("`{}`: a secret may not stand in the arguments of a command",
                            describe(command)),
                "every user of the machine can read arguments; pass it in `env` or `stdin`");
    }
}

std::string specification(const Command& command) {
    std::string text;
    auto put = [&](const std::string& field) { text.append(field).push_back('\0'); };
    auto put_list = [&](const std::vector<std::string>& list) {
        put(std::to_string(list.size()));
        for (const auto& field : list) {
            if (field.find('\0') != std::string::npos)
                throw Error("usage",
                            fmt::format("`{}`: an environment variable contains a NUL byte",
                                        describe(command)));
            put(field);
        }
    };
    put(std::to_string(command.grace.count()));
    put(command.kill_leftovers ? "1" : "0");
    put(command.secret_file.is_null() ? "0" : "1");
    put(command.pty ? "1" : "0");
    put(command.confined_to ? "1" : "0");
    put(command.cwd);
    put_list(command.argv);
    put_list(environment(command));
    put_list(command.confined_to.value_or(std::vector<std::string>()));
    auto size = static_cast<std::uint32_t>(text.size());
    return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text;
}

Command shell(std::string script) {
    Command command;
    command.argv = {"sh", "-c", std::move(script)};
    return command;
}

std::string describe(const Command& command) {
    if (!command.label.empty())
        return command.label;
    std::string line;
    for (const auto& word : command.argv)
        line += (line.empty() ? "" : " ") + text::shell_quote(redact(word));
    if (command.argv.size() == 3 && command.argv[0] == "sh" && command.argv[1] == "-c")
        line = redact(command.argv[2]);
    for (char& c : line)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    return text::ellipsize(line, 160);
}

std::string find_program(std::string_view name) {
    if (name.find('/') != std::string_view::npos)
        return ::access(std::string(name).c_str(), X_OK) == 0 ? std::string(name) : std::string();
    const char* path = std::getenv("PATH");
    for (const auto& folder : text::split(path ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
        std::string full = (folder.empty() ? "." : folder) + "/" + std::string(name);
        if (::access(full.c_str(), X_OK) == 0)
            return full;
    }
    return {};
}

std::string signal_name(int number) {
    const char* name = ::sigabbrev_np(number);
    return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

} // namespace runbook::process
