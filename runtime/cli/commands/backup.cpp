// `runbook backup`: the native engine directly.
#include "runtime/backup/backup.h"
#include "runtime/backup/retention.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/passwords.h"
#include "runtime/cli/working.h"

#include <cmath>
#include <fmt/format.h>

namespace runbook::cli {

namespace {

/// One call: the words after the action, and how to show what came of it.
class BackupCommand {
  public:
    explicit BackupCommand(const Arguments& arguments)
        : arguments_(arguments), output_(output_or_default(arguments.text("output"))) {}

    int run();

  private:
    int create(Cancel& cancel);
    int list();
    int verify(Cancel& cancel);
    int test_restore(Cancel& cancel);
    int restore(Cancel& cancel);
    int prune();
    int pin();
    int copy(Cancel& cancel);
    int policy();
    int init(Cancel& cancel);

    /// The word after the action, `number` from 1.
    const std::string& word(std::size_t number, const char* name) const {
        if (arguments_.positional.size() <= number)
            throw Error("usage", fmt::format("backup {}: {} is missing", action(), name),
                        "runbook backup --help shows each action");
        return arguments_.positional[number];
    }
    void most(std::size_t words) const {
        if (arguments_.positional.size() > words + 1)
            throw Error("usage", fmt::format("backup {}: '{}' is one argument too many", action(),
                                             arguments_.positional[words + 1]));
    }
    const std::string& action() const { return arguments_.positional.front(); }
    std::vector<std::string> folders() const {
        std::vector<std::string> given = arguments_.all("folder");
        return given.empty() ? std::vector<std::string>{"backup/"} : given;
    }
    /// "30d" as seconds; 0 where it is not given.
    double span(const char* option) const {
        const std::string text = arguments_.text(option);
        if (text.empty())
            return 0;
        const std::optional<double> seconds = text::parse_duration(text);
        if (!seconds || *seconds <= 0)
            throw Error("usage",
                        fmt::format("--{} '{}': a duration such as 24h or 30d", option, text));
        return *seconds;
    }
    db::Url url(std::size_t number, const char* shown, const char* variable) const;
    void finish(const char* event, const Map& map, const std::string& text) {
        end_progress(progress_);
        if (output_ == "json")
            print_event(event, map);
        else
            fmt::print("{}", redact(text));
    }
    std::string proof(const backup::Backup& backup) const {
        return backup.verified == backup::Verified::restored ? "restored and counted"
               : backup.verified == backup::Verified::read   ? "read back"
                                                             : "not checked";
    }

