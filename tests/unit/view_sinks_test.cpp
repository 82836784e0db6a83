// The log, the JSON lines, the surroundings.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/view/lines.h"
#include "runtime/view/words.h"
#include "tests/unit/view_support.h"

#include <cstdlib>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace view_test;

TEST_CASE("view plain: one stamped line per event", "[view]") {
    Screen screen;
    auto sink = view::plain_view(screen.out, screen.settings);
    screen.play(*sink, rolled_back());
    const std::string log = screen.taken();
    CHECK(log.find('\x1b') == std::string::npos);
    CHECK(log.starts_with(
        "2026-11-20T22:00:04.000Z run.started: mysql8-unification · run 20261120-2200-7f3a · "
        "journal "
        "/home/anna/.local/state/runbook/journal.db\n"
        "2026-11-20T22:00:04.000Z plan: 8 items · window 30m (target) · 1h (maximum) · from "
        "\"maintenance on\" to "
        "\"maintenance off\" · rollback within 10m\n"
        "2026-11-20T22:00:05.000Z step.started maintenance on: devops · 5m planned\n"
        "2026-11-20T22:00:12.000Z step.finished maintenance on: in 0:07 · 503 on "
        "http://localhost:3000\n"));
    CHECK(
        log.substr(log.find("2026-11-20T22:03:27.000Z checkpoint.judged")) ==
        R"(2026-11-20T22:03:27.000Z checkpoint.judged CP-3 data verified: did not pass: rollback · PostgreSQL and MySQL differ · in 0:44
2026-11-20T22:03:27.000Z failure CP-3 data verified: playbooks/mysql8_unification.lua:41: checkpoint "CP-3 data verified" did not pass: rollback "PostgreSQL and MySQL differ"
2026-11-20T22:03:27.000Z failure CP-3 data verified:    41 |   pass = function(v) return v.mismatches == 0 end,
2026-11-20T22:03:27.000Z failure CP-3 data verified:   feedbacks: 412 of 98,230 rows missing (0.42 %), first keys 55012, 55013, 55014
2026-11-20T22:03:27.000Z rollback.started: PostgreSQL and MySQL differ · way back: copy, maintenance on   (kept: backup, the dump stays) · not started: go live, maintenance off
2026-11-20T22:03:27.000Z undo.started copy
2026-11-20T22:03:31.000Z undo.finished copy: in 0:04
2026-11-20T22:03:31.000Z undo.kept backup: the dump stays
2026-11-20T22:03:31.000Z undo.started maintenance on
2026-11-20T22:03:33.000Z undo.finished maintenance on: in 0:02
2026-11-20T22:03:33.000Z rollback.finished: in 0:06 · limit 10m
2026-11-20T22:03:33.000Z run.finished: rolled back
2026-11-20T22:03:33.000Z summary: mysql8-unification: rolled back in 0:06 (limit 10m): PostgreSQL and MySQL differ · 22:00:04 to 22:03:33 UTC · exit 1
2026-11-20T22:03:33.000Z summary: downtime 3:21 of 30m · 3 of 4 steps · 1 of 2 checkpoints passed
2026-11-20T22:03:33.000Z summary: run 20261120-2200-7f3a · runbook report 20261120-2200-7f3a
)");
}

TEST_CASE("view plain: progress every ten seconds, output at once, always one line", "[view]") {
    Screen screen;
    auto sink = view::plain_view(screen.out, screen.settings);
    sink->on_progress("copy", {"contents", 10, 100, 0, 0});
    screen.now += 5'000'000;
    sink->on_progress("copy", {"contents", 20, 100, 0, 0});
    screen.now += 5'000'000;
    sink->on_progress("copy", {"contents", 30, 100, 0, 0});
    sink->on_output("copy", "stdout", "two\nlines\x1b[2J\r\n\n");
    sink->on_output("copy", "stderr", "oops");
    CHECK(screen.taken() ==
          "2026-11-20T22:00:04.000Z progress copy: contents   10 %\n"
          "2026-11-20T22:00:14.000Z progress copy: contents   30 %  2 rows/s  ETA 0:35\n"
          "2026-11-20T22:00:14.000Z output copy: two\n"
          "2026-11-20T22:00:14.000Z output copy: lines\xEF\xBF\xBD[2J\n"
          "2026-11-20T22:00:14.000Z output copy: \n"
          "2026-11-20T22:00:14.000Z stderr copy: oops\n");
}

