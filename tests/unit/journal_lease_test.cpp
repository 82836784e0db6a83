// One holder at a time, and what a killed one has written is there.
#include "runtime/base/time.h"
#include "tests/unit/journal_support.h"

#include <sys/wait.h>

using namespace journal_test;
using journal::Journal;
using journal::RunState;

TEST_CASE("journal lease: an old token writes nothing", "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto first = place.open(), second = place.open();
    first->create(record());
    const auto old_fence = first->acquire("r1", 60);
    first->append("r1", old_fence, "run.started", "", {});
    const auto new_fence = second->acquire("r1", 60); // the same process may
    CHECK(new_fence == old_fence + 1);
    const std::string fenced =
        "journal.fenced: run r1 was taken over by process " + std::to_string(getpid()) + " on " +
        first->find("r1")->owner_host +
        " (token 2, ours is 1) | this process must not touch the run any more; "
        "`runbook tail r1` follows it";
    CHECK(failure([&] { first->append("r1", old_fence, "step.started", "x", {}); }) == fenced);
    CHECK(failure([&] { first->renew("r1", old_fence, 60); }) == fenced);
    CHECK(failure([&] { first->finish("r1", RunState::finished, "succeeded", 0); }) == fenced);
    first->release("r1", old_fence); // takes nothing from the new holder
    CHECK(second->append("r1", new_fence, "step.started", "x", {}).seq == 2);
    CHECK(second->events("r1").size() == 2);
    second->renew("r1", new_fence, 600);
    CHECK(second->find("r1")->lease_until > time::now_micros() + 500'000'000);
    second->release("r1", new_fence);
    CHECK(second->find("r1")->owner_pid == 0);
    CHECK(failure([&] { second->append("r1", new_fence, "step.started", "x", {}); }) ==
          "journal.fenced: run r1 is not held by this process any more | `runbook resume r1` goes "
          "on with it");
}

TEST_CASE("journal: what is written together is all there or nothing", "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    std::int64_t fence = 0;
    const auto begin = [&] {
        book->create(record());
        fence = book->acquire("r1", 60);
        book->append("r1", fence, "run.started", "", {});
    };
    CHECK(failure([&] {
              book->together([&] {
                  begin();
                  CHECK_FALSE(place.open()->find("r1")); // nobody else sees the half of it
                  book->append("r1", fence + 1, "plan", "", {});
              });
          }).starts_with("journal.fenced: run r1 was taken over by"));
    CHECK_FALSE(book->find("r1"));
    CHECK(book->events("r1").empty());
    book->together([&] {
        begin();
        CHECK(book->append("r1", fence, "plan", "", {}).seq == 2);
    });
    CHECK(fence == 1);
    CHECK(book->find("r1")->owner_alive);
    CHECK(place.open()->events("r1").size() == 2);
    CHECK_FALSE(book->audit("r1"));
    book->together([&] {
        book->finish("r1", RunState::held, "held", 3);
        book->release("r1", fence);
    });
    const auto found = place.open()->find("r1");
    CHECK(found->state == RunState::held);
    CHECK(found->owner_pid == 0);
}

TEST_CASE("journal lease: a living holder keeps it, a killed one loses it at once",
          "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    place.open()->create(record());
    Child child([&](int out) {
        auto book = place.open();
        book->acquire("r1", 3600);
        (void)!::write(out, "+", 1);
    });
    char byte = 0;
    REQUIRE(child.read(byte));
    auto book = place.open();
    const auto held = book->find("r1");
    CHECK(held->owner_alive);
    CHECK(held->owner_pid == child.pid());
    CHECK(failure([&] { book->acquire("r1", 60); }) ==
          "journal.held: run r1 is held by process " + std::to_string(child.pid()) + " on " +
              held->owner_host + " (lease until " + time::clock_utc(held->lease_until) +
              " UTC) | `runbook tail r1` follows it, `runbook cancel r1` asks it to stop");
    CHECK(failure([&] { book->finish("r1", RunState::finished, "succeeded", 0); })
              .starts_with("journal.fenced: run r1 was taken over by process " +
                           std::to_string(child.pid())));
    child.kill();
    siginfo_t info{};
    REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
    CHECK_FALSE(book->find("r1")->owner_alive); // a zombie by now, still with its number
    CHECK(book->acquire("r1", 60) == 2);
}

TEST_CASE("journal lease: a process id that was used again is another process",
          "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(record());
    Child child([&](int out) {
        place.open()->acquire("r1", 3600);
        (void)!::write(out, "+", 1);
    });
    char byte = 0;
    REQUIRE(child.read(byte));
    CHECK(failure([&] { book->acquire("r1", 60); }).starts_with("journal.held: "));
    place.tamper("UPDATE runs SET owner_start = owner_start - 1");
    CHECK(book->acquire("r1", 60) == 2);
}

TEST_CASE("journal lease: other hosts and namespaces are believed until the lease ends",
          "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(record());
    book->acquire("r1", 3600);
    place.tamper("UPDATE runs SET owner_host = 'elsewhere', owner_pid = 4711");
    CHECK(
        failure([&] {
            book->acquire("r1", 60);
        }).starts_with("journal.held: run r1 is held by process 4711 on elsewhere (lease until "));
    place.tamper("UPDATE runs SET lease_until = 1");
    CHECK_FALSE(book->find("r1")->owner_alive);
    CHECK(book->acquire("r1", 3600) == 2);
    place.tamper(
        "UPDATE runs SET owner_boot = substr(owner_boot, 1, 37) || 'pid:[1]', owner_pid = 4711");
    CHECK(failure([&] { book->acquire("r1", 60); }).starts_with("journal.held: "));
    place.tamper("UPDATE runs SET owner_boot = 'an-earlier-boot pid:[1]'");
    if (place.is_file())
        CHECK(book->acquire("r1", 60) == 3);
    else // it may be another machine that bears the same name
        CHECK(failure([&] { book->acquire("r1", 60); }).starts_with("journal.held: "));
}

TEST_CASE("journal lease: taking a held run makes it a running one", "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(record());
    auto fence = book->acquire("r1", 60);
    book->finish("r1", RunState::held, "held", 3);
    book->release("r1", fence);
    CHECK(book->find("r1")->state == RunState::held);
    fence = book->acquire("r1", 60);
    const auto run = book->find("r1");
    CHECK(run->state == RunState::running);
    CHECK(run->outcome.empty());
    CHECK(run->exit == -1);
}

TEST_CASE("journal: what append returned survives kill -9", "[journal][durability]") {
    const Place place(GENERATE(from_range(backends())));
    place.open()->create(record());
    Child child([&](int out) {
        auto book = place.open();
        const auto fence = book->acquire("r1", 3600);
        for (int i = 0;; ++i) {
            book->append("r1", fence, "step.started", "s", Map{{"i", i}});
            if (::write(out, "+", 1) != 1)
                _exit(0);
        }
    });
    std::size_t acknowledged = 0;
    for (char byte = 0; acknowledged < 50 && child.read(byte);)
        ++acknowledged;
    REQUIRE(acknowledged == 50);
    child.kill();
    child.reap();
    for (char byte = 0; child.read(byte);)
        ++acknowledged;
    auto book = place.open();
    const auto events = book->events("r1");
    CHECK(events.size() >= acknowledged);
    CHECK(events.size() <= acknowledged + 1);
    CHECK_FALSE(book->audit("r1"));
    const auto fence = book->acquire("r1", 60);
    CHECK(book->append("r1", fence, "run.resumed", "", {}).seq ==
          static_cast<std::int64_t>(events.size()) + 1);
    CHECK_FALSE(book->audit("r1"));
}
