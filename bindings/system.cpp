// `system`: the Lua face of runtime/host: what this host is doing, and log files that grow. Loop
// thread; logs are read on a worker.
#include "bindings/system.h"

#include "bindings/core/declare.h"
#include "runtime/host/log_scan.h"
#include "runtime/host/usage.h"

#include <cinttypes>
#include <cstdio>
#include <fmt/format.h>

namespace runbook::bindings {

struct LogOptions {
    std::optional<std::string> from;
    std::vector<std::string> matching, but;
};

namespace {

std::optional<host::LogMark> mark_of(const std::optional<std::string>& text) {
    if (!text)
        return {};
    host::LogMark mark;
    int used = 0;
    if (std::sscanf(text->c_str(), "%" SCNd64 ":%" SCNd64 ":%" SCNd64 "%n", &mark.device,
                    &mark.inode, &mark.offset, &used) != 3 ||
        static_cast<std::size_t>(used) != text->size() || mark.offset < 0)
        throw Error("argument",
                    fmt::format("system.log: argument 2 'options': option 'from': a mark "
                                "of an earlier look expected, got '{}'",
                                *text));
    return mark;
}

Map scan_map(const host::LogScan& found) {
    List first;
    for (const std::string& line : found.first)
        first.emplace_back(line);
    return Map{
        {"mark", fmt::format("{}:{}:{}", found.mark.device, found.mark.inode, found.mark.offset)},
        {"lines", found.lines},
        {"matches", found.matches},
        {"first", std::move(first)},
        {"lost", found.lost}};
}

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

template <>
struct Describe<bindings::LogOptions> {
    static const std::vector<Field<bindings::LogOptions>>& fields() {
        using bindings::LogOptions;
        static const std::vector<Field<LogOptions>> all = {
            field("from", &LogOptions::from,
                  "the mark of an earlier look; without it only marks the end"),
            field(
                "matching", &LogOptions::matching,
                "texts: a line counts that contains one of them; every line where there are none"),
            field("but", &LogOptions::but, "texts: a line that contains one does not count")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {

void register_system(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "system",
                    "This host: what it is doing now, and log files that grow.");
    area.def("usage", "Processors, memory and load of this host, as /proc tells them.")
        .returns("table",
                 "{cpus, busy_s, total_s, memory_total, memory_available, memory_used, load1, "
                 "load5, load15}: seconds of all processors since the host started, bytes, and the "
                 "share of the memory that is not available")
        .raises({"system"})
        .reads()
        .example("local u = system.usage()\nassert(u.cpus >= 1 and u.memory_used < 1 and u.busy_s "
                 "<= u.total_s)")
        .native([](bind::Call&) { return host::usage(); });
    area.def("log", "What was added to a log file since an earlier look.")
        .param("path",
               "file; where it was renamed to PATH.1 meanwhile, the rest of that counts too")
        .param("options", "since when, and which lines count")
        .returns("table",
                 "{mark, lines, matches, first, lost}: mark is for the next look, lines are "
                 "those that were added, matches of them those that count, first the first "
                 "five of those; lost: the file was replaced, and the rest of it is gone")
        .raises({"fs", "permission", "argument"})
        .reads()
        .example(
            "fs.write('app.log', 'started\\n')\nlocal seen = system.log('app.log')\n"
            "assert(seen.matches == 0 and system.log('app.log', { from = seen.mark }).lines == 0)")
        .native([](bind::Call& call, std::string path, LogOptions given) -> bind::Job<Map> {
            call.permissions().check_file(path);
            return {[path, given, from = mark_of(given.from)](Cancel& cancel) {
                return scan_map(host::scan_log(path, from, given.matching, given.but, cancel));
            }};
        });
}

} // namespace runbook::bindings
