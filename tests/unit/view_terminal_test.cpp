// The terminal view, compared with whole screens.
#include "runtime/base/redact.h"
#include "runtime/view/lines.h"
#include "tests/unit/view_support.h"

using namespace view_test;

namespace {

std::string shown(const Story& story, int columns = 80) {
    Screen screen;
    screen.columns = columns;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, story);
    return screen.taken();
}

} // namespace

TEST_CASE("view terminal: a run that succeeds, on 80 columns", "[view]") {
    const std::string screen = shown(succeeded());
    CHECK(screen == R"(mysql8-unification · run 20261120-2200-7f3a · 22:00:04 UTC
  journal ~/.local/state/runbook/journal.db
window 30m (target) · 1h (maximum) · from "maintenance on" to "maintenance off"
  rollback within 10m

  ✓ maintenance on      devops    5m    0:07   503 on http://localhost:3000
  ✓ backup              dba      10m    1:52
      backup/reline.dump  84.2 MB  sha256 9c1f  verified yes
  ✓ CP-1 backup         –               0:01   5 of 5 tables, 250,000 rows
  ↻ copy                dba      15m    0:09
      attempt 1 of 3: server closed the connection (db.connection), again in 5s
  ✓ copy                dba      15m    0:59   tables 5  rows 250,000
  ✓ CP-3 data verified  –         1m    0:44   250,000 rows, 0 differences
  ◆ go live             lead           waits
      Send traffic to MySQL? – Migration Lead, until 22:20:00 UTC, otherwise
      rollback
      runbook approve 20261120-2200-7f3a 'go live'
  ✓ go live             lead            0:42   approved by anna (console)
  ✓ maintenance off     devops    1m    0:02   200 on http://localhost:3000
  » migration: MySQL serves.

mysql8-unification: succeeded in 4:29 · 22:00:04 to 22:04:33 UTC · exit 0
downtime 4:20 of 30m (met) · 4 steps, 1 retried · 2 of 2 checkpoints passed
run 20261120-2200-7f3a · runbook report 20261120-2200-7f3a
)");
    for (const std::string& line : view::wrap(screen, 0, ""))
        CHECK(text::display_width(line) <= 80);
}

TEST_CASE("view terminal: a run that goes back", "[view]") {
    const std::string screen = shown(rolled_back());
    CHECK(screen.substr(screen.find("  ✓ copy")) ==
          R"(  ✓ copy                dba      15m    0:38   tables 5  rows 249,588
  ✗ CP-3 data verified  –         1m    0:44
      rollback: PostgreSQL and MySQL differ

playbooks/mysql8_unification.lua:41: checkpoint "CP-3 data verified" did not
pass: rollback "PostgreSQL and MySQL differ"
   41 |   pass = function(v) return v.mismatches == 0 end,
  feedbacks: 412 of 98,230 rows missing (0.42 %), first keys 55012, 55013, 55014
  way back: copy, maintenance on   (kept: backup, the dump stays)
  not started: go live, maintenance off
  ↩ copy                dba             0:04
  · backup              dba                    kept: the dump stays
  ↩ maintenance on      devops          0:02

mysql8-unification: rolled back in 0:06 (limit 10m): PostgreSQL and MySQL differ
  22:00:04 to 22:03:33 UTC · exit 1
downtime 3:21 of 30m · 3 of 4 steps · 1 of 2 checkpoints passed
run 20261120-2200-7f3a · runbook report 20261120-2200-7f3a
)");
}

TEST_CASE("view terminal: wide enough, the header is one line and details stand beside", "[view]") {
    const std::string screen = shown(succeeded(), 140);
    CHECK(screen.starts_with(
        "mysql8-unification · run 20261120-2200-7f3a · journal ~/.local/state/runbook/journal.db" +
        std::string(21, ' ') + "22:00:04 UTC\n"));
    CHECK(screen.find("  ✓ backup              dba      10m    1:52   backup/reline.dump  84.2 MB  "
                      "sha256 9c1f  "
                      "verified yes\n") != std::string::npos);
}

