// Threads: order, no starvation, an end that waits.
#include "runtime/base/worker.h"
#include "tests/unit/catch.h"

#include <atomic>
#include <future>

using namespace runbook;

TEST_CASE("base worker: jobs run in order, and the end runs what is queued", "[base][worker]") {
    std::vector<int> ran;
    std::thread::id thread;
    {
        Worker worker;
        worker.post([&] { thread = std::this_thread::get_id(); });
        for (int i = 0; i < 1000; ++i)
            worker.post([&ran, &thread, i] {
                if (std::this_thread::get_id() == thread)
                    ran.push_back(i);
            });
    }
    REQUIRE(ran.size() == 1000);
    CHECK(std::is_sorted(ran.begin(), ran.end()));
    CHECK(thread != std::this_thread::get_id());
}

TEST_CASE("base worker: one that nobody used ends", "[base][worker]") {
    Worker worker;
}

TEST_CASE("base worker: a job may drop the last reference to its worker", "[base][worker]") {
    std::promise<void> after;
    auto worker = std::make_shared<Worker>();
    std::promise<void> handed_over;
    worker->post([held = worker, &handed_over]() mutable {
        handed_over.get_future().wait();
        held.reset();
    });
    worker->post([&after] { after.set_value(); });
    worker.reset();
    handed_over.set_value();
    after.get_future().wait();
    SUCCEED("the later job ran");
}

TEST_CASE("base worker: a blocked job never delays another", "[base][worker]") {
    constexpr int count = 20;
    std::promise<void> release;
    std::shared_future<void> released(release.get_future());
    std::atomic<int> waiting{0};
    std::promise<void> all_waiting;
    WorkerPool pool;
    // Each job blocks until all of them run at once: with one thread too few, this never ends.
    for (int i = 0; i < count; ++i)
        pool.post([&] {
            if (++waiting == count)
                all_waiting.set_value();
            released.wait();
        });
    all_waiting.get_future().wait();
    CHECK(pool.size() == count);
    release.set_value();
}

TEST_CASE("base worker: idle threads are used again", "[base][worker]") {
    WorkerPool pool;
    for (int i = 0; i < 200; ++i) {
        std::promise<void> done;
        pool.post([&] { done.set_value(); });
        done.get_future().wait();
    }
    CHECK(pool.size() < 200);
}

TEST_CASE("base worker: the pool's end waits, also for jobs that jobs post", "[base][worker]") {
    std::atomic<int> ran{0};
    {
        WorkerPool pool;
        for (int i = 0; i < 50; ++i)
            pool.post([&] {
                pool.post([&] { ++ran; });
                ++ran;
            });
    }
    CHECK(ran == 100);
}
