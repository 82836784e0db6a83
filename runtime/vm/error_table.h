// The one error table of the playbook language, and the one place that builds it:
// {kind, message, hint?, sqlstate?, in_doubt?, where = {file, line}?, traceback?}. Loop thread
// only. Every text in it passes redact() here.
#pragma once

#include "runtime/base/error.h"
#include "runtime/base/value.h"
#include "runtime/vm/lua.h"

#include <string>

namespace runbook::vm {

/// A place in a playbook: file as it was given, line from 1. Empty file: no playbook frame on the
/// stack.
struct Where {
    std::string file;
    int line = 0;
    bool known() const { return !file.empty(); }
    std::string text() const; ///< "playbooks/x.lua:12"
};

/// The nearest frame of a playbook (a chunk named "@…"), from `level` outwards.
Where where(lua_State* L, int level = 0);
/// Only the playbook's frames, innermost first, one a line: "playbooks/x.lua:12: in 'run'".
std::string playbook_traceback(lua_State* L);

/// Pushes the error table for `error`: exactly one value.
void push_error(lua_State* L, const Error& error);
bool is_error_table(lua_State* L, int index);
/// An Error from whatever an error left at `index`: an error table, or another value as kind "lua".
/// Never calls a `__tostring` of the playbook.
Error to_error(lua_State* L, int index);
/// The same as data for an event: {kind, message, hint?, sqlstate?, where?, traceback?}.
Map error_map(lua_State* L, int index);
/// Message handler for lua_pcall and xpcall: turns any error value into the table.
int error_handler(lua_State* L);
void register_error_table(lua_State* L);

} // namespace runbook::vm
