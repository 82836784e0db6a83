// When a playbook with a schedule is to run, for any moment: nothing here waits or reads a clock.
#include "runtime/base/time.h"
#include "runtime/engine/schedule.h"

#include "tests/unit/catch.h"

using namespace runbook;
using engine::Moment;
using engine::Schedule;

namespace {

std::int64_t at(const std::string& iso) {
    return time::parse(iso)->micros / 1'000'000;
}

std::string shown(std::int64_t seconds) {
    return time::iso_millis(seconds * 1'000'000).substr(0, 19) + "Z";
}

Moment moment(Map map) {
    return engine::moment_from(map);
}

std::string next(const Map& map, const std::string& after) {
    return shown(engine::next_after(moment(map), at(after)));
}

Schedule hourly() {
    Schedule made;
    made.id = "schedule.nightly";
    made.every_s = 3600;
    return made;
}

engine::ScheduleState state_at(const std::string& handled) {
    engine::ScheduleState state;
    state.handled = at(handled);
    return state;
}

} // namespace

TEST_CASE("A time of day comes every day, in its own zone", "[schedule]") {
    const Map two{{"hour", 2}, {"zone", "Europe/Berlin"}};
    CHECK(next(two, "2026-11-21T00:59:59Z") == "2026-11-21T01:00:00Z");
    CHECK(next(two, "2026-11-21T01:00:00Z") == "2026-11-22T01:00:00Z"); // strictly later
    CHECK(next(two, "2026-07-01T12:00:00Z") == "2026-07-02T00:00:00Z"); // summer
    const Map sunday{{"weekday", 0}, {"hour", 3}, {"zone", "UTC"}};
    CHECK(next(sunday, "2026-11-21T14:00:00Z") == "2026-11-22T03:00:00Z");
    CHECK(next(sunday, "2026-11-22T03:00:00Z") == "2026-11-29T03:00:00Z");
    CHECK(next({{"hour", 0}, {"zone", "Asia/Kolkata"}}, "2026-11-21T18:29:59Z") ==
          "2026-11-21T18:30:00Z");
}

TEST_CASE("A day of the month, and its last one", "[schedule]") {
    const Map first{{"day", 1}, {"hour", 3}, {"zone", "UTC"}};
    CHECK(next(first, "2026-11-21T14:00:00Z") == "2026-12-01T03:00:00Z");
    const Map last{{"day", -1}, {"hour", 3}, {"zone", "UTC"}};
    CHECK(next(last, "2028-02-01T00:00:00Z") == "2028-02-29T03:00:00Z");
    CHECK(next(last, "2027-02-01T00:00:00Z") == "2027-02-28T03:00:00Z");
    CHECK(next(last, "2026-12-31T03:00:00Z") == "2027-01-31T03:00:00Z");
}

TEST_CASE("A schedule survives the days on which the clock changes", "[schedule]") {
    // 2026-03-29: 02:00 to 03:00 is skipped in Berlin; 2026-10-25: 02:00 to 03:00 comes twice
    const Map half_past_two{{"hour", 2}, {"minute", 30}, {"zone", "Europe/Berlin"}};
    CHECK(next(half_past_two, "2026-03-28T12:00:00Z") == "2026-03-29T01:30:00Z"); // 03:30 there
    CHECK(next(half_past_two, "2026-03-29T01:30:00Z") == "2026-03-30T00:30:00Z");
    CHECK(next(half_past_two, "2026-10-24T12:00:00Z") == "2026-10-25T00:30:00Z"); // the first
    CHECK(next(half_past_two, "2026-10-25T00:30:00Z") == "2026-10-26T01:30:00Z"); // not the second
    // a Sunday of 23 hours is not jumped over late on Saturday
    CHECK(next({{"weekday", 0}, {"hour", 12}, {"zone", "Europe/Berlin"}}, "2026-03-28T22:30:00Z") ==
          "2026-03-29T10:00:00Z");
    // in a year there is one for each day, whatever the clock does
    Schedule daily;
    daily.moments = {moment(half_past_two)};
    CHECK(daily.between(at("2025-12-31T12:00:00Z"), at("2026-12-31T12:00:00Z")).count == 365);
}

