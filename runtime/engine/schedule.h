// When a playbook with a `schedule` is to run. Pure: reads no clock and no journal, so that every
// rule of it can be tested for any moment. Any thread.
#pragma once

#include "runtime/base/value.h"
#include "runtime/base/zone.h"
#include "runtime/journal/journal.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runbook::engine {

/// A reading of the clock on the wall that comes again and again.
struct Moment {
    int weekday = -1; ///< 0 is Sunday; -1: any
    int day = 0;      ///< of the month, 1 to 28; -1: its last; 0: any
    unsigned hour = 0, minute = 0, second = 0;
    time::Zone zone;
};

/// From {weekday, day, hour, minute, second, zone}; throws Error{`usage`} for a zone that is none.
Moment moment_from(const Map& map);
/// The first instant after `after` (seconds since the epoch) at which the clock shows it. A time
/// that the clock skips is as much later as it jumps, one that it shows twice is the first.
std::int64_t next_after(const Moment& moment, std::int64_t after);

/// Occurrences that lie in a span of time: how many, the first, and the last two.
struct Occurrences {
    std::int64_t count = 0, first = 0, before_last = 0, last = 0;
};

struct Schedule {
    std::string id;           ///< of its record in the journal: "schedule.nightly"
    std::string text;         ///< as the playbook has it: "at 02:00 Europe/Berlin"
    std::int64_t every_s = 0; ///< 0: by `moments`
    std::vector<Moment> moments;
    std::optional<std::int64_t> from; ///< seconds; nothing comes before
    std::int64_t late_s = 3600;       ///< started at most so late
    bool run_once = false;            ///< the newest is started however late it is
    std::vector<std::pair<std::string, std::string>> parameters;
    Map data; ///< what it was made from

    /// The first occurrence after `after`. `every` counts from midnight UTC of 1 January 1970: 15m
    /// is at 0, 15, 30 and 45 minutes past.
    std::int64_t next(std::int64_t after) const;
    /// Those after `after`, up to and including `until`.
    Occurrences between(std::int64_t after, std::int64_t until) const;
    /// The name of the run of an occurrence: "nightly.20261122-0100", in UTC.
    std::string run_of(std::int64_t at) const;
};

/// From what the load phase made of `schedule` in the header.
Schedule schedule_from(const Map& map);

/// What the journal knows of a schedule: its events, folded.
struct ScheduleState {
    std::string text;         ///< as it was when it was last set
    std::int64_t handled = 0; ///< occurrences up to here are done with
    std::int64_t due = 0;     ///< of the last one that was to be started; 0: none was
    std::string run;          ///< its run
    std::string problem;      ///< why that could not be started; empty where it could
    std::int64_t missed = 0;  ///< how many in all
    std::int64_t last_missed = 0;
    std::string last_why;
};
ScheduleState fold_schedule(const std::vector<journal::Event>& events);

/// What is to be done now.
struct ScheduleStep {
    struct Missed {
        std::int64_t count = 0, first = 0, last = 0;
        std::string why;
    };
    std::vector<Missed> missed;
    std::int64_t start = 0; ///< the occurrence to start; 0: none
};
/// `exists`: the run of `state.run` is in the journal. `blocked`: why no other may be started now
/// ("run x is still running"), empty where it may. Seconds since the epoch.
ScheduleStep decide(const Schedule& schedule, const ScheduleState& state, bool exists,
                    const std::string& blocked, std::int64_t now);

} // namespace runbook::engine