TEST_CASE("view terminal: a failed step says what to do", "[view]") {
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, to_copy());
    sink->on_output("copy", "stderr", "first\x1b[2J line");
    sink->on_output("copy", "stderr", "second line");
    screen.taken();
    Story story;
    story.at(125, "step.failed", "copy",
             Map{{"kind", "step"},
                 {"attempts", 3},
                 {"elapsed_s", 4.0},
                 {"error", Map{{"kind", "db.connection"},
                               {"message", "db2:3306 refused the connection"},
                               {"hint", "is the server up? `runbook resume` goes on from here"},
                               {"where", Map{{"file", "playbooks/x.lua"}, {"line", 12}}},
                               {"traceback", "playbooks/x.lua:12: in 'run'"}}}});
    story.at(126, "rollback.started", "",
             Map{{"why", "copy failed"}, {"way", "undo"}, {"steps", List{"copy"}}});
    story.at(126, "undo.started", "copy");
    story.at(
        127, "undo.failed", "copy",
        Map{{"error", Map{{"kind", "db.lock_timeout"}, {"message", "table contents is locked"}}}});
    story.at(127, "run.finished", "",
             Map{{"outcome", "person_needed"},
                 {"exit", 4},
                 {"why", "undo of \"copy\" failed"},
                 {"elapsed_s", 127.0}});
    screen.play(*sink, story);
    CHECK(screen.taken() == R"(  ✗ copy                dba      15m    0:04   failed: db.connection

playbooks/x.lua:12: step "copy" failed after 3 attempts: db2:3306 refused the
connection (db.connection)
   12 |   run = function() explode() end,
  hint: is the server up? `runbook resume` goes on from here
  | first�[2J line
  | second line
  way back: copy
  not started: CP-3 data verified, go live, maintenance off
  ✗ copy                dba                    undo failed

step "copy" could not be undone: table contents is locked (db.lock_timeout)

mysql8-unification: a person is needed: undo of "copy" failed
  22:00:04 to 22:02:11 UTC · exit 4
downtime 1:59 of 30m · 2 of 4 steps, 1 retried · 1 of 2 checkpoints passed
run 20261120-2200-7f3a · runbook report 20261120-2200-7f3a
  next: runbook show 20261120-2200-7f3a
)");
}

TEST_CASE("view terminal: skipped, in doubt, held, waived, repaired, logged", "[view]") {
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, begun());
    screen.taken();
    Story story;
    story.at(1, "step.skipped", "maintenance on", Map{{"reason", "only_if was false"}});
    story.at(2, "step.in_doubt", "backup",
             Map{{"state", "unknown"}, {"why", "the host was killed"}});
    story.at(3, "repair.started", "copy", Map{{"why", "create the missing indexes"}});
    story.at(4, "repair.finished", "copy");
    story.at(5, "log", "", Map{{"level", "info"}, {"text", "plain words"}});
    story.at(5, "log", "", Map{{"level", "warn"}, {"text", "odd\nlines"}});
    story.at(6, "notify.failed", "",
             Map{{"channel", "ops"}, {"text", "x"}, {"error", Map{{"message", "HTTP 500"}}}});
    story.at(7, "gate.opened", "copy",
             Map{{"ask", "load test"}, {"role", "qa"}, {"kind", "confirm"}});
    story.at(7, "gate.answered", "copy",
             Map{{"answer", "approve"}, {"by", "dora"}, {"item", "load test"}});
    story.at(7, "gate.opened", "go live", Map{{"ask", "Go?"}, {"role", "lead"}});
    story.at(9, "gate.answered", "go live",
             Map{{"answer", "reject"}, {"by", "ben"}, {"via", "runbook reject"}});
    story.at(9, "check.waived", "CP-1 backup", Map{{"by", "carl"}, {"why", "restored by hand"}});
    story.at(9, "something.new", "", Map{{"x", 1}});
    story.at(10, "run.held", "",
             Map{{"why", "a person must look"}, {"resume", "runbook resume 20261120-2200-7f3a"}});
    story.at(10, "run.finished", "", Map{{"outcome", "held"}, {"exit", 3}, {"elapsed_s", 10.0}});
    screen.play(*sink, story);
    CHECK(screen.taken() ==
          R"(  – maintenance on      devops    5m           skipped: only_if was false
  ? backup              dba      10m
      in doubt: unknown, the host was killed
  ▸ repair: create the missing indexes
  ✓ repair finished, judging again
    plain words
  ! warn: odd
    lines
  ! not told, ops: HTTP 500
  ◆ copy                dba            waits   load test – qa
      runbook confirm 20261120-2200-7f3a 'copy: load test'
  ✓ copy                dba             0:00   approved by dora
  ◆ go live             lead           waits   Go? – lead
      runbook approve 20261120-2200-7f3a 'go live'
  ✗ go live             lead            0:02   rejected by ben (runbook reject)
  – CP-1 backup         –                      waived by carl: restored by hand

  ‖ held: a person must look
  not started: CP-1 backup, copy, CP-3 data verified, maintenance off

mysql8-unification: held: a person must look · 22:00:04 to 22:00:14 UTC · exit 3
0 of 4 steps, 1 skipped · 0 of 2 checkpoints passed
run 20261120-2200-7f3a · runbook report 20261120-2200-7f3a
  next: runbook resume 20261120-2200-7f3a
)");
}

