// YAML 1.2 text to and from Value, over libyaml, with the core schema: only true and false are
// booleans, only null and ~ are null; yes, no, on, off, 012 and 12:30 are what they look like. Any
// thread, no state.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::yaml {

/// The documents of a text. Integers are exact (a Decimal beyond 64 bits). Aliases are copied, up
/// to 100,000 values in all; a key that comes twice, one that is no scalar, and tags outside of the
/// core schema are refused. Throws Error{`yaml`} with line and column.
List parse_all(std::string_view text);
/// The one document of a text; null where there is none. Throws Error{`yaml`} where there are more.
Value parse(std::string_view text);

/// One document in block style. Text that some reader of YAML 1.1 would take for something else is
/// quoted. Throws Error{`argument`} for what YAML has no form for (a secret).
std::string dump(const Value& value);
/// Several, with `---` before each.
std::string dump_all(const List& documents);

} // namespace runbook::yaml
