// ctx.step: replayed on resume, in doubt by rule 4, no effects beside them, undone newest first.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

using namespace runbook;
using runbook::test::failure;
using runbook::test::Play;
using runbook::test::World;
using Names = std::vector<std::string>;

namespace {

/// A step of three sub-steps; `second` are the options of the one that kills the process the first
/// time.
std::string three(const std::string& second, const std::string& step = "undo = keep 'x'") {
    return R"(
        local m = step "migrate" { )" +
           step + R"(, run = function(ctx)
          local a = ctx.step("a", { run = function() world.write "a" return { n = 7 } end })
          local b = ctx.step("b", { run = function(sub)
            world.write("b" .. a.n .. " attempt " .. sub.attempt) if sub.attempt == 1 then world.kill() end return "B" end, )" +
           second + R"( })
          local c = ctx.step("c", function() world.write "c" return a.n + 1 end)
          return { b = b, c = c }
        end }
        step "after" { undo = keep "x", run = function() world.write("after " .. m.result.b .. m.result.c) end })";
}

} // namespace

TEST_CASE("sub-steps: finished ones return their results on resume", "[engine][substep]") {
    Play play;
    REQUIRE(play.exec_in_child(three("idempotent = true")) == 128 + SIGKILL);
    CHECK(play.effects() == Names{"a", "b7 attempt 1"});
    CHECK(play.resume_in_child() == 0);
    CHECK(play.effects() == Names{"a", "b7 attempt 1", "b7 attempt 2", "c", "after B8"});
}

TEST_CASE("sub-steps: an interrupted one is in doubt by rule 4", "[engine][substep]") {
    struct Case {
        const char* options;
        int exit;
        Names effects;
    };
    const std::vector<Case> cases = {
        {"observe = function() return 'done', 'seen' end",
         0,
         {"a", "b7 attempt 1", "c", "after seen8"}},
        {"observe = function() return 'absent' end",
         0,
         {"a", "b7 attempt 1", "b7 attempt 2", "c", "after B8"}},
        {"observe = function() return 'partial' end, undo = function(sub) world.write('undo b ' .. "
         "sub.state) end",
         0,
         {"a", "b7 attempt 1", "undo b in doubt",
          "b7 attempt 1"}}, // dies again: attempts begin anew
        {"observe = function() return 'partial' end, resumable = true",
         0,
         {"a", "b7 attempt 1", "b7 attempt 2", "c", "after B8"}},
        {"observe = function() return 'unknown' end", 4, {"a", "b7 attempt 1"}},
        {"observe = function() error 'down' end", 4, {"a", "b7 attempt 1"}},
        {"undo = keep 'x'", 4, {"a", "b7 attempt 1"}},
        {"observe = function() return 'done', 1 end, verify = function(sub) return sub.result == 2 "
         "end",
         1,
         {"a", "b7 attempt 1"}},
    };
    for (const Case& one : cases) {
        INFO(one.options);
        Play play;
        play.options.detach = true;
        REQUIRE(play.exec_in_child(three(one.options)) == 128 + SIGKILL);
        const int exit = play.resume_in_child();
        if (exit != 128 + SIGKILL)
            CHECK(exit == one.exit);
        CHECK(play.effects() == one.effects);
    }
}

TEST_CASE("sub-steps: effects beside them are refused", "[engine][substep]") {
    for (const char* run :
         {"world.write 'x' ctx.step('a', function() end)",
          "ctx.step('a', function() world.write 'a' end) world.write 'x'",
          "parallel { function() ctx.step('a', function() end) end, function() world.write 'x' end "
          "}"}) {
        INFO(run);
        Play play;
        CHECK(play.exec(std::string("step \"s\" { undo = keep 'x', run = function(ctx)\n") + run +
                        " end }") == 1);
        CHECK(failure(play, "s").text("message").ends_with(
            "world.write is refused: step \"s\" uses ctx.step, so each of its effects belongs into "
            "one"));
        CHECK(failure(play, "s").text("hint") ==
              "ctx.step(\"name\", { run = function() … end, undo = … })");
        for (const std::string& effect : World::the().effects)
            CHECK(effect != "x");
    }
    Play play; // in a function that it calls by name, too
    CHECK(
        play.exec("local function part(c) c.step('a', function() end) end\n"
                  "step \"s\" { undo = keep 'x', run = function(ctx) world.write 'x' part(ctx) end "
                  "}") == 1);
    CHECK(World::the().effects.empty());
}

