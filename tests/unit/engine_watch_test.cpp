// What watches a step: stall, overdue, ctx.progress; attempts that survive a restart; undo_first,
// resumable.
#include "runtime/engine/identity.h"
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

#include <algorithm>
#include <filesystem>
#include <thread>

using namespace runbook;
using runbook::test::failure;
using runbook::test::Play;
using runbook::test::World;
using Names = std::vector<std::string>;

TEST_CASE("stall: no progress ends the attempt, progress keeps it alive", "[engine][watch]") {
    Play play;
    CHECK(
        play.exec(
            R"(step "s" { undo = keep "x", stall = "600ms", retry = { attempts = 2, initial = 0, on = "stall" }, run = function(ctx)
          for i = 1, 4 do sleep "250ms" ctx.progress(i, 4) end
          world.write("attempt " .. ctx.attempt)
          sleep "10m"
        end })") == 1);
    CHECK(World::the().effects == Names{"attempt 1", "attempt 2"});
    CHECK(failure(play, "s").text("kind") == "stall");
    CHECK(failure(play, "s").text("message").starts_with("no progress for 600ms: "));
    CHECK(play.sink.data("attempt.failed", "s")->integer("of") == 2);
}

TEST_CASE("ctx.progress: what it may be given", "[engine][watch]") {
    Play play;
    CHECK(play.exec(
              "step \"s\" { run = function(ctx) ctx.progress() ctx.progress('half') "
              "ctx.progress(1, 'of many') ctx.progress(1, 2, 'rows') ctx.progress({}) end }") == 1);
    CHECK(failure(play, "s").text("message") ==
          "ctx.progress: a number done, then a number in all or a text expected, got table");
}

TEST_CASE("overdue: says so while the work goes on", "[engine][watch]") {
    Play play;
    CHECK(
        play.exec("step \"s\" { undo = keep 'x', overdue = '40ms', run = function() sleep '150ms' "
                  "world.write 'done' return 5 end }") == 0);
    CHECK(World::the().effects == Names{"done"});
    CHECK(play.sink.data("overdue.reached", "s")->number("after_s") == 0.04);
    CHECK(play.sink.data("step.finished", "s")->integer("result") == 5);
}

TEST_CASE("overdue: asks, and the question is withdrawn when the work is done", "[engine][watch]") {
    Play play;
    CHECK(play.exec("step \"s\" { undo = keep 'x', overdue = { after = '40ms', verdict = ask "
                    "'lead' }, run = "
                    "function() sleep '300ms' world.write 'done' end }") == 0);
    CHECK(World::the().effects == Names{"done"});
    REQUIRE(play.sink.data("decision.asked", "s"));
    CHECK(play.sink.data("decision.asked", "s")->text("why") ==
          "step \"s\" has been running for 40ms and is not done; it goes on meanwhile");
    CHECK(play.sink.data("decision.answered", "s")->text("answer") == "withdrawn");
}

TEST_CASE("overdue: whoever is asked may have it rolled back", "[engine][watch]") {
    Play play;
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            if (!std::filesystem::exists(play.options.journal))
                continue;
            auto journal = journal::Journal::open(play.options.journal);
            const auto events = journal->events("r1");
            if (std::none_of(events.begin(), events.end(),
                             [](const auto& one) { return one.event == "decision.asked"; }))
                continue;
            journal::Request request;
            request.run = "r1";
            request.verb = "answer";
            request.subject = "s";
            request.by = engine::current_user();
            request.data = Map{{"answer", "rollback"}};
            for (const auto& event : events)
                if (event.event == "plan")
                    request.data.set("plan", event.data.text("plan_sha256"));
            journal->post(request);
            return;
        }
    });
    const int exit = play.exec(
        R"(step "a" { run = function() world.write "a" end, undo = function() world.write "undo a" end }
        step "s" { undo = function(ctx) world.write("undo s " .. ctx.state) end, overdue = { after = '40ms', verdict = ask 'lead' }, run = function() world.write "s" sleep '10m' end })");
    other.join();
    CHECK(exit == 1);
    CHECK(World::the().effects == Names{"a", "s", "undo s in doubt", "undo a"});
    REQUIRE(play.sink.data("run.finished"));
    CHECK(play.sink.data("run.finished")->text("why") == "step \"s\" was overdue");
}

