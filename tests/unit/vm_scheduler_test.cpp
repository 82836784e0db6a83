// The scheduler's hard cases: forged resumes, yields across C calls, cancellation while parked,
// runaway code.
#include "bindings/core/declare.h"
#include "tests/unit/catch.h"
#include "tests/unit/vm_fixture.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace runbook;
using runbook::test::Machine;

namespace {

struct Options {
    int streams = 4;
    std::optional<std::string> charset;
};

std::atomic<int> cancelled_jobs{0};

/// An area with one function of each kind.
void register_probe(Machine& machine) {
    bind::Area area(machine.state, machine.registry, "probe", "Functions for tests.");
    area.def("add", "Adds.")
        .param("a", "first")
        .param("b", "second")
        .native([](bind::Call&, int a, int b) -> int { return a + b; });
    area.def("wait", "Waits on a worker thread.")
        .param("ms", "milliseconds")
        .reads()
        .native([](bind::Call&, int ms) -> bind::Job<int> {
            return {[ms](Cancel& cancel) {
                std::atomic<bool> stop{false};
                Cancel::Hook hook(cancel, [&] { stop = true; });
                for (int i = 0; i < ms && !stop; ++i)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                if (stop) {
                    ++cancelled_jobs;
                    cancel.check("probe.wait");
                }
                return ms;
            }};
        });
    area.def("fail", "Fails on a worker thread.").reads().native([](bind::Call&) -> bind::Job<int> {
        return {[](Cancel&) -> int { throw Error("db.connection", "server gone", "start it"); }};
    });
    area.def("write", "Writes.").writes().native([](bind::Call&) -> bool { return true; });
    area.def("configure", "Takes options.")
        .param("options", "how")
        .native([](bind::Call&, Options options) -> int { return options.streams; });
}

} // namespace

template <>
struct runbook::bind::Describe<Options> {
    static const std::vector<Field<Options>>& fields() {
        static const std::vector<Field<Options>> all = {
            field("streams", &Options::streams, "parallel streams"),
            field("charset", &Options::charset, "character set")};
        return all;
    }
};

TEST_CASE("a waiting call looks blocking", "[vm]") {
    Machine m;
    register_probe(m);
    CHECK(m.run("return probe.add(1, 2)") == Value(3));
    CHECK(m.run("return probe.wait(5)") == Value(5));
    CHECK(m.state.scheduler().pending() == 0);
    CHECK(m.state.scheduler().live_tasks() == 0);
}

TEST_CASE("waiting crosses pcall, xpcall, for-iterators, metamethods and nested coroutines",
          "[vm]") {
    Machine m;
    register_probe(m);
    CHECK(m.run("local ok, v = pcall(probe.wait, 2) return v") == Value(2));
    CHECK(m.run("local ok, v = xpcall(function() return probe.wait(2) end, function(e) return e "
                "end) return v") == Value(2));
    CHECK(m.run("local n = 0 for i in function(_, i) i = (i or 0) + probe.wait(1) if i < 4 then "
                "return i end end do n = n + i "
                "end return n") == Value(6));
    CHECK(m.run("local t = setmetatable({}, {__index = function(_, k) return probe.wait(k) end}) "
                "return t[3]") == Value(3));
    CHECK(m.run("local f = coroutine.wrap(function() local a = probe.wait(1) coroutine.yield(a) "
                "return probe.wait(2) end) "
                "return f() + f()") == Value(3));
    CHECK(m.run("local inner = coroutine.wrap(function() coroutine.yield(probe.wait(3)) end) "
                "local outer = coroutine.wrap(function() coroutine.yield(inner() + probe.wait(1)) "
                "end) return outer()") == Value(4));
}

TEST_CASE("waiting under a C call is a clear error", "[vm]") {
    Machine m;
    register_probe(m);
    const std::string text =
        "test.lua:1: probe.wait: cannot wait here, inside a callback of table.sort or string.gsub, "
        "a load reader, or a module that is being required";
    CHECK(m.error("return (('x'):gsub('x', function() probe.wait(1) end))") == text);
    CHECK(m.error("table.sort({2, 1, 3}, function(a, b) probe.wait(1) return a < b end)") == text);
    // the case where lua_isyieldable alone lies: gsub -> coroutine.wrap -> wait
    CHECK(m.error("return (('x'):gsub('x', function() return coroutine.wrap(function() "
                  "probe.wait(1) end)() end))") == text);
    CHECK(m.run("return probe.wait(1)") == Value(1));
    CHECK(m.state.scheduler().pending() == 0);
}

