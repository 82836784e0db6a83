// Client libraries that are loaded on first use: what is found, and what is said when it is not.
#include "runtime/base/error.h"
#include "runtime/base/lazy.h"
#include "tests/unit/catch.h"

#include <array>
#include <thread>
#include <vector>

using namespace runbook;

namespace {

/// Functions of libm, under the SONAME that it has everywhere on Linux.
constexpr char names[] = "fabs\0no_such_function\0hypot";

struct Loaded {
    std::array<void*, 3> slots{};
    lazy::Library library;
    explicit Loaded(const char* soname) : library{soname, names, slots.data(), slots.size()} {}

    Error refused(std::size_t index) {
        try {
            lazy::find(library, index);
        } catch (const Error& error) {
            return error;
        }
        return {"none", "nothing was refused"};
    }
};

} // namespace

TEST_CASE("base lazy: the first call fills every slot", "[base][lazy]") {
    Loaded math("libm.so.6");
    void* hypot = lazy::find(math.library, 2);
    CHECK(reinterpret_cast<double (*)(double, double)>(hypot)(3, 4) == 5);
    CHECK(math.slots[2] == hypot);
    REQUIRE(math.slots[0]);
    CHECK(reinterpret_cast<double (*)(double)>(math.slots[0])(-3) == 3);
}

TEST_CASE("base lazy: a library that lacks a function has the others", "[base][lazy]") {
    Loaded math("libm.so.6");
    const Error error = math.refused(1);
    CHECK(error.kind() == "library");
    CHECK(error.message() == "libm.so.6 has no function no_such_function");
    CHECK(error.hint() == "this runbook was built with another version of it: install that one, "
                          "or build runbook again");
    CHECK(math.slots[0]);
}

TEST_CASE("base lazy: a library that is not there is named, each time", "[base][lazy]") {
    Loaded none("libnosuch.so.7");
    for (int i = 0; i < 2; ++i) {
        const Error error = none.refused(0);
        CHECK(error.kind() == "library");
        CHECK(error.message() == "cannot load libnosuch.so.7: cannot open shared object file: "
                                 "No such file or directory");
        CHECK(error.hint() == "install it (on Debian: apt install libnosuch7)");
    }
}

TEST_CASE("base lazy: Debian's names of packages", "[base][lazy]") {
    CHECK(lazy::debian_package("libpq.so.5") == "libpq5");
    CHECK(lazy::debian_package("libcurl.so.4") == "libcurl4");
    CHECK(lazy::debian_package("libmysqlclient.so.24") == "libmysqlclient24");
    CHECK(lazy::debian_package("libssh2.so.1") == "libssh2-1");
}

TEST_CASE("base lazy: threads that come first together get the same", "[base][lazy]") {
    Loaded math("libm.so.6");
    std::vector<void*> found(8);
    std::vector<std::thread> threads;
    for (void*& one : found)
        threads.emplace_back([&] { one = lazy::find(math.library, 0); });
    for (std::thread& thread : threads)
        thread.join();
    for (void* one : found)
        CHECK((one && one == found[0]));
}