TEST_CASE("sub-steps: in a library, too, they are seen before the first effect",
          "[engine][substep]") {
    Play play;
    CHECK(play.exec("local lib = { part = function(c) c.step('a', function() end) end }\n"
                    "step \"s\" { undo = keep 'x', run = function(ctx) world.write 'x' "
                    "lib.part(ctx) end }") == 1);
    CHECK(World::the().effects.empty());
    Play other; // another function of the same library, which uses none
    CHECK(other.exec("local lib = { part = function(c) c.step('a', function() end) end,\n"
                     "  whole = function(c) world.write(c.name) end }\n"
                     "step \"s\" { undo = keep 'x', run = function(ctx) lib.whole(ctx) end }") ==
          0);
    CHECK(World::the().effects == Names{"s"});
}

TEST_CASE("sub-steps: an effect before the first one, that the source does not show, is in doubt",
          "[engine][substep]") {
    // a context in a table, as an argument of what is only known at run time, under another name,
    // swallowed by the step, and in a branch that had begun before
    for (const char* run :
         {"world.write 'x' local kept = { ctx } kept[1].step('a', function() world.write 'a' end)",
          "world.write 'x' local made = ({ { function(c) local s = 'step' c[s]('a', function() "
          "world.write 'a' end) end } })[1] made[1](ctx)",
          "world.write 'x' local s = 'st' .. 'ep' pcall(function() ctx[s]('a', function() "
          "world.write 'a' end) end) pcall(function() ctx[s]('b', function() world.write 'a' end) "
          "end)",
          "local s = 'st' .. 'ep' parallel { function() sleep '20ms' world.write 'x' end, "
          "function() "
          "ctx[s]('a', function() sleep '60ms' end) end }"}) {
        INFO(run);
        Play play;
        const std::string text =
            std::string("step \"s\" { undo = keep 'x', run = function(ctx)\n") + run + " end }";
        CHECK(play.exec(text) == 4);
        const std::string why =
            "step \"s\" is in doubt: world.write (" + play.folder +
            "/x.lua:3) happened outside of its sub-steps, and a "
            "replay of run would repeat it: each effect of a step that uses ctx.step belongs into "
            "one";
        CHECK(play.sink.data("run.held")->text("why") == why);
        CHECK(play.sink.data("step.in_doubt", "s")->text("outside") ==
              "world.write (" + play.folder + "/x.lua:3)");
        CHECK(World::the().effects == Names{"x"});
        // in a later process it is in doubt by rule 4, and nothing is repeated
        CHECK(play.resume() == 4);
        CHECK(play.sink.data("run.held")->text("why") ==
              "step \"s\" is in doubt: it started and nobody knows whether it is done");
        // where a person orders it again, the effect is seen before it happens
        CHECK(play.retry("s") == 1);
        CHECK(failure(play, "s").text("message").ends_with(
            "world.write is refused: step \"s\" uses ctx.step, so each of its effects belongs into "
            "one"));
        CHECK(World::the().effects == Names{"x"});
    }
}

TEST_CASE("sub-steps: a replay looks only from its top, whatever the source shows",
          "[engine][substep]") {
    Play play; // what was looked up before the first sub-step is written by the replay
    REQUIRE(play.exec_in_child(R"(
        local s = 'st' .. 'ep'
        step "s" { undo = keep "x", run = function(ctx)
          if ctx.attempt == 2 then world.write "x" end
          ctx[s]("a", { idempotent = true, run = function(sub) if ctx.attempt == 1 then world.kill() end end })
        end })") == 128 + SIGKILL);
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects().empty());
}

