#include "runtime/base/rehearsal.h"
#include "runtime/base/time.h"
#include "runtime/vm/virtual_time.h"

#include "catch.h"

#include <vector>

using namespace runbook;

namespace {

/// The clock of the process stands still while one lives.
struct Stopped {
    Stopped() { rehearsal::stopped_at = 1'000'000'000; }
    ~Stopped() { rehearsal::stopped_at = 0; }
};

} // namespace

TEST_CASE("virtual time jumps from timer to timer, in order") {
    const Stopped clock;
    vm::VirtualTime time;
    std::vector<int> fired;
    const auto later = time.after(7200, [&] { fired.push_back(3); });
    const auto first = time.after(60, [&] { fired.push_back(1); });
    const auto second = time.after(60, [&] { fired.push_back(2); });
    auto dropped = time.after(90, [&] { fired.push_back(9); });
    dropped.reset();
    const double began = time::monotonic();
    REQUIRE(time.step());
    CHECK(time::now_micros() == 1'060'000'000);
    CHECK(time::monotonic() - began == 60.0);
    REQUIRE(time.step());
    CHECK(fired == std::vector<int>{1, 2});
    REQUIRE(time.step());
    CHECK(time::now_micros() == 8'200'000'000);
    CHECK(fired == std::vector<int>{1, 2, 3});
    CHECK_FALSE(time.step());
}

TEST_CASE("a virtual timer is never now, so that a loop gets on") {
    const Stopped clock;
    vm::VirtualTime time;
    int fired = 0;
    const auto none = time.after(0, [&] { ++fired; });
    REQUIRE(time.step());
    CHECK(fired == 1);
    CHECK(time::now_micros() == 1'000'000'001);
}

TEST_CASE("a poller is asked after a change, and does not keep the clock going") {
    const Stopped clock;
    vm::VirtualTime time;
    int asked = 0;
    const auto poller = time.poll(-1, [&] { ++asked; });
    REQUIRE(time.step()); // what happened before it began to wait may concern it
    CHECK(asked == 1);
    const auto again = time.poll(-1, [&] { ++asked; });
    CHECK_FALSE(time.step());
    CHECK(asked == 1);
    time.changed();
    REQUIRE(time.step());
    CHECK(asked == 2);
    CHECK(time::now_micros() == 1'000'000'000);
}

TEST_CASE("a poller with an end wakes there at the latest, and once") {
    const Stopped clock;
    vm::VirtualTime time;
    int asked = 0;
    const auto before = time.poll(-1, [] {});
    REQUIRE(time.step());
    auto poller = time.poll(300, [&] { ++asked; });
    REQUIRE(time.step());
    CHECK(asked == 1);
    CHECK(time::now_micros() == 1'300'000'000);
    auto other = time.poll(300, [&] { ++asked; });
    REQUIRE(time.step()); // the timer was a change
    CHECK(asked == 2);
    other.reset();
    CHECK_FALSE(time.step());
}

TEST_CASE("the clock of the process is the system's where no test stopped it") {
    const std::int64_t now = time::now_micros();
    CHECK(now > 1'700'000'000'000'000);
    CHECK(time::now_micros() >= now);
}
