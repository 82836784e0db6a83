// Rows as aligned text: a table, or one block a row where a table would be too wide.
// Owns: nothing. Any thread, no state. Names and texts pass redact()
// before they are cut.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <vector>

namespace runbook::repl {

struct Grid {
    std::vector<std::string> columns;
    std::vector<std::vector<Value>> rows;
};

struct Style {
    bool unicode = true;   ///< box drawing; ASCII otherwise
    bool colour = false;   ///< NULL dimmed
    std::size_t width = 0; ///< columns of the terminal; 0: no limit
    std::size_t most_text =
        48; ///< a cell is cut to this before a table is given up, with a limit only
};

/// A table, or the expanded form where it would not fit into `style.width`. Ends with a line end;
/// empty for a grid without columns.
std::string format_grid(const Grid& grid, const Style& style);

/// One value for people, on one line: numbers plain, text with its control characters escaped,
/// lists and maps as JSON, NULL as "NULL".
std::string format_value(const Value& value);

/// A Lua value for the prompt: text as it is, tables indented, lists of rows as a table.
std::string format_result(const Value& value, const Style& style);

} // namespace runbook::repl