TEST_CASE("a parked coroutine refuses a forged resume", "[vm]") {
    Machine m;
    register_probe(m);
    lua_State* L = m.state.L();
    m.state.push_sandbox();
    lua_pushliteral(L, "shared");
    lua_newtable(L);
    lua_rawset(L, -3);
    vm::load_playbook_text(
        L,
        "shared.victim = coroutine.create(function() return probe.wait(50) end)\n"
        "local ok, value = coroutine.resume(shared.victim)\nreturn value",
        "owner.lua", -1);
    lua_remove(L, -2);
    vm::TaskPtr owner = m.state.scheduler().spawn(L, 0, "owner");
    owner->allowance.up_to = vm::Effect::writes;
    // a second task, while the victim waits in the first
    CHECK(
        m.run(
            "probe.wait(5) local ok, why = coroutine.resume(shared.victim, 'forged') return why") ==
        Value("cannot resume a coroutine that waits for an operation"));
    m.state.scheduler().run(owner);
    CHECK(vm::to_value(owner->L, -1) == Value(50));
    CHECK(m.error("coroutine.yield(1)") == "test.lua:1: coroutine.yield: outside a coroutine");
}

TEST_CASE("errors of a job arrive as the one error table with the playbook's line", "[vm]") {
    Machine m;
    register_probe(m);
    CHECK(m.error("\n\nprobe.fail()") == "test.lua:3: server gone");
    CHECK(
        m.run(
            "local ok, e = pcall(probe.fail) return e.kind .. '|' .. e.message .. '|' .. e.hint") ==
        Value("db.connection|server gone|start it"));
    CHECK(m.run("local ok, e = pcall(function()\nlocal x = probe.fail()\nreturn x end) return "
                "tostring(e)") == Value("test.lua:2: server gone"));
}

TEST_CASE("arguments are checked with exact messages", "[vm]") {
    Machine m;
    register_probe(m);
    CHECK(m.error("probe.add('x', 2)") ==
          "test.lua:1: probe.add: argument 1 'a': integer expected, got string");
    CHECK(m.error("probe.add(1)") ==
          "test.lua:1: probe.add: argument 2 'b': integer expected, got nil");
    CHECK(m.error("probe.add(1, 2.5)") ==
          "test.lua:1: probe.add: argument 2 'b': integer expected, got a number with a fraction");
    CHECK(m.error("probe.add(1, 2, 3)") ==
          "test.lua:1: probe.add: takes at most 2 arguments, got 3");
    CHECK(m.error("probe.configure { stream = 2 }") ==
          "test.lua:1: probe.configure: argument 1 'options': unknown option 'stream' (did you "
          "mean 'streams'?)");
    CHECK(m.error("probe.configure { streams = 'many' }") ==
          "test.lua:1: probe.configure: argument 1 'options': option 'streams': integer expected, "
          "got string");
    CHECK(m.run("return probe.configure()") == Value(4));
    CHECK(m.run("return probe.configure { streams = 2 }") == Value(2));
}

TEST_CASE("effects follow the allowance of the task", "[vm]") {
    Machine m;
    register_probe(m);
    CHECK(m.error("probe.write()", vm::Effect::reads) ==
          "test.lua:1: probe.write is not allowed in this test");
    CHECK(m.error("probe.wait(1)", vm::Effect::none) ==
          "test.lua:1: probe.wait is not allowed in this test");
    CHECK(m.run("return probe.write()") == Value(true));
}

TEST_CASE("a cancelled task is told so, and its job really stops", "[vm]") {
    Machine m;
    register_probe(m);
    cancelled_jobs = 0;
    lua_State* L = m.state.L();
    m.state.push_sandbox();
    vm::load_playbook_text(L,
                           "local ok, e = pcall(probe.wait, 60000) local ok2, e2 = "
                           "pcall(probe.wait, 60000) return e.kind .. ' ' .. e2.message",
                           "test.lua", -1);
    lua_remove(L, -2);
    vm::TaskPtr task = m.state.scheduler().spawn(L, 0, "victim");
    task->allowance.up_to = vm::Effect::writes;
    auto timer = m.state.scheduler().after(
        0.02, [&] { m.state.scheduler().cancel(task, Error("cancelled", "stop now")); });
    m.state.scheduler().run(task);
    REQUIRE_FALSE(task->failed);
    CHECK(vm::to_value(task->L, -1) == Value("cancelled stop now"));
    CHECK(cancelled_jobs == 1);
    CHECK(m.state.scheduler().pending() == 0);
}

