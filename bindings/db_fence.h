// A write fence as other areas take it: what db.write_fence returned. Loop thread.
#pragma once

#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "runtime/db/fence/fence.h"

namespace runbook::bindings {

struct FenceOptions {
    std::vector<std::string> role, except;
    bind::Duration within{30};
    bool counted = true;
};

/// The moment for db.written_since, where the server can tell one. Errors: those of connecting and
/// of statements.
std::optional<Map> mark_of(const db::Url& url, Cancel& cancel);

/// Throws Error{`argument`} for options that exclude each other.
db::FenceOptions fence_options(const FenceOptions& from);

/// An option `fence = db.write_fence(…)`.
struct FenceRef {
    std::shared_ptr<db::Handle> handle; ///< null: there is none
    FenceOptions options;
};

} // namespace runbook::bindings

namespace runbook::bind {

template <>
struct Describe<bindings::FenceOptions> {
    static const std::vector<Field<bindings::FenceOptions>>& fields() {
        using O = bindings::FenceOptions;
        static const std::vector<Field<O>> all = {
            field("role", &O::role,
                  "keeps out these roles or users only (default: everybody but the connection's "
                  "own)"),
            field("except", &O::except, "roles or users that may go on writing"),
            field("within", &O::within,
                  "how long open transactions of writers may take to end (default 30s)"),
            field("counted", &O::counted,
                  "false: tables are not counted, and the proof does not see rows deleted from "
                  "PostgreSQL (default true)")};
        return all;
    }
};

template <>
struct Arg<bindings::FenceRef> {
    static std::string type() { return "fence"; }
    static Mismatch mismatch(lua_State* L, int i) {
        if (!lua_istable(L, i))
            return expected("what db.write_fence returned", L, i);
        lua_getfield(L, i, "connection");
        const bool fits = !Arg<std::shared_ptr<db::Handle>>::mismatch(L, lua_gettop(L));
        lua_pop(L, 1);
        return fits ? Mismatch{} : expected("what db.write_fence returned", L, i);
    }
    static bindings::FenceRef read(lua_State* L, int i) {
        bindings::FenceRef ref;
        lua_getfield(L, i, "connection");
        ref.handle = Arg<std::shared_ptr<db::Handle>>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        lua_getfield(L, i, "options");
        if (!Arg<bindings::FenceOptions>::mismatch(L, lua_gettop(L)))
            ref.options = Arg<bindings::FenceOptions>::read(L, lua_gettop(L));
        lua_pop(L, 1);
        return ref;
    }
};

} // namespace runbook::bind
