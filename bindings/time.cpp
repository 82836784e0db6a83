// `time`: the wall clock, ISO 8601 and durations. Loop thread.
#include "bindings/time.h"

#include "bindings/core/declare.h"
#include "runtime/base/calendar.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

namespace runbook::bindings {
namespace {

struct ParseOptions {
    std::string format, zone;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::ParseOptions> {
    static const std::vector<Field<bindings::ParseOptions>>& fields() {
        static const std::vector<Field<bindings::ParseOptions>> all = {
            field("format", &bindings::ParseOptions::format,
                  "pattern of strptime(3): %d.%m.%Y %H:%M"),
            field("zone", &bindings::ParseOptions::zone,
                  "Europe/Berlin: where a text without an offset was written")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

Timestamp expect_timestamp(const Value& value, const char* function) {
    if (auto* timestamp = value.get<Timestamp>())
        return *timestamp;
    throw Error("argument", std::string(function) +
                                ": argument 1 'timestamp': timestamp expected, got " +
                                std::string(value.type_name()));
}

Timestamp zoned(const Value& value, const std::optional<std::string>& zone, const char* function) {
    const Timestamp timestamp = expect_timestamp(value, function);
    return zone ? runbook::time::in_zone(timestamp, *zone) : timestamp;
}

} // namespace

void register_time(vm::State& state, vm::Registry& registry) {
    bind::Area time(state, registry, "time",
                    "Points in time (timestamps: they compare, and their difference is in seconds) "
                    "and durations.");
    time.def("now", "The time now, in UTC. A step that needs it again after a resume stores it in "
                    "its result.")
        .returns("timestamp", "microseconds and the offset 0")
        .reads()
        .answers_in_tests()
        .example("local t = time.now()\nassert(time.now() >= t)")
        .native([](bind::Call&) -> Value {
            return Timestamp{runbook::time::now_micros(), 0};
        });
    time.def("iso", "A timestamp as ISO 8601.")
        .param("timestamp", "a timestamp")
        .returns("string", "2026-11-20T22:00:04.123456Z")
        .raises({"argument"})
        .example("assert(time.iso(time.parse '2026-11-20 22:00Z') == '2026-11-20T22:00:00Z')")
        .native([](bind::Call&, Value value) {
            return runbook::time::iso(expect_timestamp(value, "time.iso"));
        });
    time.def("parse", "The timestamp that a text says.")
        .param("text", "ISO 8601 or SQL: 2026-11-20T22:00:04.5Z, 2026-11-20 22:00:04+02")
        .param("options", "another form of the text, and where it was written")
        .returns("timestamp", "with the offset of the text or the zone, or none")
        .raises({"argument", "usage"})
        .example(
            "assert(time.parse '2026-11-20T00:00:01Z' - time.parse '2026-11-20T00:00:00Z' == 1)")
        .native([](bind::Call&, std::string text, ParseOptions options) -> Value {
            auto timestamp = options.format.empty() ? runbook::time::parse(text)
                                                    : runbook::time::parse(text, options.format);
            if (!timestamp)
                throw Error("argument",
                            "time.parse: argument 1 'text': '" + text + "' is not a time" +
                                (options.format.empty() ? "" : " of the form " + options.format),
                            options.format.empty()
                                ? "write 2026-11-20T22:00:04Z or 2026-11-20 22:00:04+02:00"
                                : "");
            if (!options.zone.empty() && !timestamp->offset)
                return runbook::time::from_zone(*timestamp, options.zone);
            return *timestamp;
        });
    time.def("format", "A timestamp in a form of its own.")
        .param("timestamp", "a timestamp")
        .param("pattern", "as strftime(3): %d.%m.%Y %H:%M %z; names of days in English")
        .param("zone", "Europe/Berlin; the timestamp's own offset where it is left out")
        .returns("string", "the text")
        .raises({"argument", "usage"})
        .example("local t = time.parse '2026-07-01 22:00Z'\n"
                 "assert(time.format(t, '%a %d.%m. %H:%M') == 'Wed 01.07. 22:00')")
        .native([](bind::Call&, Value value, std::string pattern, std::optional<std::string> zone) {
            return runbook::time::format(zoned(value, zone, "time.format"), pattern);
        });
    time.def("zone", "The same instant as a clock of that zone shows it.")
        .param("timestamp", "a timestamp")
        .param("zone", "Europe/Berlin, UTC: a name of the system's tzdata")
        .returns("timestamp", "with the offset that the zone has then")
        .raises({"argument", "usage"})
        .example("assert(time.zone(time.parse '2026-07-01 22:00Z', 'UTC')\n"
                 "  == time.parse '2026-07-02 00:00+02:00')")
        .native([](bind::Call&, Value value, std::string zone) -> Value {
            return zoned(value, zone, "time.zone");
        });
    time.def("parts", "The parts of a timestamp.")
        .param("timestamp", "a timestamp")
        .param("zone", "Europe/Berlin; the timestamp's own offset where it is left out")
        .returns("table", "{year, month, day, hour, minute, second, weekday}; weekday 0 is Sunday")
        .raises({"argument", "usage"})
        .example("assert(time.parts(time.parse '2026-07-01 22:00Z').weekday == 3)")
        .native([](bind::Call&, Value value, std::optional<std::string> zone) -> Value {
            const runbook::time::Civil at =
                runbook::time::civil_of(zoned(value, zone, "time.parts"));
            return Map{{"year", at.year},      {"month", at.month},   {"day", at.day},
                       {"hour", at.hour},      {"minute", at.minute}, {"second", at.second},
                       {"weekday", at.weekday}};
        });
    for (const bool later : {true, false})
        time.def(later ? "after" : "before",
                 later ? "The time so long after another." : "The time so long before another.")
            .param("timestamp", "a timestamp")
            .param("duration", "7d, 1h30m, or seconds; a day has 24 hours")
            .returns("timestamp", "with the same offset")
            .raises({"argument"})
            .example(later ? "local t = time.parse '2026-07-01 22:00Z'\n"
                             "assert(time.after(t, '2h') - t == 7200)"
                           : "local t = time.parse '2026-07-01 22:00Z'\n"
                             "assert(t - time.before(t, '2h') == 7200)")
            .native([later](bind::Call&, Value value, bind::Duration duration) -> Value {
                Timestamp moved = expect_timestamp(value, later ? "time.after" : "time.before");
                const auto micros = static_cast<std::int64_t>(duration.seconds * 1e6);
                moved.micros += later ? micros : -micros;
                return moved;
            });
    time.def("duration", "The seconds of a duration.")
        .param("text", "30s, 10m, 1h30m, 7d, 250ms; a number is taken as seconds")
        .returns("number", "seconds")
        .raises({"argument"})
        .example("assert(time.duration '1h30m' == 5400)")
        .native([](bind::Call&, bind::Duration duration) { return duration.seconds; });
    time.def("text", "Seconds as a duration for people.")
        .param("seconds", "number of seconds, or a duration")
        .returns("string", "1h30m, 250ms")
        .example("assert(time.text(5400) == '1h30m')")
        .native(
            [](bind::Call&, bind::Duration duration) { return text::duration(duration.seconds); });
    time.def("since", "The seconds that have gone by.")
        .param("timestamp", "a timestamp")
        .returns("number", "seconds from it to now; negative for one to come")
        .raises({"argument"})
        .reads()
        .answers_in_tests()
        .example("assert(time.since(time.now()) < 60)")
        .native([](bind::Call&, Value value) {
            Timestamp timestamp = expect_timestamp(value, "time.since");
            return static_cast<double>(runbook::time::now_micros() - timestamp.micros) / 1e6;
        });
}

} // namespace runbook::bindings
