// `time`: the wall clock, ISO 8601 and durations. Loop thread.
#include "bindings/time.h"

#include "bindings/core/declare.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

namespace runbook::bindings {
namespace {

Timestamp expect_timestamp(const Value& value, const char* function) {
    if (auto* timestamp = value.get<Timestamp>())
        return *timestamp;
    throw Error("argument", std::string(function) +
                                ": argument 1 'timestamp': timestamp expected, got " +
                                std::string(value.type_name()));
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
        .returns("timestamp", "with the offset of the text, or none")
        .raises({"argument"})
        .example(
            "assert(time.parse '2026-11-20T00:00:01Z' - time.parse '2026-11-20T00:00:00Z' == 1)")
        .native([](bind::Call&, std::string text) -> Value {
            auto timestamp = runbook::time::parse(text);
            if (!timestamp)
                throw Error("argument",
                            "time.parse: argument 1 'text': '" + text + "' is not a time",
                            "write 2026-11-20T22:00:04Z or 2026-11-20 22:00:04+02:00");
            return *timestamp;
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
        .example("assert(time.since(time.now()) < 60)")
        .native([](bind::Call&, Value value) {
            Timestamp timestamp = expect_timestamp(value, "time.since");
            return static_cast<double>(runbook::time::now_micros() - timestamp.micros) / 1e6;
        });
}

} // namespace runbook::bindings
