// `runbook follow`: a copy that goes on after the copy (runtime/transfer/follow).
#include "runtime/transfer/follow/follow.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/commands/follow.h"
#include "runtime/cli/output.h"
#include "runtime/cli/passwords.h"
#include "runtime/cli/working.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace runbook::cli {

namespace {

/// "500MB", "10GB", or a number of bytes.
std::int64_t size_argument(const Arguments& arguments, const char* name, std::int64_t otherwise) {
    const std::string given = arguments.text(name);
    if (given.empty())
        return otherwise;
    std::int64_t number = 0;
    const auto [rest, error] = std::from_chars(given.data(), given.data() + given.size(), number);
    const std::string unit(rest, given.data() + given.size());
    static const std::vector<std::pair<std::string, std::int64_t>> units = {
        {"", 1}, {"MB", 1'000'000}, {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
    const auto found = std::find_if(units.begin(), units.end(),
                                    [&](const auto& each) { return each.first == unit; });
    if (error != std::errc() || number < 1 || found == units.end())
        throw Error("usage", fmt::format("--{}: a size such as 500MB or 10GB expected, got '{}'",
                                         name, given));
    return number * found->second;
}

bool before_the_start(const Error& error) {
    static const std::vector<std::string> kinds = {
        "usage",   "argument",     "copy.refused",  "follow.refused", "db.connection",
        "db.auth", "db.not_empty", "db.permission", "db.unsupported"};
    return std::find(kinds.begin(), kinds.end(), error.kind()) != kinds.end();
}

std::string text_of(const follow::Status& status) {
    std::string out = fmt::format(
        "state         {}\nslot          {}\napplied       {}\nbehind        {:.1f} s, {}\n"
        "transactions  {}\nchanges       {}\nlog kept      {} of at most {}\n",
        status.state, status.slot, follow::lsn_text(status.applied), status.lag_seconds,
        text::bytes(status.lag_bytes), text::grouped(status.transactions),
        text::grouped(status.changes), text::bytes(status.wal_kept), text::bytes(status.wal_limit));
    return out;
}

/// While nobody follows, only the server itself bounds the log that the slot keeps.
std::string warning_of(const follow::Status& status) {
    if (status.slot.empty() || status.wal_bound != "-1" ||
        (status.state != "following" && status.state != "copying"))
        return {};
    return fmt::format(
        "warning: max_slot_wal_keep_size is -1: while nobody follows, nothing bounds "
        "the log that the slot {} keeps\n",
        status.slot);
}

struct Call {
    db::Url source, target;
    follow::Options options;
    std::string output;

    void print(const char* event, const Map& map, const std::string& text) const {
        if (output == "json")
            print_event(event, map);
        else
            fmt::print("{}", redact(text));
        std::fflush(stdout);
    }
};

int follow_on(const Call& call, bool until_caught_up, const ProgressPtr& progress, Cancel& cancel,
              bool& begun) {
    const follow::Started started =
        follow::start(call.source, call.target, call.options, progress, cancel);
    begun = true;
    end_progress(progress);
    std::string text =
        started.resumed
            ? fmt::format("following goes on from {}\n", follow::lsn_text(started.status.applied))
            : fmt::format("copied {} rows of {} tables, following from {}\n",
                          text::grouped(started.copied->rows), started.copied->tables.size(),
                          follow::lsn_text(started.status.applied));
    call.print("follow.started", follow::to_map(started), text + warning_of(started.status));
    const follow::Status status =
        follow::run(call.source, call.target, call.options,
                    until_caught_up ? follow::Until::caught_up : follow::Until::cancelled, {},
                    progress, cancel);
    end_progress(progress);
    call.print("follow.status", follow::to_map(status), text_of(status));
    return engine::succeeded;
}

int act(const Call& call, const Arguments& arguments, const ProgressPtr& progress, Cancel& cancel,
        bool& begun) {
    if (arguments.has("status")) {
        const follow::Status status =
            follow::status(call.source, call.target, call.options, cancel);
        call.print("follow.status", follow::to_map(status), text_of(status) + warning_of(status));
        return engine::succeeded;
    }
    if (arguments.has("stop")) {
        const bool there = follow::stop(call.source, call.target, cancel);
        call.print("follow.stopped", Map{{"dropped", there}},
                   there ? "slot and publication dropped; the target stays as it is\n"
                         : "there was no slot to drop\n");
        return engine::succeeded;
    }
    if (arguments.has("drain")) {
        begun = true;
        const follow::Drained drained =
            follow::drain(call.source, call.target, call.options, progress, cancel);
        end_progress(progress);
        const Map map = follow::to_map(drained);
        call.print("follow.drained", map, map.text("detail") + "\n");
        return engine::succeeded;
    }
    return follow_on(call, arguments.has("until-caught-up"), progress, cancel, begun);
}

} // namespace

Command follow_command(const Option& output, std::string_view url_details) {
    return {"follow",
            "copy a PostgreSQL database into MySQL and keep the copy up to date",
            {{"SOURCE"}, {"TARGET"}},
            {{"streams", "N", "parallel streams of the copy"},
             {"table", "NAME", "only this table", Complete::nothing, true},
             {"exclude", "NAME", "not this table", Complete::nothing, true},
             {"schema", "NAME", "PostgreSQL schema (default public)"},
             {"charset", "NAME", "character set of the target (default utf8mb4)"},
             {"collation", "NAME", "collation of the target (default binary)"},
             {"max-wal", "SIZE", "log that the slot may keep at the source (default 10GB)"},
             {"until-caught-up", "", "end when everything committed by now is in the target"},
             {"drain", "", "after the last write: apply the rest, prove it, drop the slot"},
             {"status", "", "how far it is, and what the slot keeps"},
             {"stop", "", "give up: drop slot and publication, leave the target as it is"},
             output},
            "runbook follow postgres://app@db1/shop mysql://app@db2/shop\n"
            "runbook follow postgres://app@db1/shop mysql://app@db2/shop --drain",
            url_details,
            "0  caught up, drained, stopped\n"
            "1  started and failed; the message says why, following can go on from there\n"
            "2  not started: usage, no connection, or something that cannot be followed\n"
            "3  interrupted: the same command goes on",
            false,
            false,
            run_follow};
}

int run_follow(const Context&, const Arguments& arguments) {
    const std::string &source = arguments.positional[0], &target = arguments.positional[1];
    Call call;
    call.source = database_argument(source, "source", "SOURCE");
    call.target = database_argument(target, "target", "TARGET");
    warn_of_passwords({{"source", source}, {"target", target}}, "");
    copy::Options& copying = call.options.copy;
    copying.streams = arguments.number("streams", copying.streams);
    copying.include = arguments.all("table");
    copying.exclude = arguments.all("exclude");
    copying.schema = arguments.text("schema");
    copying.charset = arguments.text("charset");
    copying.collation = arguments.text("collation");
    call.options.max_wal = size_argument(arguments, "max-wal", call.options.max_wal);
    call.output = output_or_default(arguments.text("output"));
    Interrupts interrupts;
    const ProgressPtr progress = show_progress(call.output);
    bool begun = false;
    try {
        return act(call, arguments, progress, interrupts.cancel(), begun);
    } catch (const Error& error) {
        end_progress(progress);
        if (begun && error.kind() == "cancelled" && !arguments.has("drain")) {
            fmt::print(stderr, "stopped; the slot stays: the same command goes on, --drain ends "
                               "it, --stop gives it up\n");
            return engine::held;
        }
        if (!begun && before_the_start(error))
            throw;
        print_error(error);
        return engine::failed;
    }
}

} // namespace runbook::cli