TEST_CASE("every counts from midnight UTC, however many there are", "[schedule]") {
    const Schedule schedule = hourly();
    CHECK(shown(schedule.next(at("2026-11-21T14:59:59Z"))) == "2026-11-21T15:00:00Z");
    CHECK(shown(schedule.next(at("2026-11-21T15:00:00Z"))) == "2026-11-21T16:00:00Z");
    const auto found = schedule.between(at("2016-11-21T15:00:00Z"), at("2026-11-21T15:30:00Z"));
    CHECK(found.count == 87'648);
    CHECK(shown(found.first) == "2016-11-21T16:00:00Z");
    CHECK(shown(found.before_last) == "2026-11-21T14:00:00Z");
    CHECK(shown(found.last) == "2026-11-21T15:00:00Z");
    CHECK(schedule.between(at("2026-11-21T15:00:00Z"), at("2026-11-21T15:59:59Z")).count == 0);
    CHECK(schedule.run_of(at("2026-11-21T15:00:00Z")) == "nightly.20261121-1500");
    CHECK(schedule.run_of(at("2026-11-21T15:00:07Z")) == "nightly.20261121-150007");
}

TEST_CASE("Nothing comes before its from", "[schedule]") {
    Schedule schedule = hourly();
    schedule.from = at("2026-12-01T00:00:00Z");
    CHECK(shown(schedule.next(at("2026-11-21T14:00:00Z"))) == "2026-12-01T00:00:00Z");
    CHECK(schedule.between(at("2026-11-21T14:00:00Z"), at("2026-11-30T23:59:59Z")).count == 0);
}

TEST_CASE("What is due is started once; what came before it is missed", "[schedule]") {
    const Schedule schedule = hourly();
    auto state = state_at("2026-11-21T10:00:00Z");
    CHECK(engine::decide(schedule, state, false, "", at("2026-11-21T10:59:00Z")).start == 0);
    auto step = engine::decide(schedule, state, false, "", at("2026-11-21T11:05:00Z"));
    CHECK(shown(step.start) == "2026-11-21T11:00:00Z");
    CHECK(step.missed.empty());
    state.due = at("2026-11-21T11:00:00Z");
    CHECK(engine::decide(schedule, state, true, "", at("2026-11-21T11:06:00Z")).start == 0);
    // its run was never made: it is still open
    CHECK(engine::decide(schedule, state, false, "", at("2026-11-21T11:06:00Z")).start ==
          state.due);
    step = engine::decide(schedule, state, true, "", at("2026-11-21T14:01:00Z")); // a downtime
    CHECK(shown(step.start) == "2026-11-21T14:00:00Z");
    REQUIRE(step.missed.size() == 1);
    CHECK(step.missed[0].count == 2);
    CHECK(shown(step.missed[0].first) == "2026-11-21T12:00:00Z");
    CHECK(shown(step.missed[0].last) == "2026-11-21T13:00:00Z");
    CHECK(step.missed[0].why == "it was not started in time");
}

TEST_CASE("One that is too late is missed, unless it is to be run once", "[schedule]") {
    Schedule nightly;
    nightly.moments = {moment({{"hour", 2}, {"zone", "UTC"}})};
    const auto state = state_at("2026-11-20T02:00:00Z");
    CHECK(engine::decide(nightly, state, false, "", at("2026-11-21T03:00:00Z")).start != 0);
    auto step = engine::decide(nightly, state, false, "", at("2026-11-21T03:00:01Z"));
    CHECK(step.start == 0);
    REQUIRE(step.missed.size() == 1);
    CHECK(shown(step.missed[0].last) == "2026-11-21T02:00:00Z");
    nightly.run_once = true;
    step = engine::decide(nightly, state, false, "", at("2026-11-23T20:00:00Z"));
    CHECK(shown(step.start) == "2026-11-23T02:00:00Z");
    REQUIRE(step.missed.size() == 1);
    CHECK(step.missed[0].count == 2);
}

TEST_CASE("While the previous run is open the next one is skipped", "[schedule]") {
    const Schedule schedule = hourly();
    auto state = state_at("2026-11-21T10:00:00Z");
    state.due = at("2026-11-21T11:00:00Z");
    const auto step =
        engine::decide(schedule, state, true, "run x is still running", at("2026-11-21T13:30:00Z"));
    CHECK(step.start == 0);
    REQUIRE(step.missed.size() == 2);
    CHECK(step.missed[0].why == "it was not started in time");
    CHECK(step.missed[1].why == "skipped: run x is still running");
    CHECK(shown(step.missed[1].last) == "2026-11-21T13:00:00Z");
}

TEST_CASE("What could not be started says so once it is too late", "[schedule]") {
    Schedule nightly;
    nightly.moments = {moment({{"hour", 2}, {"zone", "UTC"}})};
    auto state = state_at("2026-11-20T02:00:00Z");
    state.due = at("2026-11-21T02:00:00Z");
    state.problem = "db1 is down";
    CHECK(engine::decide(nightly, state, false, "", at("2026-11-21T02:30:00Z")).start == state.due);
    const auto step = engine::decide(nightly, state, false, "", at("2026-11-21T09:00:00Z"));
    REQUIRE(step.missed.size() == 1);
    CHECK(step.missed[0].why == "it could not be started: db1 is down");
}

TEST_CASE("The events of a schedule say how it stands", "[schedule]") {
    const auto event = [](const std::string& name, Map data) {
        journal::Event made;
        made.event = name;
        made.data = std::move(data);
        return made;
    };
    const auto state = engine::fold_schedule(
        {event("schedule.set", {{"text", "every 1h"}, {"since", "2026-11-21T10:00:00.000Z"}}),
         event("schedule.due", {{"due", "2026-11-21T11:00:00.000Z"}, {"run", "n.1"}}),
         event("schedule.failed", {{"problem", "no"}}),
         event("schedule.missed",
               {{"due", "2026-11-21T13:00:00.000Z"}, {"count", 2}, {"why", "late"}}),
         event("schedule.due", {{"due", "2026-11-21T14:00:00.000Z"}, {"run", "n.2"}})});
    CHECK(state.text == "every 1h");
    CHECK(shown(state.handled) == "2026-11-21T13:00:00Z");
    CHECK(state.run == "n.2");
    CHECK(state.problem.empty());
    CHECK(state.missed == 2);
    CHECK(state.last_why == "late");
}
