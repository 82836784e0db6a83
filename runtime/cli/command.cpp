// The table of commands (docs/commands.md is its companion). Constant data.
#include "runtime/cli/commands/copy.h"
#include "runtime/cli/commands/follow.h"

namespace runbook::cli {

namespace {

constexpr Option journal{"journal", "PLACE",
                         "journal to use: a file, or postgres://… (default: $RUNBOOK_JOURNAL, "
                         "else $XDG_STATE_HOME/runbook/journal.db)",
                         Complete::file};
constexpr Option output{"output", "tty|plain|json",
                        "how to show events: tty (default on a terminal), plain lines, or json, "
                        "one object a line on standard output"};
constexpr Option listing{"output", "plain|json", "table for people, or one json object a line"};
constexpr Option report{"report", "FILE", "write a report at the end: .html, .md, .json or .xml",
                        Complete::file};
constexpr Option approve{"approve", "GATE", "approve a gate beforehand, as the initiator",
                         Complete::nothing, true};
constexpr Option detach{"detach", "", "leave at a gate with exit 3 instead of waiting"};

constexpr Option backtrace{"backtrace", "",
                           "show the whole Lua stack of an error, not only the playbook's lines"};
/// What an operator may allow beyond a playbook's needs.
constexpr Option allowances[] = {
    {"allow-shell", "PATTERN", "commands allowed beyond the playbook's needs", Complete::nothing,
     true},
    {"allow-ssh", "HOST", "the same for hosts on which commands run", Complete::nothing, true},
    {"allow-http", "HOST", "the same for hosts of requests", Complete::nothing, true},
    {"allow-files", "PATH", "the same for files, and folders ending in /", Complete::file, true},
    {"allow-net", "HOST", "the same for look-ups, TCP and TLS", Complete::nothing, true},
    {"allow-redis", "HOST", "the same for Redis servers", Complete::nothing, true}};

/// `own` options of a command that runs a playbook, then those that all such commands have.
std::vector<Option> running(std::vector<Option> own) {
    own.insert(own.end(), {approve, detach});
    own.insert(own.end(), std::begin(allowances), std::end(allowances));
    own.insert(own.end(), {output, report, backtrace, journal});
    return own;
}

constexpr Option why{"why", "TEXT", "reason, for the report"};

constexpr std::string_view control_exits = "0  the run has taken it\n"
                                           "1  the run ended before, or refused\n"
                                           "2  usage, no such run, or nobody runs it";
constexpr Option evidence{"evidence", "TEXT", "url, ticket… that shows it, where it is asked for"};
constexpr Option as{"as", "ROLE",
                    "role that the answer is given for, where the roster leaves it open"};

constexpr std::string_view answer_details =
    "The run is told through the journal; the answer is given as the operating system's user, and "
    "checked against the roster that the run was started with. GATE or ITEM may be any part of the "
    "name that only one has.";
constexpr std::string_view answer_exits =
    "0  the answer counts, or is in the journal for the next resume\n"
    "2  usage, no such run, the run has ended, it may not be answered by this user, or too late";

constexpr std::string_view run_exits =
    "0  succeeded\n"
    "1  failed or declined; what it did is undone, or kept as declared\n"
    "2  not started: usage, invalid playbook, missing parameter\n"
    "3  held: at a gate, by a decision or interrupted; resumable\n"
    "4  a person is needed: an undo failed, a step is in doubt";
constexpr std::string_view look_exits = "0  shown\n"
                                        "2  usage, no such run, or a journal that cannot be read";
constexpr std::string_view url_details =
    "Databases are URLs: postgres://USER@HOST:PORT/NAME, mysql://USER@HOST:PORT/NAME (MariaDB "
    "too), "
    "sqlite:PATH. Give passwords through RUNBOOK_SOURCE_PASSWORD and RUNBOOK_TARGET_PASSWORD; one "
    "inside a URL works, but other users of the machine can see it.";

const std::vector<Command>& table() {
    static const std::vector<Command> all = {
        {"exec",
         "run a playbook",
         {{"FILE", Complete::file}},
         running(
             {{"env", "NAME", "environment of runbook.toml, whose parameters are the defaults",
               Complete::name},
              {"dry-run", "", "make the reads and say the writes; no run, nothing is changed"},
              {"run-id", "ID", "name of the run instead of date and letters"},
              {"start", "DATE",
               "T, which notices and other dates count from: \"Thursday 07:00 "
               "Europe/Berlin\""},
              {"ahead", "",
               "create the run for T and leave: notices, reminders and confirmations until then; "
               "`runbook due` goes on with it"}}),
         "runbook exec quickstart.lua\n"
         "runbook exec shop.lua --source sqlite:shop.db --target sqlite:copy.db\n"
         "runbook exec shop.lua --env staging --dry-run\n"
         "runbook exec shop.lua --start \"Friday 22:00 Europe/Berlin\" --ahead\n"
         "runbook exec shop.lua --help           lists the playbook's parameters",
         "A playbook's parameters are its options: --NAME VALUE, --NAME=VALUE, and for a boolean "
         "--NAME or --no-NAME. They stand after FILE. A dry run ends with 0, or with 1 where "
         "something contradicts the plan.",
         run_exits,
         true,
         false,
         run_exec},
        {"resume",
         "continue a run that was held, paused, interrupted or killed",
         {{"RUN", Complete::run}},
         running(
             {{"accept-changed", "",
               "go on although the source, a parameter or the roster changed; what people approved "
               "before is asked again"},
              {"extend", "DURATION", "more time for the question that the run waits at"}}),
         "runbook resume 20261120-2200-7f3a\n"
         "runbook resume last",
         "Finished steps are not run again; a step in doubt is looked at first. A run that is "
         "paused goes on in its own process. RUN is a run's id, a unique part of one, or `last`.",
         run_exits,
         false,
         false,
         run_resume},
        {"rollback",
         "undo a held or failed run, or one that runs",
         {{"RUN", Complete::run}},
         {{"way", "WAY", "the way back, where the playbook declares several"},
          {"why", "TEXT", "reason, for the report (a run that is live)"},
          output,
          report,
          backtrace,
          journal},
         "runbook rollback 20261120-2200-7f3a\n"
         "runbook rollback last --way restore",
         "The undos of all steps that started run, newest first. A run that is live is told "
         "through "
         "the journal: its step is cancelled, and it goes back in its own process while this "
         "command "
         "shows it.",
         "0  nothing was left to undo\n"
         "1  rolled back, or the run ended before it could be\n"
         "2  not started: usage, or no such run\n"
         "4  a person is needed: an undo failed",
         false,
         false,
         run_rollback},
        {"pause",
         "let a running run wait before its next step",
         {{"RUN", Complete::run}},
         {why, journal},
         "runbook pause 20261120-2200-7f3a --why \"replicas are behind\"\n"
         "runbook resume 20261120-2200-7f3a          lets it go on",
         "What runs now is finished first; a step of several sub-steps waits between two of them. "
         "Deadlines go on.",
         control_exits,
         false,
         false,
         run_pause},
        {"cancel",
         "cancel what a running run does now, and hold it",
         {{"RUN", Complete::run}},
         {why, journal},
         "runbook cancel 20261120-2200-7f3a --why \"wrong database\"",
         "The statement is cancelled in the server, a process is ended with its whole tree, and "
         "the "
         "run leaves with exit 3. Nothing is undone: the answer says what is left switched on.",
         "0  the run is held\n"
         "1  the run ended before, or has not stopped in time\n"
         "2  usage, no such run, or nobody runs it",
         false,
         false,
         run_cancel},
        {"retry",
         "run a failed step of a held run again, and go on",
         {{"RUN", Complete::run}, {"STEP"}},
         {{"accept-changed", "", "go on although the playbook's source changed"},
          approve,
          detach,
          output,
          report,
          backtrace,
          journal},
         "runbook retry 20261120-2200-7f3a \"copy\"",
         "STEP is a step or checkpoint that failed, did not pass or is in doubt; its attempts "
         "count "
         "from one again. Who retries a step in doubt says that a second run does no harm.",
         run_exits,
         false,
         false,
         run_retry},
        {"approve",
         "answer a gate with yes",
         {{"RUN", Complete::run}, {"GATE", Complete::question}},
         {{"why", "TEXT", "reason, for the report"}, evidence, as, journal},
         "runbook approve 20261120-2200-7f3a \"go live\"",
         answer_details,
         answer_exits,
         false,
         false,
         run_approve},
        {"reject",
         "answer a gate or an item of a checklist with no",
         {{"RUN", Complete::run}, {"GATE", Complete::question}},
         {{"why", "TEXT", "reason, for the report"}, as, journal},
         "runbook reject 20261120-2200-7f3a \"go live\" --why \"error ratio still rising\"",
         answer_details,
         answer_exits,
         false,
         false,
         run_reject},
        {"confirm",
         "confirm an item of a checklist, or a manual step",
         {{"RUN", Complete::run}, {"ITEM", Complete::question}},
         {evidence, {"why", "TEXT", "remark, for the report"}, as, journal},
         "runbook confirm 20261120-2200-7f3a \"ready: reviewed\" --evidence "
         "https://git.example/pr/7\n"
         "runbook confirm last reviewed --evidence https://git.example/pr/7",
         answer_details,
         answer_exits,
         false,
         false,
         run_confirm},
        {"waive",
         "let an item of a checklist pass without it, with a reason",
         {{"RUN", Complete::run}, {"ITEM", Complete::question}},
         {{"why", "TEXT", "reason, for the report; required"}, as, journal},
         "runbook waive 20261120-2200-7f3a \"load test\" --why \"no traffic on Sundays\"",
         "An item is waived by who may confirm it, a probe by the checklist's owner. A critical "
         "item only by a role that its question is escalated to, and never by who answered it. "
         "ITEM is \"CHECKLIST: TEXT\", or any part of it that only one item has.",
         answer_exits,
         false,
         false,
         run_waive},
        {"answer",
         "decide: roll back, hold, or go on",
         {{"RUN", Complete::run}, {"DECISION", Complete::decision}},
         {{"why", "TEXT", "reason, for the report"}, as, journal},
         "runbook answer 20261120-2200-7f3a rollback --why \"orders are missing\"\n"
         "runbook answer last go-on",
         "The question that a verdict `ask`, or a failure that would lose rows, has put. DECISION "
         "is rollback, hold or go-on. What a rollback would lose is printed first.",
         answer_exits,
         false,
         false,
         run_answer},
        {"runs",
         "list the runs of the journal, newest first",
         {},
         {{"limit", "N", "how many (default 20)"}, listing, journal},
         "runbook runs\n"
         "runbook runs --limit 5 --output json",
         "",
         look_exits,
         false,
         false,
         run_runs},
        {"channels",
         "list the channels of runbook.toml, and try one",
         {{"FILE", Complete::file, false}},
         {{"test", "NAME", "send a message to that channel, and say what came of it",
           Complete::nothing, true},
          {"level", "info|warning|error|critical",
           "of that message: a route goes by it (critical)"},
          listing},
         "runbook channels\n"
         "runbook channels playbooks/move.lua\n"
         "runbook channels --test alerts --test pager",
         "FILE: the playbook beside which runbook.toml stands; left out, it is that of the working "
         "folder. The test of a PagerDuty channel triggers an incident and resolves it at once; "
         "that of a status page only looks whether it may post there, because what it posts is "
         "public.",
         "0  done: every message was taken\n"
         "1  a message was not delivered\n"
         "2  usage, or a runbook.toml that cannot be read",
         false,
         false,
         run_channels},
        {"due",
         "start schedules and follow-ups, go on with runs and post notices whose time has come",
         {{"FILE", Complete::file, false, true}},
         {{"list", "", "only show what is due and what is to come"},
          {"env", "NAME", "environment of runbook.toml, for the playbooks given", Complete::name},
          {"timer", "cron|systemd", "only print the line or the units that run this command"},
          listing,
          journal},
         "runbook due                            from cron, as the user who ran the playbooks\n"
         "runbook due nightly.lua --env production\n"
         "runbook due nightly.lua --list\n"
         "runbook due nightly.lua --timer systemd",
         "FILE: a playbook with a schedule; it is started when its time has come, once for each "
         "occurrence, whoever runs `runbook due` on the same journal. While its previous run runs "
         "or is held, an occurrence is skipped; one that is too late is missed. Both are told, "
         "and kept in the journal (runbook show schedule.NAME). The first `runbook due FILE` "
         "makes the schedule known: what was due before does not count. "
         "A follow-up is a run of its own, named after the run that it follows: its source and "
         "parameters are those of that run, whatever the files say by now. One that waits at a "
         "gate is left there: approve it, then resume it. An occurrence of a repeated follow-up "
         "that nobody started in time is left out, and told.",
         "0  done, or waiting for people\n"
         "1  a run failed; what it did is undone, or kept as declared\n"
         "2  usage, or a run that could not be started\n"
         "4  a person is needed: by a run, or before the next one of a schedule can be started",
         false,
         false,
         run_due},
        {"show",
         "what a run did",
         {{"RUN", Complete::run}},
         {{"audit", "", "check the hash chain of the run's events instead"}, listing, journal},
         "runbook show last\n"
         "runbook show 20261120-2200-7f3a --audit",
         "",
         "0  shown; with --audit: the chain is whole\n"
         "1  --audit: an event was changed\n"
         "2  usage, no such run, or a journal that cannot be read",
         false,
         false,
         run_show},
        {"tail",
         "follow a run from another terminal",
         {{"RUN", Complete::run, false}},
         {output, journal},
         "runbook tail\n"
         "runbook tail 20261120-2200-7f3a --output json",
         "Shows what happened so far and what happens next, until the run has ended. Without RUN: "
         "the "
         "newest. Ctrl-C leaves; the run goes on.",
         look_exits,
         false,
         false,
         run_tail},
        {"report",
         "a report of a run",
         {{"RUN", Complete::run}},
         {{"format", "html|md|json|junit", "form (default: by the ending of --to, else md)"},
          {"to", "FILE", "file to write instead of standard output", Complete::file},
          journal},
         "runbook report last --to night.html\n"
         "runbook report 20261120-2200-7f3a --format json",
         "",
         "0  written\n"
         "2  usage, no such run, or a file that cannot be written",
         false,
         false,
         run_report},
        {"plan",
         "timeline, owners, decisions and the way back; runs nothing",
         {{"FILE", Complete::file}},
         {{"format", "text|md|mermaid|json", "form (default text)"},
          {"env", "NAME", "environment of runbook.toml", Complete::name},
          {"start", "DATE", "T, for the dates that count from it"}},
         "runbook plan shop.lua --source sqlite:shop.db --target sqlite:copy.db\n"
         "runbook plan shop.lua --format mermaid",
         "Parameters that are missing stand as <name>.",
         "0  shown\n"
         "2  usage, or an invalid playbook",
         true,
         false,
         run_plan},
        {"check",
         "find mistakes in playbooks; runs nothing",
         {{"FILE", Complete::file, true, true}},
         {{"needs", "",
           "print the needs that the text of the playbook shows, and what it leaves open"},
          listing},
         "runbook check shop.lua\n"
         "runbook check playbooks/*.lua --output json\n"
         "runbook check shop.lua --needs",
         "Syntax, undefined names, unknown options, contradictions, windows that do not add up.",
         "0  nothing found, or warnings only\n"
         "2  usage, or a playbook with a mistake",
         false,
         false,
         run_check},
        {"test",
         "test playbooks: their decisions, with fakes and in virtual time",
         {{"PATH", Complete::file, true, true}},
         {{"filter", "TEXT", "only tests with this text in their name"},
          listing,
          {"junit", "FILE", "write the results as JUnit's XML", Complete::file},
          backtrace},
         "runbook test playbooks/\n"
         "runbook test shop_test.lua --filter \"rolls back\"",
         "PATH is a test file or a folder, of which every *_test.lua is run. The real engine runs "
         "the playbook; "
         "what would leave the process is answered by the test's fakes, and nothing else is "
         "touched. How to write "
         "one: docs/testing.md.",
         "0  all passed\n"
         "1  a test failed\n"
         "2  usage, or a test file that does not load",
         false,
         false,
         run_test},
        {"repl",
         "a prompt for SQL and Lua",
         {{"FILE", Complete::file, false}},
         {{"connect", "NAME=URL", "open a database under that name", Complete::nothing, true},
          {"read-write", "", "sessions may write (default: the server refuses it)"},
          backtrace},
         "runbook repl --connect prod=postgres://ops@db1/shop\n"
         "runbook repl --connect old=mysql://root@db2/shop --connect new=sqlite:shop.db\n"
         "runbook repl --connect prod=$URL < questions.sql",
         "SQL lines run on the current connection, everything else is Lua, with each connection as "
         "a "
         "global. `:help` at the prompt lists the commands; FILE is run as Lua first. "
         "Passwords: RUNBOOK_<NAME>_PASSWORD.",
         "0  left\n"
         "1  a line of a script (standard input is no terminal) failed\n"
         "2  not started: usage, or a connection that failed",
         false,
         false,
         run_repl},
        copy_command(output, url_details),
        follow_command(output, url_details),
        verify_command(output, url_details),
        {"backup",
         "make, check, restore and thin out backups, natively",
         {{"ACTION"}, {"ARGUMENT", Complete::file, false, true}},
         {{"folder", "FOLDER",
           "where backups lie or go, or restic:LOCATION (default backup/); again for a copy each",
           Complete::folder, true},
          {"name", "NAME", "create: name without ending (default: database and time)"},
          {"format", "FORMAT", "create: custom, directory, mysqldump or mydumper"},
          {"jobs", "N", "create, restore: parallel connections, where the format has them"},
          {"table", "NAME", "restore: only this one; again for more", Complete::nothing, true},
          {"replace", "DATABASE",
           "restore: the target's database by name, its tables are replaced"},
          {"keep", "N", "prune, policy: whole backups of each database that stay (default 1)"},
          {"within", "DURATION", "prune: keeps all that are younger"},
          {"hourly", "DURATION", "prune: keeps the newest of each hour, as long as it is younger"},
          {"daily", "DURATION", "prune: the same for each day (UTC)"},
          {"weekly", "DURATION", "prune: the same for each week (from Monday)"},
          {"remove", "", "prune: remove them; without it only what would go is shown"},
          {"every", "DURATION", "policy: how often one is made (default 24h)"},
          {"restored", "DURATION", "policy: the newest test-restored one must be younger"},
          {"rto", "DURATION", "policy: the newest test restore took no longer"},
          {"why", "TEXT", "pin: the reason"},
          output},
         "runbook backup create postgres://app@db1/shop --folder backup/ --folder /mnt/off-site/\n"
         "runbook backup list\n"
         "runbook backup verify backup/shop-20261120-220004.dump\n"
         "runbook backup test-restore backup/shop-20261120-220004.dump "
         "postgres://admin@spare/postgres\n"
         "runbook backup restore backup/shop-20261120-220004.dump postgres://app@db1/shop "
         "--replace shop\n"
         "runbook backup restore backup/shop-20261120-220004.dump postgres://app@spare/shop "
         "--table orders\n"
         "runbook backup prune --keep 3 --hourly 24h --daily 7d --weekly 30d --remove\n"
         "runbook backup pin backup/shop-20261120-220004.dump --why \"before the migration\"\n"
         "runbook backup copy backup/shop-20261120-220004.dump /mnt/off-site/\n"
         "runbook backup init restic:sftp:backup@nas:/srv/restic\n"
         "runbook backup copy backup/shop-20261120-220004.dump restic:sftp:backup@nas:/srv/restic\n"
         "runbook backup policy postgres://app@db1/shop --every 24h --restored 30d",
         url_details,
         "0  done; policy: it is met\n"
         "1  the backup is not whole, the tool failed, or the policy is not met\n"
         "2  not started: usage, no connection, or a target that is not empty",
         false,
         false,
         run_backup},
        {"serve",
         "health checks, metrics and a page of runs over HTTP, for reading only",
         {},
         {{"listen", "ADDRESS",
           "where (default 127.0.0.1:7411); port 0 takes a free one, which is printed"},
          {"beyond-loopback", "",
           "allow an address that other hosts reach: what is served is not encrypted"},
          {"token-file", "FILE",
           "the token that every request must bring; without it one is made, in "
           "$XDG_STATE_HOME/runbook/serve.token",
           Complete::file},
          {"config", "FOLDER", "where runbook.toml is (default: the working folder)",
           Complete::folder},
          journal},
         "runbook serve\n"
         "runbook serve --listen [::1]:9200 --config /srv/playbooks --token-file "
         "/etc/runbook/token\n"
         "curl -H @header http://127.0.0.1:7411/metrics     header: Authorization: Bearer TOKEN",
         "/ is the page of runs (a browser asks for a name and password: any name, the token), "
         "/runs/RUN a report, /metrics for Prometheus; /health, /api/database/health, "
         "/api/migration-status and /api/backup-status answer with JSON. It reads the journal, "
         "asks the databases of [connections] and looks for the backups that [backups.NAME] of "
         "runbook.toml asks for; it changes nothing. SIGTERM or Ctrl-C ends it.",
         "0  ended by SIGTERM or Ctrl-C\n"
         "2  usage, a port that is taken, a journal or token that cannot be read",
         false,
         false,
         run_serve},
        {"doc",
         "the reference of a function, a word or an area",
         {{"NAME", Complete::name, false}},
         {},
         "runbook doc db.query\n"
         "runbook doc db\n"
         "runbook doc step",
         "Without NAME: all areas.",
         "0  shown\n2  usage, or no such name",
         false,
         false,
         run_doc},
        {"types",
         "write type definitions for lua-language-server",
         {{"DIR", Complete::folder}},
         {},
         "runbook types .lua-types",
         "Writes DIR/runbook.lua; name DIR in .luarc.json under workspace.library.",
         "0  written\n2  usage, or a file that cannot be written",
         false,
         false,
         run_types},
        {"completion",
         "a script that completes words on the command line",
         {{"SHELL", Complete::shell}},
         {},
         "eval \"$(runbook completion bash)\"\n"
         "runbook completion zsh > ~/.zfunc/_runbook\n"
         "runbook completion fish > ~/.config/fish/completions/runbook.fish",
         "SHELL is bash, zsh or fish.",
         "0  written\n2  usage",
         false,
         false,
         run_completion},
        {"version",
         "version of runbook",
         {},
         {},
         "runbook version",
         "",
         "0  shown",
         false,
         false,
         run_version},
        {"help",
         "how to use a command",
         {{"COMMAND", Complete::command, false}},
         {},
         "runbook help exec",
         "",
         "0  shown\n2  no such command",
         false,
         false,
         run_help},
        {"docs",
         "write docs/api, the type definitions and the man page below DIR",
         {{"DIR", Complete::folder}},
         {},
         "runbook docs .",
         "For the source tree.",
         "0  written\n2  usage, or a file that cannot be written",
         false,
         true,
         run_docs},
        {"__complete",
         "what could stand next",
         {{"WORD", Complete::nothing, false, true}},
         {},
         "",
         "",
         "",
         true,
         true,
         run_complete},
    };
    return all;
}

} // namespace

std::span<const Command> commands() {
    return table();
}

const Command* find_command(std::string_view name) {
    for (const Command& command : table())
        if (command.name == name)
            return &command;
    return nullptr;
}

} // namespace runbook::cli
