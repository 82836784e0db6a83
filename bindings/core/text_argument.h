// An argument that is text or a secret. What is made from a secret is a secret again, unless the
// function says otherwise.
#pragma once

#include "bindings/core/argument.h"
#include "runtime/base/redact.h"

namespace runbook::bind {

struct Text {
    std::string data;
    SecretPtr secret; ///< null for plain text
    /// `made` as text, or as a secret where this is one; `how` goes into its origin.
    Value like(std::string made, const std::string& how) const {
        return secret ? Value(make_secret(std::move(made), how + " of " + secret->origin()))
                      : Value(std::move(made));
    }
};

template <>
struct Arg<Text> {
    static std::string type() { return "string|secret"; }
    static Mismatch mismatch(lua_State* L, int i) {
        return lua_type(L, i) == LUA_TSTRING || vm::to_secret(L, i)
                   ? Mismatch{}
                   : expected("string or secret", L, i);
    }
    static Text read(lua_State* L, int i) {
        if (lua_type(L, i) == LUA_TSTRING)
            return {Arg<std::string>::read(L, i), nullptr};
        SecretPtr secret = vm::to_secret(L, i);
        return {secret->reveal(), secret};
    }
};

} // namespace runbook::bind
