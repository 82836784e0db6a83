// --backtrace: errors say the whole Lua stack, not only the frames that the playbook's author
// wrote. Set once, before any Lua runs.
#pragma once

namespace runbook::vm {

inline bool whole_stack = false;

} // namespace runbook::vm
