#include "runtime/engine/program.h"

#include "runtime/base/text.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

namespace runbook::engine {

namespace {

std::vector<Finding> findings_from(const Value& value) {
    std::vector<Finding> result;
    const List* list = value.get<List>();
    for (const Value& item : list ? *list : List{})
        if (const Map* map = item.get<Map>())
            result.push_back({map->text("file"), static_cast<int>(map->integer("line")),
                              map->text("message"), map->boolean("error", true)});
    return result;
}

} // namespace

Value describe(Session& session) {
    return call_program(session.state->L(), "describe");
}

Value describe_head(Session& session) {
    return call_program(session.state->L(), "head");
}

void refuse_findings(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings)
        if (finding.error)
            text += (text.empty() ? "" : "\n") +
                    fmt::format("{}:{}: {}", finding.file, finding.line, finding.message);
    if (!text.empty())
        throw Error("load", text);
}

std::vector<Finding> program_findings(Session& session) {
    return findings_from(call_program(session.state->L(), "findings"));
}

std::vector<Finding> undefined_names(Session& session) {
    lua_State* L = session.state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.program");
    lua_getfield(L, -1, "undefined_names");
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.chunk");
    session.state->push_sandbox();
    lua_pushlstring(L, session.options.file.data(), session.options.file.size());
    if (lua_pcall(L, 3, 1, 0) != 0)
        throw vm::to_error(L, -1);
    auto result = findings_from(vm::to_value(L, -1));
    lua_pop(L, 2);
    return result;
}

void link_run(Session& session) {
    lua_State* L = session.state->L();
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.host");
    lua_getfield(L, LUA_REGISTRYINDEX, "runbook.program");
    session.state->load_host_file("runtime/engine/run/init.lua", 2);
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.mainloop");
}

} // namespace runbook::engine
