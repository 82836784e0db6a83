// Steps, results, retries, checkpoints, verdicts and the way back.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

using namespace runbook;
using runbook::test::Play;
using runbook::test::World;
using Names = std::vector<std::string>;

TEST_CASE("steps run in order and later ones see results", "[engine]") {
    Play play;
    CHECK(play.exec(R"(
        local a = step "a" { run = function() return { n = 41, f = function() end } end }
        step "b" { undo = keep "stays", run = function() world.write("b" .. a.result.n + 1) end }
    )") == 0);
    CHECK(World::the().effects == Names{"b42"});
    CHECK(play.sink.names() == Names{"run.started", "plan", "step.started a", "step.finished a",
                                     "step.started b", "step.finished b", "run.finished"});
    CHECK(play.sink.data("run.finished")->text("outcome") == "succeeded");
}

TEST_CASE("a function in a result raises its own name when it is used", "[engine]") {
    Play play;
    CHECK(play.exec("local a = step \"a\" { run = function() return { f = print or function() end, "
                    "g = function() end } end }\n"
                    "step \"b\" { run = function() return a.result.g() end }") == 1);
    CHECK(play.sink.data("step.failed", "b")->find("error")->get<Map>()->text("message") ==
          "this result held a function, which the journal cannot keep: open it again in this step");
}

TEST_CASE("an effect needs a way back", "[engine]") {
    Play play;
    CHECK(play.exec("step \"clean\" { run = function() world.write \"x\" end }") == 1);
    const Map& error = *play.sink.data("step.failed", "clean")->find("error")->get<Map>();
    CHECK(error.text("message") == "world.write is refused: step \"clean\" has no way back");
    CHECK(error.text("hint") == "give the step undo, keep \"why\" or loses");
    CHECK(error.find("where")->get<Map>()->integer("line") == 2);
    CHECK(World::the().effects.empty());
}

TEST_CASE("a checkpoint only looks", "[engine]") {
    Play play;
    CHECK(play.exec("checkpoint \"c\" { run = function() world.write \"x\" end, pass = function() "
                    "return true end }") == 1);
    CHECK(World::the().effects.empty());
}

TEST_CASE("a failed step rolls back, newest first, the failed one included", "[engine]") {
    Play play;
    World::the().broken = {"c"};
    CHECK(play.exec(R"(
        step "a" { run = function() world.write "a" end, undo = function(ctx) world.write("undo a " .. ctx.state) end }
        step "b" { run = function() world.write "b" end, undo = keep "for the inquiry" }
        step "c" { run = function() world.write "c" end, undo = function(ctx) world.write("undo c " .. ctx.state) end }
        step "d" { run = function() world.write "d" end, undo = function() world.write "undo d" end }
    )") == 1);
    CHECK(World::the().effects == Names{"a", "b", "c", "undo c failed", "undo a done"});
    CHECK(play.sink.data("run.finished")->text("outcome") == "rolled_back");
    CHECK(play.sink.data("undo.kept", "b")->text("why") == "for the inquiry");
}

TEST_CASE("a rollback stops at the first undo that fails", "[engine]") {
    Play play;
    World::the().broken = {"c", "undo b"};
    CHECK(play.exec(R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "b" { run = function() world.write "b" end, undo = function() world.write "undo b" end }
        step "c" { run = function() world.write "c" end, undo = keep "nothing there" }
    )") == 4);
    CHECK(World::the().effects == Names{"a", "b", "c", "undo b"});
    World::the().broken.clear();
    CHECK(play.resume() == 1); // backwards, never forwards
    CHECK(World::the().effects == Names{"a", "b", "c", "undo b", "undo b", "undo a"});
}

TEST_CASE("retries: only listed kinds, and attempts count the first", "[engine]") {
    Play play;
    World::the().broken = {"a"};
    CHECK(
        play.exec(
            R"(step "a" { undo = keep "x", retry = { attempts = 3, on = "world.broken", initial = "1ms" }, run = function() world.write "a" end })") ==
        1);
    CHECK(World::the().effects == Names{"a", "a", "a"});
    CHECK(play.sink.data("attempt.failed", "a")->integer("attempt") == 2);
    CHECK(play.sink.data("step.failed", "a")->integer("attempts") == 3);
    Play other;
    World::the().broken = {"a"};
    CHECK(
        other.exec(
            R"(step "a" { undo = keep "x", retry = { attempts = 3, on = "db.deadlock" }, run = function() world.write "a" end })") ==
        1);
    CHECK(World::the().effects == Names{"a"});
}

TEST_CASE("a checkpoint cannot fail open", "[engine]") {
    for (const char* pass :
         {"return nil", "return 1", "return 'true'", "error 'x'", "return 0/0", "return"}) {
        Play play;
        CHECK(
            play.exec(std::string(
                          "step \"a\" { run = function() world.write 'a' end, undo = function() "
                          "world.write 'undo a' end }\n"
                          "checkpoint \"c\" { run = function() return 1 end, pass = function(n) ") +
                      pass + " end }") == 1);
        CHECK(World::the().effects == Names{"a", "undo a"});
    }
}

TEST_CASE("an error or a table without a matching row gives the severest verdict", "[engine]") {
    const std::string start = "step \"a\" { run = function() world.write 'a' end, undo = "
                              "function() world.write 'undo a' end }\n";
    {
        Play play; // run fails: not the mild otherwise, but rollback
        CHECK(
            play.exec(
                start +
                R"(checkpoint "c" { run = function() error "down" end, pass = function() return true end,
            fail = { { when = function(r) return r.bad end, rollback "bad" }, otherwise = hold "look" } })") ==
            1);
    }
    {
        Play play; // nothing matches and there is no otherwise
        CHECK(
            play.exec(
                start +
                R"(checkpoint "c" { run = function() return { n = 1 } end, pass = function() return false end,
            fail = { { when = function(r) return r.n == 2 end, rollback "two" }, { when = function(r) return r.n == 3 end, hold "three" } } })") ==
            1);
    }
    {
        Play play; // several match: the strictest
        CHECK(
            play.exec(
                start +
                R"(checkpoint "c" { run = function() return { n = 1 } end, pass = function() return false end,
            fail = { { when = function(r) return true end, hold "x" }, { when = function(r) return true end, rollback "y" } } })") ==
            1);
    }
    {
        Play play; // when itself says neither true nor false
        CHECK(
            play.exec(
                start +
                R"(checkpoint "c" { run = function() return { n = 1 } end, pass = function() return false end,
            fail = { { when = function(r) return r.missing end, rollback "x" }, otherwise = hold "y" } })") ==
            1);
    }
    {
        Play play; // hold is resumable
        CHECK(
            play.exec(
                start +
                R"(checkpoint "c" { run = function() return world.read "c" end, pass = function(r) return r end, fail = { otherwise = hold "look" } })") ==
            3);
        CHECK(play.sink.data("run.held")->text("resume") == "runbook resume r1");
        World::the().broken = {"c"};
        CHECK(play.resume() == 0);
        CHECK(World::the().effects == Names{"a"});
    }
}