TEST_CASE("sub-steps: mistakes are told with their line", "[engine][substep]") {
    struct Case {
        const char *run, *message;
    };
    const std::vector<Case> cases = {
        {"ctx.step('a', function() end)\n ctx.step('a', function() end)",
         "ctx.step: step \"s\" has a sub-step \"a\" already, at line 3"},
        {"ctx.step('a', function() ctx.step('b', function() end) end)",
         "ctx.step: sub-step \"b\" inside sub-step \"a\": sub-steps do not nest"},
        {"ctx.step('a', { rnu = function() end })",
         "sub-step \"a\": unknown option 'rnu' (did you mean 'run'?)"},
        {"ctx.step('a', {})", "sub-step \"a\": option 'run' is required"},
        {"ctx.step('a', 3)",
         "sub-step \"a\": a table { run = … } or a function expected, got number"},
        {"ctx.step(function() end)",
         "ctx.step: argument 1 'name': a name in quotes expected, got function"},
        {"ctx.step('a', { run = function() end, timeout = '10 minuts' })",
         "sub-step \"a\": option 'timeout': a duration such as 30s or 10m expected, got '10 "
         "minuts'"},
        {"ctx.step('a', { run = function() end, undo = 3 })",
         "sub-step \"a\": option 'undo': a function or keep \"why\" expected, got number"},
        {"local n ctx.step('a', function() n = 1 end) return n",
         "sub-step \"a\": 'run' assigns the outer variable 'n' (line 3)"},
    };
    for (const Case& one : cases) {
        INFO(one.run);
        Play play;
        CHECK(play.exec(std::string("step \"s\" { run = function(ctx)\n") + one.run + " end }") ==
              1);
        CHECK(failure(play, "s").text("message") == one.message);
        CHECK(failure(play, "s").find("where")->get<Map>()->integer("line") >= 3);
    }
    Play play;
    CHECK(play.exec("step \"s\" { undo = keep 'x', run = function() end, verify = function(ctx) "
                    "ctx.step('a', function() end) end }") == 1);
    CHECK(failure(play, "s").text("message") ==
          "ctx.step: works inside the run of a step only, and that of step \"s\" has ended");
    Play none;
    CHECK(
        none.exec("step \"s\" { run = function(ctx) ctx.step('a', function() world.write 'x' end) "
                  "end }") == 1);
    CHECK(failure(none, "s").text("message") ==
          "world.write is refused: sub-step \"a\" of step \"s\" has no way back");
    CHECK(failure(none, "s").text("hint") ==
          "give the sub-step undo or keep \"why\", or its step undo, keep \"why\" or loses");
}

TEST_CASE("sub-steps: their own retry, then the step's, which replays", "[engine][substep]") {
    Play play;
    CHECK(
        play.exec(
            R"(step "s" { undo = keep 'x', retry = { attempts = 2, initial = 0, on = "world.broken" }, run = function(ctx)
          ctx.step("a", function() world.write "a" end)
          ctx.step("b", { retry = { attempts = 2, initial = 0 }, run = function(sub)
            if ctx.attempt == 2 and sub.attempt == 2 then world.mend "b" end
            world.write "b" end })
        end })") == 0);
    World::the() = {};
    Play broken;
    World::the().broken = {"b"};
    CHECK(
        broken.exec(
            R"(step "s" { undo = keep 'x', retry = { attempts = 2, initial = 0, on = "world.broken" }, run = function(ctx)
          ctx.step("a", function() world.write "a" end)
          ctx.step("b", { retry = { attempts = 2, initial = 0 }, run = function(sub)
            if ctx.attempt == 2 and sub.attempt == 2 then world.mend "b" end
            world.write "b" end })
        end })") == 0);
    CHECK(World::the().effects == Names{"a", "b", "b", "b", "mend b", "b"});
    CHECK(broken.sink.data("substep.failed", "s")->integer("attempts") == 2);
}

