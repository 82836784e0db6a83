#include "runtime/cli/schedules.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/output.h"
#include "runtime/view/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace runbook::cli {

namespace {

constexpr std::int64_t micro = 1'000'000;

std::int64_t now_seconds() {
    return time::now_micros() / micro;
}

std::string iso(std::int64_t seconds) {
    return time::iso_millis(seconds * micro);
}

/// "2026-11-22 01:00 UTC"
std::string minute(std::int64_t seconds) {
    const std::string text = iso(seconds);
    return text.substr(0, 10) + " " + text.substr(11, seconds % 60 == 0 ? 5 : 8) + " UTC";
}

std::string name_of(const engine::Schedule& schedule) {
    return schedule.id.substr(schedule.id.find('.') + 1);
}

/// Why no other run of the schedule may be started, and whether a person has to see to it.
struct Block {
    std::string why;
    bool person = false;
};

Block block_of(const std::optional<journal::RunRecord>& run) {
    if (!run || run->state == journal::RunState::finished)
        return {};
    if (run->state == journal::RunState::running && run->owner_alive)
        return {fmt::format("run {} is still running", run->run), false};
    return {fmt::format("run {} {} (runbook resume {})", run->run,
                        run->state == journal::RunState::running ? "was interrupted"
                        : run->outcome == "person_needed"        ? "needs a person"
                                                                 : "is still held",
                        run->run),
            true};
}

/// Takes the record of a schedule for as long as this lives, so that one process decides.
class Record {
  public:
    Record(journal::Journal& journal, const Scheduled& one) : journal_(journal), one_(one) {
        if (!journal.find(one.schedule.id))
            create();
        fence_ = journal.acquire(one.schedule.id, 30);
    }
    ~Record() {
        try {
            journal_.release(one_.schedule.id, fence_);
        } catch (const Error&) {
            fence_ = 0; // it runs out by itself
        }
    }
    Record(const Record&) = delete;
    Record& operator=(const Record&) = delete;

    void append(const std::string& event, Map data) {
        journal_.append(one_.schedule.id, fence_, event, "", data);
    }
    engine::ScheduleState state() const {
        return engine::fold_schedule(journal_.events(one_.schedule.id));
    }

  private:
    void create() const {
        journal::RunRecord record;
        record.run = one_.schedule.id;
        record.playbook = one_.playbook;
        record.file = std::filesystem::absolute(one_.file).string();
        record.state = journal::RunState::finished;
        record.outcome = view::scheduled;
        record.exit = 0;
        record.initiator = user_name();
        try {
            journal_.create(record);
        } catch (const Error&) {
            if (!journal_.find(one_.schedule.id)) // else another process was faster
                throw;
        }
    }

