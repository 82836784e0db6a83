// kill -9 in the middle, then resume: finished steps are not run again, doubtful ones never
// silently.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

using namespace runbook;
using runbook::test::Play;
using Names = std::vector<std::string>;

namespace {

/// A playbook that dies inside step "b" the first time. `more` are the options of that step.
std::string dying(const std::string& more) {
    return R"(
        local a = step "a" { run = function() world.write "a" return { n = 7 } end, undo = function() world.write "undo a" end }
        step "b" { capture = function() return { was = a.result.n } end,
          run = function(ctx) world.write("b" .. ctx.saved.was .. " attempt " .. ctx.attempt) if ctx.attempt == 1 then world.kill() end return "b" end,
          )" +
           more + R"( }
        step "c" { run = function() world.write "c" end, undo = keep "x" })";
}

} // namespace

TEST_CASE("a step in doubt runs again only where it may", "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_in_child(dying("undo = keep 'x', idempotent = true")) == 128 + SIGKILL);
    CHECK(play.effects() == Names{"a", "b7 attempt 1"});
    CHECK(play.resume_in_child() == 0);
    CHECK(play.effects() == Names{"a", "b7 attempt 1", "b7 attempt 2", "c"});
}

TEST_CASE("without observe or idempotent a person is needed", "[engine][crash]") {
    Play play;
    play.options.detach = true;
    REQUIRE(play.exec_in_child(dying("undo = keep 'x'")) == 128 + SIGKILL);
    CHECK(play.resume_in_child() == 4);
    CHECK(play.resume_in_child() == 4); // and stays so
    CHECK(play.effects() == Names{"a", "b7 attempt 1"});
}

TEST_CASE("observe decides: done, absent, partial, unknown", "[engine][crash]") {
    {
        Play play;
        REQUIRE(play.exec_in_child(
                    dying("undo = keep 'x', observe = function() return 'done', 'seen' end, verify "
                          "= function(ctx) return ctx.result == 'seen' end")) == 137);
        CHECK(play.resume_in_child() == 0);
        CHECK(play.effects() == Names{"a", "b7 attempt 1", "c"});
    }
    {
        Play play;
        REQUIRE(play.exec_in_child(
                    dying("undo = keep 'x', observe = function() return 'absent' end")) == 137);
        CHECK(play.resume_in_child() == 0);
        CHECK(play.effects() == Names{"a", "b7 attempt 1", "b7 attempt 2", "c"});
    }
    {
        Play play;
        REQUIRE(play.exec_in_child(dying("undo = function(ctx) world.write('undo b ' .. ctx.state) "
                                         "end, observe = function() return 'partial' end")) == 137);
        CHECK(play.resume_in_child() == 0);
        CHECK(play.effects() == Names{"a", "b7 attempt 1", "undo b in doubt", "b7 attempt 2", "c"});
    }
    for (const char* observe : {"return nil", "return 'maybe'", "error 'down'"}) {
        Play play;
        REQUIRE(play.exec_in_child(dying(std::string("undo = keep 'x', observe = function() ") +
                                         observe + " end")) == 137);
        CHECK(play.resume_in_child() == 4);
        CHECK(play.effects() == Names{"a", "b7 attempt 1"});
    }
}

TEST_CASE("a crash inside a rollback resumes backwards", "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_in_child(R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "b" { run = function() world.write "b" end, undo = function() world.write "undo b" if not world.read "again" then world.kill() end end }
        step "c" { run = function() world.write "c" end, undo = function() world.write "undo c" end }
        step "d" { run = function() error "no" end, undo = function() world.write "undo d" end })") ==
            137);
    CHECK(play.effects() == Names{"a", "b", "c", "undo d", "undo c", "undo b"});
    test::World::the().broken = {"again"};
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"a", "b", "c", "undo d", "undo c", "undo b", "undo b", "undo a"});
    // also where what began it would pass by now: the way back is never left
    Play other;
    REQUIRE(other.exec_in_child(R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "b" { run = function() world.write "b" end, undo = function() world.write "undo b" if not world.read "again" then world.kill() end end }
        checkpoint "c" { run = function() return world.read "again" end, pass = function(again) return again == true end, fail = { otherwise = "rollback" } }
        step "d" { run = function() world.write "d" end, undo = keep "x" })") == 137);
    test::World::the().broken = {"again"};
    CHECK(other.resume_in_child() == 1);
    CHECK(other.effects() == Names{"a", "b", "undo b", "undo b", "undo a"});
}

TEST_CASE("a failed step is not run again by a resume: what it leads to follows",
          "[engine][crash]") {
    const std::string text = R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "b" { run = function() world.write "b" error "no" end, undo = function() world.write "undo b" end })";
    Play play;
    REQUIRE(play.exec_until("step.failed b", text) == 137);
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"a", "b", "undo b", "undo a"});
    Play other;
    REQUIRE(other.exec_until("rollback.finished", text) == 137);
    CHECK(other.resume_in_child() == 1); // nothing is left to do
    CHECK(other.effects() == Names{"a", "b", "undo b", "undo a"});
    Play last;
    REQUIRE(last.exec_until("run.finished", text) == 137);
    CHECK(last.resume_in_child() == 1);
    CHECK(journal::Journal::open(last.options.journal)->find("r1")->outcome == "rolled_back");
    int ends = 0;
    for (const auto& event : journal::Journal::open(last.options.journal)->events("r1"))
        ends += event.event == "run.finished";
    CHECK(ends == 1);
}

