// Help from the table of commands: examples first, exit codes last. Main thread, no state.
#include "runtime/base/text.h"
#include "runtime/cli/command.h"

#include <fmt/format.h>

namespace runbook::cli {

namespace {

std::string indented(std::string_view lines) {
    std::string out;
    for (const std::string& line : text::split(lines, '\n'))
        out += "  " + line + "\n";
    return out;
}

std::string row(const std::string& left, std::string_view doc, std::size_t column) {
    std::string out = "  " + left;
    if (left.size() + 4 > column)
        out += "\n" + std::string(column, ' ');
    else
        out += std::string(column - 2 - left.size(), ' ');
    return out + wrapped(doc, column) + "\n";
}

std::string positional_text(const Positional& positional) {
    std::string text(positional.name);
    if (positional.repeated)
        text += "...";
    return positional.required ? text : "[" + text + "]";
}

} // namespace

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
    std::string out;
    std::size_t column = indent;
    for (const std::string& word : text::split(text, ' ')) {
        const std::size_t size = text::display_width(word);
        if (!out.empty() && column + 1 + size > width) {
            out += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (!out.empty()) {
            out += ' ';
            ++column;
        }
        out += word;
        column += size;
    }
    return out;
}

std::string usage(const Command& command) {
    std::string out = fmt::format("runbook {}", command.name);
    for (const Positional& positional : command.positional)
        out += " " + positional_text(positional);
    if (command.parameters)
        out += " [--NAME VALUE]...";
    for (const Option& option : command.options)
        out += option.value.empty() ? fmt::format(" [--{}]", option.name)
                                    : fmt::format(" [--{} {}]{}", option.name, option.value,
                                                  option.repeated ? "..." : "");
    return out;
}

std::string help(const Command& command) {
    std::string out = fmt::format("runbook {}: {}\n", command.name, command.summary);
    if (!command.examples.empty())
        out += "\nexamples\n" + indented(command.examples);
    out += "\nusage\n  " + wrapped(usage(command), 6) + "\n";
    if (!command.details.empty())
        out += "\n" + wrapped(command.details, 0) + "\n";
    out += "\noptions\n";
    for (const Option& option : command.options)
        out +=
            row(fmt::format("--{}{}{}", option.name, option.value.empty() ? "" : " ", option.value),
                std::string(option.doc) + (option.repeated ? "; may be repeated" : ""), 20);
    out += row("-h, --help", "this text", 20);
    if (!command.exits.empty())
        out += "\nexit status\n" + indented(command.exits);
    return out;
}

std::string help() {
    std::string out = "runbook: production runbooks as programs, with a way back\n"
                      "\nexamples\n"
                      "  runbook plan quickstart.lua      what would happen; runs nothing\n"
                      "  runbook exec quickstart.lua      run it\n"
                      "  runbook show last                what it did\n"
                      "  runbook repl --connect prod=postgres://ops@db1/shop\n"
                      "\ncommands\n";
    for (const Command& command : commands())
        if (!command.hidden)
            out += row(std::string(command.name), command.summary, 14);
    out += "\nrunbook COMMAND --help shows a command's examples, options and exit codes.\n"
           "\nexit status\n"
           "  0  succeeded\n"
           "  1  failed or declined; what it did is undone, or kept as declared\n"
           "  2  not started: usage, invalid playbook, missing parameter\n"
           "  3  held: at a gate, by a decision or interrupted; resumable\n"
           "  4  a person is needed\n";
    return out;
}

} // namespace runbook::cli