    journal::Journal& journal_;
    const Scheduled& one_;
    std::int64_t fence_ = 0;
};

/// Fills in what the journal knows.
void look(Scheduled& one, journal::Journal& journal) {
    one.known = journal.find(one.schedule.id).has_value();
    if (!one.known)
        return;
    one.state = engine::fold_schedule(journal.events(one.schedule.id));
    const auto last = journal.find(one.state.run);
    one.blocked = block_of(last).why;
    const engine::ScheduleStep step =
        engine::decide(one.schedule, one.state, last.has_value(), one.blocked, now_seconds());
    one.due = step.start != 0;
    one.at = step.start;
}

Scheduled made(const engine::Schedule& schedule, const std::string& playbook,
               const std::string& file, const std::string& environment) {
    Scheduled one;
    one.schedule = schedule;
    one.playbook = playbook;
    one.file = file;
    one.environment = environment;
    return one;
}

void say_missed(const Scheduled& one, const engine::ScheduleStep::Missed& missed) {
    fmt::print(stderr, "{}: {}\n", name_of(one.schedule),
               missed.count == 1
                   ? fmt::format("{} was missed: {}", minute(missed.last), missed.why)
                   : fmt::format("{} from {} to {} were missed: {}", missed.count,
                                 minute(missed.first), minute(missed.last), missed.why));
}

/// Sets the schedule where it is new or has changed: what was due before then is no concern of it.
void set(Record& record, const Scheduled& one, engine::ScheduleState& state) {
    if (state.text == one.schedule.text)
        return;
    const std::int64_t now = now_seconds();
    const bool first = state.text.empty();
    const std::int64_t since = first ? one.schedule.from.value_or(now + 1) - 1 : now;
    record.append("schedule.set", Map{{"schedule", one.schedule.id},
                                      {"text", one.schedule.text},
                                      {"since", iso(since)},
                                      {"by", user_name()},
                                      {"env", one.environment},
                                      {"data", one.schedule.data},
                                      {"why", one.schedule.text}});
    state = record.state();
    fmt::print(stderr, "{}: {} {}, next {}\n", name_of(one.schedule),
               first ? "scheduled" : "its schedule has changed:", one.schedule.text,
               minute(one.schedule.next(now)));
}

/// Decides, under the lease, and journals it. Returns the occurrence to start, 0 for none.
std::int64_t decided(journal::Journal& journal, const Scheduled& one, int& exit) {
    Record record(journal, one);
    engine::ScheduleState state = record.state();
    set(record, one, state);
    const auto last = journal.find(state.run);
    const Block block = block_of(last);
    const engine::ScheduleStep step =
        engine::decide(one.schedule, state, last.has_value(), block.why, now_seconds());
    for (const auto& missed : step.missed) {
        record.append("schedule.missed", Map{{"schedule", one.schedule.id},
                                             {"first", iso(missed.first)},
                                             {"due", iso(missed.last)},
                                             {"count", missed.count},
                                             {"why", missed.why}});
        say_missed(one, missed);
        if (block.person)
            exit = engine::person_needed;
    }
    if (step.start != 0 && step.start != state.due)
        record.append("schedule.due", Map{{"schedule", one.schedule.id},
                                          {"due", iso(step.start)},
                                          {"run", one.schedule.run_of(step.start)},
                                          {"why", fmt::format("{}: run {}", minute(step.start),
                                                              one.schedule.run_of(step.start))}});
    return step.start;
}

/// Says why an occurrence could not be started; the next `due` tries again.
void failed(journal::Journal& journal, const Scheduled& one, std::int64_t at, const Error& error) {
    print_error(error,
                fmt::format("{}: {} could not be started", name_of(one.schedule), minute(at)));
    Record record(journal, one);
    if (record.state().problem != error.message())
        record.append("schedule.failed", Map{{"schedule", one.schedule.id},
                                             {"due", iso(at)},
                                             {"problem", error.message()},
                                             {"why", "could not be started: " + error.message()}});
}

int start_one(const Context& context, const Arguments& arguments, journal::Journal& journal,
              const Scheduled& one, engine::Options options) {
    int exit = 0;
    std::int64_t at = 0;
    try {
        at = decided(journal, one, exit);
    } catch (const Error& error) {
        if (error.kind() == "journal.held") // another `due` is at it
            return exit;
        throw;
    }
    if (at == 0)
        return exit;
    options.file = one.file;
    options.environment = one.environment;
    options.parameters = one.schedule.parameters;
    options.run_id = one.schedule.run_of(at);
    options.schedule = {one.schedule.id, one.schedule.text, at * micro};
    Shown shown(arguments);
    try {
        exit = engine::Engine(context.register_bindings, shown).exec(options);
        shown.finish();
        return exit;
    } catch (const Error& error) {
        if (!error.in_doubt()) {
            if (error.message().find("exists already") != std::string::npos)
                return 0; // another `due` was faster
            failed(journal, one, at, error);
            return engine::not_started;
        }
        std::fflush(stdout);
        fmt::print(stderr, "error: {}\n", error.message());
        return engine::person_needed;
    }
}

} // namespace

std::vector<Scheduled> schedules_of(const Context& context, const Arguments& arguments,
                                    const std::vector<std::string>& files,
                                    journal::Journal* journal) {
    std::vector<Scheduled> all;
    for (const std::string& file : files) {
        engine::Options options;
        options.file = file;
        options.environment = arguments.text("env");
        engine::Engine engine(context.register_bindings, silent());
        std::string playbook;
        for (const engine::Schedule& schedule : engine.schedules(options, &playbook))
            all.push_back(made(schedule, playbook, file, options.environment));
    }
    for (Scheduled& one : all) {
        if (journal)
            look(one, *journal);
        if (one.at == 0)
            one.at = one.schedule.next(now_seconds());
    }
    return all;
}

