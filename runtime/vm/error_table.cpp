#include "runtime/vm/error_table.h"

#include "runtime/base/redact.h"
#include "runtime/vm/backtrace.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

namespace runbook::vm {

namespace {

constexpr const char* metatable_name = "runbook.error";

void set_text(lua_State* L, const char* key, const std::string& text) {
    const std::string clean = redact(text);
    lua_pushlstring(L, clean.data(), clean.size());
    lua_setfield(L, -2, key);
}

std::string raw_text(lua_State* L, int index, const char* key) {
    lua_pushstring(L, key);
    lua_rawget(L, index);
    std::string text;
    if (lua_type(L, -1) == LUA_TSTRING)
        text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

/// Splits "file:12: message", as LuaJIT writes it for chunks named "@file".
bool split_position(const std::string& text, Where& at, std::string& message) {
    for (std::size_t colon = text.find(':'); colon != std::string::npos;
         colon = text.find(':', colon + 1)) {
        char* end = nullptr;
        const char* digits = text.c_str() + colon + 1;
        const long line = std::strtol(digits, &end, 10);
        if (end == digits || std::strncmp(end, ": ", 2) != 0 || line <= 0)
            continue;
        at = {text.substr(0, colon), static_cast<int>(line)};
        message = end + 2;
        return true;
    }
    return false;
}

void push_table(lua_State* L, const Error& error, const Where& at) {
    lua_createtable(L, 0, 6);
    set_text(L, "kind", error.kind());
    set_text(L, "message", error.message());
    if (!error.hint().empty())
        set_text(L, "hint", error.hint());
    if (!error.sqlstate().empty())
        set_text(L, "sqlstate", error.sqlstate());
    if (error.in_doubt()) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "in_doubt");
    }
    if (error.retry_after() >= 0) {
        lua_pushnumber(L, error.retry_after());
        lua_setfield(L, -2, "retry_after");
    }
    if (at.known()) {
        lua_createtable(L, 0, 2);
        set_text(L, "file", at.file);
        lua_pushinteger(L, at.line);
        lua_setfield(L, -2, "line");
        lua_setfield(L, -2, "where");
    }
    const std::string trace = playbook_traceback(L);
    if (!trace.empty())
        set_text(L, "traceback", trace);
    luaL_getmetatable(L, metatable_name);
    lua_setmetatable(L, -2);
}

Where where_of_table(lua_State* L, int index) {
    Where at;
    lua_pushliteral(L, "where");
    lua_rawget(L, index);
    if (lua_istable(L, -1)) {
        at.file = raw_text(L, lua_gettop(L), "file");
        lua_getfield(L, -1, "line");
        at.line = static_cast<int>(lua_tointeger(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return at;
}

int error_tostring(lua_State* L) {
    std::string text = "error";
    if (lua_istable(L, 1)) {
        const Where at = where_of_table(L, 1);
        text = raw_text(L, 1, "message");
        if (at.known())
            text = at.text() + ": " + text;
    }
    lua_pushlstring(L, text.data(), text.size());
    return 1;
}

int absolute(lua_State* L, int index) {
    return index < 0 ? lua_gettop(L) + 1 + index : index;
}

} // namespace

std::string Where::text() const {
    return fmt::format("{}:{}", file, line);
}

Where where(lua_State* L, int level) {
    lua_Debug frame;
    for (; lua_getstack(L, level, &frame); ++level) {
        lua_getinfo(L, "Sl", &frame);
        if (frame.source[0] == '@' && frame.currentline > 0)
            return {frame.source + 1, frame.currentline};
    }
    return {};
}

std::string playbook_traceback(lua_State* L) {
    std::string text;
    lua_Debug frame;
    for (int level = 0; lua_getstack(L, level, &frame); ++level) {
        lua_getinfo(L, "Sln", &frame);
        const bool own = frame.source[0] == '@' && frame.currentline > 0;
        if (!own && !whole_stack)
            continue;
        if (!text.empty())
            text += '\n';
        text += frame.currentline > 0 ? fmt::format("{}:{}", frame.source + 1, frame.currentline)
                                      : std::string("[C]");
        if (frame.name)
            text += fmt::format(": in '{}'", frame.name);
    }
    return text;
}

void push_error(lua_State* L, const Error& error) {
    push_table(L, error, where(L));
}

bool is_error_table(lua_State* L, int index) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, metatable_name);
    const bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same;
}

Error to_error(lua_State* L, int index) {
    index = absolute(L, index);
    if (lua_type(L, index) == LUA_TSTRING) {
        const std::string text(lua_tostring(L, index));
        Where at;
        std::string message;
        return {"lua", split_position(text, at, message) ? message : text};
    }
    if (!lua_istable(L, index))
        return {"lua", fmt::format("error value of type {}", luaL_typename(L, index))};
    const std::string kind = raw_text(L, index, "kind");
    const std::string message = raw_text(L, index, "message");
    Error error(kind.empty() ? "lua" : kind, message.empty() ? "error object" : message,
                raw_text(L, index, "hint"), raw_text(L, index, "sqlstate"));
    lua_pushliteral(L, "in_doubt");
    lua_rawget(L, index);
    error.set_in_doubt(lua_toboolean(L, -1) != 0);
    lua_pop(L, 1);
    lua_pushliteral(L, "retry_after"); // error { kind = …, retry_after = 30 }
    lua_rawget(L, index);
    if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) >= 0)
        error.set_retry_after(lua_tonumber(L, -1));
    lua_pop(L, 1);
    return error;
}

