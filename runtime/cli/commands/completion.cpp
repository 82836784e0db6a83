// `runbook completion` prints a small script for a shell; the script asks `runbook __complete
// WORD…` (what stands before the cursor, the last word unfinished) for what could stand there.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/declarations.h"
#include "runtime/cli/output.h"
#include "runtime/cli/playbook.h"
#include "runtime/cli/questions.h"
#include "runtime/journal/journal.h"

#include <fmt/format.h>

namespace runbook::cli {

namespace {

constexpr std::string_view bash = R"(# runbook's completion for bash
_runbook() {
    local line current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    while IFS=$'\t' read -r line _; do
        case $line in
            :file) compopt -o filenames 2>/dev/null; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
            :folder) compopt -o filenames 2>/dev/null; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") ;;
            *) [[ $line == "$current"* ]] && COMPREPLY+=("$line") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _runbook runbook
)";

constexpr std::string_view zsh = R"(#compdef runbook
# runbook's completion for zsh
_runbook() {
    local line
    local -a found
    while IFS=$'\t' read -r name doc; do
        case $name in
            :file) _files ;;
            :folder) _files -/ ;;
            *) found+=("${name//:/\\:}:$doc") ;;
        esac
    done < <($words[1] __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe 'runbook' found
}
if [ "$funcstack[1]" = "_runbook" ]; then _runbook "$@"; else compdef _runbook runbook; fi
)";

constexpr std::string_view fish = R"(# runbook's completion for fish
function __runbook_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (runbook __complete $words[2..-1] 2>/dev/null)
        switch $line
            case :file
                __fish_complete_path (commandline -ct)
            case :folder
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c runbook -f -a '(__runbook_complete)'
)";

void offer(std::string_view word, std::string_view doc) {
    fmt::print("{}\t{}\n", word, doc);
}

void offer_kind(const Context& context, Complete kind) {
    switch (kind) {
    case Complete::nothing:
    case Complete::question: // needs the run: offer_questions()
        break;
    case Complete::decision:
        for (const char* decision : {"rollback", "hold", "go-on"})
            offer(decision, "");
        break;
    case Complete::file:
        fmt::print(":file\n");
        break;
    case Complete::folder:
        fmt::print(":folder\n");
        break;
    case Complete::shell:
        for (const char* shell : {"bash", "zsh", "fish"})
            offer(shell, "");
        break;
    case Complete::command:
        for (const Command& command : commands())
            if (!command.hidden)
                offer(command.name, command.summary);
        break;
    case Complete::name: {
        const Declarations declarations(context);
        for (const std::string& name : declarations.registry().names())
            offer(name, "");
        for (const std::string& name : declarations.libraries().names())
            offer(name, "");
        break;
    }
    case Complete::run: {
        const auto journal = journal::Journal::open(journal::Journal::default_location(), true);
        offer("last", "the newest");
        for (const journal::RunRecord& run : journal->runs(50))
            offer(run.run, run.playbook + (run.outcome.empty() ? "" : ", " + run.outcome));
        break;
    }
    }
}

/// What run `word` asks and may be answered now.
void offer_questions(const std::string& word) {
    try {
        const auto journal = journal::Journal::open(journal::Journal::default_location(), true);
        const journal::RunRecord run = find_run(*journal, word);
        for (const Question& one : questions_of(journal->events(run.run)).all)
            if (one.kind != "decision" && (one.state == QuestionState::open || one.ahead))
                offer(one.subject, one.kind);
    } catch (const Error&) {
        return;
    }
}

void offer_value(const Context& context, const Option& option) {
    if (option.value.find('|') == std::string_view::npos)
        return offer_kind(context, option.complete);
    for (const std::string& choice : text::split(option.value, '|'))
        offer(choice, "");
}

/// What the playbook declares; nothing where it does not load.
void offer_parameters(const Context& context, const std::string& file) {
    try {
        engine::Engine engine(context.register_bindings, silent());
        for (const engine::ParameterInfo& info : engine.parameters(file)) {
            offer(option_name(info.name), info.doc);
            if (info.type == "boolean")
                offer("--no-" + option_name(info.name).substr(2), "not: " + info.doc);
        }
    } catch (const Error&) {
        return;
    }
}

const Option* option_named(const Command& command, std::string_view word) {
    for (const Option& option : command.options)
        if (word == "--" + std::string(option.name))
            return &option;
    return nullptr;
}

} // namespace

int run_completion(const Context&, const Arguments& arguments) {
    const std::string& shell = arguments.positional.front();
    const std::vector<std::string> shells = {"bash", "zsh", "fish"};
    if (shell == "bash")
        fmt::print("{}", bash);
    else if (shell == "zsh")
        fmt::print("{}", zsh);
    else if (shell == "fish")
        fmt::print("{}", fish);
    else
        throw Error(
            "usage",
            fmt::format("no completion for '{}'{}", shell, text::did_you_mean(shell, shells)),
            "bash, zsh and fish are known");
    return 0;
}

int run_complete(const Context& context, const Arguments& arguments) {
    const std::vector<std::string>& words = arguments.positional;
    if (words.size() < 2) {
        offer_kind(context, Complete::command);
        return 0;
    }
    const Command* command = find_command(words.front());
    if (!command)
        return 0;
    if (const Option* option = option_named(*command, words[words.size() - 2]);
        option && !option->value.empty()) {
        offer_value(context, *option);
        return 0;
    }
    std::string file;
    std::size_t position = 0;
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
        if (words[i].starts_with('-')) {
            const Option* option = option_named(*command, words[i]);
            i += option && !option->value.empty() ? 1 : 0;
            continue;
        }
        if (position++ == 0)
            file = words[i];
    }
    if (words.back().starts_with('-')) {
        for (const Option& option : command->options)
            offer("--" + std::string(option.name), option.doc);
        offer("--help", "examples and options");
        if (command->parameters && !file.empty())
            offer_parameters(context, file);
        return 0;
    }
    if (command->positional.empty())
        return 0;
    if (position < command->positional.size() &&
        command->positional[position].complete == Complete::question)
        offer_questions(file);
    else if (position < command->positional.size())
        offer_kind(context, command->positional[position].complete);
    else if (command->positional.back().repeated)
        offer_kind(context, command->positional.back().complete);
    return 0;
}

} // namespace runbook::cli