std::vector<Scheduled> known_schedules(journal::Journal& journal,
                                       const std::vector<journal::RunRecord>& runs) {
    std::vector<Scheduled> all;
    for (const journal::RunRecord& record : runs) {
        if (!view::is_schedule(record))
            continue;
        const Map* data = nullptr;
        std::string environment;
        const auto events = journal.events(record.run);
        for (const journal::Event& event : events)
            if (event.event == "schedule.set")
                if (const Value* value = event.data.find("data")) {
                    data = value->get<Map>();
                    environment = event.data.text("env");
                }
        if (!data)
            continue;
        all.push_back(
            made(engine::schedule_from(*data), record.playbook, record.file, environment));
        look(all.back(), journal);
        if (all.back().at == 0)
            all.back().at = all.back().schedule.next(now_seconds());
    }
    return all;
}

int start_scheduled(const Context& context, const Arguments& arguments, const std::string& file,
                    const engine::Options& options) {
    const auto journal = journal::Journal::open(options.journal);
    int worst = 0;
    for (const Scheduled& one : schedules_of(context, arguments, {file}, nullptr)) {
        const int exit = start_one(context, arguments, *journal, one, options);
        worst = std::max(worst, exit == engine::held ? 0 : exit);
    }
    return worst;
}

std::string timer_lines(const Arguments& arguments, const std::vector<Scheduled>& schedules) {
    std::error_code ignored;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
    std::string command = ignored ? "runbook" : text::shell_quote(program.string());
    command += " due";
    std::vector<std::string> files;
    for (const Scheduled& one : schedules)
        if (const std::string file = text::shell_quote(one.file);
            std::find(files.begin(), files.end(), file) == files.end())
            files.push_back(file);
    for (const std::string& file : files)
        command += " " + file;
    for (const char* option : {"env", "journal"})
        if (arguments.has(option))
            command += fmt::format(" --{} {}", option, text::shell_quote(arguments.text(option)));
    const bool often = std::any_of(schedules.begin(), schedules.end(), [](const Scheduled& one) {
        return (one.schedule.every_s > 0 && one.schedule.every_s % 300 != 0) ||
               std::any_of(one.schedule.moments.begin(), one.schedule.moments.end(),
                           [](const auto& moment) { return moment.minute % 5 != 0; });
    });
    const std::string folder = std::filesystem::current_path().string();
    if (arguments.text("timer") == "cron") {
        std::string line = fmt::format("cd {} && {}", text::shell_quote(folder), command);
        for (std::size_t at = 0; (at = line.find('%', at)) != std::string::npos; at += 2)
            line.insert(at, "\\"); // cron ends the command at a bare %
        return fmt::format("{} * * * * {}\n", often ? "*" : "*/5", line);
    }
    std::string unit = command;
    for (std::size_t at = 0; (at = unit.find('%', at)) != std::string::npos; at += 2)
        unit.insert(at, "%"); // a specifier's sign
    return fmt::format("# /etc/systemd/system/runbook-due.service\n"
                       "[Unit]\n"
                       "Description=runbook: what is due\n"
                       "Wants=network-online.target\n"
                       "After=network-online.target\n"
                       "\n"
                       "[Service]\n"
                       "Type=oneshot\n"
                       "User={}\n"
                       "WorkingDirectory={}\n"
                       "ExecStart={}\n"
                       "\n"
                       "# /etc/systemd/system/runbook-due.timer\n"
                       "[Unit]\n"
                       "Description=runbook: look for what is due\n"
                       "\n"
                       "[Timer]\n"
                       "OnCalendar=*:0/{}\n"
                       "AccuracySec=1s\n"
                       "Persistent=true\n"
                       "\n"
                       "[Install]\n"
                       "WantedBy=timers.target\n"
                       "\n"
                       "# systemctl enable --now runbook-due.timer\n",
                       user_name(), folder, unit, often ? 1 : 5);
}

} // namespace runbook::cli