TEST_CASE("repair runs once, then the checkpoint is judged again", "[engine]") {
    Play play;
    World::the().broken = {"index"};
    CHECK(play.exec(R"(
        checkpoint "c" { run = function() return { broken = world.read "index" } end, pass = function(r) return not r.broken end,
          fail = { { when = function(r) return r.broken end, repair("mend the index", function() world.mend "index" end) }, otherwise = rollback "no" } })") ==
          0);
    CHECK(World::the().effects == Names{"mend index"});
    Play other;
    World::the().broken = {"index"};
    CHECK(other.exec(R"(
        checkpoint "c" { run = function() return { broken = world.read "index" } end, pass = function(r) return not r.broken end,
          fail = { { when = function(r) return r.broken end, repair("do nothing", function() end) }, otherwise = rollback "no" } })") ==
          1);
    CHECK(other.sink.data("run.finished")->text("why") ==
          "checkpoint \"c\" did not pass: do nothing did not help");
}

TEST_CASE("a checkpoint for the way back is met at its place", "[engine]") {
    const std::string text = R"(
        step "page" { run = function() world.write "page on" end, undo = function() world.write "page off" end }
        checkpoint "serves again" { on = "rollback", run = function() return world.read "sick" end, pass = function(sick) return sick == false end,
          fail = { otherwise = hold "traffic stays closed" } }
        step "fence" { run = function() world.write "fence" end, undo = function() world.write "unfence" end }
        step "copy" { run = function() world.write "copy" end, undo = keep "for the inquiry" })";
    Play play;
    World::the().broken = {"copy"};
    CHECK(play.exec(text) == 1);
    CHECK(World::the().effects == Names{"page on", "fence", "copy", "unfence", "page off"});
    Play other;
    World::the().broken = {"copy", "sick"};
    CHECK(other.exec(text) == 3);
    CHECK(World::the().effects == Names{"page on", "fence", "copy", "unfence"});
    World::the().broken.clear();
    CHECK(other.resume() == 1);
    CHECK(World::the().effects == Names{"page on", "fence", "copy", "unfence", "page off"});
}

