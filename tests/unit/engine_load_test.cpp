// Everything that is refused before a run starts, with its exact words.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

using namespace runbook;
using runbook::test::Play;
using runbook::test::World;

namespace {
const std::string header = "local p = playbook \"test\" { summary = \"a test\" }\n";
}

TEST_CASE("a wrong declaration is refused with its line", "[engine]") {
    Play play;
    CHECK(play.refusal(header + "step \"backup\" { retires = {}, run = function() end }") ==
          "x.lua:2: step \"backup\": unknown option 'retires' (did you mean 'retry'?)");
    CHECK(
        play.refusal(header + "step \"a\" { takes = \"soon\", run = function() end }") ==
        "x.lua:2: step \"a\": option 'takes': a duration such as 30s or 10m expected, got 'soon'");
    CHECK(play.refusal(header + "step \"a\" { run = 1 }") ==
          "x.lua:2: step \"a\": option 'run': a function expected, got number");
    CHECK(play.refusal(header + "step \"a\" { }") ==
          "x.lua:2: step \"a\": has nothing to do: give it run, manual or an action");
    CHECK(
        play.refusal(header +
                     "step \"a\" { run = function() end }\nstep \"a\" { run = function() end }") ==
        "x.lua:3: step \"a\": declared twice, first at line 2");
    CHECK(play.refusal(header + "step \"a\" { run = function() undefined_thing() end }") ==
          "x.lua:2: undefined name 'undefined_thing'");
    CHECK(play.refusal(header + "step \"a\" { run = function() wrold.write 'x' end }") ==
          "x.lua:2: undefined name 'wrold' (did you mean 'world'?)");
    CHECK(play.refusal(header + "x = 1") ==
          "x.lua:2: assignment to the undeclared name 'x': write `local x`");
    CHECK(play.refusal(header + "world.write 'x'") ==
          "x.lua:2: world.write has an effect, and a playbook only declares while it loads");
    CHECK(play.refusal(
              header +
              "local a = step \"a\" { run = function() return 1 end }\nlocal b = a.result") ==
          "x.lua:3: step \"a\": .result has no value while the file loads");
    CHECK(play.refusal(header + "local n = 0\nstep \"a\" { run = function()\n n = 1\n end }") ==
          "x.lua:3: step \"a\": 'run' assigns the outer variable 'n' (line 4)");
    CHECK(play.refusal(header + "local n = 0\nstep \"a\" { run = function() local f = function() n "
                                "= n + 1 end f() end }") ==
          "x.lua:3: step \"a\": 'run' assigns the outer variable 'n' (line 3)");
    CHECK(play.refusal(header + "checkpoint \"c\" { run = function() end }") ==
          "x.lua:2: checkpoint \"c\": option 'pass' is required: a checkpoint passes only where it "
          "returns true");
    CHECK(play.refusal("step \"a\" { run = function() end }") ==
          "x.lua:1: step \"a\": the file must begin with `playbook \"name\" { … }`");
    CHECK(play.refusal("local x = 1") ==
          "x.lua: declares no playbook: it must begin with `playbook \"name\" { … }`");
    CHECK(play.refusal(header + "step \"a\" { run = ") ==
          "x.lua:2: unexpected symbol near '<eof>'");
    CHECK(play.refusal("\x1bLJ\x02") == "x.lua: is LuaJIT bytecode, not a playbook");
    CHECK(play.refusal(header + "local m = require \"nowhere\"")
              .find("x.lua:2: module 'nowhere' not found: no ") == 0);
    CHECK(play.refusal(header + "while true do end") ==
          "x.lua:2: Lua code ran too long without waiting for anything");
    CHECK(World::the().effects.empty());
    CHECK_FALSE(std::filesystem::exists(play.options.journal + "x"));
}

