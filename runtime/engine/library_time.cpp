// The part of the host library that has to do with dates, messages and earlier runs. Loop thread.
#include "runtime/base/digest.h"
#include "runtime/base/zone.h"
#include "runtime/engine/library.h"
#include "runtime/engine/schedule.h"
#include "runtime/vm/values.h"

#include <cmath>
#include <filesystem>

namespace runbook::engine {

namespace {

/// instant({year, month, day, hour, minute, second}, zone): seconds since the epoch; nil where the
/// day is in no calendar. Raises for a zone that is not there.
int host_instant(lua_State* L) {
    return guarded(L, [L] {
        const Value given = vm::to_value(L, 1);
        const Map& map = *given.get<Map>();
        const auto part = [&map](const char* name) {
            return static_cast<unsigned>(map.integer(name));
        };
        const time::Civil civil{map.integer("year"), part("month"),  part("day"),
                                part("hour"),        part("minute"), part("second")};
        const time::Zone zone = time::Zone::find(text_at(L, 2));
        if (!time::exists(civil))
            return 0;
        lua_pushnumber(L, static_cast<double>(zone.instant_of(civil)));
        return 1;
    });
}

/// calendar(instant, zone): what a clock there shows, with weekday (0 is Sunday).
int host_calendar(lua_State* L) {
    return guarded(L, [L] {
        const auto instant = static_cast<std::int64_t>(lua_tonumber(L, 1));
        const time::Zone zone = time::Zone::find(text_at(L, 2));
        const time::Civil civil = time::civil_of(instant + zone.offset_at(instant));
        vm::push_value(L, Map{{"year", civil.year},
                              {"month", civil.month},
                              {"day", civil.day},
                              {"hour", civil.hour},
                              {"minute", civil.minute},
                              {"second", civil.second},
                              {"weekday", civil.weekday}});
        return 1;
    });
}

/// next_time({weekday, day, hour, minute, second, zone}, after): the first instant after `after` at
/// which a clock there shows that; weekday and day may be left out.
int host_next_time(lua_State* L) {
    return guarded(L, [L] {
        const Moment moment = moment_from(*vm::to_value(L, 1).get<Map>());
        lua_pushnumber(L, static_cast<double>(next_after(
                              moment, static_cast<std::int64_t>(std::floor(lua_tonumber(L, 2))))));
        return 1;
    });
}

/// template_text(path): the text of a template beside the playbook; nil where there is none. Read
/// once, and the same from then on: it is pinned with the run.
int host_template_text(lua_State* L) {
    return guarded(L, [L] {
        const std::string path = text_at(L, 1);
        if (path.empty() || path.front() == '/' || path.find("..") != std::string::npos)
            return 0;
        const std::optional<std::string>& text = session_of(L).template_text(path);
        return text ? push_text(L, *text) : 0;
    });
}

/// source_sha256(): of the playbook that runs.
int host_source_sha256(lua_State* L) {
    return guarded(L, [L] { return push_text(L, digest::sha256_hex(session_of(L).source)); });
}

/// settings_file(): the path of runbook.toml, nil where there is none.
int host_settings_file(lua_State* L) {
    return guarded(L, [L] {
        const std::string& file = session_of(L).settings.file;
        return file.empty() ? 0 : push_text(L, file);
    });
}

/// channels(): {name = {required, problem, leads_to, incidents, public}} of runbook.toml, console,
/// and those that the playbook itself declared by now.
int host_channels(lua_State* L) {
    return guarded(L, [L] {
        Session& session = session_of(L);
        Map known = session.channels;
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.messages");
        if (lua_istable(L, -1)) {
            lua_getfield(L, -1, "about");
            lua_call(L, 0, 1);
            const Value about = vm::to_value(L, -1);
            lua_pop(L, 1);
            for (const auto& [name, now] : *about.get<Map>()) {
                Value* entry = known.find(name);
                Map merged = entry ? *entry->get<Map>() : Map{};
                for (const auto& [key, value] : *now.get<Map>())
                    merged.set(key, value);
                known.set(name, merged);
            }
        }
        lua_pop(L, 1);
        vm::push_value(L, known);
        return 1;
    });
}

/// earlier_runs(playbook, since): the runs of that playbook that began at or after `since` (seconds
/// since the epoch), newest first, each {run, started, state, outcome, env, sha256, events}: what
/// is known of its rollback and its goals. The run that asks is left out.
int start_earlier_runs(lua_State* L) {
    int status = -1;
    {
        Session* self = &session_of(L);
        auto found = std::make_shared<List>();
        const std::string playbook = text_at(L, 1);
        const auto since = static_cast<std::int64_t>(lua_tonumber(L, 2) * 1e6);
        status = park_on_journal(
            L,
            [self, found, playbook, since](Cancel&) {
                for (const journal::RunRecord& run : self->journal->runs(10'000)) {
                    if (run.playbook != playbook || run.run == self->run || run.started < since ||
                        run.outcome == "scheduled") // the record of its schedule is no run
                        continue;
                    Map one{{"run", run.run},
                            {"started", static_cast<double>(run.started) / 1e6},
                            {"finished", run.state == journal::RunState::finished},
                            {"outcome", run.outcome}};
                    List events;
                    for (const journal::Event& event : self->journal->events(run.run)) {
                        if (event.event == "run.started")
                            one.set("env", event.data.text("env"))
                                .set("sha256", event.data.text("sha256"));
                        else if (event.event.starts_with("rollback.") ||
                                 event.event == "goal.judged" || event.event == "run.finished")
                            events.push_back(Map{{"event", event.event}, {"data", event.data}});
                    }
                    found->push_back(one.set("events", events));
                }
            },
            [found](lua_State* to) {
                vm::push_value(to, *found);
                return 1;
            });
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// followup(): {parent, name, number, due, missed} of the follow-up that is run, nil in any other
/// run.
int host_followup(lua_State* L) {
    return guarded(L, [L] {
        const FollowUp& chosen = session_of(L).options.followup;
        if (chosen.parent.empty())
            return 0;
        vm::push_value(L, Map{{"parent", chosen.parent},
                              {"name", chosen.name},
                              {"number", chosen.number},
                              {"due", static_cast<double>(chosen.due) / 1e6},
                              {"missed", chosen.missed}});
        return 1;
    });
}

/// parent_history(): the events of the run that a follow-up follows.
int host_parent_history(lua_State* L) {
    return guarded(L, [L] {
        push_history(L, session_of(L).parent_history);
        return 1;
    });
}

} // namespace

void push_history(lua_State* L, const std::vector<journal::Event>& events) {
    lua_createtable(L, static_cast<int>(events.size()), 0);
    const int list = lua_gettop(L);
    for (const char* key : {"event", "step", "at", "data"}) // once, not for each of thousands
        lua_pushstring(L, key);
    const auto set = [&](int key, const auto& push) {
        lua_pushvalue(L, list + key);
        push();
        lua_rawset(L, -3);
    };
    for (std::size_t i = 0; i < events.size(); ++i) {
        const journal::Event& event = events[i];
        lua_createtable(L, 0, 4);
        set(1, [&] { lua_pushlstring(L, event.event.data(), event.event.size()); });
        set(2, [&] { lua_pushlstring(L, event.step.data(), event.step.size()); });
        set(3, [&] { lua_pushnumber(L, static_cast<double>(event.micros) / 1e6); });
        set(4, [&] { vm::push_value(L, event.data); });
        lua_rawseti(L, list, static_cast<int>(i + 1));
    }
    lua_settop(L, list);
}

void add_time_library(lua_State* L) {
    static const luaL_Reg functions[] = {{"instant", host_instant},
                                         {"calendar", host_calendar},
                                         {"next_time", host_next_time},
                                         {"channels", host_channels},
                                         {"template_text", host_template_text},
                                         {"settings_file", host_settings_file},
                                         {"source_sha256", host_source_sha256},
                                         {"followup", host_followup},
                                         {"parent_history", host_parent_history},
                                         {nullptr, nullptr}};
    luaL_register(L, nullptr, functions);
    vm::push_waiting_function(L, start_earlier_runs, 0);
    lua_setfield(L, -2, "earlier_runs");
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.messages"); // set by the notify binding
    lua_setfield(L, -2, "outbox");
}

} // namespace runbook::engine
