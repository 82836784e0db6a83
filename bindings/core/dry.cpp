#include "bindings/core/dry.h"

#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>

namespace runbook::bind {

namespace {

constexpr std::size_t longest_text = 400, most_entries = 30;

std::string quoted(const std::string& text) {
    std::string shown = redact(text); // before it is cut: half a secret would not be known as one
    for (char& c : shown)
        c = c == '\n' || c == '\t' ? ' ' : c;
    if (shown.size() <= longest_text)
        return json::dump(Value(shown));
    std::size_t cut = longest_text;
    while (cut > 0 && (static_cast<unsigned char>(shown[cut]) & 0xC0U) == 0x80)
        --cut;
    return json::dump(Value(shown.substr(0, cut) + "…")) +
           fmt::format(" ({})", text::bytes(static_cast<std::int64_t>(text.size())));
}

bool is_name(const std::string& key) {
    if (key.empty() || std::isdigit(static_cast<unsigned char>(key.front())))
        return false;
    for (char c : key)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
            return false;
    return true;
}

std::string shown(const Value& value);

std::string entries(const std::vector<std::string>& parts, std::size_t all) {
    return "{ " + text::join(parts, ", ") +
           (all > parts.size() ? fmt::format(", and {} more", all - parts.size()) : "") + " }";
}

std::string shown(const Value& value) {
    if (const auto* words = value.get<std::string>())
        return quoted(*words);
    if (const auto* opaque = value.get<Opaque>())
        return opaque->what == "unknown" ? "‹unknown›" : opaque->what;
    if (value.get<SecretPtr>())
        return "***";
    if (value.is_null())
        return "null";
    if (const auto* number = value.get<double>())
        return fmt::format("{}", *number);
    std::vector<std::string> parts;
    if (const List* list = value.get<List>()) {
        for (const Value& one : *list)
            if (parts.size() < most_entries)
                parts.push_back(shown(one));
        return parts.empty() ? "{}" : entries(parts, list->size());
    }
    if (const Map* map = value.get<Map>()) {
        for (const auto& [key, one] : *map)
            if (parts.size() < most_entries && !key.starts_with("$"))
                parts.push_back(is_name(key) && !std::isdigit(static_cast<unsigned char>(key[0]))
                                    ? key + " = " + shown(one)
                                    : quoted(key) + ": " + shown(one));
        return parts.empty() ? "{}" : entries(parts, map->size());
    }
    return json::dump(redact(value));
}

/// Of a userdata: what its __tostring says, else the word for its type.
std::string object_text(lua_State* L, int index) {
    std::string out = vm::type_word(L, index);
    if (!luaL_getmetafield(L, index, "__tostring"))
        return out;
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == 0 && lua_type(L, -1) == LUA_TSTRING)
        out = redact(std::string(lua_tostring(L, -1)));
    lua_pop(L, 1);
    return out;
}

bool is_unknown(lua_State* L, int index, int depth) {
    if (lua_type(L, index) == LUA_TUSERDATA)
        return vm::type_word(L, index) == "unknown";
    if (lua_type(L, index) != LUA_TTABLE || depth == 0 || !lua_checkstack(L, 3))
        return false;
    index = index < 0 ? lua_gettop(L) + index + 1 : index;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const bool found = is_unknown(L, lua_gettop(L), depth - 1);
        lua_pop(L, 1);
        if (found) {
            lua_pop(L, 1);
            return true;
        }
    }
    return false;
}

} // namespace

void check_files(lua_State* L, const std::string& function) {
    if (!function.starts_with("fs."))
        return;
    const bool two = function == "fs.move" || function == "fs.copy";
    for (int i = 1; i <= (two ? 2 : 1); ++i)
        if (lua_type(L, i) == LUA_TSTRING)
            vm::State::host_of(L).permissions().check_file(lua_tostring(L, i));
}

bool dry_unknown(lua_State* L) {
    for (int i = lua_gettop(L); i >= 1; --i)
        if (is_unknown(L, i, 3))
            return true;
    return false;
}

std::string dry_arguments(lua_State* L) {
    std::vector<std::string> parts;
    for (int i = 1, top = lua_gettop(L); i <= top; ++i) {
        if (lua_type(L, i) == LUA_TUSERDATA && !vm::is_null(L, i)) {
            parts.push_back(object_text(L, i));
            continue;
        }
        try {
            parts.push_back(shown(vm::to_value(L, i)));
        } catch (const Error&) {
            parts.emplace_back("table");
        }
    }
    return text::join(parts, ", ");
}

void dry_note(lua_State* L, const std::string& function, bool reads) {
    check_files(L, function);
    const int top = lua_gettop(L);
    const std::string call = function + "(" + dry_arguments(L) + ")";
    const vm::Where at = vm::where(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.dry");
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        throw Error("permission", function + " has an effect, and this only looks");
    }
    lua_pushlstring(L, call.data(), call.size());
    lua_pushlstring(L, at.file.data(), at.file.size());
    lua_pushinteger(L, at.line);
    lua_pushboolean(L, reads);
    if (top > 0 && lua_type(L, 1) == LUA_TUSERDATA)
        lua_pushvalue(L, 1);
    else
        lua_pushnil(L);
    if (lua_pcall(L, 5, 1, 0) != 0) {
        const Error error = vm::to_error(L, -1);
        lua_pop(L, 1);
        throw error;
    }
}

} // namespace runbook::bind