TEST_CASE("parameters are checked before anything runs", "[engine]") {
    Play play;
    const std::string text =
        "local p = playbook \"test\" { params = { target = { \"string\", required = true, doc = "
        "\"where to\" },\n"
        "  risk = { \"enum\", { \"low\", \"high\" }, default = \"low\" }, wait = { \"duration\", "
        "default = \"5m\" }, n = { \"integer\", default = 3 },\n"
        "  key = { \"secret\", from = \"env:RUNBOOK_TEST_KEY\" } } }\n"
        "step \"a\" { undo = keep 'x', run = function() world.write(p.target .. p.n .. "
        "tostring(p.key)) end }";
    ::unsetenv("RUNBOOK_TEST_KEY");
    CHECK(play.refusal(text) == "parameter --target is required: where to (string)\nsecret --key: "
                                "environment variable RUNBOOK_TEST_KEY is not set");
    ::setenv("RUNBOOK_TEST_KEY", "s3cr3t-value", 1);
    play.options.parameters = {{"taget", "x"}};
    CHECK(play.refusal(text) == "parameter --target is required: where to (string)\nunknown "
                                "parameter --taget (did you mean '--target'?)");
    play.options.parameters = {{"target", "x"}, {"risk", "medium"}};
    CHECK(play.refusal(text) == "parameter --risk: one of low, high expected, got 'medium'");
    play.options.parameters = {{"target", "x"}, {"n", "3.5"}};
    CHECK(play.refusal(text) == "parameter --n: an integer expected, got '3.5'");
    play.options.parameters = {{"target", "x"}, {"wait", "soon"}};
    CHECK(play.refusal(text) ==
          "parameter --wait: a duration such as 30s or 10m expected, got 'soon'");
    play.options.parameters = {{"target", "here"}, {"n", "4"}};
    play.write(text);
    CHECK(play.run() == 0);
    CHECK(World::the().effects == std::vector<std::string>{"here4***"});
    ::unsetenv("RUNBOOK_TEST_KEY");
}

TEST_CASE("check sees contradictions", "[engine]") {
    Play play;
    test::EventList sink;
    engine::Engine engine(test::register_world, sink);
    play.write("local p = playbook \"test\" { roles = { dba = \"DBA\" }, window = { from = \"a\", "
               "to = \"c\", target = \"10m\", max = \"15m\" }, rollback = { within = \"5m\" } }\n"
               "step \"a\" { takes = \"8m\", owner = \"dbo\", run = function() end }\n"
               "gate \"b\" { takes = \"1m\", within = \"9m\", ask = \"go?\" }\n"
               "step \"c\" { takes = \"5m\", run = function() end }\n");
    const auto findings = engine.check(play.options.file);
    REQUIRE(findings.size() == 3);
    CHECK(findings[0].message == "window: the steps take 14m together, the target is 10m");
    CHECK(findings[1].message == "window: with every answer late the steps take 22m, and a "
                                 "rollback 5m more: the maximum is 15m");
    CHECK(findings[2].message == "step \"a\": option 'owner': no role 'dbo' (did you mean 'dba'?)");
    CHECK(findings[2].line == 2);
}

TEST_CASE("check warns of a toggle that does not end as it was found", "[engine]") {
    Play play;
    test::EventList sink;
    engine::Engine engine(test::register_world, sink);
    const std::string toggle = "local t = toggle { on = function() end, off = function() end, "
                               "state = function() return 'on' end }\n";
    play.write(header + toggle + "step \"page\" { t.on }\n");
    auto findings = engine.check(play.options.file);
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].error);
    CHECK(findings[0].message == "step \"page\": is left on at the end of the playbook: switch it "
                                 "back, or say stays = \"why\"");
    play.write(header + toggle + "step \"stop\" { t.off }\nstep \"start\" { t.on }\n");
    CHECK(engine.check(play.options.file).empty());
    play.write(header + toggle + "step \"page\" { t.on, stays = \"until Monday\" }\n");
    CHECK(engine.check(play.options.file).empty());
}
