// See usage.h.
#include "runtime/host/usage.h"

#include "runtime/base/error.h"

#include <cstdint>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <unistd.h>

namespace runbook::host {
namespace {

std::string text_of(const char* path) {
    std::ifstream file(path);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.empty())
        throw Error("system", fmt::format("{}: cannot be read", path));
    return text;
}

[[noreturn]] void strange(const char* file, const char* what) {
    throw Error("system", fmt::format("/proc/{}: says nothing of {}", file, what));
}

/// "cpu user nice system idle iowait irq softirq steal …", in ticks; guest time is in user already.
void read_cpu(Map& out, std::string_view stat, double tick) {
    std::istringstream lines{std::string(stat)};
    std::string line;
    std::int64_t cpus = 0;
    bool seen = false;
    while (std::getline(lines, line)) {
        if (!line.starts_with("cpu"))
            continue;
        std::istringstream words(line);
        std::string name;
        words >> name;
        if (name != "cpu") {
            ++cpus;
            continue;
        }
        double amount = 0, total = 0, idle = 0;
        int i = 0;
        for (; i < 8 && words >> amount; ++i) {
            total += amount;
            if (i == 3 || i == 4)
                idle += amount;
        }
        seen = i >= 4;
        out.set("busy_s", (total - idle) / tick).set("total_s", total / tick);
    }
    if (!seen || cpus == 0)
        strange("stat", "processors");
    out.set("cpus", cpus);
}

std::int64_t kilobytes(std::string_view memory, std::string_view name) {
    std::istringstream lines{std::string(memory)};
    std::string word;
    std::int64_t amount = 0;
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        if (words >> word >> amount && word == name)
            return amount;
    }
    strange("meminfo", std::string(name).c_str());
}

} // namespace

Map usage_of(std::string_view stat, std::string_view memory, std::string_view load, double tick) {
    Map out;
    read_cpu(out, stat, tick);
    const std::int64_t total = kilobytes(memory, "MemTotal:");
    const std::int64_t available = kilobytes(memory, "MemAvailable:");
    if (total <= 0)
        strange("meminfo", "memory");
    out.set("memory_total", total * 1024).set("memory_available", available * 1024);
    out.set("memory_used", 1 - static_cast<double>(available) / static_cast<double>(total));
    double load1 = 0, load5 = 0, load15 = 0;
    if (!(std::istringstream{std::string(load)} >> load1 >> load5 >> load15))
        strange("loadavg", "load");
    out.set("load1", load1).set("load5", load5).set("load15", load15);
    return out;
}

Map usage() {
    return usage_of(text_of("/proc/stat"), text_of("/proc/meminfo"), text_of("/proc/loadavg"),
                    static_cast<double>(sysconf(_SC_CLK_TCK)));
}

} // namespace runbook::host