TEST_CASE("code that never waits is stopped, also inside pcall and recursion", "[vm]") {
    Machine m;
    m.state.scheduler().set_runaway_limit(0.1);
    const std::string text = "test.lua:1: Lua code ran too long without waiting for anything";
    CHECK(m.error("while true do end") == text);
    CHECK(m.error("while true do pcall(function() while true do end end) end") == text);
    CHECK(m.error("local function f() return f() end f()") == text);
    CHECK(m.error("for i = 1, 1e15 do local s = ('x'):rep(10) end") == text);
}

TEST_CASE("memory has a limit that a playbook cannot catch", "[vm]") {
    vm::State state(std::make_unique<test::TestHost>(), std::size_t{32} << 20);
    lua_State* L = state.L();
    state.push_sandbox();
    vm::load_playbook_text(L,
                           "local t = {} local ok = pcall(function() while true do t[#t + 1] = "
                           "('x'):rep(1e6) .. #t end end) return 'caught'",
                           "test.lua", -1);
    lua_remove(L, -2);
    vm::TaskPtr task = state.scheduler().spawn(L, 0, "hungry");
    state.scheduler().run(task);
    CHECK(task->failed);
}

TEST_CASE("the sandbox holds", "[vm]") {
    Machine m;
    for (const char* name :
         {"os", "io", "debug", "package", "ffi", "jit", "getfenv", "setfenv", "collectgarbage",
          "newproxy", "dofile", "loadfile", "module", "require_", "gcinfo"})
        CHECK(m.error(std::string("return ") + name)
                  .starts_with(std::string("test.lua:1: undefined name '") + name));
    CHECK(m.error("x = 1") == "test.lua:1: assignment to the undeclared name 'x': write `local x`");
    CHECK(m.error("return pritn").starts_with("test.lua:1: undefined name 'pritn'"));
    CHECK(m.error("return ('x').dump") == "no error");
    CHECK(m.run("return ('x').dump == nil and string.dump == nil") == Value(true));
    CHECK(m.run("return getmetatable('x') == nil") == Value(true));
    CHECK(m.run("string.upper = function() return 'poisoned' end return ('a'):upper()") ==
          Value("A"));
    CHECK(m.error("return 1LL") == "test.lua:1: number literal '1LL' is not allowed");
    CHECK(m.error("local s = '1LL' -- 1LL\nreturn 0x1fULL") ==
          "test.lua:2: number literal '0x1fULL' is not allowed");
    CHECK(m.error("return load('return 1i')()") != "no error");
    CHECK(m.run("return load('return 1 + 1')()") == Value(2));
    CHECK(m.error("\x1bLJ bytecode") == "test.lua: is LuaJIT bytecode, not a playbook");
    CHECK(m.error("return tostring(load(string.char(27) .. 'LJ'))") == "no error");
    CHECK(m.error("local x = = 1").starts_with("test.lua:1: unexpected symbol"));
}

TEST_CASE("values keep their type between Lua and the host", "[vm]") {
    Machine m;
    CHECK(m.run("return {1, 2, 3}") == Value(List{1, 2, 3}));
    CHECK(m.run("return {a = 1, b = {true}}") == Value(Map{{"a", 1}, {"b", List{true}}}));
    CHECK(m.run("return 9007199254740992") == Value(std::int64_t{9007199254740992}));
    CHECK(m.run("return 0.5") == Value(0.5));
    CHECK(m.run("return function() end") == Value(Opaque{"function"}));
    CHECK(m.error("local t = {} t.t = t return t") ==
          "a table that contains itself cannot be stored");
    lua_State* L = m.state.L();
    vm::push_value(L, Value(std::int64_t{9007199254740993}));
    CHECK(vm::to_value(L, -1) == Value(Decimal{"9007199254740993"}));
    vm::push_value(L, Value(List{Null{}, 1}));
    CHECK(vm::to_value(L, -1) == Value(List{Null{}, 1}));
    lua_settop(L, 0);
}