TEST_CASE("toggles: on and off are each other's undo", "[engine]") {
    Play play;
    World::the().broken = {"b"};
    CHECK(play.exec(R"(
        local page = toggle { on = function() world.write "on" end, off = function() world.write "off" end, state = function() return "on" end }
        step "page on" { page.on }
        step "b" { run = function() world.write "b" end, undo = keep "x" }
        step "page off" { page.off })") == 1);
    CHECK(World::the().effects == Names{"on", "b", "off"});
}

TEST_CASE("loses: above zero or unknown, an automatic rollback becomes a question", "[engine]") {
    Play play;
    play.options.detach = true; // nobody there: the run holds
    World::the().broken = {"b"};
    CHECK(play.exec(R"(
        step "open" { run = function() world.write "open" end, undo = function() world.write "close" end, loses = function() return 1204 end }
        step "b" { run = function() world.write "b" end, undo = keep "x" })") == 3);
    CHECK(play.sink.data("decision.asked", "b")->text("why") ==
          "step \"b\" failed: b is broken. A rollback from here would lose 1,204 rows");
    CHECK(World::the().effects == Names{"open", "b"});
    Play zero;
    World::the().broken = {"b"};
    CHECK(zero.exec(R"(
        step "open" { run = function() world.write "open" end, undo = function() world.write "close" end, loses = function() return 0 end }
        step "b" { run = function() world.write "b" end, undo = keep "x" })") == 1);
    CHECK(World::the().effects == Names{"open", "b", "close"});
}

TEST_CASE("gates: approved by the initiator, detached, expired", "[engine]") {
    std::string text = R"(
        step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        gate "go" { ask = "Go on?", within = "1s", otherwise = "rollback" }
        step "b" { run = function() world.write "b" end, undo = keep "x" })";
    Play approved;
    approved.options.approve = {"go"};
    CHECK(approved.exec(text) == 0);
    CHECK(approved.sink.data("gate.answered", "go")->text("via") == "--approve");
    Play expired;
    CHECK(expired.exec(text) == 1);
    CHECK(World::the().effects == Names{"a", "undo a"});
    Play detached;
    detached.options.detach = true;
    text.replace(text.find("otherwise = \"rollback\""), 22, "otherwise = \"hold\"");
    CHECK(detached.exec(text) == 3);
    CHECK(World::the().effects == Names{"a"});
    detached.options.detach = false;
    detached.options.approve = {"go"};
    CHECK(detached.resume() == 0);
    CHECK(World::the().effects == Names{"a", "b"});
}

TEST_CASE("beside: runs on, and is joined where it says", "[engine]") {
    Play play;
    CHECK(play.exec(R"(
        local slow = step "slow" { beside = "last", undo = keep "x", run = function() return world.write "slow" end }
        step "quick" { undo = keep "x", run = function() world.write "quick" end }
        step "last" { undo = keep "x", run = function() world.write("last after " .. slow.result) end })") ==
          0);
    CHECK(World::the().effects.back() == "last after slow");
}

TEST_CASE("timeout bounds an attempt", "[engine]") {
    Play play;
    CHECK(play.exec("step \"a\" { timeout = \"50ms\", run = function() while true do world.read "
                    "'x' end end }") == 1);
    // a loop over native calls that never waits is the watchdog's; one that waits is the time
    // limit's
    const Map& error = *play.sink.data("step.failed", "a")->find("error")->get<Map>();
    CHECK(error.text("kind") == "runaway");
    Play waits;
    CHECK(waits.exec("step \"a\" { timeout = \"50ms\", run = function() sleep \"2s\" end }") == 1);
    REQUIRE(waits.sink.data("step.failed", "a"));
    const Map& late = *waits.sink.data("step.failed", "a")->find("error")->get<Map>();
    CHECK(late.text("kind") == "timeout");
}
