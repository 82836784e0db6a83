// parallel, race, every, sleep and deadline inside the functions of a playbook.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

#include <chrono>
#include <thread>

using namespace runbook;
using runbook::test::failure;
using runbook::test::Play;
using runbook::test::World;
using Names = std::vector<std::string>;

namespace {

/// A step "s" that may write, with the body `run`.
std::string step(const std::string& run) {
    return "step \"s\" { undo = keep 'x', run = function(ctx)\n" + run + "\nend }";
}

} // namespace

TEST_CASE("parallel: results by name or in order", "[engine][compose]") {
    Play play;
    CHECK(play.exec(step(R"(
        local t = parallel { slow = function() sleep "30ms" world.write "slow" return 1 end, quick = function() world.write "quick" return 2 end }
        local l = parallel { function() return "a" end, function() return "b" end }
        world.write(t.slow .. t.quick .. l[1] .. l[2]))")) == 0);
    CHECK(World::the().effects == Names{"quick", "slow", "12ab"});
}

TEST_CASE("parallel: the first failure cancels the siblings and waits for them",
          "[engine][compose]") {
    Play play;
    CHECK(play.exec(step(R"(
        local ok, problem = pcall(parallel, {
          long = function() local ok, why = pcall(sleep, "10m") world.write("long ended: " .. why.message) end,
          bad = function() sleep "20ms" error "no" end,
        })
        world.write "after" error(problem, 0))")) == 1);
    // the write of the cancelled branch is not made either: its task waits for nothing any more
    CHECK(World::the().effects == Names{"after"});
    CHECK(failure(play, "s").text("message") == "branch \"bad\": no");
    CHECK(failure(play, "s").find("where")->get<Map>()->integer("line") == 6);
}

TEST_CASE("parallel: sub-steps in it go back in reverse declared order", "[engine][compose]") {
    Play play;
    CHECK(play.exec(R"(
        step "s" { run = function(ctx)
          parallel {
            zeta = function() sleep "60ms" ctx.step("z", { run = function() world.write "z" end, undo = function() world.write "undo z" end }) end,
            beta = function() sleep "30ms" ctx.step("b", { run = function() world.write "b" end, undo = function() world.write "undo b" end }) end,
            alpha = function() ctx.step("a", { run = function() world.write "a" end, undo = function() world.write "undo a" end }) end,
          }
        end }
        step "boom" { run = function() error "no" end })") == 1);
    CHECK(World::the().effects == Names{"a", "b", "z", "undo a", "undo b", "undo z"});
}

TEST_CASE("parallel: the time limit of the step ends every branch", "[engine][compose]") {
    Play play;
    CHECK(play.exec("step \"s\" { undo = keep 'x', timeout = '80ms', run = function()\n"
                    "parallel { function() sleep '10m' end, function() sleep '20m' end } end }") ==
          1);
    CHECK(failure(play, "s").text("kind") == "timeout");
    CHECK(failure(play, "s").text("message") ==
          "time limit of 80ms reached: cancelled while waiting for a parallel task");
}

TEST_CASE("race: the first success wins", "[engine][compose]") {
    Play play;
    CHECK(play.exec(step(R"(
        local result, who = race {
          bad = function() error "no" end, slow = function() sleep "10m" return "slow" end, quick = function() sleep "20ms" return "q" end }
        world.write(who .. result)
        race { one = function() error "first" end, two = function() error "second" end })")) == 1);
    CHECK(World::the().effects == Names{"quickq"});
    CHECK(failure(play, "s").text("message") ==
          "race: none of 2 succeeded: branch \"one\": first; branch \"two\": second");
}

TEST_CASE("every: times, until and within", "[engine][compose]") {
    Play play;
    CHECK(play.exec(step(R"(
        world.write("n" .. every("5ms", function(i) world.write("call " .. i) end, { times = 2 }))
        world.write("v" .. every("5ms", function(i) return i end, { until_ = function(i) return i == 3 end }))
        local within = every("20ms", function() end, { within = "90ms" })
        expect(within >= 2 and within <= 5, "calls: " .. within)
        every("1ms", function(i) return i end, { until_ = function() return false end, times = 3 }))")) ==
          1);
    CHECK(World::the().effects == Names{"call 1", "call 2", "n2", "v3"});
    CHECK(failure(play, "s").text("kind") == "timeout");
    CHECK(failure(play, "s").text("message").starts_with("every: not reached after 3 times in "));
}

TEST_CASE("deadline: results, and the error of what took too long", "[engine][compose]") {
    Play play;
    CHECK(play.exec(step(R"(
        local a, b = deadline("1m", function() return 1, 2 end)
        world.write(a .. b)
        deadline("40ms", function() sleep "10m" end))")) == 1);
    CHECK(World::the().effects == Names{"12"});
    CHECK(failure(play, "s").text("kind") == "timeout");
    CHECK(failure(play, "s").text("message") ==
          "time limit of 40ms reached: time limit reached while sleeping");
}

TEST_CASE("composition: wrong arguments are told with their line", "[engine][compose]") {
    struct Case {
        const char *run, *message;
    };
    const std::vector<Case> cases = {
        {"parallel {}", "parallel: at least one function expected"},
        {"parallel(function() end)", "parallel: a table of functions expected, got function"},
        {"parallel { a = 3 }", "parallel: branch \"a\": a function expected, got number"},
        {"race { function() end, 'x' }", "race: branch 2: a function expected, got string"},
        {"sleep '10 minuts'",
         "sleep: argument 1 'duration': a duration such as 30s or 10m expected, got '10 minuts'"},
        {"sleep(-1)",
         "sleep: argument 1 'duration': a duration such as 30s or 10m expected, got number"},
        {"deadline('1s')", "deadline: argument 2 'fn': a function expected, got nil"},
        {"every('1s', function() end)", "every: has no end: give it times, within or until_"},
        {"every('1s', function() end, { tims = 3 })",
         "every: unknown option 'tims' (did you mean 'times'?)"},
        {"every('1s', function() end, { times = 0 })",
         "every: option 'times': a whole number from 1 expected, got 0"},
    };
    for (const Case& one : cases) {
        INFO(one.run);
        Play play;
        CHECK(play.exec(step(one.run)) == 1);
        CHECK(failure(play, "s").text("message") == one.message);
        CHECK(failure(play, "s").find("where")->get<Map>()->integer("line") == 3);
    }
    Play play;
    CHECK(play.refusal("local p = playbook \"x\" { summary = \"s\" }\nsleep \"1s\"") ==
          "x.lua:2: sleep: works inside a function that runs later, and a playbook only declares "
          "while it loads");
}

TEST_CASE("sleep: after a restart only the rest is slept", "[engine][compose]") {
    using clock = std::chrono::steady_clock;
    Play play;
    REQUIRE(play.exec_in_child(R"(
        step "s" { idempotent = true, undo = keep "x", run = function(ctx)
          if ctx.attempt == 1 then parallel { function() sleep "1.5s" end, function() sleep "200ms" world.kill() end } end
          parallel { function() sleep "1.5s" end, function() end }
          world.write "awake"
        end })") == 137);
    const auto before = clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(1400));
    const auto resumed = clock::now();
    CHECK(play.resume_in_child() == 0);
    // slept 200 ms before the kill and was dead for 1400 ms: nothing is left of its 1.5 s
    CHECK(clock::now() - resumed < std::chrono::milliseconds(1200));
    CHECK(clock::now() - before >= std::chrono::milliseconds(1300));
    CHECK(play.effects() == Names{"awake"});
}
