#include "runtime/engine/schedule.h"

#include "runtime/base/time.h"
#include "runtime/engine/lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace runbook::engine {

namespace {

constexpr std::int64_t day_s = 86'400;

std::int64_t seconds_at(const Map& data, const char* key) {
    const auto at = time::parse(data.text(key));
    return at ? at->micros / 1'000'000 : 0;
}

bool falls_on(const Moment& moment, const time::Civil& date) {
    if (moment.weekday >= 0 && static_cast<unsigned>(moment.weekday) != date.weekday)
        return false;
    if (moment.day > 0)
        return static_cast<unsigned>(moment.day) == date.day;
    return moment.day == 0 || time::civil_of(time::seconds_of(date) + day_s).day == 1;
}

} // namespace

Moment moment_from(const Map& map) {
    const auto part = [&map](const char* name) {
        return static_cast<unsigned>(map.integer(name, 0));
    };
    return {static_cast<int>(map.integer("weekday", -1)),
            static_cast<int>(map.integer("day", 0)),
            part("hour"),
            part("minute"),
            part("second"),
            time::Zone::find(map.text("zone", "UTC"))};
}

std::int64_t next_after(const Moment& moment, std::int64_t after) {
    // Whole days of the calendar, because one of them may have 23 or 25 hours; from the day before,
    // because a time that the clock skipped may be later than the next day begins.
    const std::int64_t local = after + moment.zone.offset_at(after);
    std::int64_t date = local - (local % day_s + day_s) % day_s - day_s;
    while (true) {
        time::Civil civil = time::civil_of(date);
        if (falls_on(moment, civil)) {
            civil.hour = moment.hour, civil.minute = moment.minute, civil.second = moment.second;
            if (const std::int64_t at = moment.zone.instant_of(civil); at > after)
                return at;
        }
        date += day_s;
    }
}

std::int64_t Schedule::next(std::int64_t after) const {
    if (from)
        after = std::max(after, *from - 1);
    if (every_s > 0)
        return (after / every_s + 1) * every_s;
    std::int64_t first = 0;
    for (const Moment& moment : moments)
        if (const std::int64_t at = next_after(moment, after); first == 0 || at < first)
            first = at;
    return first;
}

Occurrences Schedule::between(std::int64_t after, std::int64_t until) const {
    Occurrences found;
    if (from)
        after = std::max(after, *from - 1);
    if (every_s > 0) { // by arithmetic: there may be very many
        found.first = (after / every_s + 1) * every_s;
        found.last = until / every_s * every_s;
        if (found.last < found.first)
            return {};
        found.count = (found.last - found.first) / every_s + 1;
        found.before_last = found.count > 1 ? found.last - every_s : 0;
        return found;
    }
    for (std::int64_t at = next(after); at <= until; at = next(at)) {
        if (found.count++ == 0)
            found.first = at;
        found.before_last = found.last;
        found.last = at;
    }
    return found;
}

std::string Schedule::run_of(std::int64_t at) const {
    const time::Civil civil = time::civil_of(at);
    std::string name = fmt::format("{}.{:04}{:02}{:02}-{:02}{:02}", id.substr(id.find('.') + 1),
                                   civil.year, civil.month, civil.day, civil.hour, civil.minute);
    if (civil.second != 0)
        name += fmt::format("{:02}", civil.second);
    return name;
}

Schedule schedule_from(const Map& map) {
    Schedule made;
    made.id = map.text("id");
    made.text = map.text("text");
    made.every_s = map.integer("every_s", 0);
    for (const Value& moment : list_at(map, "moments"))
        made.moments.push_back(moment_from(*moment.get<Map>()));
    if (map.contains("from"))
        made.from = map.integer("from");
    made.late_s = map.integer("late_s", 3600);
    made.run_once = map.boolean("run_once");
    for (const Value& pair : list_at(map, "parameters"))
        made.parameters.emplace_back(*(*pair.get<List>())[0].get<std::string>(),
                                     *(*pair.get<List>())[1].get<std::string>());
    made.data = map;
    return made;
}

ScheduleState fold_schedule(const std::vector<journal::Event>& events) {
    ScheduleState state;
    for (const journal::Event& event : events) {
        const Map& data = event.data;
        if (event.event == "schedule.set") {
            state.text = data.text("text");
            state.handled = std::max(state.handled, seconds_at(data, "since"));
        } else if (event.event == "schedule.due") {
            state.due = seconds_at(data, "due");
            state.run = data.text("run");
            state.problem.clear();
        } else if (event.event == "schedule.failed") {
            state.problem = data.text("problem");
        } else if (event.event == "schedule.missed") {
            state.last_missed = seconds_at(data, "due");
            state.handled = std::max(state.handled, state.last_missed);
            state.missed += data.integer("count", 1);
            state.last_why = data.text("why");
        }
    }
    return state;
}

ScheduleStep decide(const Schedule& schedule, const ScheduleState& state, bool exists,
                    const std::string& blocked, std::int64_t now) {
    ScheduleStep step;
    std::int64_t handled = state.handled;
    if (exists)
        handled = std::max(handled, state.due);
    const Occurrences found = schedule.between(handled, now);
    if (found.count == 0)
        return step;
    const bool failed = !exists && !state.problem.empty() && state.due >= found.first;
    const std::string not_in_time =
        failed ? "it could not be started: " + state.problem : "it was not started in time";
    const bool late = now - found.last > schedule.late_s && !schedule.run_once;
    if (blocked.empty() && late) {
        step.missed.push_back({found.count, found.first, found.last, not_in_time});
        return step;
    }
    if (found.count > 1)
        step.missed.push_back({found.count - 1, found.first, found.before_last, not_in_time});
    if (blocked.empty())
        step.start = found.last;
    else
        step.missed.push_back({1, found.last, found.last, "skipped: " + blocked});
    return step;
}

} // namespace runbook::engine