TEST_CASE("sub-steps: undone newest first, then the step's own undo", "[engine][substep]") {
    const std::string text = R"(
        step "s" { undo = function(ctx) world.write("undo s " .. ctx.state) end, run = function(ctx)
          ctx.step("a", { run = function() world.write "a" return 1 end, undo = function(sub) world.write("undo a " .. sub.state .. sub.result) end })
          ctx.step("k", { run = function() world.write "k" end, undo = keep "stays" })
          ctx.step("b", { run = function() world.write "b" end, undo = function(sub) world.write("undo b " .. sub.state) end })
          ctx.step("never", { run = function() world.write "never" end, undo = function() world.write "undo never" end })
        end }
        step "boom" { run = function() error "no" end })";
    Play play;
    World::the().broken = {"b"};
    CHECK(play.exec(text) == 1);
    CHECK(World::the().effects ==
          Names{"a", "k", "b", "undo b failed", "undo a done1", "undo s failed"});
    Play whole;
    CHECK(whole.exec(text) == 1);
    CHECK(World::the().effects == Names{"a", "k", "b", "never", "undo never", "undo b done",
                                        "undo a done1", "undo s done"});
    CHECK(whole.sink.data("run.finished")->text("outcome") == "rolled_back");
}

TEST_CASE("sub-steps: after a restart run is replayed to find their undos", "[engine][substep]") {
    Play play;
    REQUIRE(play.exec_in_child(R"(
        step "s" { run = function(ctx)
          world.read "looks again"
          local n = ctx.step("a", { run = function() world.write "a" return 5 end, undo = function() world.write "undo a" end })
          parallel {
            function() ctx.step("p1", { run = function() world.write("p1 " .. n) end, undo = function() world.write "undo p1" end }) end,
            function() sleep "50ms" ctx.step("p2", { run = function() world.write "p2" end, undo = function() world.write "undo p2" end }) end,
          }
          ctx.step("b", { run = function() world.write "b" end, undo = function() world.write("undo b " .. n) end })
        end }
        step "dies" { idempotent = true, undo = keep "x", run = function() if not world.read "again" then world.kill() end error "no" end })") ==
            137);
    World::the().broken = {"again"};
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() ==
          Names{"a", "p1 5", "p2", "b", "undo b 5", "undo p2", "undo p1", "undo a"});
}

TEST_CASE("sub-steps: an undo that fails stops the way back, and goes on there",
          "[engine][substep]") {
    Play play;
    play.options.detach = true;
    World::the().broken = {"undo a", "boom"};
    CHECK(play.exec(R"(
        step "s" { run = function(ctx)
          ctx.step("a", { run = function() world.write "a" end, undo = function() world.write "undo a" end })
          ctx.step("b", { run = function() world.write "b" end, undo = function() world.write "undo b" end })
        end }
        step "boom" { undo = keep "x", run = function() world.write "boom" end })") == 4);
    CHECK(play.sink.data("run.held")->text("why") ==
          "undo of sub-step \"a\" of step \"s\" failed: undo a is broken");
    CHECK(World::the().effects == Names{"a", "b", "boom", "undo b", "undo a"});
    World::the().broken.clear();
    CHECK(play.resume() == 1);
    CHECK(World::the().effects == Names{"a", "b", "boom", "undo b", "undo a", "undo a"});
}

TEST_CASE("sub-steps: a library takes ctx.step as its own", "[engine][substep]") {
    Play play;
    CHECK(play.exec(R"(
        local function migrate(options) for _, name in ipairs { "x", "y" } do options.each(name, function() world.write(name) end) end end
        step "s" { undo = keep "x", run = function(ctx) migrate { each = ctx.step } end })") == 0);
    CHECK(World::the().effects == Names{"x", "y"});
    CHECK(play.sink.names() == Names{"run.started", "plan", "step.started s", "substep.started s",
                                     "substep.finished s", "substep.started s",
                                     "substep.finished s", "step.finished s", "run.finished"});
}

TEST_CASE("sub-steps: one in doubt runs again where a person orders it", "[engine][substep]") {
    Play play;
    play.options.detach = true;
    REQUIRE(play.exec_in_child(three("undo = keep 'x'")) == 128 + SIGKILL);
    REQUIRE(play.resume_in_child() == 4);
    // its attempts begin anew, and the first one ends the process in this playbook
    CHECK(play.retry_in_child("migrate") == 128 + SIGKILL);
    CHECK(play.effects() == Names{"a", "b7 attempt 1", "b7 attempt 1"});
}