TEST_CASE("view terminal: redrawing leaves what is finished, and erases only its own lines",
          "[view][live]") {
    Screen screen;
    screen.settings.live = true;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, to_copy());
    screen.taken();
    sink->on_progress("copy", {"contents", 0, 250'000, 0, 0});
    screen.now += 2'000'000;
    sink->on_progress("copy", {"contents", 100'000, 250'000, 12'000'000, 0});
    sink->tick();
    const std::string live = R"(  ▸ copy                dba      15m    0:02
      contents  ██████░░░░░░░░░░   40 %  50k rows/s  6.0 MB/s  ETA 0:03
    CP-3 data verified  –         1m           next checkpoint in about 14:58
    go live             lead
    … and 1 more
on track · site down for 1:55 of 30m · latest moment for rollback 22:50
  Ctrl-C asks · `runbook tail` follows
)";
    CHECK(screen.taken() == "\r\x1b[6A\x1b[J" + live);
    sink->tick();
    CHECK(screen.taken().empty()); // nothing new, nothing written
    sink->suspend();
    CHECK(screen.taken() == "\r\x1b[7A\x1b[J");
    sink->tick();
    CHECK(screen.taken().empty());
    sink->resume();
    CHECK(screen.taken() == live);
    Story story;
    story.at(130, "step.finished", "copy", Map{{"elapsed_s", 9.0}});
    screen.play(*sink, story);
    const std::string after = screen.taken();
    CHECK(after.starts_with(
        "\r\x1b[7A\x1b[J  ✓ copy                dba      15m    0:09\n    CP-3 data verified  "));
    screen.columns = 40;
    sink->tick();
    for (const std::string& line : text::split(screen.taken().substr(5), '\n'))
        CHECK(text::display_width(line) < 40);
}

TEST_CASE("view terminal: the window that does not hold is said, in words", "[view][live]") {
    Screen screen;
    screen.settings.live = true;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, to_copy());
    screen.now = opened + 1'000 * 1'000'000LL;
    screen.taken();
    sink->tick();
    CHECK(screen.taken().find(
              "\non track · site down for 16:32 of 30m · latest moment for rollback 22:50\n"
              "  Ctrl-C asks · `runbook tail` follows\n") != std::string::npos);
    screen.now = opened + 1'750 * 1'000'000LL;
    sink->tick();
    CHECK(screen.taken().find("\nbehind: 32m expected · site down for 29:02 of 30m\n  latest "
                              "moment for rollback 22:50 · ") != std::string::npos);
    screen.now = opened + 3'590 * 1'000'000LL;
    sink->tick();
    CHECK(screen.taken().find("\nLATE: 1h2m expected, maximum 1h · site down for 59:42 of 30m\n  "
                              "moment for rollback passed at 22:50 · ") != std::string::npos);
}

TEST_CASE("view terminal: outside the window the pace is told by the plan's own estimates",
          "[view][live]") {
    Screen screen;
    screen.settings.live = true;
    auto sink = view::terminal_view(screen.out, screen.settings);
    Story story;
    story.at(0, "run.started", "", Map{{"playbook", "p"}});
    story.at(0, "plan", "",
             Map{{"items", List{item("a", "step", "dba", 300), item("b", "step", "dba", 300)}}});
    story.at(0, "step.started", "a", Map{{"attempt", 1}});
    screen.play(*sink, story);
    screen.now = opened + 60 * 1'000'000LL;
    sink->tick();
    CHECK(screen.taken().find(
              "\non track · running 1:00 of about 10m · Ctrl-C asks · `runbook tail` follows\n") !=
          std::string::npos);
    screen.now = opened + 359 * 1'000'000LL; // a minute over the estimate of ten is no delay
    sink->tick();
    CHECK(screen.taken().find("\non track · running 5:59 of about 10m · ") != std::string::npos);
    screen.now = opened + 480 * 1'000'000LL;
    sink->tick();
    CHECK(screen.taken().find("\nlate by 3m · running 8:00 of about 10m · ") != std::string::npos);
}

