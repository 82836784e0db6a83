// Locks: one run at a time, kept while it is held, given back when it ends.
#include "tests/unit/journal_support.h"

#include <sys/wait.h>

using namespace journal_test;
using journal::RunState;

namespace {

journal::RunRecord locking(const std::string& run, std::vector<std::string> locks) {
    journal::RunRecord out = record(run);
    out.locks = std::move(locks);
    out.initiator = "ada";
    return out;
}

} // namespace

TEST_CASE("journal locks: a second run is refused and not created", "[journal][lock]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(locking("r1", {"shop"}));
    const auto fence = book->acquire("r1", 60);
    const std::string host = book->find("r1")->owner_host;
    CHECK(failure([&] {
              book->create(locking("r2", {"other", "shop"}));
          }) ==
          "usage: lock \"shop\" is held by run r1 (playbook \"" + record().playbook +
              "\", running) of ada on " + host +
              " | `runbook show r1` says where it stands; it keeps the lock until it has ended");
    CHECK(!book->find("r2"));
    book->create(locking("r3", {"other"})); // the refused run has left nothing behind

    book->finish("r1", RunState::held, "held", 3);
    book->release("r1", fence);
    CHECK(failure([&] { book->create(locking("r2", {"shop"})); }) ==
          "usage: lock \"shop\" is held by run r1 (playbook \"" + record().playbook +
              "\", held) of ada on " + host +
              " | `runbook show r1` says where it stands; it keeps the lock until it has ended: "
              "`runbook resume r1` or `runbook rollback r1`");

    book->acquire("r1", 60);
    book->finish("r1", RunState::finished, "succeeded", 0);
    book->create(locking("r2", {"shop"}));
    CHECK(failure([&] {
              book->take_locks("r1", {"shop"}, "ada");
          }).starts_with("usage: lock \"shop\" is held by run r2"));
    book->take_locks("r2", {"shop", "more"}, "ada"); // its own it may take again
    CHECK(failure([&] {
              book->create(locking("r4", {"more"}));
          }).starts_with("usage: lock \"more\" is held by run r2"));
}

TEST_CASE("journal locks: a killed holder's lock stays with its run", "[journal][lock]") {
    const Place place(GENERATE(from_range(backends())));
    {
        Child child([&](int out) {
            auto book = place.open();
            book->create(locking("r1", {"shop"}));
            book->acquire("r1", 3600);
            (void)!::write(out, "+", 1);
        });
        char byte = 0;
        REQUIRE(child.read(byte));
    } // killed
    auto book = place.open();
    CHECK(failure([&] { book->create(locking("r2", {"shop"})); })
              .starts_with("usage: lock \"shop\" is held by run r1 (playbook \"" +
                           record().playbook + "\", its process is gone) of ada on "));
}

TEST_CASE("journal locks: of many that start at once one gets it", "[journal][lock]") {
    const Place place(GENERATE(from_range(backends())));
    place.open();
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            int status = 1;
            try {
                place.open()->create(locking("r" + std::to_string(i), {"shop"}));
                status = 0;
            } catch (const Error& error) {
                status = error.kind() == "usage" ? 2 : 1;
            }
            ::_exit(status);
        }
        children.push_back(child);
    }
    int got = 0, refused = 0;
    for (const pid_t child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        got += WEXITSTATUS(status) == 0;
        refused += WEXITSTATUS(status) == 2;
    }
    CHECK(got == 1);
    CHECK(refused == 7);
    CHECK(place.open()->runs().size() == 1);
}
