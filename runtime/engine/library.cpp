// The C++ half of the host library that the engine's Lua files get: journal, people, values, time.
// Loop thread.
#include "runtime/engine/library.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/base/worker.h"
#include "runtime/engine/session.h"
#include "runtime/engine/terminal.h"
#include "runtime/journal/chain.h"
#include "runtime/secret/sources.h"
#include "runtime/view/view.h"
#include "runtime/vm/embedded.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/userdata.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sys/stat.h>

namespace runbook::engine {

namespace {

const char session_key = 0;

} // namespace

Session& session_of(lua_State* L) {
    lua_pushlightuserdata(L, const_cast<char*>(&session_key));
    lua_rawget(L, LUA_REGISTRYINDEX);
    auto* session = static_cast<Session*>(lua_touserdata(L, -1));
    lua_pop(L, 1);
    return *session;
}

std::string text_at(lua_State* L, int index) {
    std::size_t size = 0;
    const char* text = lua_tolstring(L, index, &size);
    return text ? std::string(text, size) : std::string();
}

int push_text(lua_State* L, const std::string& text) {
    lua_pushlstring(L, text.data(), text.size());
    return 1;
}

namespace {

int host_raise(lua_State* L) {
    return guarded(L, [L]() -> int {
        throw Error(text_at(L, 1), text_at(L, 2),
                    lua_isstring(L, 3) ? text_at(L, 3) : std::string());
    });
}

int host_raise_usage(lua_State* L) {
    return guarded(L, [L]() -> int {
        throw Error("usage", text_at(L, 1), lua_isstring(L, 2) ? text_at(L, 2) : std::string());
    });
}

int host_where(lua_State* L) {
    return guarded(L, [L] {
        const vm::Where at = vm::where(L);
        push_text(L, at.file);
        lua_pushinteger(L, at.line);
        return 2;
    });
}

int host_nearest(lua_State* L) {
    return guarded(L, [L] {
        std::vector<std::string> names;
        for (int i = 1; i <= static_cast<int>(lua_objlen(L, 2)); ++i) {
            lua_rawgeti(L, 2, i);
            names.push_back(text_at(L, -1));
            lua_pop(L, 1);
        }
        const std::string best = text::nearest(text_at(L, 1), names);
        if (best.empty())
            return 0;
        return push_text(L, best);
    });
}

int host_parse_duration(lua_State* L) {
    if (lua_type(L, 1) == LUA_TNUMBER) {
        lua_pushvalue(L, 1);
        return 1;
    }
    const auto seconds =
        lua_type(L, 1) == LUA_TSTRING ? text::parse_duration(lua_tostring(L, 1)) : std::nullopt;
    if (!seconds)
        return 0;
    lua_pushnumber(L, *seconds);
    return 1;
}

int host_duration_text(lua_State* L) {
    return guarded(L, [L] { return push_text(L, text::duration(lua_tonumber(L, 1))); });
}
int host_bytes_text(lua_State* L) {
    return guarded(L, [L] {
        return push_text(L, text::bytes(static_cast<std::int64_t>(lua_tonumber(L, 1))));
    });
}
int host_grouped(lua_State* L) {
    return guarded(L, [L] {
        return push_text(L, text::grouped(static_cast<std::int64_t>(lua_tonumber(L, 1))));
    });
}
int host_type_word(lua_State* L) {
    return guarded(L, [L] { return push_text(L, vm::type_word(L, 1)); });
}
int host_loading(lua_State* L) {
    lua_pushboolean(L, session_of(L).loading);
    return 1;
}
int host_environment(lua_State* L) {
    const char* value = std::getenv(luaL_checkstring(L, 1));
    if (!value)
        return 0;
    lua_pushstring(L, value);
    return 1;
}

/// open_secret(reference, beside): the secret, or nil and why not; files are looked for `beside`
/// the playbook, or in the working folder.
int host_open_secret(lua_State* L) {
    return guarded(L, [L] {
        try {
            vm::push_value(L,
                           Value(secret::open(secret::parse(text_at(L, 1)),
                                              {lua_toboolean(L, 2) ? session_of(L).folder : ""})));
            return 1;
        } catch (const Error& error) {
            lua_pushnil(L);
            push_text(L, redact(error.message()));
            push_text(L, redact(error.hint()));
            return 3;
        }
    });
}

/// is_reference(text): whether it names where a secret is.
int host_is_reference(lua_State* L) {
    return guarded(L, [L] {
        lua_pushboolean(L, secret::is_reference(text_at(L, 1)) ? 1 : 0);
        return 1;
    });
}

/// make_secret(text, origin).
int host_make_secret(lua_State* L) {
    return guarded(L, [L] {
        vm::push_value(L, Value(make_secret(text_at(L, 1), text_at(L, 2))));
        return 1;
    });
}

/// cover_warning(secret): what to warn of where it is too short to be hidden, or nil.
int host_cover_warning(lua_State* L) {
    return guarded(L, [L] {
        const SecretPtr secret = vm::to_secret(L, 1);
        const std::string_view warning = cover_warning(secret ? secret->reveal().size() : 8);
        return warning.empty() ? 0 : push_text(L, std::string(warning));
    });
}

int host_given(lua_State* L) {
    return guarded(L, [L] {
        const Session& session = session_of(L);
        List command_line, approve;
        for (const auto& [name, value] : session.options.parameters)
            command_line.push_back(List{name, value});
        for (const std::string& gate : session.options.approve)
            approve.push_back(gate);
        Map connections;
        for (const config::Connection& one : session.settings.connections)
            connections.set(
                one.name,
                Map{{"url", one.url}, {"password", one.password}, {"access", one.access}});
        vm::push_value(L, Map{{"command_line", command_line},
                              {"connections", std::move(connections)},
                              {"approve", approve},
                              {"config", session.config},
                              {"complete", session.complete},
                              {"start", session.options.start},
                              {"detach", session.options.detach},
                              {"ahead", session.options.ahead},
                              {"extend", session.options.extend_s},
                              {"accept_changed", session.options.accept_changed},
                              {"interactive", session.options.interactive}});
        return 1;
    });
}

/// The value as later steps see it: through the journal's text and back.
int host_store(lua_State* L) {
    return guarded(L, [L] {
        const Value value = lua_isnoneornil(L, 1) ? Value{} : vm::to_value(L, 1);
        // without what the journal leaves out: this run sees what a resumed one would
        const Value kept = Map{{"value", value}};
        const Map map = journal::restored(journal::stored(*kept.get<Map>()));
        const Value* found = map.find("value");
        vm::push_value(L, found ? *found : Value{});
        return 1;
    });
}

/// dump(value): the text by which the journal keeps it; parse(text) gives it back.
int host_dump(lua_State* L) {
    return guarded(L, [L] {
        const Value value = lua_isnoneornil(L, 1) ? Value{} : vm::to_value(L, 1);
        return push_text(L, redact(json::dump_tagged(value)));
    });
}
int host_parse(lua_State* L) {
    return guarded(L, [L] {
        vm::push_value(L, json::parse_tagged(text_at(L, 1)));
        return 1;
    });
}

int host_error_map(lua_State* L) {
    return guarded(L, [L] {
        vm::push_value(L, vm::error_map(L, 1));
        return 1;
    });
}

int host_source_line(lua_State* L) {
    return guarded(L, [L] {
        const Session& session = session_of(L);
        const std::string file = text_at(L, 1);
        const std::string* text = file == session.options.file ? &session.source : nullptr;
        for (const auto& [path, content] : session.modules)
            if (path == file)
                text = &content;
        if (!text)
            return 0;
        const std::vector<std::string> lines = text::split(*text, '\n');
        const auto line = static_cast<std::size_t>(lua_tointeger(L, 2));
        return line >= 1 && line <= lines.size() ? push_text(L, lines[line - 1]) : 0;
    });
}

int host_enter_step(lua_State* L) {
    return guarded(L, [L] {
        if (vm::Task* task = vm::Scheduler::of(L).current()) {
            task->step = text_at(L, 1);
            task->step_label = text_at(L, 2);
        }
        return 0;
    });
}

/// emit(event, data): journaled with the next append.
int host_emit(lua_State* L) {
    return guarded(L, [L] {
        Value data = vm::to_value(L, 2);
        Map* map = data.get<Map>();
        session_of(L).host().emit(text_at(L, 1), map ? std::move(*map) : Map{});
        return 0;
    });
}

/// chunk(path): a Lua file of the host's own, as a function.
int host_chunk(lua_State* L) {
    return guarded(L, [L] {
        const std::string path = text_at(L, 1);
        if (!load_embedded(L, path))
            throw Error("internal", path + " is not part of this binary");
        // A chunk gets its thread's globals, which are a playbook's in a task: these are the
        // host's.
        lua_getfield(L, LUA_REGISTRYINDEX, "runbook.main");
        lua_State* main = lua_tothread(L, -1);
        lua_pop(L, 1);
        lua_pushvalue(main, LUA_GLOBALSINDEX);
        if (main != L)
            lua_xmove(main, L, 1);
        lua_setfenv(L, -2);
        return 1;
    });
}

int host_seed(lua_State* L) {
    std::uint32_t seed = 0;
    const std::string bytes = digest::random(sizeof seed);
    std::memcpy(&seed, bytes.data(), sizeof seed);
    lua_pushnumber(L, static_cast<lua_Number>(seed));
    return 1;
}

int host_now(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(time::now_micros()) / 1e6);
    return 1;
}
int host_iso(lua_State* L) {
    return guarded(L, [L] {
        return push_text(L, time::iso_millis(static_cast<std::int64_t>(lua_tonumber(L, 1) * 1e6)));
    });
}
int host_parse_time(lua_State* L) {
    const auto timestamp = time::parse(luaL_checkstring(L, 1));
    if (!timestamp)
        return 0;
    lua_pushnumber(L, static_cast<double>(timestamp->micros) / 1e6);
    return 1;
}
int host_user(lua_State* L) {
    return guarded(L, [L] { return push_text(L, current_user()); });
}
int host_run_id(lua_State* L) {
    return guarded(L, [L] { return push_text(L, session_of(L).run); });
}
int host_interrupted(lua_State* L) {
    lua_pushboolean(L, session_of(L).interrupted);
    return 1;
}
int host_reset_interrupt(lua_State* L) {
    session_of(L).interrupted = false;
    return 0;
}
/// The token of this process's lease; a later holder of the run has a higher one.
int host_fence(lua_State* L) {
    lua_pushnumber(L, static_cast<lua_Number>(session_of(L).fence));
    return 1;
}

/// progress(rows, total, item): what ctx.progress says, to the view.
int host_progress(lua_State* L) {
    return guarded(L, [L] {
        ProgressReport report;
        report.rows = static_cast<std::int64_t>(lua_tonumber(L, 1));
        report.total_rows = static_cast<std::int64_t>(lua_tonumber(L, 2));
        report.item = text_at(L, 3);
        session_of(L).host().progress()->report(report);
        return 0;
    });
}

/// progressed(step): when its work last said that it got on (monotonic), or nothing.
int host_progressed(lua_State* L) {
    return guarded(L, [L] {
        const auto& all = session_of(L).progressed;
        const auto found = all.find(text_at(L, 1));
        if (found == all.end())
            return 0;
        lua_pushnumber(L, found->second);
        return 1;
    });
}

int host_last_request(lua_State* L) {
    lua_pushnumber(L, static_cast<lua_Number>(session_of(L).last_request));
    return 1;
}

/// The newest request when this process took the run: what was asked before it asked somebody else.
int host_newest_request(lua_State* L) {
    lua_pushnumber(L, static_cast<lua_Number>(session_of(L).newest_request));
    return 1;
}

/// cut(why): cancels what the run's main task waits for, and each later wait until clear_cancel.
/// cut(why, true): only a native wait that it is in now; whether there was one.
int host_cut(lua_State* L) {
    return guarded(L, [L] {
        Session& session = session_of(L);
        const vm::TaskPtr& task = session.main_task;
        const bool once = lua_toboolean(L, 2) != 0;
        const vm::OperationPtr waiting = task ? task->waiting : nullptr;
        const bool native = waiting && waiting->work && !waiting->steadfast;
        if (task && !task->ended && (!once || (native && !task->cancelled))) {
            session.scheduler().cancel(task, Error("cancelled", text_at(L, 1)));
            if (once)
                task->cancelled.reset();
        }
        lua_pushboolean(L, native);
        return 1;
    });
}

/// append(event, step, data): journals what is pending and then the event, synced; shows both.
int start_append(lua_State* L) {
    int status = -1;
    {
        Session& session = session_of(L);
        auto batch =
            std::make_shared<std::vector<Pending>>(session.pending.begin(), session.pending.end());
        try {
            Value data = lua_istable(L, 3) ? vm::to_value(L, 3) : Value(Map{});
            Map* map = data.get<Map>();
            batch->push_back({text_at(L, 1), text_at(L, 2), map ? std::move(*map) : Map{}});
            session.pending.clear();
            auto done = std::make_shared<std::vector<journal::Event>>();
            Session* self = &session;
            status = park_on_journal(
                L,
                [self, batch, done](Cancel&) {
                    for (const Pending& item : *batch)
                        done->push_back(self->journal->append(self->run, self->fence, item.event,
                                                              item.step, item.data));
                },
                [self, done](lua_State* to) {
                    for (const journal::Event& event : *done)
                        self->sink.on_event(event);
                    vm::push_value(
                        to, Map{{"seq", done->back().seq}, {"last_request", self->last_request}});
                    return 1;
                });
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// requests(after, peek): what other terminals asked since. A peek does not count as seen: an
/// answer that is posted before its question stays for it.
int start_requests(lua_State* L) {
    int status = -1;
    {
        Session* self = &session_of(L);
        const bool peek = lua_toboolean(L, 2) != 0;
        auto found = std::make_shared<std::vector<journal::Request>>();
        const auto after = static_cast<std::int64_t>(lua_tonumber(L, 1));
        status = park_on_journal(
            L,
            [self, found, after](Cancel&) { *found = self->journal->requests(self->run, after); },
            [self, found, peek](lua_State* to) {
                List list;
                for (const journal::Request& request : *found) {
                    if (!peek)
                        self->last_request = std::max(self->last_request, request.id);
                    list.push_back(Map{{"id", request.id},
                                       {"verb", request.verb},
                                       {"subject", request.subject},
                                       {"by", request.by},
                                       {"at", static_cast<double>(request.micros) / 1e6},
                                       {"data", request.data}});
                }
                vm::push_value(to, list);
                return 1;
            },
            true);
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// read_line(prompt): a line from the terminal, nil at its end. Cancellable.
int start_read_line(lua_State* L) {
    int status = -1;
    {
        Session* self = &session_of(L);
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "read_line";
        auto line = std::make_shared<std::optional<std::string>>();
        const std::string prompt = text_at(L, 1);
        self->sink.suspend();
        vm::Scheduler* scheduler = &vm::Scheduler::of(L);
        operation->work = [line, prompt, self, scheduler](Cancel& cancel) {
            // The view goes on however the question ends.
            const auto resume = [self, scheduler] {
                scheduler->post([self] { self->sink.resume(); });
            };
            try {
                *line = ask_terminal(prompt, cancel);
            } catch (const Error&) {
                resume();
                throw;
            }
            resume();
        };
        operation->push = [line](lua_State* to) {
            if (*line)
                return push_text(to, **line);
            lua_pushnil(to);
            return 1;
        };
        try {
            vm::Scheduler::of(L).park(L, operation);
            status = 1;
        } catch (const Error& error) {
            vm::push_error(L, error);
        }
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

/// begin(): the run exists from here on. Blocks the loop for one synced write, before anything else
/// runs.
int host_begin(lua_State* L) {
    return guarded(L, [L] {
        Session& session = session_of(L);
        session.on_begin();
        session.state->collect();
        session.begun = true;
        return 0;
    });
}

} // namespace

void push_engine_library(lua_State* L, Session& session) {
    lua_pushlightuserdata(L, const_cast<char*>(&session_key));
    lua_pushlightuserdata(L, &session);
    lua_rawset(L, LUA_REGISTRYINDEX);
    vm::push_scheduler_library(L);
    static const luaL_Reg functions[] = {{"raise", host_raise},
                                         {"raise_usage", host_raise_usage},
                                         {"where", host_where},
                                         {"nearest", host_nearest},
                                         {"parse_duration", host_parse_duration},
                                         {"duration_text", host_duration_text},
                                         {"bytes_text", host_bytes_text},
                                         {"grouped", host_grouped},
                                         {"type_word", host_type_word},
                                         {"loading", host_loading},
                                         {"environment", host_environment},
                                         {"open_secret", host_open_secret},
                                         {"is_reference", host_is_reference},
                                         {"cover_warning", host_cover_warning},
                                         {"make_secret", host_make_secret},
                                         {"given", host_given},
                                         {"store", host_store},
                                         {"dump", host_dump},
                                         {"parse", host_parse},
                                         {"error_map", host_error_map},
                                         {"source_line", host_source_line},
                                         {"enter_step", host_enter_step},
                                         {"now", host_now},
                                         {"iso", host_iso},
                                         {"parse_time", host_parse_time},
                                         {"user", host_user},
                                         {"run_id", host_run_id},
                                         {"interrupted", host_interrupted},
                                         {"reset_interrupt", host_reset_interrupt},
                                         {"last_request", host_last_request},
                                         {"fence", host_fence},
                                         {"progress", host_progress},
                                         {"progressed", host_progressed},
                                         {"newest_request", host_newest_request},
                                         {"cut", host_cut},
                                         {"begin", host_begin},
                                         {"emit", host_emit},
                                         {"seed", host_seed},
                                         {"chunk", host_chunk},
                                         {"error_handler", vm::error_handler},
                                         {nullptr, nullptr}};
    luaL_register(L, nullptr, functions);
    push_people_library(L, session);
    static const luaL_Reg waiting[] = {
        {"append", start_append}, {"requests", start_requests}, {"read_line", start_read_line}};
    for (const luaL_Reg& entry : waiting) {
        vm::push_waiting_function(L, entry.func, 0);
        lua_setfield(L, -2, entry.name);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.make_database"); // set by the db binding
    lua_setfield(L, -2, "make_database");
    lua_newtable(L); // label of a step = its newest effect: written by the bindings
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.effects");
    lua_setfield(L, -2, "effects");
    add_time_library(L);
    add_lease_library(L);
    add_quantity_library(L);
    add_dry_library(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.sandbox");
    lua_pushliteral(L, "db");
    lua_rawget(L, -2);
    lua_setfield(L, -3, "database");
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    lua_getfield(L, -1, "jit.util");
    lua_remove(L, -2);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, "jit_util");
}

} // namespace runbook::engine