TEST_CASE("view: goals and breaches are told, samples are not", "[view]") {
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, eventful());
    const std::string text = screen.taken();
    for (const char* wanted : {"  ✓ goal downtime met: 4m20s, target below 30m\n",
                               "  ✗ goal p95 query time missed: 249ms, target below 200ms\n",
                               "  ? goal error ratio unknown: no figure, target below 0.1 %\n",
                               "  ! first hour: p95, p95 above 200 for 5s – ask\n"}) {
        INFO(wanted);
        CHECK(text.find(wanted) != std::string::npos);
    }
    auto log = view::plain_view(screen.out, screen.settings);
    screen.play(*log, eventful());
    const std::string lines = screen.taken();
    CHECK(lines.find("monitor.breached first hour: first hour: p95") != std::string::npos);
    CHECK(lines.find("monitor.sampled") == std::string::npos);
    CHECK(lines.find(" goal.judged: goal downtime met: 4m20s, target below 30m\n") !=
          std::string::npos);
}

TEST_CASE("view terminal: a terminal that cannot redraw is never silent for long", "[view]") {
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, to_copy());
    screen.taken();
    screen.now += 1'000'000;
    sink->tick();
    CHECK(screen.taken().empty());
    screen.now += 1'000'000;
    sink->tick();
    CHECK(screen.taken() == "  ▸ copy                dba      15m    0:02   still running\n");
    screen.now += 9'000'000;
    sink->tick();
    CHECK(screen.taken().empty());
    sink->on_progress("copy", {"contents", 1'000, 0, 0, 0});
    screen.now += 1'000'000;
    sink->tick();
    CHECK(screen.taken() ==
          "  ▸ copy                dba      15m    0:12   contents  1,000 rows\n");
}

TEST_CASE("view terminal: colour only repeats, ASCII where the locale has no more", "[view]") {
    Screen plain, coloured, ascii;
    coloured.settings.colour = true;
    ascii.settings.unicode = false;
    for (Screen* screen : {&plain, &coloured, &ascii}) {
        auto sink = view::terminal_view(screen->out, screen->settings);
        screen->play(*sink, rolled_back());
    }
    std::string stripped = coloured.out.text;
    CHECK(stripped.find("\x1b[32m  ✓\x1b[0m backup") != std::string::npos);
    CHECK(stripped.find("\x1b[1;31m  ✗\x1b[0m CP-3") != std::string::npos);
    for (std::size_t at = 0; (at = stripped.find('\x1b')) != std::string::npos;)
        stripped.erase(at, stripped.find('m', at) - at + 1);
    CHECK(stripped == plain.out.text);
    CHECK(plain.out.text.find('\x1b') == std::string::npos);
    for (char c : ascii.out.text)
        REQUIRE(static_cast<unsigned char>(c) < 0x80);
    CHECK(ascii.out.text.find("  x CP-3 data verified  -         1m    0:44\n") !=
          std::string::npos);
}

TEST_CASE("view terminal: secrets and control characters do not reach the screen",
          "[view][redact]") {
    make_secret("view-hush-hush", "env:VIEW");
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    screen.play(*sink, begun());
    screen.taken();
    Story story;
    story.at(1, "step.finished", "backup",
             Map{{"elapsed_s", 1.0}, {"detail", "at view-hush-hush\x1b]0;title\x07 \xC2\x9B end"}});
    screen.play(*sink, story);
    CHECK(screen.taken() ==
          "  ✓ backup              dba      10m    0:01   at ***�]0;title� � end\n");
}

TEST_CASE("view terminal: a resumed run shows where it stands", "[view]") {
    Screen screen;
    auto sink = view::terminal_view(screen.out, screen.settings);
    for (const Event& event : to_copy().events)
        sink->on_history(event);
    CHECK(screen.taken().empty());
    Story story;
    story.at(600, "run.resumed", "", Map{{"by", "ben"}, {"host", "ops2"}});
    screen.play(*sink, story);
    CHECK(screen.taken() == R"(mysql8-unification · run 20261120-2200-7f3a · 22:10:04 UTC
  journal ~/.local/state/runbook/journal.db
resumed by ben (ops2) · 3 of 8 done before

)");
}
