#include "runtime/cli/man.h"

#include "runtime/base/text.h"
#include "runtime/cli/command.h"

#include <fmt/format.h>

namespace runbook::cli {

namespace {

/// Text that roff takes as it stands.
std::string roff(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
            out += std::string("\\&") + c;
        else
            out += c;
    }
    return out;
}

std::string literal(std::string_view lines) {
    return ".nf\n" + roff(lines) + "\n.fi\n";
}

/// "0  succeeded" lines as a list.
std::string exits(std::string_view lines) {
    std::string out;
    for (const std::string& line : text::split(lines, '\n')) {
        const bool entry = line.size() > 3 && line[1] == ' ' && line[2] == ' ';
        out += entry ? ".TP\n.B " + roff(line.substr(0, 1)) + "\n" + roff(line.substr(3)) + "\n"
                     : roff(text::trim(line)) + "\n";
    }
    return out;
}

std::string command_section(const Command& command) {
    std::string out = ".SS runbook " + roff(command.name) + "\n" + roff(command.summary) + ".\n" +
                      ".PP\n.B " + roff(usage(command)) + "\n";
    if (!command.details.empty())
        out += ".PP\n" + roff(command.details) + "\n";
    for (const Option& option : command.options) {
        const std::string value = option.value.empty() ? "" : " " + std::string(option.value);
        out += ".TP\n.B " + roff(fmt::format("--{}{}", option.name, value)) + "\n" +
               roff(option.doc) + (option.repeated ? "; may be repeated" : "") + "\n";
    }
    if (!command.examples.empty())
        out += ".PP\nExamples:\n.RS\n" + literal(command.examples) + ".RE\n";
    if (!command.exits.empty())
        out += ".PP\nExit status:\n.RS\n" + exits(command.exits) + ".RE\n";
    return out;
}

constexpr std::string_view opening = R"(.SH DESCRIPTION
A playbook is a Lua file that declares steps, checkpoints, gates and the way back.
.B runbook
loads it without any effect, then runs it: each step is written to a journal before and after it, a checkpoint that does
not pass decides what happens, and the undos of all steps that started run in the reverse order when the decision is to
roll back.
.PP
The parameters that a playbook declares are options of
.BR "runbook exec" ;
.B runbook exec
.I FILE
.B \-\-help
lists them. RUN is a run's id, a unique part of one, or
.BR last .
)";

constexpr std::string_view closing = R"(.SH DATABASES
.TP
.B postgres://USER@HOST:PORT/NAME?sslmode=verify\-full&sslrootcert=FILE
PostgreSQL.
.TP
.B mysql://USER@HOST:PORT/NAME
MySQL and MariaDB.
.TP
.B sqlite:PATH
a SQLite file.
.SH EXIT STATUS
.TP
.B 0
succeeded.
.TP
.B 1
failed or declined; everything that was done is undone, or kept as declared.
.TP
.B 2
not started: usage, an invalid playbook, a missing parameter, something undeclared.
.TP
.B 3
held: at a gate, by a decision, paused or interrupted; can be resumed.
.TP
.B 4
a person is needed: an undo failed, a step is in doubt, something undeclared was left behind.
.SH ENVIRONMENT
.TP
.B RUNBOOK_\fINAME\fB
a parameter's value, after the command line and before
.IR runbook.toml .
.TP
.B RUNBOOK_\fINAME\fB_PASSWORD
the password of the database that the parameter, or the name given to
.BR \-\-connect ,
opens.
.TP
.B RUNBOOK_JOURNAL
the journal: a file, or
.I postgres://user@host/database
for a team.
.TP
.B RUNBOOK_JOURNAL_PASSWORD
the password of that URL; else
.IR ~/.pgpass .
.TP
.B NO_COLOR
when set, nothing is coloured.
.SH FILES
.TP
.I $XDG_STATE_HOME/runbook/journal.db
the journal; without that variable below
.IR ~/.local/state .
.TP
.I $XDG_STATE_HOME/runbook/serve.token
what every request to `runbook serve` must bring, where no file is named.
.TP
.I runbook.toml
beside the playbook: environments, connections, channels, backups, people.
)";

} // namespace

std::string man_page() {
    std::string out =
        ".\\\" Made from the table of commands by `runbook docs`; change that instead.\n"
        ".TH RUNBOOK 1 \"\" \"runbook " RUNBOOK_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nrunbook \\- run Lua playbooks for production databases and "
        "services\n.SH SYNOPSIS\n.B runbook\n.I COMMAND\n.RI [ ARGUMENT ]...\n.br\n"
        ".B runbook\n.I COMMAND\n.B \\-\\-help\n" +
        std::string(opening) + ".SH COMMANDS\n";
    for (const Command& command : commands())
        if (!command.hidden)
            out += command_section(command);
    return out + std::string(closing);
}

} // namespace runbook::cli