TEST_CASE("view json: one object a line, ts, run, seq, event and step first", "[view]") {
    Screen screen;
    auto sink = view::json_view(screen.out, screen.settings);
    const Story story = rolled_back();
    screen.play(*sink, story);
    const auto lines = text::split(screen.taken(), '\n');
    REQUIRE(lines.size() == story.events.size() + 1);
    CHECK(lines.back().empty());
    for (std::size_t i = 0; i < story.events.size(); ++i) {
        const Value value = json::parse(lines[i]);
        CHECK(value.get<Map>()->text("event") == story.events[i].event);
    }
    CHECK(
        lines[3] ==
        R"({"ts":"2026-11-20T22:00:12.000Z","run":"20261120-2200-7f3a","seq":4,"event":"step.finished",)"
        R"("step":"maintenance on","kind":"toggle","elapsed_s":7.0,"detail":"503 on http://localhost:3000"})");
}

TEST_CASE(
    "view json: live events have no number, output is one a line, progress comes once a second",
    "[view]") {
    Screen screen;
    auto sink = view::json_view(screen.out, screen.settings);
    sink->on_history(begun().events.front());
    CHECK(screen.taken().empty());
    sink->on_progress("copy", {"contents", 0, 100, 0, 0});
    screen.now += 500'000;
    sink->on_progress("copy", {"contents", 50, 100, 0, 0});
    sink->on_progress("copy", {"contents", 100, 100, 0, 0});
    sink->on_output("copy", "stdout", "plain\r\n\"a\\b\"\tc\n\nünï\x01\xff\n");
    CHECK(
        screen.taken() ==
        std::string(
            R"({"ts":"2026-11-20T22:00:04.000Z","run":"20261120-2200-7f3a","event":"progress","step":"copy","item":"contents","rows":0,"total_rows":100,"bytes":0,"total_bytes":0,"rate_rows_s":0.0}
{"ts":"2026-11-20T22:00:04.500Z","run":"20261120-2200-7f3a","event":"progress","step":"copy","item":"contents","rows":100,"total_rows":100,"bytes":0,"total_bytes":0,"rate_rows_s":200.0,"eta_s":0.0}
{"ts":"2026-11-20T22:00:04.500Z","run":"20261120-2200-7f3a","event":"output","step":"copy","stream":"stdout","text":"plain"}
{"ts":"2026-11-20T22:00:04.500Z","run":"20261120-2200-7f3a","event":"output","step":"copy","stream":"stdout","text":"\"a\\b\"\tc"}
{"ts":"2026-11-20T22:00:04.500Z","run":"20261120-2200-7f3a","event":"output","step":"copy","stream":"stdout","text":""}
)") + R"({"ts":"2026-11-20T22:00:04.500Z","run":"20261120-2200-7f3a","event":"output","step":"copy","stream":"stdout","text":)" +
            json::dump(Value("ünï\x01\xff")) + "}\n");
}

TEST_CASE("view: the form of the output by name", "[view]") {
    Screen screen;
    for (const char* name : {"tty", "plain", "json"})
        CHECK(view::make_view(name, screen.out, screen.settings));
    try {
        view::make_view("jsn", screen.out, screen.settings);
        FAIL("accepted");
    } catch (const Error& error) {
        CHECK(error.kind() == "usage");
        CHECK(error.message() == "--output: unknown form 'jsn' (did you mean 'json'?)");
        CHECK(error.hint() == "use tty, plain or json");
    }
}

TEST_CASE("view: a file is no terminal", "[view]") {
    std::FILE* file = std::tmpfile();
    REQUIRE(file);
    const view::Settings settings = view::settings_for(file);
    CHECK_FALSE(settings.live);
    CHECK_FALSE(settings.colour);
    auto output = view::file_output(file);
    output->write("line\n");
    std::rewind(file);
    char read[16] = {};
    CHECK(std::fgets(read, sizeof read, file));
    CHECK(std::string(read) == "line\n");
    std::fclose(file);
}

namespace {

/// Sets a variable for as long as it lives; no value: not set.
struct Variable {
    std::string name, before;
    bool was_set;
    Variable(const char* variable, const char* value) : name(variable) {
        const char* present = std::getenv(variable);
        was_set = present != nullptr;
        before = present ? present : "";
        value ? setenv(variable, value, 1) : unsetenv(variable);
    }
    ~Variable() { was_set ? setenv(name.c_str(), before.c_str(), 1) : unsetenv(name.c_str()); }
};

/// A terminal that nobody looks at.
struct Terminal {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    std::FILE* file = nullptr;
    explicit Terminal(unsigned short columns) {
        REQUIRE(master >= 0);
        REQUIRE(grantpt(master) == 0);
        REQUIRE(unlockpt(master) == 0);
        const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
        REQUIRE(slave >= 0);
        winsize size{};
        size.ws_col = columns;
        REQUIRE(ioctl(slave, TIOCSWINSZ, &size) == 0);
        file = fdopen(slave, "w");
    }
    ~Terminal() {
        std::fclose(file);
        close(master);
    }
};

} // namespace

TEST_CASE("view: NO_COLOR, TERM, COLUMNS and the locale are honoured", "[view]") {
    Terminal terminal(120);
    const Variable columns("COLUMNS", nullptr), no_color("NO_COLOR", nullptr),
        term("TERM", "xterm");
    const Variable all("LC_ALL", "C.UTF-8");
    view::Settings settings = view::settings_for(terminal.file);
    CHECK(settings.live);
    CHECK(settings.colour);
    CHECK(settings.unicode);
    CHECK(settings.columns() == 120);
    {
        const Variable narrow("COLUMNS", "60"), grey("NO_COLOR", "1"), ascii("LC_ALL", "C");
        settings = view::settings_for(terminal.file);
        CHECK(settings.live);
        CHECK_FALSE(settings.colour);
        CHECK_FALSE(settings.unicode);
        CHECK(settings.columns() == 60);
    }
    const Variable dumb("TERM", "dumb");
    settings = view::settings_for(terminal.file);
    CHECK_FALSE(settings.live);
    CHECK_FALSE(settings.colour);
}

TEST_CASE("view: speeds and remaining time", "[view]") {
    view::RateMeter rate;
    rate.add(0, {"t", 0, 1000, 0, 0});
    CHECK(rate.rows_per_s() == 0);
    CHECK(rate.eta_s() < 0);
    CHECK(rate.fraction() == 0);
    rate.add(1'000'000, {"t", 100, 1000, 5'000, 0});
    CHECK(rate.rows_per_s() == 100);
    CHECK(rate.bytes_per_s() == 5'000);
    CHECK(rate.eta_s() == 9);
    for (int i = 2; i <= 30; ++i)
        rate.add(i * 1'000'000LL, {"t", 100 + (i - 1) * 10, 1000, 0, 0});
    CHECK(rate.rows_per_s() == 10); // the fast first second is forgotten
    rate.add(31'000'000, {"t", 0, 0, 50, 100});
    CHECK(rate.fraction() == 0.5);
    CHECK(rate.rows_per_s() == 0); // counts went back: another piece of work
}

TEST_CASE("view: words for results", "[view]") {
    CHECK(view::shown("rows", 1'234'567) == "1,234,567");
    CHECK(view::shown("bytes", 84'200'000) == "84.2 MB");
    CHECK(view::shown("elapsed_s", 90) == "90s");
    CHECK(view::shown("share", 0.00042) == "0.00042");
    CHECK(view::shown("ok", true) == "yes");
    CHECK(view::shown("x", Null{}) == "–");
    CHECK(view::shown("price", Decimal{"1.50"}) == "1.50");
    CHECK(view::shown("list", List{1, 2}) == "2 entries");
    CHECK(view::some_of({"a", "b", "c"}, 3) == "a, b, c");
    CHECK(view::some_of({"a", "b", "c"}, 1) == "a and 2 more");
    CHECK(view::wrap_parts({"aaa", "", "bbb", "ccc"}, 9, "  ") == "aaa · bbb\n  ccc");
    CHECK(view::wrap("aa bb cc\ndd", 5, " ") ==
          std::vector<std::string>{" aa", " bb", " cc", " dd"});
}