    const Arguments& arguments_;
    std::string output_;
    ProgressPtr progress_;
};

db::Url BackupCommand::url(std::size_t number, const char* shown, const char* variable) const {
    const std::string& text = word(number, shown);
    warn_of_passwords({{variable, text}}, "");
    return database_argument(text, variable, shown);
}

/// Started, then gone wrong: exit 1. Anything refused before is exit 2.
bool went_wrong(const Error& error) {
    return error.kind() == "backup.unverified" || error.kind() == "backup.tool" ||
           error.kind() == "backup.repository" || error.kind() == "cancelled" ||
           error.kind() == "timeout" || error.kind() == "fs";
}

int BackupCommand::run() {
    Interrupts interrupts;
    progress_ = show_progress(output_);
    Cancel& cancel = interrupts.cancel();
    try {
        if (action() == "create")
            return create(cancel);
        if (action() == "list")
            return list();
        if (action() == "verify")
            return verify(cancel);
        if (action() == "test-restore")
            return test_restore(cancel);
        if (action() == "restore")
            return restore(cancel);
        if (action() == "prune")
            return prune();
        if (action() == "pin" || action() == "unpin")
            return pin();
        if (action() == "copy")
            return copy(cancel);
        if (action() == "policy")
            return policy();
        if (action() == "init")
            return init(cancel);
    } catch (const Error& error) {
        end_progress(progress_);
        if (!went_wrong(error))
            throw;
        print_error(error);
        return engine::failed;
    }
    static const std::vector<std::string> actions = {"create",  "list",   "verify", "test-restore",
                                                     "restore", "prune",  "pin",    "unpin",
                                                     "copy",    "policy", "init"};
    throw Error("usage",
                fmt::format("backup: unknown action '{}'{}", action(),
                            text::did_you_mean(action(), actions)),
                "one of " + text::join(actions, ", "));
}

int BackupCommand::create(Cancel& cancel) {
    most(1);
    backup::Options options;
    options.to = folders();
    options.name = arguments_.text("name");
    options.format = arguments_.text("format");
    options.jobs = arguments_.number("jobs", 1);
    options.progress = progress_;
    const backup::Backup made = backup::create(url(1, "SOURCE", "source"), options, cancel);
    end_progress(progress_);
    for (const std::string& text : made.unusual)
        fmt::print(stderr, "warning: unusual: {}\n", redact(text));
    for (const std::string& text : made.inexact)
        fmt::print(stderr, "warning: not kept exactly: {}\n", redact(text));
    finish("backup.finished", backup::to_map(made),
           fmt::format("{}\n{}, sha256 {}, {} rows of {} table{}, read back, in {}\n",
                       text::join(made.files, "\n"), text::bytes(made.bytes), made.sha256,
                       text::grouped(made.rows), made.counts.size(),
                       made.counts.size() == 1 ? "" : "s", text::clock(made.seconds)));
    return 0;
}

int BackupCommand::list() {
    most(0);
    std::vector<std::vector<std::string>> rows = {
        {"started", "size", "rows", "proof", "from", "file"}};
    List entries;
    for (const backup::Entry& entry : backup::list(folders())) {
        const backup::Backup& found = entry.backup;
        std::string proven = entry.problem.empty() ? proof(found) : entry.problem;
        if (!found.pinned.empty())
            proven += ", pinned: " + found.pinned;
        rows.push_back({time::iso(Timestamp{found.started / 1'000'000 * 1'000'000, 0}),
                        text::bytes(found.bytes), text::grouped(found.rows), proven, found.source,
                        found.file});
        Map map = backup::to_map(found);
        map.set("whole", entry.whole());
        if (!entry.problem.empty())
            map.set("problem", entry.problem);
        entries.push_back(map);
    }
    finish("backup.list", Map{{"backups", entries}},
           rows.size() > 1 ? aligned(rows)
                           : fmt::format("no backup in {}\n", text::join(folders(), ", ")));
    return 0;
}

int BackupCommand::verify(Cancel& cancel) {
    most(1);
    const backup::Backup found = backup::verify(word(1, "FILE"), cancel, progress_);
    finish("backup.verified", backup::to_map(found),
           fmt::format("{}: whole: digest as in its manifest, every byte read, {} rows of {} "
                       "table{}\n",
                       found.file, text::grouped(found.rows), found.counts.size(),
                       found.counts.size() == 1 ? "" : "s"));
    return 0;
}

int BackupCommand::test_restore(Cancel& cancel) {
    most(2);
    const std::string& file = word(1, "FILE");
    backup::RestoreOptions options;
    options.progress = progress_;
    db::Url scratch;
    if (!file.ends_with(".sqlite"))
        scratch = url(2, "SCRATCH", "scratch");
    const backup::Restored restored = backup::test_restore(file, scratch, options, cancel);
    finish("backup.test_restored",
           Map{{"tables", restored.counts.size()},
               {"rows", restored.rows},
               {"seconds", restored.seconds}},
           fmt::format("restored and counted: {} rows of {} table{}, as in the backup, in {}\n",
                       text::grouped(restored.rows), restored.counts.size(),
                       restored.counts.size() == 1 ? "" : "s", text::clock(restored.seconds)));
    return 0;
}

int BackupCommand::restore(Cancel& cancel) {
    most(2);
    const std::string& file = word(1, "FILE");
    const db::Url target = url(2, "TARGET", "target");
    backup::RestoreOptions options;
    options.tables = arguments_.all("table");
    options.jobs = arguments_.number("jobs", 1);
    options.progress = progress_;
    // Destroying names what it destroys: the database's own name, never a blanket yes.
    const std::string given = arguments_.text("replace");
    if (!given.empty() && given != target.name)
        throw Error(
            "usage",
            fmt::format("--replace {}: the target's database is named '{}'", given, target.name),
            "--replace takes the name of the database whose tables may be dropped");
    options.replace = !given.empty();
    const backup::Restored restored = backup::restore(file, target, options, cancel);
    finish("backup.restored",
           Map{{"tables", restored.counts.size()},
               {"rows", restored.rows},
               {"seconds", restored.seconds}},
           fmt::format("restored into {}: {} rows of {} table{}, counted, in {}\n", target.masked(),
                       text::grouped(restored.rows), restored.counts.size(),
                       restored.counts.size() == 1 ? "" : "s", text::clock(restored.seconds)));
    return 0;
}

int BackupCommand::prune() {
    most(0);
    backup::Keep keep;
    keep.last = arguments_.number("keep", 1);
    keep.within = span("within");
    keep.hourly = span("hourly");
    keep.daily = span("daily");
    keep.weekly = span("weekly");
    const bool remove = arguments_.has("remove");
    List stay, go;
    std::vector<std::vector<std::string>> rows = {{"", "started", "size", "why", "file"}};
    std::int64_t freed = 0;
    for (const backup::Decision& decision : backup::prune(folders(), {}, keep, remove)) {
        const backup::Backup& found = decision.entry.backup;
        const auto copies = static_cast<std::int64_t>(found.files.size());
        rows.push_back({decision.stays ? "stays"
                        : remove       ? "removed"
                                       : "would go",
                        time::iso(Timestamp{found.started / 1'000'000 * 1'000'000, 0}),
                        text::bytes(found.bytes), decision.why, text::join(found.files, ", ")});
        Map map{{"file", found.file}, {"why", decision.why}, {"bytes", found.bytes}};
        (decision.stays ? stay : go).push_back(map);
        freed += decision.stays ? 0 : found.bytes * copies;
    }
    const std::string end =
        fmt::format("{} of {} backup{} {}, {}{}\n", go.size(), rows.size() - 1,
                    rows.size() == 2 ? "" : "s", remove ? "removed" : "would go",
                    text::bytes(freed), remove || go.empty() ? "" : "; --remove does it");
    finish("backup.pruned", Map{{"kept", stay}, {"removed", go}, {"preview", !remove}},
           (rows.size() > 1 ? aligned(rows) : "") + end);
    return 0;
}

int BackupCommand::pin() {
    most(1);
    const std::string& file = word(1, "FILE");
    const std::string why = arguments_.text("why");
    if (action() == "pin" && why.empty())
        throw Error("usage", "backup pin: --why is missing",
                    "it stands in the list, and in every prune");
    backup::pin(file, action() == "pin" ? why : "");
    finish(action() == "pin" ? "backup.pinned" : "backup.unpinned", Map{{"file", file}},
           action() == "pin" ? fmt::format("{} stays: {}\n", file, why)
                             : fmt::format("{} may be pruned again\n", file));
    return 0;
}

int BackupCommand::copy(Cancel& cancel) {
    most(2);
    const std::string made = backup::copy_to(word(1, "FILE"), word(2, "FOLDER"), cancel);
    finish("backup.copied", Map{{"file", made}}, fmt::format("{}: copied and read back\n", made));
    return 0;
}

int BackupCommand::init(Cancel& cancel) {
    most(1);
    const std::string& place = word(1, "REPOSITORY");
    if (!place.starts_with("restic:"))
        throw Error("usage", fmt::format("backup init {}: restic:LOCATION expected", place),
                    "a folder needs no preparation");
    backup::init_repository(place, {}, cancel);
    finish(
        "backup.initialised", Map{{"repository", place}},
        fmt::format("{}: an empty repository; who loses its password loses its backups\n", place));
    return 0;
}

int BackupCommand::policy() {
    most(1);
    const db::Url source = url(1, "SOURCE", "source");
    backup::Policy policy;
    if (const double every = span("every"); every > 0)
        policy.every = every;
    policy.keep = arguments_.number("keep", policy.keep);
    policy.restored = span("restored");
    policy.rto = span("rto");
    const backup::Health health = backup::health(
        backup::list(folders()), backup::source_name(source), policy, time::now_micros());
    List why;
    std::string text = health.met ? fmt::format("ok: the newest backup is {} old\n",
                                                text::duration(std::floor(health.age)))
                                  : health.level + ":\n";
    for (const std::string& line : health.why) {
        why.push_back(line);
        text += "  " + line + "\n";
    }
    finish("backup.policy",
           Map{{"met", health.met},
               {"level", health.level},
               {"missed", health.missed},
               {"age", health.age < 0 ? Value() : Value(health.age)},
               {"why", why}},
           text);
    return health.met ? engine::succeeded : engine::failed;
}

} // namespace

int run_backup(const Context&, const Arguments& arguments) {
    return BackupCommand(arguments).run();
}

} // namespace runbook::cli
