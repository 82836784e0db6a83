// What the engine's Lua files may ask of authority.h and identity.h.
// Owns: nothing; the session stands in each function's upvalue. Loop thread.
#include "runtime/engine/session.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

namespace runbook::engine {

namespace {

Session& session_at(lua_State* L) {
    return *static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1)));
}

/// Runs fn; an Error is raised only once everything that C++ owns is gone.
template <class Fn>
int guarded(lua_State* L, Fn fn) {
    int results = -1;
    {
        try {
            results = fn();
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return results >= 0 ? results : lua_error(L);
}

Map map_at(lua_State* L, int index) {
    if (!lua_istable(L, index))
        return {};
    Value value = vm::to_value(L, index);
    Map* map = value.get<Map>();
    return map ? std::move(*map) : Map{};
}

std::vector<Answer> answers_at(const Map& map) {
    std::vector<Answer> answers;
    const Value* value = map.find("before");
    const List* list = value ? value->get<List>() : nullptr;
    for (const Value& item : list ? *list : List{})
        if (const Map* one = item.get<Map>())
            answers.push_back(answer_from(*one));
    return answers;
}

Given given_at(const Map& map) {
    return {map.text("by"), map.text("as"), map.text("evidence"), map.boolean("yes", true),
            map.number("waited_s")};
}

int push_right(lua_State* L, const Right& right) {
    if (!right.refusal.empty()) {
        vm::push_value(L, Map{{"refusal", right.refusal}, {"kind", right.kind}});
        return 1;
    }
    List roles;
    for (const std::string& role : right.answer.roles)
        roles.push_back(role);
    vm::push_value(L, Map{{"by", right.answer.by},
                          {"roles", roles},
                          {"checked", right.answer.checked},
                          {"stands_in", right.answer.stands_in}});
    return 1;
}

/// right(who, {by, as, evidence, yes, waited_s, before, initiators, what}): the answer as it
/// counts, or {refusal, kind}.
int host_right(lua_State* L) {
    return guarded(L, [L] {
        const Map given = map_at(L, 2);
        return push_right(L, right_of(Asked::from(map_at(L, 1)), session_at(L).roster,
                                      names_at(given, "initiators"), given_at(given),
                                      answers_at(given), given.text("what")));
    });
}

/// right_to_waive(who, {by, as, answered, what}).
int host_right_to_waive(lua_State* L) {
    return guarded(L, [L] {
        const Map given = map_at(L, 2);
        return push_right(L, right_to_waive(Asked::from(map_at(L, 1)), session_at(L).roster,
                                            given_at(given), names_at(given, "answered"),
                                            given.text("what")));
    });
}

/// right_to_order(roles, {by, order, initiators}).
int host_right_to_order(lua_State* L) {
    return guarded(L, [L] {
        const Map roles{{"roles", lua_istable(L, 1) ? vm::to_value(L, 1) : Value()}};
        const Map given = map_at(L, 2);
        return push_right(L, right_to_order(names_at(roles, "roles"), session_at(L).roster,
                                            names_at(given, "initiators"), given.text("by"),
                                            given.text("order")));
    });
}

/// tally(who, {before, initiators}): {enough, words, waiting}.
int host_tally(lua_State* L) {
    return guarded(L, [L] {
        const Map given = map_at(L, 2);
        const Tally found = tally(Asked::from(map_at(L, 1)), session_at(L).roster,
                                  names_at(given, "initiators"), answers_at(given));
        vm::push_value(
            L, Map{{"enough", found.enough}, {"words", found.words()}, {"waiting", found.waiting}});
        return 1;
    });
}

/// nobody(who, initiator): why nobody can ever approve it, or nil.
int host_nobody(lua_State* L) {
    return guarded(L, [L] {
        const std::string initiator = lua_isstring(L, 2) ? lua_tostring(L, 2) : "";
        const std::string why = nobody(Asked::from(map_at(L, 1)), session_at(L).roster, initiator);
        if (why.empty())
            return 0;
        lua_pushlstring(L, why.data(), why.size());
        return 1;
    });
}

/// passed_on(who, waited_s): how often it was passed on after this time, and how long an answer may
/// take in all (0: without an end).
int host_passed_on(lua_State* L) {
    return guarded(L, [L] {
        const Asked asked = Asked::from(map_at(L, 1));
        lua_pushnumber(L, static_cast<lua_Number>(asked.level(lua_tonumber(L, 2))));
        lua_pushnumber(L, asked.limit_s());
        return 2;
    });
}

int push(lua_State* L, const std::string& text) {
    if (text.empty())
        return 0;
    lua_pushlstring(L, text.data(), text.size());
    return 1;
}

int host_initiator(lua_State* L) {
    return guarded(L, [L] { return push(L, session_at(L).initiator); });
}
int host_plan_hash(lua_State* L) {
    return guarded(L, [L] { return push(L, session_at(L).plan_sha256); });
}
int host_user_place(lua_State* L) {
    return guarded(L, [L] { return push(L, current_place()); });
}

} // namespace

void push_people_library(lua_State* L, Session& session) {
    static const luaL_Reg functions[] = {{"right", host_right},
                                         {"right_to_waive", host_right_to_waive},
                                         {"right_to_order", host_right_to_order},
                                         {"tally", host_tally},
                                         {"nobody", host_nobody},
                                         {"passed_on", host_passed_on},
                                         {"initiator", host_initiator},
                                         {"plan_hash", host_plan_hash},
                                         {"user_place", host_user_place}};
    for (const luaL_Reg& entry : functions) {
        lua_pushlightuserdata(L, &session);
        lua_pushcclosure(L, entry.func, 1);
        lua_setfield(L, -2, entry.name);
    }
}

} // namespace runbook::engine
