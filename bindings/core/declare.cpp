#include "bindings/core/declare.h"

#include "bindings/core/dry.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/rehearsal.h"
#include "runtime/base/text.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

namespace runbook::bind {

namespace {

/// Says in the registry's `runbook.effects`, where a run keeps it, what the task's step changes and
/// in which line: an effect before the first ctx.step is found by it (rule 3).
void note_effect(lua_State* L, const std::string& name) {
    const vm::Task* task = vm::Scheduler::of(L).current();
    if (!task || lua_checkstack(L, 4) == 0)
        return;
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.effects");
    if (lua_istable(L, -1)) {
        const vm::Where at = vm::where(L);
        const std::string text = at.known() ? fmt::format("{} ({})", name, at.text()) : name;
        lua_pushlstring(L, task->step_label.data(), task->step_label.size());
        lua_pushlstring(L, text.data(), text.size());
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

/// Throws Error{`permission`} where the task may not do that, Error{`dry`} where a dry run says it
/// instead.
void check_effect(lua_State* L, vm::Effect effect, const vm::Allowance& allowance,
                  const std::string& name) {
    if (static_cast<int>(effect) > static_cast<int>(allowance.up_to))
        throw Error("permission", fmt::format("{} {}", name, allowance.why), allowance.hint);
    if (effect == vm::Effect::writes && vm::State::host_of(L).dry_run())
        throw Error("dry", name);
    if (effect == vm::Effect::writes)
        note_effect(L, name);
}

/// Outside a run (the file loads): nothing is allowed.
const vm::Allowance& allowance_of(lua_State* L) {
    static const vm::Allowance loading{vm::Effect::none,
                                       "has an effect, and a playbook only declares while it loads",
                                       "move the call into the run function of a step"};
    const vm::Task* task = vm::Scheduler::of(L).current();
    return task ? task->allowance : loading;
}

/// Whether the call may change something, in a process whose test wants to know.
bool crosses(lua_State* L, const vm::FunctionDoc& doc) {
    return failpoint::armed && doc.effect != vm::Effect::none &&
           allowance_of(L).up_to == vm::Effect::writes;
}

std::string too_many(std::size_t most, std::size_t given) {
    return fmt::format("takes at most {} argument{}, got {}", most, most == 1 ? "" : "s", given);
}

} // namespace

Error unfaked(const std::string& name) {
    return {"test.unfaked",
            fmt::format("{} has no fake in this test, and a test touches nothing real", name),
            fmt::format("fake(\"{}\", function(…) return … end)", name)};
}

bool Call::writes_allowed() const {
    return allowance_of(L_).up_to == vm::Effect::writes && !host().dry_run();
}

void Call::require_writes() const {
    check_effect(L_, vm::Effect::writes, allowance_of(L_), doc_.name);
}

const void* Call::task() const {
    return vm::Scheduler::of(L_).current();
}

int Function::run(lua_State* L) {
    try {
        const bool dry = vm::State::host_of(L).dry_run();
        bool looks = false; // it would only look, but at something unknown
        try {
            check_effect(L, doc_.effect, allowance_of(L), full_name_);
            if (rehearsal::active() && doc_.effect != vm::Effect::none && !waits &&
                !doc_.answers_in_tests) {
                check_files(L, full_name_);
                throw unfaked(full_name_);
            }
            looks = dry && allowance_of(L).up_to == vm::Effect::reads;
            if (dry && dry_unknown(L) && (doc_.effect != vm::Effect::none || waits))
                throw Error("dry", full_name_);
            if (!crosses(L, doc_))
                return call(L);
            failpoint::cross("effect.before");
            const int results = call(L);
            if (!doc_.waits)
                failpoint::cross("effect.after");
            return results;
        } catch (const Error& error) {
            if (!dry || error.kind() != "dry")
                throw;
        }
        return skip(L, looks);
    } catch (const Error& error) {
        vm::push_error(L, error);
    } catch (const std::exception& error) {
        vm::push_error(L, Error("internal", fmt::format("{}: {}", full_name_, error.what())));
    }
    return -1;
}

int Function::skip(lua_State* L, bool looks) {
    dry_note(L, full_name_, looks);
    if (!waits)
        return 1;
    // whoever called waits for an operation: one that does nothing and gives the unknown value
    const int unknown = luaL_ref(L, LUA_REGISTRYINDEX);
    auto operation = std::make_shared<vm::Operation>();
    operation->name = full_name_;
    operation->work = [](Cancel&) {};
    operation->push = [unknown](lua_State* to) {
        lua_rawgeti(to, LUA_REGISTRYINDEX, unknown);
        luaL_unref(to, LUA_REGISTRYINDEX, unknown);
        return 1;
    };
    return park(L, operation);
}

void Function::check(lua_State* L, std::size_t index, const Mismatch& problem) const {
    if (!problem)
        return;
    throw Error("argument", fmt::format("{}: argument {} '{}': {}", full_name_, index + 1,
                                        doc_.parameters.at(index).name, *problem));
}

void Function::check_count(lua_State* L, std::size_t most) const {
    if (static_cast<std::size_t>(lua_gettop(L)) > most)
        throw Error("argument",
                    full_name_ + ": " + too_many(most, static_cast<std::size_t>(lua_gettop(L))));
}

int Function::park(lua_State* L, const vm::OperationPtr& operation) const {
    if (rehearsal::active() && doc_.effect != vm::Effect::none)
        throw unfaked(full_name_); // its arguments and `needs` are checked by now
    if (crosses(L, doc_))
        operation->work = [work = std::move(operation->work)](Cancel& cancel) {
            work(cancel);
            failpoint::cross("effect.after");
        };
    vm::Scheduler::of(L).park(L, operation);
    return 1;
}

Mismatch integer_mismatch(double number, double lowest, double highest) {
    if (lowest == 0 && number < 0)
        return "must not be negative";
    if (!(number >= lowest && number <= highest)) // nor what is no number
        return fmt::format("must be from {:.0f} to {:.0f}", lowest, highest);
    if (number != std::trunc(number))
        return "integer expected, got a number with a fraction";
    return {};
}

Mismatch duration_mismatch(lua_State* L, int index) {
    constexpr double longest = 100 * 365.25 * 86400; // and as milliseconds an int64
    if (lua_type(L, index) == LUA_TNUMBER) {
        const double seconds = lua_tonumber(L, index);
        if (seconds < 0)
            return "must not be negative";
        return seconds <= longest ? Mismatch{} : Mismatch{"must not be longer than 100 years"};
    }
    if (lua_type(L, index) != LUA_TSTRING)
        return expected("duration", L, index);
    const std::string text = lua_tostring(L, index);
    if (const auto seconds = text::parse_duration(text))
        return *seconds <= longest ? Mismatch{} : Mismatch{"must not be longer than 100 years"};
    return "'" + text + "' is not a duration: write 30s, 10m, 2h, 7d";
}

Duration read_duration(lua_State* L, int index) {
    if (lua_type(L, index) == LUA_TNUMBER)
        return {lua_tonumber(L, index)};
    return {*text::parse_duration(lua_tostring(L, index))};
}

std::string unknown_option(const std::string& name, const std::vector<std::string>& known) {
    return fmt::format("unknown option '{}'{}", name, text::did_you_mean(name, known));
}

int no_such_field(lua_State* L, const char* type, std::vector<std::string> names) {
    const std::string key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    vm::push_error(L, Error("lua", fmt::format("{} has no field '{}'{}", type, key,
                                               text::did_you_mean(key, names))));
    return -1;
}

Area::Area(vm::State& state, vm::Registry& registry, std::string name, std::string doc)
    : L_(state.L()), registry_(registry), area_(registry.area(name, std::move(doc))) {
    if (name.empty())
        return;
    state.push_sandbox();
    lua_pushlstring(L_, name.data(), name.size());
    lua_rawget(L_, -2);
    if (lua_isnil(L_, -1)) {
        lua_pushlstring(L_, name.data(), name.size());
        lua_newtable(L_);
        lua_rawset(L_, -4);
    }
    lua_pop(L_, 2);
}

Declaration Area::def(std::string name, std::string doc) {
    area_.functions.push_back(
        {std::move(name), std::move(doc), {}, "", "", {}, vm::Effect::none, false, ""});
    return {L_, registry_, area_, area_.functions.back()};
}

void Declaration::install(vm::Bound* bound) {
    vm::push_bound(L_, bound);
    install_top();
}

/// Stores the function on top of the stack in the area's table, or as a global of the sandbox.
void Declaration::install_top() {
    lua_getfield(L_, LUA_REGISTRYINDEX, "runbook.sandbox");
    if (!area_.name.empty()) {
        lua_pushlstring(L_, area_.name.data(), area_.name.size());
        lua_rawget(L_, -2);
        lua_remove(L_, -2);
    }
    lua_pushlstring(L_, doc_.name.data(), doc_.name.size());
    lua_pushvalue(L_, -3);
    lua_rawset(L_, -3);
    lua_pop(L_, 2);
}

void Declaration::lua() {
    if (!load_embedded(L_, "bindings/core/checked.lua"))
        throw Error("internal", "bindings/core/checked.lua is missing");
    push_check();
    if (!load_embedded(L_, fmt::format("bindings/{}_{}.lua", area_.name, doc_.name)))
        throw Error("internal", full_name() + ": its file is missing");
    lua_getfield(L_, LUA_REGISTRYINDEX, "runbook.sandbox");
    lua_getfield(L_, -1, area_.name.c_str());
    lua_insert(L_, -2);
    lua_setfenv(L_, -3);
    if (lua_pcall(L_, 1, 1, 0) != 0 || lua_pcall(L_, 2, 1, 0) != 0)
        throw Error("internal", fmt::format("{}: {}", full_name(), vm::to_error(L_, -1).message()));
    install_top();
}

namespace {

/// Whether the value at `index` is what the declaration of a function in Lua says: types of Lua and
/// userdata of the language, alternatives with '|'. A table with a metatable may stand for an
/// object: a plan and a test have such tables in the place of connections.
bool fits(lua_State* L, int index, const std::string& type) {
    static const std::set<std::string> plain = {"value",  "boolean", "number",
                                                "string", "table",   "function"};
    for (const std::string& one : text::split(type, '|')) {
        if (one == "value" || one == lua_typename(L, lua_type(L, index)))
            return true;
        if (plain.contains(one) || lua_getmetatable(L, index) == 0)
            continue;
        if (lua_istable(L, index)) {
            lua_pop(L, 1);
            return true;
        }
        lua_getfield(L, LUA_REGISTRYINDEX, ("runbook." + one).c_str());
        const bool same = lua_rawequal(L, -1, -2) != 0 && lua_istable(L, -1);
        lua_pop(L, 2);
        if (same)
            return true;
    }
    return false;
}

/// Checks the arguments of a function that is written in Lua; upvalues: its FunctionDoc, its name.
int check_arguments(lua_State* L) {
    bool fine = true;
    {
        const auto& doc =
            *static_cast<const vm::FunctionDoc*>(lua_touserdata(L, lua_upvalueindex(1)));
        const std::string name = lua_tostring(L, lua_upvalueindex(2));
        const auto refuse = [&](const std::string& message) {
            vm::push_error(L, Error("argument", name + ": " + message));
            fine = false;
        };
        const std::size_t most = doc.parameters.size(),
                          given = static_cast<std::size_t>(lua_gettop(L));
        if (vm::State::host_of(L).dry_run() && dry_unknown(L))
            return 0; // what it calls says so
        if (given > most)
            refuse(too_many(most, given));
        for (std::size_t i = 0; i < most && fine; ++i) {
            const vm::ParameterDoc& parameter = doc.parameters[i];
            const int index = static_cast<int>(i) + 1;
            if ((parameter.optional && lua_isnoneornil(L, index)) || fits(L, index, parameter.type))
                continue;
            std::string expected = parameter.type;
            if (const std::size_t bar = expected.find('|'); bar != std::string::npos)
                expected.replace(bar, 1, " or ");
            refuse(fmt::format("argument {} '{}': {} expected, got {}", index, parameter.name,
                               expected, vm::type_word(L, index)));
        }
    }
    return fine ? 0 : lua_error(L);
}

} // namespace

/// Pushes what checks the arguments of a function in Lua.
void Declaration::push_check() {
    lua_pushlightuserdata(L_, &doc_);
    const std::string name = full_name();
    lua_pushlstring(L_, name.data(), name.size());
    lua_pushcclosure(L_, check_arguments, 2);
}

} // namespace runbook::bind
