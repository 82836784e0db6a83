// Loading of playbook source. Loop thread.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/vm/decimal.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace runbook::vm {

namespace {

/// Just enough of Lua's lexer to find number literals outside strings and comments.
class Scanner {
  public:
    Scanner(std::string_view text, const std::string& name) : text_(text), name_(name) {}

    void run() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\n') {
                ++line_, ++at_;
            } else if (c == '-' && peek(1) == '-') {
                at_ += 2;
                if (!long_bracket())
                    while (at_ < text_.size() && text_[at_] != '\n')
                        ++at_;
            } else if (c == '"' || c == '\'') {
                quoted(c);
            } else if (c == '[' && long_bracket()) {
                continue;
            } else if (std::isdigit(static_cast<unsigned char>(c))) {
                number();
            } else if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') {
                while (std::isalnum(static_cast<unsigned char>(peek(0))) || peek(0) == '_')
                    ++at_;
            } else {
                ++at_;
            }
        }
    }

  private:
    char peek(std::size_t ahead) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }

    void quoted(char quote) {
        ++at_;
        while (at_ < text_.size() && text_[at_] != quote) {
            if (text_[at_] == '\\')
                ++at_;
            if (peek(0) == '\n')
                ++line_;
            ++at_;
        }
        ++at_;
    }

    bool long_bracket() {
        std::size_t level = 0;
        if (peek(0) != '[')
            return false;
        while (peek(1 + level) == '=')
            ++level;
        if (peek(1 + level) != '[')
            return false;
        const std::string close = "]" + std::string(level, '=') + "]";
        const std::size_t end = text_.find(close, at_);
        const std::size_t stop = end == std::string_view::npos ? text_.size() : end + close.size();
        for (; at_ < stop; ++at_)
            line_ += text_[at_] == '\n' ? 1 : 0;
        return true;
    }

    void number() {
        const std::size_t start = at_;
        while (std::isalnum(static_cast<unsigned char>(peek(0))) || peek(0) == '.' ||
               ((peek(0) == '+' || peek(0) == '-') &&
                (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E') && peek(0) != '\0'))
            ++at_;
        const std::string_view literal = text_.substr(start, at_ - start);
        const char last = literal.back();
        if (last == 'l' || last == 'L' || last == 'i' || last == 'I')
            throw Error(
                "load",
                fmt::format("{}:{}: number literal '{}' is not allowed", name_, line_, literal),
                "write a plain number; exact large integers come as decimal \"…\"");
    }

    std::string_view text_;
    const std::string& name_;
    std::size_t at_ = 0;
    int line_ = 1;
};

int source_check(lua_State* L) {
    bool fine = false;
    {
        std::size_t size = 0;
        const char* text = luaL_checklstring(L, 1, &size);
        try {
            check_source({text, size}, luaL_checkstring(L, 2));
            fine = true;
        } catch (const Error& error) {
            push_error(L, error);
        }
    }
    return fine ? 0 : lua_error(L);
}

/// undefined(name, environment): raises, naming the nearest name that the environment has.
int undefined(lua_State* L) {
    {
        const std::string name = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "?";
        std::vector<std::string> names;
        lua_pushnil(L);
        while (lua_next(L, 2)) {
            if (lua_type(L, -2) == LUA_TSTRING)
                names.emplace_back(lua_tostring(L, -2));
            lua_pop(L, 1);
        }
        push_error(L, Error("lua", fmt::format("undefined name '{}'{}", name,
                                               text::did_you_mean(name, names))));
    }
    return lua_error(L);
}

} // namespace

void push_source_library(lua_State* L) {
    lua_pushcfunction(L, source_check);
    lua_setfield(L, -2, "check_source");
    lua_pushcfunction(L, undefined);
    lua_setfield(L, -2, "undefined");
    push_null(L);
    lua_setfield(L, -2, "null");
    lua_pushcfunction(L, decimal_constructor);
    lua_setfield(L, -2, "decimal");
}

void check_source(std::string_view source, const std::string& name) {
    if (source.starts_with("\x1b"))
        throw Error("load", fmt::format("{}: is LuaJIT bytecode, not a playbook", name),
                    "give the source file; bytecode is never loaded");
    if (source.find('\0') != std::string_view::npos)
        throw Error("load", fmt::format("{}: is not a text file", name));
    Scanner(source, name).run();
}

void load_playbook_text(lua_State* L, std::string_view source, const std::string& name,
                        int environment) {
    if (environment < 0)
        environment = lua_gettop(L) + 1 + environment;
    if (source.starts_with("#!")) // the line stays, so that line numbers hold
        source.remove_prefix(std::min(source.find('\n'), source.size()));
    check_source(source, name);
    const std::string chunk = "@" + name;
    if (luaL_loadbufferx(L, source.data(), source.size(), chunk.c_str(), "t") != 0) {
        std::string message = lua_tostring(L, -1);
        lua_pop(L, 1);
        throw Error("load", message);
    }
    lua_pushvalue(L, environment);
    lua_setfenv(L, -2);
}

} // namespace runbook::vm
