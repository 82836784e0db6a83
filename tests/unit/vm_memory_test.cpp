// The memory of a state: garbage never meets the limit, and what is really too much does.
#include "tests/unit/catch.h"
#include "tests/unit/vm_fixture.h"

using namespace runbook;

namespace {

/// `live` MB that stay and `churned` MB that do not, under a limit of `limit` MB; "fine", or the
/// error.
std::string used(std::size_t limit, int live, int churned) {
    vm::State state(std::make_unique<test::TestHost>(), limit << 20);
    lua_State* L = state.L();
    const std::string code = R"(
        local live, churned = ...
        local kept = {}
        for i = 1, live * 16 do kept[i] = ("x"):rep(65520) .. i end
        for i = 1, churned * 16 do local gone = ("y"):rep(65520) .. i end
        return "fine"
    )";
    REQUIRE(luaL_loadbuffer(L, code.data(), code.size(), "=test") == 0);
    lua_pushinteger(L, live);
    lua_pushinteger(L, churned);
    lua_pcall(L, 2, 1, 0);
    return lua_tostring(L, -1);
}

} // namespace

TEST_CASE("vm memory: garbage is collected before it meets the limit", "[vm][memory]") {
    CHECK(used(24, 2, 200) == "fine"); // far from the limit
    CHECK(used(24, 7, 200) == "fine"); // just above the quarter
    CHECK(used(24, 17, 200) == "fine");
}

TEST_CASE("vm memory: more than the limit is an error", "[vm][memory]") {
    CHECK(used(24, 25, 0) == "not enough memory");
}