TEST_CASE("steps: limits are checked while the file loads", "[engine][watch]") {
    struct Case {
        const char *options, *message;
    };
    const std::vector<Case> cases = {
        {"timeout = '10 minuts'",
         "option 'timeout': a duration such as 30s or 10m expected, got '10 minuts'"},
        {"stall = -1", "option 'stall': a duration such as 30s or 10m expected, got number"},
        {"overdue = 'soon'",
         "option 'overdue': a duration such as 30s or 10m expected, got 'soon'"},
        {"overdue = {}", "overdue: option 'after' is required"},
        {"overdue = { after = '5m', verdict = hold 'x' }",
         "overdue: option 'verdict': ask \"role\" expected, got table"},
        {"retry = { attempts = 0 }",
         "retry: option 'attempts': a whole number from 1 expected, got 0"},
        {"retry = { attempts = -3 }",
         "retry: option 'attempts': a whole number from 1 expected, got -3"},
        {"retry = { attempts = 1.5 }",
         "retry: option 'attempts': a whole number from 1 expected, got 1.5"},
        {"retry = { backoff = 0 }", "retry: option 'backoff': a number from 1 expected, got 0"},
        {"retry = { within = '1 hour' }",
         "retry: option 'within': a duration such as 30s or 10m expected, got '1 hour'"},
        {"undo_retry = { attempts = 0 }",
         "undo_retry: option 'attempts': a whole number from 1 expected, got 0"},
    };
    for (const Case& one : cases) {
        INFO(one.options);
        Play play;
        CHECK(play.refusal(
                  std::string("local p = playbook \"x\" { summary = \"s\" }\nstep \"a\" { run = "
                              "function() end, ") +
                  one.options + " }") == std::string("x.lua:2: step \"a\": ") + one.message);
    }
}

TEST_CASE("retry: attempts survive a restart, and the pause between them is no doubt",
          "[engine][watch]") {
    Play play; // dies while it waits for its second attempt
    REQUIRE(play.exec_in_child(R"(
        step "killer" { beside = "end", run = function() sleep "700ms" world.kill() end, undo = keep "x", idempotent = true, only_if = function() return not world.read "again" end }
        step "s" { undo = function() world.write "undo" end, retry = { attempts = 2, initial = "10s", max_delay = "10s", on = "world.broken" },
          run = function(ctx) world.write("attempt " .. ctx.attempt) if ctx.attempt < 3 then deadline("1m", function() error { kind = "world.broken", message = "no", retry_after = 5 } end) end end }
        step "end" { run = function() end })") == 137);
    CHECK(play.effects() == Names{"attempt 1"});
    World::the().broken = {"again"};
    CHECK(play.resume_in_child() == 1);
    CHECK(play.effects() == Names{"attempt 1", "attempt 2", "undo"}); // no third one, nobody asked
}

TEST_CASE("retry: undo_first undoes between attempts", "[engine][watch]") {
    Play play;
    CHECK(
        play.exec(
            R"(step "s" { undo = function(ctx) world.write("undo " .. ctx.state) end, retry = { attempts = 2, initial = 0, undo_first = true },
          run = function(ctx) world.write("attempt " .. ctx.attempt) if ctx.attempt == 1 then error { kind = "x", message = "no" } end end })") ==
        0);
    CHECK(World::the().effects == Names{"attempt 1", "undo failed", "attempt 2"});
}

TEST_CASE("resumable: what is partly done goes on, without an undo", "[engine][watch]") {
    Play play;
    REQUIRE(
        play.exec_in_child(
            R"(step "s" { undo = function() world.write "undo" end, resumable = true, observe = function() return "partial" end,
          run = function(ctx) world.write("attempt " .. ctx.attempt .. " " .. tostring(ctx.partial)) if ctx.attempt == 1 then world.kill() end end })") ==
        137);
    CHECK(play.resume_in_child() == 0);
    CHECK(play.effects() == Names{"attempt 1 nil", "attempt 2 true"});
}

TEST_CASE("retry: what is in doubt is not tried again before observe", "[engine][watch]") {
    struct Case {
        const char* answer;
        int exit;
        Names effects;
    };
    const std::vector<Case> cases = {{"done", 0, {"attempt 1"}},
                                     {"absent", 0, {"attempt 1", "attempt 2"}},
                                     {"unknown", 4, {"attempt 1"}}};
    for (const Case& one : cases) {
        INFO(one.answer);
        Play play;
        play.options.detach = true;
        CHECK(play.exec(
                  std::string(R"(step "s" { undo = keep "x", retry = { attempts = 3, initial = 0 },
          observe = function() return ")") +
                  one.answer + R"(" end,
          run = function(ctx) world.write("attempt " .. ctx.attempt)
            if ctx.attempt == 1 then error { kind = "timeout", message = "not confirmed", in_doubt = true } end end })") ==
              one.exit);
        CHECK(World::the().effects == one.effects);
    }
}
