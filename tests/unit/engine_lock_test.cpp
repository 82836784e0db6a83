// `lock` in the header: what a second run of the same journal is told, and when it may start.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

using namespace runbook;
using runbook::test::Play;

namespace {

const std::string locking =
    R"(local p = playbook "move" { summary = "a test", lock = { "shop", "target" },
  params = { target = { "string", default = "db1" } } }
gate "go" { ask = "Go?" }
)";

/// kind, message and hint of what `fn` throws.
template <class Fn>
std::string thrown(Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error.kind() + ": " + error.message() + " | " + error.hint();
    }
    return "nothing";
}

} // namespace

TEST_CASE("lock: a held run keeps it, and gives it back at its end", "[engine][lock]") {
    Play play;
    play.options.detach = true;
    play.write(locking);
    REQUIRE(play.run() == 3);
    play.options.run_id = "r2";
    const std::string refused = thrown([&] { play.run(); });
    CHECK(refused.starts_with(
        "usage: lock \"shop\" is held by run r1 (playbook \"move\", held) of "));
    CHECK(
        refused.ends_with("`runbook show r1` says where it stands; it keeps the lock until it has "
                          "ended: `runbook resume r1` or `runbook rollback r1`"));
    CHECK(play.sink.data("run.held"));
    play.options.detach = false;
    play.options.approve = {"go"};
    REQUIRE(play.resume() == 0);
    CHECK(play.run() == 0); // r2 is free to start, and was not created before
}

TEST_CASE("lock: a parameter's name stands for its value", "[engine][lock]") {
    Play play;
    play.options.detach = true;
    play.write(locking);
    REQUIRE(play.run() == 3);
    play.options.run_id = "r2";
    play.write(R"(local p = playbook "other" { summary = "a test", lock = "db1" }
step "a" { run = function() end })");
    CHECK(thrown([&] {
              play.run();
          }).starts_with("usage: lock \"db1\" is held by run r1 (playbook \"move\", held)"));
}

TEST_CASE("lock: names are checked while the file loads", "[engine][lock]") {
    Play play;
    CHECK(play.refusal("local p = playbook \"x\" { summary = \"s\", lock = { \"a\", 3 } }") ==
          "x.lua:1: playbook \"x\": option 'lock': item 2: a name expected, got number");
    CHECK(play.refusal("local p = playbook \"x\" { summary = \"s\", lock = \"\" }") ==
          "x.lua:1: playbook \"x\": option 'lock': item 1: a name expected, got an empty one");
}