TEST_CASE("an attempt that failed before a crash is not in doubt", "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_until("attempt.failed b", R"(
        step "b" { run = function(ctx) world.write("b" .. ctx.attempt) if ctx.attempt == 1 then error "no" end end, undo = function() world.write "undo b" end,
          retry = { attempts = 3, initial = "1ms", on = "lua" } })") == 137);
    CHECK(play.resume_in_child() == 0);
    CHECK(play.effects() == Names{"b1", "b2"});
}

TEST_CASE("a step that ran again after its partial effect was undone is undone once more",
          "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_in_child(R"(
        step "b" { run = function(ctx) world.write("b" .. ctx.attempt) if ctx.attempt == 1 then world.kill() end end,
          observe = function() return "partial" end, undo = function(ctx) world.write("undo " .. ctx.state) end }
        step "c" { run = function() world.kill() end, undo = keep "x" })") == 137);
    CHECK(play.resume_in_child() == 137);
    CHECK(play.effects() == Names{"b1", "undo in doubt", "b2"});
    CHECK(play.rollback_in_child() == 1);
    CHECK(play.effects() == Names{"b1", "undo in doubt", "b2", "undo done"});
}

TEST_CASE("an interrupted repair is not begun a second time", "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_in_child(R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        checkpoint "c" { run = function() return 1 end, pass = function() return false end,
          fail = { otherwise = repair("mend it", function() world.write "repair" world.kill() end) } })") ==
            137);
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"a", "repair", "undo a"});
}

TEST_CASE("a gate that was declined stays declined", "[engine][crash]") {
    Play play;
    const std::string text = R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        gate "go" { ask = "on?" })";
    play.options.detach = true;
    REQUIRE(play.exec_in_child(text) == 3);
    journal::Request no;
    no.run = "r1", no.verb = "reject", no.subject = "go", no.by = "anna";
    journal::Journal::open(play.options.journal)->post(no);
    play.options.detach = false;
    play.sink.die_after = "gate.answered go";
    REQUIRE(play.resume_in_child() == 137);
    play.sink.die_after.clear();
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"a", "undo a"});
}

TEST_CASE("resume refuses an edited playbook and an ended run", "[engine]") {
    Play play;
    REQUIRE(play.exec_in_child(dying("undo = keep 'x', idempotent = true")) == 137);
    play.write("local p = playbook \"test\" { summary = \"a test\" }\nstep \"a\" { run = "
               "function() end }\n");
    try {
        play.resume();
        FAIL("it resumed");
    } catch (const Error& error) {
        CHECK(error.message() ==
              play.options.file + ":2: the playbook has changed since run r1 started");
        CHECK(error.hint() == "put it back as it was, or resume with --accept-changed");
    }
    Play other;
    CHECK(other.exec("step \"a\" { run = function() end }") == 0);
    try {
        other.resume();
        FAIL("it resumed");
    } catch (const Error& error) {
        CHECK(error.message() == "run r1 has ended already: succeeded");
    }
}

TEST_CASE("a sub-step that had failed before a crash fails again, and does not run again",
          "[engine][crash]") {
    const std::string text = R"(
        step "s" { retry = { attempts = 2, initial = "1ms", on = "lua" }, run = function(ctx)
          ctx.step("a", { run = function() world.write "a" end, undo = function() world.write "undo a" end })
          ctx.step("b", { run = function() world.write("b" .. ctx.attempt) error "no" end, undo = function(c) world.write("undo b " .. c.state) end })
        end })";
    Play play;
    REQUIRE(play.exec_until("substep.failed s", text) == 137);
    CHECK(play.resume_in_child() == 1);
    // attempt 1 died, 2 replayed its failure; it was the last one
    CHECK(play.effects() == Names{"a", "b1", "undo b failed", "undo a"});
}

TEST_CASE("what a step left is undone although a person's retry of it never began",
          "[engine][crash]") {
    Play play;
    play.options.detach = true;
    REQUIRE(play.exec_in_child(R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "b" { run = function() world.write "b" world.kill() end, undo = function(ctx) world.write("undo b " .. ctx.state) end })") ==
            137);
    REQUIRE(play.resume_in_child() == 4);
    play.sink.die_after = "step.retried b";
    REQUIRE(play.retry_in_child("b") == 137);
    play.sink.die_after.clear();
    CHECK(play.rollback_in_child() == 1);
    CHECK(play.effects() == Names{"a", "b", "undo b failed", "undo a"});
}

TEST_CASE("attempts of a sub-step survive a crash", "[engine][crash]") {
    Play play;
    REQUIRE(play.exec_until("substep.retried s", R"(
        step "s" { run = function(ctx)
          ctx.step("b", { run = function(c) world.write("b" .. c.attempt) error "no" end, undo = function(c) world.write("undo b " .. c.state) end,
            retry = { attempts = 2, initial = "1ms", on = "lua" } })
        end })") == 137);
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"b1", "b2", "undo b failed"});
}
