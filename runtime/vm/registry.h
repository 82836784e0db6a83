// The declarations of everything a playbook can call: the one source of argument messages, stubs,
// the API reference, help() and completion. Loop thread. Plain data; filled by bindings/ and by the
// engine.
#pragma once

#include "runtime/vm/host.h"
#include "runtime/vm/lua.h"

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::vm {

struct FieldDoc {
    std::string name, type, doc;
    bool optional = true;
};

struct ParameterDoc {
    std::string name, type, doc;
    bool optional = false;
    std::vector<FieldDoc> fields; ///< of an option table
};

struct FunctionDoc {
    std::string name, doc; ///< `name` without the area
    std::vector<ParameterDoc> parameters;
    std::string returns, returns_doc;
    std::vector<std::string> raises;
    Effect effect = Effect::none;
    bool waits = false;
    std::string example;
    bool answers_in_tests = false; ///< the clock: virtual in a rehearsal, and needs no fake there
};

/// A type of value with fields and methods (connection, cursor…).
struct TypeDoc {
    std::string name, doc;
    std::vector<FieldDoc> fields;
    std::vector<FunctionDoc> methods;
};

struct AreaDoc {
    std::string name, doc; ///< empty name: the words of the language itself, globals
    std::deque<FunctionDoc> functions;
    std::deque<TypeDoc> types;
};

/// Something a native function's closure points to; lives as long as the registry.
struct Bound {
    virtual ~Bound() = default;
    /// Number of results, or -1 with the error table on top of the stack.
    virtual int run(lua_State* L) = 0;
    bool waits = false;
};

class Registry {
  public:
    AreaDoc& area(std::string name, std::string doc);
    const std::deque<AreaDoc>& areas() const { return areas_; }
    /// "db.query", "step"; null where there is none.
    const FunctionDoc* find(std::string_view full_name) const;
    std::vector<std::string> names() const;
    Bound* keep(std::unique_ptr<Bound> bound);

    /// What `help "db.query"` prints.
    std::string help(std::string_view name) const;
    /// LuaCATS definitions for lua-language-server.
    std::string stubs() const;
    /// Markdown of one area.
    std::string reference(const AreaDoc& area) const;

  private:
    std::deque<AreaDoc> areas_;
    std::vector<std::unique_ptr<Bound>> bound_;
};

/// "db.query(conn, sql, params...)".
std::string signature(const AreaDoc& area, const FunctionDoc& function);

/// Pushes the function that runs `bound`.
void push_bound(lua_State* L, Bound* bound);

} // namespace runbook::vm
