// What could stand at the end of a line at the prompt. Loop thread; may ask the server for names.
#pragma once

#include "runtime/repl/editor.h"

namespace runbook::repl {

class Session;

/// Commands after `:`, files after `:export `, tables and columns in SQL, areas, functions, option
/// keys and the names of the prompt in Lua.
Editor::Candidates complete(Session& session, const std::string& line);

} // namespace runbook::repl