Map error_map(lua_State* L, int index) {
    index = absolute(L, index);
    const Error error = to_error(L, index);
    Map map{{"kind", error.kind()}, {"message", redact(error.message())}};
    if (!error.hint().empty())
        map.set("hint", redact(error.hint()));
    if (!error.sqlstate().empty())
        map.set("sqlstate", error.sqlstate());
    if (error.in_doubt())
        map.set("in_doubt", true);
    Where at;
    std::string trace, message;
    if (lua_istable(L, index)) {
        at = where_of_table(L, index);
        trace = raw_text(L, index, "traceback");
    } else if (lua_type(L, index) == LUA_TSTRING) {
        split_position(lua_tostring(L, index), at, message);
    }
    if (at.known())
        map.set("where", Map{{"file", at.file}, {"line", at.line}});
    if (!trace.empty())
        map.set("traceback", trace);
    return map;
}

namespace {

/// LuaJIT shortens a long path to "...its end" in a message: the whole of it stands in the frame.
void lengthen_path(lua_State* L, Where& at) {
    if (!at.file.starts_with("..."))
        return;
    const std::string_view end = std::string_view(at.file).substr(3);
    lua_Debug frame;
    for (int level = 1; lua_getstack(L, level, &frame); ++level) {
        lua_getinfo(L, "S", &frame);
        if (frame.source[0] == '@' && std::string_view(frame.source + 1).ends_with(end)) {
            at.file = frame.source + 1;
            return;
        }
    }
}

} // namespace

int error_handler(lua_State* L) {
    if (is_error_table(L, 1) ||
        lua_type(L, 1) == LUA_TLIGHTUSERDATA) // the host's signals pass unchanged
        return 1;
    const Error error = to_error(L, 1);
    Where at;
    std::string message;
    if (lua_istable(L, 1))
        at = where_of_table(L, 1);
    else if (lua_type(L, 1) == LUA_TSTRING)
        split_position(lua_tostring(L, 1), at, message);
    lengthen_path(L, at);
    push_table(L, error, at.known() ? at : where(L, 1));
    return 1;
}

void register_error_table(lua_State* L) {
    luaL_newmetatable(L, metatable_name);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

} // namespace runbook::vm
