// This host: /proc, and logs that grow, are rotated and cut.
#include "runtime/base/error.h"
#include "runtime/host/log_scan.h"
#include "runtime/host/usage.h"

#include "tests/unit/catch.h"

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace runbook;

namespace {

constexpr const char* stat_text = "cpu  100 20 30 400 50 5 5 10 7 0\n"
                                  "cpu0 50 10 15 200 25 3 2 5 3 0\n"
                                  "cpu1 50 10 15 200 25 2 3 5 4 0\nintr 1\n";
constexpr const char* memory_text =
    "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\n";

struct Folder {
    Folder()
        : path(std::filesystem::temp_directory_path() / ("rb-host-" + std::to_string(getpid()))) {
        std::filesystem::create_directories(path);
        log = (path / "app.log").string();
    }
    ~Folder() { std::filesystem::remove_all(path); }
    void add(const std::string& text) const { std::ofstream(log, std::ios::app) << text; }
    host::LogScan scan(const std::optional<host::LogMark>& from = {},
                       const std::vector<std::string>& texts = {},
                       const std::vector<std::string>& but = {}) const {
        Cancel cancel;
        return host::scan_log(log, from, texts, but, cancel);
    }
    std::filesystem::path path;
    std::string log;
};

std::string kind_of(const std::function<void()>& fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "no error";
}

} // namespace

TEST_CASE("host: usage of the texts of /proc", "[host]") {
    const Map found = host::usage_of(stat_text, memory_text, "0.50 1.25 2.00 1/99 7\n", 100);
    CHECK(found.integer("cpus") == 2);
    CHECK(found.number("total_s") == Approx(6.2)); // guest time is in user time already
    CHECK(found.number("busy_s") == Approx(1.7));  // waiting for a disk is idle
    CHECK(found.number("memory_used") == Approx(0.6));
    CHECK(found.integer("memory_available") == 400 * 1024);
    CHECK(found.number("load5") == Approx(1.25));
}

TEST_CASE("host: what /proc does not say is no number", "[host]") {
    CHECK(kind_of([] { host::usage_of("intr 1\n", memory_text, "0 0 0", 100); }) ==
          "system: /proc/stat: says nothing of processors");
    CHECK(kind_of([] { host::usage_of(stat_text, "MemTotal: 5 kB\n", "0 0 0", 100); }) ==
          "system: /proc/meminfo: says nothing of MemAvailable:");
    CHECK(kind_of([] { host::usage_of(stat_text, memory_text, "", 100); }) ==
          "system: /proc/loadavg: says nothing of load");
}

TEST_CASE("host: usage here", "[host]") {
    const Map found = host::usage();
    CHECK(found.integer("cpus") >= 1);
    CHECK(found.number("busy_s") > 0);
    CHECK(found.number("memory_used") > 0);
    CHECK(found.number("memory_used") < 1);
}

TEST_CASE("host: a log that grows", "[host][log]") {
    Folder folder;
    folder.add("ERROR before\n");
    auto seen = folder.scan();
    CHECK(seen.matches == 0);
    folder.add("fine\nERROR one\nERROR health check\nERR");
    seen = folder.scan(seen.mark, {"ERROR", "FATAL"}, {"health"});
    CHECK(seen.lines == 3);
    CHECK(seen.matches == 1);
    CHECK(seen.first == std::vector<std::string>{"ERROR one"});
    CHECK_FALSE(seen.lost);
    folder.add("OR two\n"); // the line that was not ended counts once, as a whole
    seen = folder.scan(seen.mark, {"ERROR"});
    CHECK(seen.lines == 1);
    CHECK(seen.matches == 1);
    CHECK(folder.scan(seen.mark).lines == 0);
}

TEST_CASE("host: the first look begins behind the last whole line", "[host][log]") {
    Folder folder;
    folder.add("a\nERR");
    const auto seen = folder.scan();
    folder.add("OR\n");
    CHECK(folder.scan(seen.mark, {"ERROR"}).matches == 1);
}

TEST_CASE("host: a log that is rotated is read to its end", "[host][log]") {
    Folder folder;
    folder.add("begin\n");
    const auto seen = folder.scan();
    folder.add("ERROR old\nERROR unfinished");
    std::filesystem::rename(folder.log, folder.log + ".1");
    folder.add("ERROR new\n");
    const auto after = folder.scan(seen.mark, {"ERROR"});
    CHECK(after.matches == 3);
    CHECK_FALSE(after.lost);
    CHECK(folder.scan(after.mark).lines == 0);
}

TEST_CASE("host: a log whose end is gone says so", "[host][log]") {
    Folder folder;
    folder.add("begin\nmore\n");
    const auto seen = folder.scan();
    SECTION("cut") {
        std::ofstream(folder.log) << "x\n";
    }
    SECTION("removed and written anew, the old one held open by nobody") {
        std::ofstream(folder.log + ".new") << "x\n";
        std::filesystem::rename(folder.log + ".new", folder.log);
    }
    const auto after = folder.scan(seen.mark);
    CHECK(after.lost);
    CHECK(after.lines == 1);
    CHECK_FALSE(folder.scan(after.mark).lost);
}

TEST_CASE("host: a log that is none", "[host][log]") {
    Folder folder;
    CHECK(kind_of([&] { folder.scan(); }) == "fs: " + folder.log + ": No such file or directory");
    std::filesystem::create_directory(folder.log);
    CHECK(kind_of([&] { folder.scan(); }) == "fs: " + folder.log + ": no regular file");
}
